//! A folder that is walked: held open, its names in byte order, what is in it opened from here.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};

use super::attributes::Attributes;
use super::error::OverlayError;

/// A folder under way.
pub(super) struct Folder {
    opened: OwnedFd,
    /// Where it is from the layer's root; ends in `/`, but for the root's own.
    pub(super) name: Vec<u8>,
    names: vec::IntoIter<Vec<u8>>,
    /// Where the layer's root is, for messages.
    root: PathBuf,
}

/// What was found in a folder.
pub(super) struct Found {
    pub(super) stat: Stat,
    pub(super) attributes: Attributes,
    pub(super) contents: Contents,
}

/// What is in what was found.
pub(super) enum Contents {
    File(File),
    Folder(OwnedFd),
    Symlink(Vec<u8>),
    /// A device, FIFO or socket, by its kind.
    Special(FileType),
}

impl Folder {
    /// Opens the layer's root.
    pub(super) fn root(root: &Path) -> Result<Self, OverlayError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, root, flags, Mode::empty()).map_err(OverlayError::reading(root))?;
        Self::open(folder, Vec::new(), root.to_owned())
    }

    /// The folder that was found here by the name `name`, from the layer's root.
    pub(super) fn within(&self, folder: OwnedFd, name: Vec<u8>) -> Result<Self, OverlayError> {
        Self::open(folder, name, self.root.clone())
    }

    fn open(opened: OwnedFd, name: Vec<u8>, root: PathBuf) -> Result<Self, OverlayError> {
        let list = || -> Result<Vec<Vec<u8>>, rustix::io::Errno> {
            let mut names = Vec::new();
            for entry in Dir::read_from(&opened)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        let names = list().map_err(OverlayError::reading(&shown(&root, &name)))?.into_iter();
        Ok(Self { opened, name, names, root })
    }

    /// The next name in it.
    pub(super) fn next_name(&mut self) -> Option<Vec<u8>> {
        self.names.next()
    }

    /// How messages call what is there.
    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        shown(&self.root, &[&self.name, name].concat())
    }

    /// Looks at what has the name, and opens it if it is a file or folder.
    pub(super) fn look_at(&self, name: &[u8]) -> Result<Found, OverlayError> {
        let path = self.path_of(name);
        let looked =
            statat(&self.opened, name, AtFlags::SYMLINK_NOFOLLOW).map_err(OverlayError::reading(&path))?;
        let kind = FileType::from_raw_mode(looked.st_mode);
        // Should it be a FIFO by now, this doesn't wait for its other end.
        let how = match kind {
            FileType::RegularFile => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
            FileType::Directory => OFlags::RDONLY | OFlags::DIRECTORY,
            _ => OFlags::PATH,
        };
        let flags = how | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened =
            openat(&self.opened, name, flags, Mode::empty()).map_err(OverlayError::reading(&path))?;
        let stat = fstat(&opened).map_err(OverlayError::reading(&path))?;
        if (stat.st_dev, stat.st_ino) != (looked.st_dev, looked.st_ino) {
            return Err(OverlayError::Changed(path));
        }
        let attributes = match kind {
            FileType::RegularFile | FileType::Directory => Attributes::of_open(&opened),
            _ => Attributes::of_held(&opened),
        };
        let attributes = attributes.map_err(OverlayError::reading(&path))?;
        let contents = match kind {
            FileType::RegularFile => Contents::File(opened.into()),
            FileType::Directory => Contents::Folder(opened),
            FileType::Symlink => {
                let target = readlinkat(&opened, "", Vec::new()).map_err(OverlayError::reading(&path))?;
                Contents::Symlink(target.into_bytes())
            }
            kind => Contents::Special(kind),
        };
        Ok(Found { stat, attributes, contents })
    }
}

fn shown(root: &Path, name: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(name.strip_suffix(b"/").unwrap_or(name)))
}
