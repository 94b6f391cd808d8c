//! The folders from a root down to where something is under way, held open.
//!
//! Trees may be deeper than files may be open: the root and the lowest folders are held, one between is found again through
//! the `..` of the one below it, and has to be the folder it was.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;

/// How many of the lowest folders stay open.
const HELD: usize = 64;

/// How a folder is opened: never through a link.
pub(super) const OPEN_FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Folders, each with what is known of it.
pub(super) struct Descent<T> {
    levels: Vec<Level<T>>,
}

struct Level<T> {
    /// Always open for the lowest.
    folder: Option<OwnedFd>,
    /// Its device and inode.
    identity: (u64, u64),
    data: T,
}

impl<T> Descent<T> {
    /// At a root.
    pub(super) fn new(root: OwnedFd, data: T) -> Result<Self, Errno> {
        let mut descent = Self { levels: Vec::new() };
        descent.enter(root, data)?;
        Ok(descent)
    }

    /// The lowest folder; none once the root was left.
    pub(super) fn lowest(&mut self) -> Option<(&OwnedFd, &mut T)> {
        self.levels.last_mut().and_then(|level| Some((level.folder.as_ref()?, &mut level.data)))
    }

    /// Goes down into a folder that was opened from the lowest.
    pub(super) fn enter(&mut self, folder: OwnedFd, data: T) -> Result<(), Errno> {
        let identity = identity(&folder)?;
        self.levels.push(Level { folder: Some(folder), identity, data });
        if let Some(above) = self.levels.len().checked_sub(HELD + 1).filter(|above| *above > 0) {
            self.levels[above].folder = None;
        }
        Ok(())
    }

    /// Goes up again, and gives what was left. [`Errno::STALE`] says that what is above is another folder by now.
    pub(super) fn leave(&mut self) -> Result<Option<(OwnedFd, T)>, Errno> {
        let Some(Level { folder: Some(folder), data, .. }) = self.levels.pop() else { return Ok(None) };
        if let Some(above) = self.levels.last_mut().filter(|above| above.folder.is_none()) {
            let opened = openat(&folder, "..", OPEN_FOLDER, Mode::empty())?;
            if identity(&opened)? != above.identity {
                return Err(Errno::STALE);
            }
            above.folder = Some(opened);
        }
        Ok(Some((folder, data)))
    }
}

fn identity(folder: &OwnedFd) -> Result<(u64, u64), Errno> {
    fstat(folder).map(|stat| (stat.st_dev, stat.st_ino))
}
