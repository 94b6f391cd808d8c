//! An upper directory as it is, entry by entry: whiteouts are devices, opacity and redirects are attributes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Stat, major, minor};

use super::MountedBy;
use super::attributes::Named;
use super::below::Stack;
use super::content::Content;
use super::error::{OverlayError, path_of};
use super::header::{Header, Kind, Time};
use super::holes;
use super::layer::LeftOut;
use super::walk::{self, Contents, Found, Stamp, Walk};
use crate::fsio::FileError;

/// The root's name.
pub(crate) const ROOT: &[u8] = b"./";

/// A walk that gives each entry with the header that it has in a raw tar.
pub(super) struct RawWalk {
    walk: Walk,
    mounted_by: MountedBy,
    /// What it is above; none where nobody asks for that.
    stack: Option<Stack>,
    is_begun: bool,
    /// The first name of each file that has several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// An entry of a tree.
pub(super) struct RawEntry {
    pub(super) header: Header,
    /// A regular file that has no name before this one.
    pub(super) content: Option<Content>,
}

impl RawWalk {
    /// Of an upper directory and those below it, the highest first.
    pub(super) fn open(root: &Path, below: &[PathBuf], mounted_by: MountedBy) -> Result<Self, OverlayError> {
        let stack = Stack::new(root, below, mounted_by);
        Ok(Self::new(Walk::open(root)?, mounted_by, Some(stack)))
    }

    /// Of a tree that has no sockets.
    pub(super) fn of(folder: OwnedFd, root: &Path, mounted_by: MountedBy) -> Result<Self, OverlayError> {
        Ok(Self::new(Walk::of(folder, root)?, mounted_by, None))
    }

    fn new(walk: Walk, mounted_by: MountedBy, stack: Option<Stack>) -> Self {
        Self { walk, mounted_by, stack, is_begun: false, links: HashMap::new() }
    }

    /// The next entry, the root's first. Sockets are told and passed over; where one hides something, a whiteout does that
    /// in its place.
    pub(super) fn next(&mut self, tell: &mut dyn FnMut(LeftOut)) -> Result<Option<RawEntry>, OverlayError> {
        if !self.is_begun {
            self.is_begun = true;
            let (stat, attributes) = self.walk.look_at_root()?;
            let attributes = encoded(attributes.into_kept(self.mounted_by));
            let header = Header { attributes, ..header(ROOT.to_vec(), Kind::Directory, &stat) };
            return Ok(Some(RawEntry { header, content: None }));
        }
        while self.walk.advance()? {
            let found = self.walk.look_at()?;
            if let Contents::Special(FileType::Socket) = found.contents {
                let name = self.walk.path();
                tell(LeftOut::Socket(path_of(name)));
                if !self.stack.as_ref().map_or(Ok(false), |stack| stack.hides(name))? {
                    continue;
                }
                let whiteout = header(name.to_vec(), Kind::CharacterDevice, &found.stat);
                return Ok(Some(RawEntry { header: Header { mode: 0, ..whiteout }, content: None }));
            }
            return self.entry(found).map(Some);
        }
        Ok(None)
    }

    fn entry(&mut self, found: Found) -> Result<RawEntry, OverlayError> {
        let Found { stat, attributes, contents } = found;
        let kind = kind_of(&contents).ok_or_else(|| OverlayError::Changed(self.walk.shown()))?;
        let mut header = header(self.walk.path().to_vec(), kind, &stat);
        if kind != Kind::Directory && stat.st_nlink > 1 && !header.is_whiteout() {
            let first = self.links.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| header.name.clone());
            if *first != header.name {
                header.target.clone_from(first);
                return Ok(RawEntry {
                    header: Header { kind: Kind::Link, device: (0, 0), ..header },
                    content: None,
                });
            }
        }
        if attributes.are_metacopy(self.mounted_by) {
            return Err(OverlayError::Metacopy(self.walk.shown()));
        }
        header.attributes = encoded(attributes.into_kept(self.mounted_by));
        let mut content = None;
        match contents {
            Contents::File(file) => {
                header.size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
                let extents = holes::extents_of(&file, header.size_bytes);
                header.extents = extents.map_err(|errno| {
                    OverlayError::from(FileError::io("read", &self.walk.shown())(errno.into()))
                })?;
                let block_bytes = u64::try_from(stat.st_blksize).unwrap_or(0).max(4096);
                let (size_bytes, stamp) = (header.size_bytes, Stamp::of(&stat));
                content = Some(Content { file, size_bytes, stamp, block_bytes });
            }
            Contents::Folder(folder) => {
                header.name.push(b'/');
                self.walk.enter(folder)?;
            }
            Contents::Symlink(target) => header.target = target,
            Contents::Special(_) => {}
        }
        Ok(RawEntry { header, content })
    }
}

/// How messages call an entry of the tree at `root`.
pub(super) fn shown(root: &Path, name: &[u8]) -> PathBuf {
    if name == ROOT { root.to_owned() } else { walk::shown(root, name) }
}

/// What its entry is; none for a socket.
pub(super) fn kind_of(contents: &Contents) -> Option<Kind> {
    Some(match contents {
        Contents::File(_) => Kind::File,
        Contents::Folder(_) => Kind::Directory,
        Contents::Symlink(_) => Kind::Symlink,
        Contents::Special(FileType::CharacterDevice) => Kind::CharacterDevice,
        Contents::Special(FileType::BlockDevice) => Kind::BlockDevice,
        Contents::Special(FileType::Fifo) => Kind::Fifo,
        Contents::Special(_) => return None,
    })
}

/// What a file system's word on an entry says in a tar.
pub(super) fn header(name: Vec<u8>, kind: Kind, stat: &Stat) -> Header {
    let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
    Header {
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified: Time {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        },
        device: if is_device { (major(stat.st_rdev), minor(stat.st_rdev)) } else { (0, 0) },
        ..Header::new(name, kind, stat.st_mode & 0o7777)
    }
}

/// Names as GNU tar writes them in records: `=` ends a record's key, so it is `%3D` in one, and `%` is `%25`.
fn encoded(attributes: Named) -> Named {
    let is_plain = |name: &[u8]| !name.iter().any(|byte| matches!(byte, b'=' | b'%'));
    let encoded = attributes.into_iter().map(|(name, value)| {
        if is_plain(&name) {
            return (name, value);
        }
        let mut encoded = Vec::new();
        for byte in name {
            match byte {
                b'=' => encoded.extend(b"%3D"),
                b'%' => encoded.extend(b"%25"),
                byte => encoded.push(byte),
            }
        }
        (encoded, value)
    });
    encoded.collect()
}

/// The same back; none where a `%` begins something else.
pub(super) fn decoded(name: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let (code, after) = rest.split_at_checked(2)?;
                rest = after;
                match code {
                    b"3D" => b'=',
                    b"25" => b'%',
                    _ => return None,
                }
            }
            byte => *byte,
        });
    }
    Some(decoded)
}
