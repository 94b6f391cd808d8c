//! A folder that something is unpacked into, beside where it will go; it goes away, with all that is in it, unless it is kept.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fs, vec};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Dir, FileType, IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags, mkdirat, openat, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::attributes::path_of_held;
use super::descent::{Descent, OPEN_FOLDER};
use super::error::OverlayError;

/// A new folder, ours alone.
#[derive(Debug)]
pub(crate) struct Staged {
    beside: OwnedFd,
    name: OsString,
    folder: OwnedFd,
    is_kept: bool,
}

impl Staged {
    /// Makes the folder `name` within `beside`.
    pub(crate) fn new(beside: BorrowedFd<'_>, name: &OsStr) -> Result<Self, OverlayError> {
        let make = || {
            let beside = beside.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
            mkdirat(&beside, name, Mode::RWXU)?;
            let folder = openat(&beside, name, OPEN_FOLDER, Mode::empty())?;
            Ok(Self { beside, name: name.to_owned(), folder, is_kept: false })
        };
        make().map_err(OverlayError::doing("create", Path::new(name)))
    }

    /// The folder, open.
    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The folder it is in, open.
    pub(crate) fn beside(&self) -> BorrowedFd<'_> {
        self.beside.as_fd()
    }

    /// Its name there.
    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// It stays.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_kept {
            // What will not go is for the next run, which removes it by its name.
            let _ = remove_tree(self.beside.as_fd(), &self.name);
        }
    }
}

/// Removes the folder or file `name` within `folder` with all that is in it, by open folders only. Blocks. What isn't there
/// is no error, and what is not to be changed or removed (`chattr +i`, `+a`) goes, too.
pub fn remove_tree(folder: BorrowedFd<'_>, name: &OsStr) -> Result<(), OverlayError> {
    let mut path = PathBuf::from(name);
    remove(folder, name, &mut path).map_err(|errno| {
        let within = fs::read_link(path_of_held(folder)).unwrap_or_default();
        OverlayError::doing("remove", &within.join(path))(errno)
    })
}

/// What is still to be removed of a folder, and what that is called in the one above.
struct Removal {
    names: vec::IntoIter<Vec<u8>>,
    name: Vec<u8>,
}

/// `path` says where it is, for messages.
fn remove(folder: BorrowedFd<'_>, name: &OsStr, path: &mut PathBuf) -> Result<(), Errno> {
    let name = name.as_bytes();
    if !is_folder_left(folder, name)? {
        return Ok(());
    }
    let root = openat(folder, name, OPEN_FOLDER, Mode::empty())?;
    let names = names_of(&root)?;
    let mut descent = Descent::new(root, Removal { names, name: name.to_vec() })?;
    while let Some((lowest, removal)) = descent.lowest() {
        if let Some(name) = removal.names.next() {
            path.push(OsStr::from_bytes(&name));
            if is_folder_left(lowest.as_fd(), &name)? {
                let inner = openat(lowest, &name, OPEN_FOLDER, Mode::empty())?;
                let names = names_of(&inner)?;
                descent.enter(inner, Removal { names, name })?;
            } else {
                path.pop();
            }
            continue;
        }
        let left = descent.leave()?;
        if let (Some((_, removal)), Some((above, _))) = (left, descent.lowest()) {
            remove_name(above.as_fd(), &removal.name, AtFlags::REMOVEDIR)?;
            path.pop();
        }
    }
    remove_name(folder, name, AtFlags::REMOVEDIR)
}

/// Removes what is no folder.
fn is_folder_left(folder: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    match remove_name(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(Errno::ISDIR) => Ok(true),
        Err(errno) => Err(errno),
    }
}

fn remove_name(folder: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<(), Errno> {
    match unlinkat(folder, name, flags) {
        Err(Errno::PERM) => {
            make_removable(folder)?;
            let kind = FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
            if kind.is_file() || kind.is_dir() {
                let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                make_removable(openat(folder, name, how, Mode::empty())?)?;
            }
            unlinkat(folder, name, flags)
        }
        done => done,
    }
}

/// Takes away what says that something is not to be changed or removed.
fn make_removable(file: impl AsFd) -> Result<(), Errno> {
    let fixed = IFlags::IMMUTABLE | IFlags::APPEND;
    match ioctl_getflags(&file) {
        Ok(flags) if flags.intersects(fixed) => ioctl_setflags(&file, flags - fixed),
        // Not all file systems have such flags.
        Ok(_) | Err(Errno::NOTTY | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn names_of(folder: &OwnedFd) -> Result<vec::IntoIter<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names.into_iter())
}
