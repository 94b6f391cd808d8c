//! A file on its way to its name.
//!
//! The partial file is created anew and locked while it is written, so two sealifts never write one output; what a
//! killed run left is removed. Before the rename it is made sure that the name is still this file's.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FileError;
use super::handle::FileHandle;
use super::space::{check_room, check_size};

/// The extension of a file that isn't whole.
pub(super) const PARTIAL: &str = "partial";

pub(super) fn partial_path(target: &Path) -> PathBuf {
    let mut path = OsString::from(target);
    path.push(".");
    path.push(PARTIAL);
    path.into()
}

/// What is done with a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced when the new one is whole.
    Replace,
    /// It is an error.
    Refuse,
}

/// Can a file be put under this name? Only files are replaced: a rename would replace `/dev/null` itself.
pub fn check_target(target: &Path, existing: Existing) -> Result<(), FileError> {
    check_folder(folder_of(target))?;
    if target.extension().is_some_and(|extension| extension == PARTIAL) {
        return Err(FileError::ReservedName(target.to_owned()));
    }
    match std::fs::metadata(target) {
        Ok(found) if found.is_dir() => Err(FileError::IsAFolder(target.to_owned())),
        Ok(found) if !found.is_file() => Err(FileError::NotAFile(target.to_owned())),
        Ok(_) if existing == Existing::Refuse => Err(FileError::Exists(target.to_owned())),
        _ => Ok(()),
    }
}

/// The folder `path` is in, `.` where it names none.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Is there a folder to write to?
pub fn check_folder(folder: &Path) -> Result<(), FileError> {
    match std::fs::metadata(folder) {
        #[cfg(unix)]
        Ok(found) if found.is_dir() => rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
            .map_err(|errno| FileError::io("write to", folder)(errno.into())),
        #[cfg(not(unix))]
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(FileError::NotAFolder(folder.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FileError::NoFolder(folder.to_owned())),
        Err(error) => Err(FileError::io("read", folder)(error)),
    }
}

/// A file on its way to its name. Dropped uncommitted, it goes away.
#[derive(Debug)]
pub struct PartialFile {
    file: Arc<File>,
    partial: PathBuf,
    target: PathBuf,
    existing: Existing,
    committed: bool,
}

impl PartialFile {
    /// Creates `<target>.partial`, locked and empty, with `size_bytes` of disk set aside for it. Where `target` is a
    /// link, it is the file it leads to that will be replaced.
    pub fn create(target: &Path, size_bytes: u64, existing: Existing) -> Result<Self, FileError> {
        check_target(target, existing)?;
        let target = if target.is_symlink() {
            target.canonicalize().map_err(FileError::io("follow", target))?
        } else {
            target.to_owned()
        };
        let partial = partial_path(&target);
        let file = Arc::new(create_locked(&partial, &target)?);
        let created = Self { file, partial, target, existing, committed: false };
        check_room(&[(&created.target, size_bytes)])?;
        created.allocate(size_bytes)?;
        Ok(created)
    }

    fn allocate(&self, size_bytes: u64) -> Result<(), FileError> {
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(&*self.file, rustix::fs::FallocateFlags::empty(), 0, size_bytes) {
            Ok(()) => return Ok(()),
            // File systems without it (NFS, FAT) get a sparse file.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {}
            Err(errno) => return Err(FileError::io("allocate", &self.partial)(errno.into())),
        }
        self.file.set_len(size_bytes).map_err(FileError::io("allocate", &self.partial))
    }

    /// Makes the file this long. What it has beyond goes.
    pub fn resize(&self, size_bytes: u64) -> Result<(), FileError> {
        check_size(&self.target, size_bytes)?;
        self.file.set_len(size_bytes).map_err(FileError::io("resize", &self.partial))
    }

    /// A handle for writing and reading at offsets, from any thread.
    pub fn handle(&self) -> FileHandle {
        FileHandle::new(Arc::clone(&self.file), &self.partial)
    }

    /// Waits until the disk has all bytes.
    pub fn sync(&self) -> Result<(), FileError> {
        self.file.sync_all().map_err(FileError::io("write", &self.partial))
    }

    /// Gives the file its name, replacing what was there if that was agreed. It is [`sync`](Self::sync)ed before.
    pub fn commit(mut self) -> Result<PathBuf, FileError> {
        if !self.has_its_name()? {
            return Err(FileError::Taken(self.partial.clone()));
        }
        match self.existing {
            Existing::Replace => std::fs::rename(&self.partial, &self.target),
            Existing::Refuse => rename_to_new(&self.partial, &self.target),
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists(self.target.clone()),
            _ => FileError::io("create", &self.target)(error),
        })?;
        self.committed = true;
        #[cfg(unix)]
        {
            // The file is whole and has its name; a file system that can't sync folders doesn't change that.
            let _ = File::open(folder_of(&self.target)).and_then(|folder| folder.sync_all());
        }
        Ok(self.target.clone())
    }

    /// False if the partial file was removed or replaced under us: then its name is another's.
    fn has_its_name(&self) -> Result<bool, FileError> {
        names_this_file(&self.partial, &self.file)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.committed && self.has_its_name().is_ok_and(|is_ours| is_ours) {
            // Nothing more can be done about a file that will not go; the next run removes it.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Renames, unless there is a file of the new name, in one step where the system can.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags};
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {}
            result => return result.map_err(io::Error::from),
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

/// Creates and locks a new file. What a dead run left under the name is removed, not written to: it may be a link to
/// something else, or open elsewhere.
fn create_locked(path: &Path, target: &Path) -> Result<File, FileError> {
    loop {
        match OpenOptions::new().read(true).write(true).create_new(true).open(path) {
            Ok(file) => {
                match file.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) => return Err(FileError::Locked(target.to_owned())),
                    // Without locks there is still that only one of two can create the file.
                    Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                    Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path)(error)),
                }
                if names_this_file(path, &file)? {
                    return Ok(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove_left_over(path, target)?,
            Err(error) => return Err(FileError::io("create", path)(error)),
        }
    }
}

/// Removes the partial file of a run that is dead: one that lives holds its lock.
fn remove_left_over(path: &Path, target: &Path) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FileError::io("open", path)(error)),
    };
    if !file.metadata().map_err(FileError::io("read", path))?.is_file() {
        return Err(FileError::NotAFile(path.to_owned()));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(FileError::Locked(target.to_owned())),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            return Err(FileError::LeftOver(path.to_owned()));
        }
        Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path)(error)),
    }
    if names_this_file(path, &file)? {
        std::fs::remove_file(path).map_err(FileError::io("remove", path))?;
    }
    Ok(())
}

