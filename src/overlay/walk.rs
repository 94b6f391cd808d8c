//! The walk of a tree: names in byte order, each folder before what is in it, everything opened from the folder it is in.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::descent::{Descent, OPEN_FOLDER};
use super::error::OverlayError;

/// A walk under way.
pub(super) struct Walk {
    descent: Descent<Listing>,
    /// From the root to what was last come to.
    path: Vec<u8>,
    /// Where the name in it begins.
    base_at: usize,
    /// What that is, by its folder's word.
    kind: FileType,
    /// Where the root is, for messages.
    root: PathBuf,
}

/// What is still to come of a folder.
struct Listing {
    names: vec::IntoIter<(Vec<u8>, FileType)>,
    stamp: Stamp,
    /// How much of the walk's path leads into it.
    path_bytes: usize,
}

/// What tells that nobody changed something meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size_bytes: i64,
    times: [(i64, u64); 2],
}

/// What was found by a name.
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

impl Walk {
    /// Opens the root of a tree.
    pub(super) fn open(root: &Path) -> Result<Self, OverlayError> {
        let folder = open_untouched(CWD, root.as_os_str().as_bytes(), OPEN_FOLDER)
            .map_err(OverlayError::reading(root))?;
        Self::of(folder, root)
    }

    /// Of an open folder, which messages call `root`.
    pub(super) fn of(folder: OwnedFd, root: &Path) -> Result<Self, OverlayError> {
        let listing = Listing::of(&folder, 0).map_err(OverlayError::reading(root))?;
        let descent = Descent::new(folder, listing).map_err(OverlayError::reading(root))?;
        let kind = FileType::Directory;
        Ok(Self { descent, path: Vec::new(), base_at: 0, kind, root: root.to_owned() })
    }

    /// Comes to the next name; false at the end. A folder that ends must be as it was when it began.
    pub(super) fn advance(&mut self) -> Result<bool, OverlayError> {
        while let Some((_, listing)) = self.descent.lowest() {
            let (next, path_bytes) = (listing.names.next(), listing.path_bytes);
            self.path.truncate(path_bytes);
            let Some((name, kind)) = next else {
                self.leave()?;
                continue;
            };
            self.path.extend(name);
            (self.base_at, self.kind) = (path_bytes, kind);
            return Ok(true);
        }
        Ok(false)
    }

    fn leave(&mut self) -> Result<(), OverlayError> {
        let path = self.shown();
        let left = self.descent.leave().map_err(|errno| match errno {
            Errno::STALE | Errno::NOENT => OverlayError::Changed(path.clone()),
            errno => OverlayError::reading(&path)(errno),
        })?;
        if let Some((folder, listing)) = left {
            let stat = fstat(&folder).map_err(OverlayError::reading(&path))?;
            if Stamp::of(&stat) != listing.stamp {
                return Err(OverlayError::Changed(path));
            }
        }
        Ok(())
    }

    /// Where it is from the root, without a slash at its end.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Its name in its folder.
    pub(super) fn base(&self) -> &[u8] {
        &self.path[self.base_at..]
    }

    /// How messages call it.
    pub(super) fn shown(&self) -> PathBuf {
        shown(&self.root, &self.path)
    }

    /// Looks at the root itself.
    pub(super) fn look_at_root(&mut self) -> Result<(Stat, Attributes), OverlayError> {
        let Some((folder, _)) = self.descent.lowest() else {
            return Err(OverlayError::Changed(self.root.clone()));
        };
        let looked = || Ok((fstat(folder)?, Attributes::of_open(folder)?));
        looked().map_err(OverlayError::reading(&self.root))
    }

    /// Looks at what has the name, and opens it if it is a file or folder.
    pub(super) fn look_at(&mut self) -> Result<Found, OverlayError> {
        let found = self.try_to_look_at();
        found.map_err(|errno| match errno {
            // Between the listing and now it went away, or became something else.
            Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::STALE => OverlayError::Changed(self.shown()),
            errno => OverlayError::reading(&self.shown())(errno),
        })
    }

    fn try_to_look_at(&mut self) -> Result<Found, Errno> {
        let base = &self.path[self.base_at..];
        let (folder, _) = self.descent.lowest().ok_or(Errno::STALE)?;
        let kind = match self.kind {
            // Not all file systems tell.
            FileType::Unknown => {
                FileType::from_raw_mode(statat(folder, base, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            kind => kind,
        };
        // Should it be a FIFO by now, this doesn't wait for its other end.
        let how = match kind {
            FileType::RegularFile => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
            FileType::Directory => OFlags::RDONLY | OFlags::DIRECTORY,
            _ => OFlags::PATH,
        };
        let opened = open_untouched(folder, base, how | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
        let stat = fstat(&opened)?;
        if FileType::from_raw_mode(stat.st_mode) != kind {
            return Err(Errno::STALE);
        }
        let attributes = match kind {
            FileType::RegularFile | FileType::Directory => Attributes::of_open(&opened)?,
            _ => Attributes::of_held(&opened)?,
        };
        let contents = match kind {
            FileType::RegularFile => Contents::File(opened.into()),
            FileType::Directory => Contents::Folder(opened),
            FileType::Symlink => Contents::Symlink(readlinkat(&opened, "", Vec::new())?.into_bytes()),
            kind => Contents::Special(kind),
        };
        Ok(Found { stat, attributes, contents })
    }

    /// What is in the folder that was last come to is walked next.
    pub(super) fn enter(&mut self, folder: OwnedFd) -> Result<(), OverlayError> {
        let path = self.shown();
        self.path.push(b'/');
        let listing = Listing::of(&folder, self.path.len()).map_err(OverlayError::reading(&path))?;
        self.descent.enter(folder, listing).map_err(OverlayError::reading(&path))
    }
}

/// How messages call what is at the path below `root`.
pub(super) fn shown(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path.strip_suffix(b"/").unwrap_or(path)))
}

/// Opens what is there so that reading it leaves no time of access behind, where that is allowed: the owner and root may.
fn open_untouched(folder: impl AsFd, name: &[u8], how: OFlags) -> Result<OwnedFd, Errno> {
    // Held on to only, nothing is read.
    if how.contains(OFlags::PATH) {
        return openat(folder, name, how, Mode::empty());
    }
    match openat(&folder, name, how | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(folder, name, how, Mode::empty()),
        opened => opened,
    }
}

impl Listing {
    fn of(folder: &OwnedFd, path_bytes: usize) -> Result<Self, Errno> {
        let stamp = Stamp::of(&fstat(folder)?);
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push((name.to_vec(), entry.file_type()));
            }
        }
        names.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { names: names.into_iter(), stamp, path_bytes })
    }
}

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        let modified = (stat.st_mtime, stat.st_mtime_nsec);
        let changed = (stat.st_ctime, stat.st_ctime_nsec);
        Self { size_bytes: stat.st_size, times: [modified, changed] }
    }
}
