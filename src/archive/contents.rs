//! Which blobs an archive of images claims to hold, and where: told by the names of its entries alone.
//!
//! Threats: the archive is foreign. A name is no proof: whoever takes bytes from here verifies them. Links are followed
//! among the archive's own entries only, a few steps far; names that lead out of it (`..`, `/`) name nothing.
//!
//! | name | whose |
//! |---|---|
//! | `blobs/<algorithm>/<hex>` | OCI layouts, `docker save` since 25, sealift |
//! | `<hex>/layer.tar`, `<hex>.json` | sealift; `docker save` before 25, whose layers have another hex than their digest |
//! | `<hex>.tar`, `<hex>.tar.gz`, `sha256:<hex>` | the docker-archives of skopeo and crane |

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::ops::Range;

use super::reader::{Member, MemberKind, Members, ReadError};
use crate::image::Digest;

/// Links to links to links: nobody makes more.
const MAX_LINKS: usize = 8;

/// A blob that an archive claims to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedBlob {
    /// The digest its name says.
    pub digest: Digest,
    /// Where it starts.
    pub offset_bytes: u64,
    /// How long it is.
    pub size_bytes: u64,
}

/// The blobs an archive claims to hold.
#[derive(Debug)]
pub struct Contents {
    /// The blobs, none beyond the file.
    pub blobs: Vec<ClaimedBlob>,
    /// Why reading stopped before the archive's end; what was found before is there.
    pub problem: Option<ReadError>,
    names: Names,
}

impl Contents {
    /// Reads the headers of the tar in `reader`.
    pub fn read(reader: impl Read + Seek) -> Self {
        let mut names = Names::default();
        let problem = Members::new(reader).and_then(|members| names.add_all(members));
        Self { blobs: names.blobs(), problem: problem.err(), names }
    }

    /// Where the content of the file at `path` is, links followed.
    pub fn file(&self, path: &str) -> Option<Range<u64>> {
        let (offset_bytes, size_bytes) = self.names.content_of(&joined("", path)?)?;
        Some(offset_bytes..offset_bytes + size_bytes)
    }
}

/// All names that may lead to a blob, normalized; of two entries with one name the later counts, as when unpacking.
#[derive(Debug, Default)]
struct Names(HashMap<String, Target>);

#[derive(Debug)]
enum Target {
    Content { offset_bytes: u64, size_bytes: u64 },
    Path(String),
}

impl Names {
    fn add_all(&mut self, members: Members<impl Read + Seek>) -> Result<(), ReadError> {
        for member in members {
            self.add(member?);
        }
        Ok(())
    }

    fn add(&mut self, member: Member) {
        let Some(path) = joined("", &member.path) else { return };
        let target = match member.kind {
            MemberKind::File => {
                let Member { offset_bytes, size_bytes, .. } = member;
                Some(Target::Content { offset_bytes, size_bytes })
            }
            MemberKind::Symlink(link) => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                joined(folder, &link).map(Target::Path)
            }
            MemberKind::HardLink(link) => joined("", &link).map(Target::Path),
            MemberKind::Directory | MemberKind::Other => None,
        };
        match target {
            Some(target) => self.0.insert(path, target),
            None => self.0.remove(&path),
        };
    }

    fn blobs(&self) -> Vec<ClaimedBlob> {
        let claims = self.0.keys().filter_map(|path| {
            let digest = digest_named_by(path)?;
            let (offset_bytes, size_bytes) = self.content_of(path)?;
            Some(ClaimedBlob { digest, offset_bytes, size_bytes })
        });
        let mut claims: Vec<_> = claims.collect();
        claims.sort_unstable_by(|one, other| {
            (one.offset_bytes, &one.digest).cmp(&(other.offset_bytes, &other.digest))
        });
        claims.dedup();
        claims
    }

    fn content_of(&self, path: &str) -> Option<(u64, u64)> {
        let mut path = path;
        for _ in 0..=MAX_LINKS {
            match self.0.get(path)? {
                Target::Content { offset_bytes, size_bytes } => return Some((*offset_bytes, *size_bytes)),
                Target::Path(next) => path = next,
            }
        }
        None
    }
}

/// `path`, seen from `folder`, without `.` and `..`; none if it leads out of the archive.
fn joined(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The digest in an entry's name.
pub(super) fn digest_named_by(path: &str) -> Option<Digest> {
    if let Some((algorithm, hex)) = path.strip_prefix("blobs/").and_then(|rest| rest.split_once('/')) {
        return format!("{algorithm}:{hex}").parse().ok();
    }
    let endings = ["/layer.tar", ".json", ".tar.gz", ".tar"];
    let name = endings.iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(path);
    let algorithm = match name.len() {
        64 => "sha256",
        128 => "sha512",
        _ => return name.parse().ok(),
    };
    format!("{algorithm}:{name}").parse().ok()
}

#[cfg(test)]
mod tests;