/// Is `file` still the one that `path` names?
fn names_this_file(path: &Path, file: &File) -> Result<bool, FileError> {
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

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_by_rename_and_only_when_committed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        drop(PartialFile::create(&target, 10, Existing::Replace).unwrap());
        assert!(names(folder.path()).is_empty());
        let partial = PartialFile::create(&target, 4, Existing::Replace).unwrap();
        partial.handle().write_at(b"data", 0).unwrap();
        assert_eq!(names(folder.path()), ["x.tar.partial"]);
        partial.sync().unwrap();
        partial.commit().unwrap();
        assert_eq!(names(folder.path()), ["x.tar"]);
        assert_eq!(std::fs::read(&target).unwrap(), b"data");
    }

    #[test]
    fn one_output_has_one_writer_and_a_dead_ones_rest_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        let first = PartialFile::create(&target, 4, Existing::Replace).unwrap();
        assert!(
            matches!(PartialFile::create(&target, 4, Existing::Replace), Err(FileError::Locked(path)) if path == target)
        );
        drop(first);
        std::fs::write(folder.path().join("x.tar.partial"), "left over by a dead run").unwrap();
        PartialFile::create(&target, 4, Existing::Replace).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [0; 4]);
    }

    #[test]
    fn a_partial_file_that_was_replaced_is_neither_committed_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, partial) = (folder.path().join("x.tar"), folder.path().join("x.tar.partial"));
        let first = PartialFile::create(&target, 4, Existing::Replace).unwrap();
        std::fs::remove_file(&partial).unwrap();
        let second = PartialFile::create(&target, 4, Existing::Replace).unwrap();
        assert!(matches!(first.commit(), Err(FileError::Taken(_))));
        assert_eq!(names(folder.path()), ["x.tar.partial"], "the second's file is left alone");
        second.handle().write_at(b"mine", 0).unwrap();
        second.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    }

    #[cfg(unix)]
    #[test]
    fn what_a_planted_partial_file_leads_to_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (target, other) = (folder.path().join("x.tar"), folder.path().join("other.tar"));
        std::fs::write(&other, "precious").unwrap();
        std::fs::hard_link(&other, folder.path().join("x.tar.partial")).unwrap();
        PartialFile::create(&target, 4, Existing::Replace).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"precious");
        std::os::unix::fs::symlink(&other, folder.path().join("link.tar")).unwrap();
        PartialFile::create(&folder.path().join("link.tar"), 4, Existing::Replace).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), [0; 4], "through a link, what it leads to is replaced");
        assert!(folder.path().join("link.tar").is_symlink());
    }

    #[test]
    fn an_existing_file_is_refused_where_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        let partial = PartialFile::create(&target, 4, Existing::Refuse).unwrap();
        std::fs::write(&target, "meanwhile").unwrap();
        assert!(matches!(partial.commit(), Err(FileError::Exists(path)) if path == target));
        assert!(matches!(PartialFile::create(&target, 4, Existing::Refuse), Err(FileError::Exists(_))));
        assert_eq!(std::fs::read(&target).unwrap(), b"meanwhile");
        assert_eq!(names(folder.path()), ["x.tar"]);
    }

    #[test]
    fn what_stands_in_the_way_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let create = |name: &str, size| {
            PartialFile::create(&folder.path().join(name), size, Existing::Replace).unwrap_err()
        };
        assert!(matches!(create("no/x.tar", 1), FileError::NoFolder(_)));
        std::fs::create_dir(folder.path().join("taken.tar")).unwrap();
        assert!(matches!(create("taken.tar", 1), FileError::IsAFolder(_)));
        assert!(matches!(create("x.partial", 1), FileError::ReservedName(_)));
        assert!(matches!(create("huge.tar", 1 << 60), FileError::NoSpace { .. }));
        #[cfg(unix)]
        {
            let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
            assert!(matches!(create("socket", 1), FileError::NotAFile(_)));
            std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link.tar.partial")).unwrap();
            assert!(matches!(create("link.tar", 1), FileError::Io { .. }));
        }
        assert_eq!(names(folder.path()), ["link.tar.partial", "socket", "taken.tar"]);
    }
}
