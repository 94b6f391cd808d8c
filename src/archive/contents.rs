//! Which blobs an archive of images claims to hold, and where: told by the names of its entries alone.
//!
//! Threats: the archive is foreign. A name is no proof: whoever takes bytes from here verifies them.
//!
//! | name | whose |
//! |---|---|
//! | `blobs/<algorithm>/<hex>` | OCI layouts, `docker save` since 25, sealift |
//! | `<hex>/layer.tar`, `<hex>.json` | sealift; `docker save` before 25, whose layers have another hex than their digest |
//! | `<hex>.tar`, `<hex>.tar.gz`, `sha256:<hex>` | the docker-archives of skopeo and crane |

use std::io::{Read, Seek};

use super::names::{Names, Place};
use super::reader::{Members, ReadError};
use crate::image::Digest;

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
}

impl Contents {
    /// Reads the headers of the tar in `reader`.
    pub fn read(reader: impl Read + Seek) -> Self {
        let mut names = Names::default();
        let mut add_all = |members: Members<_>| {
            for member in members {
                names.add(&member?);
            }
            Ok(())
        };
        let problem = Members::new(reader).and_then(&mut add_all);
        Self { blobs: claims(&names), problem: problem.err() }
    }
}

/// The blobs that these names claim to be, each once.
pub fn claims(names: &Names) -> Vec<ClaimedBlob> {
    let claims = names.paths().filter_map(|path| {
        let digest = digest_named_by(path)?;
        let Place { offset_bytes, size_bytes } = names.place(path)?;
        Some(ClaimedBlob { digest, offset_bytes, size_bytes })
    });
    let mut claims: Vec<_> = claims.collect();
    claims.sort_unstable_by(|one, other| {
        (one.offset_bytes, &one.digest).cmp(&(other.offset_bytes, &other.digest))
    });
    claims.dedup();
    claims
}

/// The digest in an entry's name.
pub fn digest_named_by(path: &str) -> Option<Digest> {
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
