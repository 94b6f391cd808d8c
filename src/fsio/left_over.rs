//! What earlier runs left under the name of a partial file, and whether it may be carried on from.
//!
//! Threats: the folder may be others' too. Nothing is written through links: what is carried on from is a regular file of
//! ours that has one name, and whose journal is of this very file. What is in it is for its reader to verify. A run that
//! lives holds the lock of its file.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FileError;
use super::foreign::{Links, open_regular};
use super::journal::{self, Header, Journal};
use super::ranges::Ranges;

/// What an earlier run left under the name of a partial file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOver {
    /// Nothing that could be used.
    Nothing,
    /// The same file, so far as it got.
    Same,
    /// What was to become another file. It is gone.
    Another,
}

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Whoever may read what this user makes.
    AsUsual,
    /// Its owner, from its first byte on.
    Owner,
}

pub(super) fn journal_path(partial: &Path) -> PathBuf {
    let mut path = OsString::from(partial);
    path.push(".journal");
    path.into()
}

/// Creates and locks a new file. What a dead run left under the name is removed, not written to: it may be a link to
/// something else, or open elsewhere.
pub(super) fn create_locked(path: &Path, target: &Path, readers: Readers) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = readers;
    loop {
        match options.open(path) {
            Ok(file) => {
                lock_new(&file, path, target)?;
                if names_this_file(path, &file)? {
                    return Ok(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_left_over(path, target)?;
            }
            Err(error) => return Err(FileError::io("create", path)(error)),
        }
    }
}

/// Removes the partial file of a dead run, and its journal.
pub(super) fn remove_left_over(path: &Path, target: &Path) -> Result<(), FileError> {
    if let Some(file) = open_left_over(path, target)?
        && names_this_file(path, &file)?
    {
        // The journal first: once the file is gone, its name is another run's.
        let _ = std::fs::remove_file(journal_path(path));
        std::fs::remove_file(path).map_err(FileError::io("remove", path))?;
    }
    Ok(())
}

/// Opens and locks the partial file of a run that is dead: one that lives holds its lock.
pub(super) fn open_left_over(path: &Path, target: &Path) -> Result<Option<File>, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io("open", path)(error)),
    };
    if !file.metadata().map_err(FileError::io("read", path))?.is_file() {
        return Err(FileError::NotAFile(path.to_owned()));
    }
    lock_left_over(&file, path, target)?;
    Ok(Some(file))
}

/// Locks what was just created.
pub(super) fn lock_new(file: &File, path: &Path, target: &Path) -> Result<(), FileError> {
    match lock_left_over(file, path, target) {
        // Without locks there is still that only one of two can create it.
        Err(FileError::LeftOver(_)) => Ok(()),
        locked => locked,
    }
}

/// Locks what an earlier run left, which is dead if that can be done.
pub(super) fn lock_left_over(file: &File, path: &Path, target: &Path) -> Result<(), FileError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(locked(path, target)),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Err(FileError::LeftOver(path.to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(FileError::io("lock", path)(error)),
    }
}

/// Who holds the lock, by the journal.
fn locked(partial: &Path, target: &Path) -> FileError {
    let journal = open_regular(&journal_path(partial), Links::Refuse).ok();
    let process = journal.and_then(|file| journal::read(&file, "")).map(|read| read.header.process);
    FileError::Locked { target: target.to_owned(), process }
}

/// What the journal claims of `file`, if it is this file's, of this identity, and the file is ours alone.
pub(super) fn claims_of(journal: &Path, file: &File, identity: &str) -> Option<Ranges> {
    if !is_ours_alone(file) || !names_this_file(&journal.with_extension(""), file).ok()? {
        return None;
    }
    let read = journal::read(&open_regular(journal, Links::Refuse).ok()?, &journal::this_boot())?;
    let is_its = read.header.identity == identity && read.header.file == name_of(file).ok()?;
    is_its.then_some(read.claims)
}

/// Puts a new journal in the place of any that is there.
pub(super) fn replace_journal(
    path: &Path,
    data: Arc<File>,
    header: &Header,
    claims: Ranges,
) -> io::Result<Journal> {
    let mut new = OsString::from(path);
    new.push(".new");
    let new = PathBuf::from(new);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    let begun = Journal::begin(file, path, data, header, claims)
        .and_then(|journal| std::fs::rename(&new, path).map(|()| journal));
    begun.inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })
}

/// A word that no other file on this machine has at the same time.
#[cfg(unix)]
pub(super) fn name_of(file: &File) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map(|metadata| format!("{}:{}", metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
pub(super) fn name_of(_: &File) -> io::Result<String> {
    Ok("-".to_owned())
}

#[cfg(unix)]
fn is_ours_alone(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    is_ours(file) && file.metadata().is_ok_and(|metadata| metadata.nlink() == 1)
}

/// Is it of the user that we are?
#[cfg(unix)]
pub(super) fn is_ours(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    file.metadata().is_ok_and(|metadata| metadata.uid() == own)
}

#[cfg(not(unix))]
pub(super) fn is_ours(_: &File) -> bool {
    true
}

#[cfg(not(unix))]
fn is_ours_alone(_: &File) -> bool {
    true
}

/// Is `file` still the one that `path` names?
pub(super) fn names_this_file(path: &Path, file: &File) -> Result<bool, FileError> {
    let opened = file.metadata().map_err(FileError::io("read", path))?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok(is_same_file(&opened, &named)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::io("read", path)(error)),
    }
}

#[cfg(unix)]
fn is_same_file(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same_file(_: &std::fs::Metadata, _: &std::fs::Metadata) -> bool {
    true // an open file can't be renamed there
}
