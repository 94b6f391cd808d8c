//! The folder that a container's layer is in, with all that an import puts beside it, held open and locked.
//!
//! | name | what |
//! |---|---|
//! | `diff`, `fs` | the layer: Docker's graph driver's, containerd's |
//! | `sealift-import-<random>` | a layer that is being unpacked |
//! | `sealift-removed-<random>` | a layer that is being removed |
//! | `sealift-import.json` | the journal of an exchange that is under way |
//! | `sealift-backup-<date>` | a layer that another took the place of |
//! | `sealift-backup-<date>.json` | whose it was, and when |

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, flock, fsync, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::error::ContainerLayerError;
use super::upper::Directories;
use crate::fsio::FileError;
use crate::overlay::remove_tree;

/// What an unpacked layer is called until it is the container's, before its random word.
pub(super) const STAGED: &str = "sealift-import-";
/// What an old layer that is removed is called meanwhile.
pub(super) const DOOMED: &str = "sealift-removed-";

/// How it went to remove something.
type Removed = Result<(), ContainerLayerError>;

/// The folder of a container's layer. Nobody else's sealift works there as long as this lives.
#[derive(Debug)]
pub(super) struct Place {
    folder: OwnedFd,
    path: PathBuf,
    layer: OsString,
    below: Vec<PathBuf>,
}

impl Place {
    /// That of a container's own layer. Blocks.
    pub(super) fn lock(directories: Directories) -> Result<Self, ContainerLayerError> {
        let Directories { upper, below } = directories;
        let not_here = || ContainerLayerError::NotHere { path: upper.clone() };
        let (path, layer) = upper.parent().zip(upper.file_name()).ok_or_else(not_here)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty()).map_err(failed("open", path))?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { folder, path: path.to_owned(), layer: layer.to_owned(), below }),
            Err(Errno::WOULDBLOCK) => Err(ContainerLayerError::Locked { folder: path.to_owned() }),
            Err(errno) => Err(failed("lock", path)(errno).into()),
        }
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The same, open.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// What the layer is called in it.
    pub(super) fn layer(&self) -> &OsStr {
        &self.layer
    }

    /// The directories that it is above, the highest first.
    pub(super) fn below(&self) -> &[PathBuf] {
        &self.below
    }

    /// How messages call what has this name.
    pub(super) fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// All names in the folder.
    pub(super) fn names(&self) -> Result<Vec<OsString>, FileError> {
        let read = || -> Result<Vec<OsString>, Errno> {
            let name = |entry: Result<rustix::fs::DirEntry, Errno>| {
                entry.map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec()))
            };
            Dir::read_from(&self.folder)?.map(name).collect()
        };
        read().map_err(failed("read", &self.path))
    }

    /// The inode of the directory that has this name; none if there is no such directory.
    pub(super) fn inode(&self, name: impl AsRef<OsStr>) -> Result<Option<u64>, FileError> {
        match statat(&self.folder, name.as_ref().as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => Ok(Some(stat.st_ino)),
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("read", &self.path_of(name))(errno)),
        }
    }

    /// A name that nothing here has, with this before its random word.
    pub(super) fn random_name(&self, before: &str) -> Result<String, FileError> {
        Ok(format!("{before}{:016x}", random(&self.path)?))
    }

    /// Removes what imports that are dead left under such names, and says of each how that went.
    pub(super) fn remove_left(&self, before: &str) -> Result<Vec<Removed>, ContainerLayerError> {
        let mut names = self.names()?;
        names.retain(|name| name.as_bytes().starts_with(before.as_bytes()));
        Ok(names.iter().map(|name| self.remove(name)).collect())
    }

    /// Removes the directory of this name with all in it; one that isn't there is gone already.
    pub(super) fn remove(&self, name: impl AsRef<OsStr>) -> Removed {
        Ok(remove_tree(self.folder.as_fd(), name.as_ref())?)
    }

    /// Lets two directories change places, in one step.
    pub(super) fn exchange(&self, one: impl AsRef<OsStr>, other: impl AsRef<OsStr>) -> Result<(), FileError> {
        let (one, other) = (one.as_ref(), other.as_ref());
        renameat_with(&self.folder, one.as_bytes(), &self.folder, other.as_bytes(), RenameFlags::EXCHANGE)
            .map_err(failed("exchange", &self.path_of(other)))?;
        self.sync()
    }

    /// Renames what has a name.
    pub(super) fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> Result<(), FileError> {
        let (from, to) = (from.as_ref(), to.as_ref());
        renameat(&self.folder, from.as_bytes(), &self.folder, to.as_bytes())
            .map_err(failed("rename", &self.path_of(from)))
    }

    /// The bytes of a small file of ours; none if there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FileError> {
        const MAX_BYTES: u64 = 1 << 20;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => File::from(opened.map_err(failed("open", &self.path_of(name)))?),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(FileError::io("read", &self.path_of(name)))?;
        Ok(Some(bytes))
    }

    /// Puts a small file there, whole and on the disk.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let new = format!("{name}.new");
        let path = self.path_of(name);
        self.unlink(&new)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.folder, new.as_str(), flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(failed("create", &path))?);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::io("write", &path))?;
        self.rename(&new, name)?;
        self.sync()
    }

    /// Takes a file away; one that isn't there is gone already.
    pub(super) fn unlink(&self, name: &str) -> Result<(), FileError> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("remove", &self.path_of(name))(errno)),
        }
    }

    /// Waits until the disk has the folder's names.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        fsync(&self.folder).map_err(failed("sync", &self.path))
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> FileError {
    let path = path.to_owned();
    move |errno| FileError::io(action, &path)(errno.into())
}

/// A number that nobody guesses.
fn random(path: &Path) -> Result<u64, FileError> {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error: io::Error| FileError::io("name a directory in", path)(error))?;
    Ok(u64::from_ne_bytes(bytes))
}
