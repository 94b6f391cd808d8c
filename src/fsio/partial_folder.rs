//! A folder on its way to its name: its files are there together, or none is.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::FileError;
use super::partial::PARTIAL;
use super::target::{check_folder, folder_of};

/// `<target>.partial`, locked as long as it is written. Dropped uncommitted, it goes away.
#[derive(Debug)]
pub struct PartialFolder {
    /// The folder, whose lock tells others that somebody writes in it.
    lock: File,
    partial: PathBuf,
    target: PathBuf,
    is_committed: bool,
}

impl PartialFolder {
    /// Makes the folder. What a run that was killed left of it goes first.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        check_folder(folder_of(target))?;
        if target.symlink_metadata().is_ok() {
            return Err(FileError::Exists(target.to_owned()));
        }
        let mut partial = OsString::from(target);
        partial.push(".");
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        let lock = match fs::create_dir(&partial) {
            Ok(()) => locked(&partial, target)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let lock = locked(&partial, target)?;
                for entry in fs::read_dir(&partial).map_err(FileError::io("read", &partial))? {
                    let path = entry.map_err(FileError::io("read", &partial))?.path();
                    fs::remove_file(&path).map_err(FileError::io("remove", &path))?;
                }
                lock
            }
            Err(error) => return Err(FileError::io("create", &partial)(error)),
        };
        Ok(Self { lock, partial, target: target.to_owned(), is_committed: false })
    }

    /// A new file in it, for reading and writing.
    pub fn create_file(&self, name: &str) -> Result<File, FileError> {
        let path = self.partial.join(name);
        let opened = File::options().read(true).write(true).create_new(true).open(&path);
        opened.map_err(FileError::io("create", &path))
    }

    /// Puts everything on disk and gives the folder its name, which nobody has taken meanwhile.
    pub fn commit(mut self) -> Result<PathBuf, FileError> {
        for entry in fs::read_dir(&self.partial).map_err(FileError::io("read", &self.partial))? {
            let path = entry.map_err(FileError::io("read", &self.partial))?.path();
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(FileError::io("write", &path))?;
        }
        self.lock.sync_all().map_err(FileError::io("write", &self.partial))?;
        rename_to_new(&self.partial, &self.target)?;
        self.is_committed = true;
        let folder = folder_of(&self.target);
        // The files are whole in any case; after a power cut the name may be missing.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(self.target.clone())
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        if !self.is_committed {
            // What will not go now, the next run removes.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

fn locked(partial: &Path, target: &Path) -> Result<File, FileError> {
    let folder = File::open(partial).map_err(FileError::io("open", partial))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(fs::TryLockError::WouldBlock) => {
            Err(FileError::Locked { target: target.to_owned(), process: None })
        }
        Err(fs::TryLockError::Error(error)) => Err(FileError::io("lock", partial)(error)),
    }
}

/// Renames a folder, unless there is something of the new name.
fn rename_to_new(from: &Path, to: &Path) -> Result<(), FileError> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::EXIST) => return Err(FileError::Exists(to.to_owned())),
            // File systems that don't know of it (NFS).
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            Err(errno) => return Err(FileError::io("rename", from)(errno.into())),
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(FileError::Exists(to.to_owned()));
    }
    fs::rename(from, to).map_err(FileError::io("rename", from))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("layer");
        let partial = PartialFolder::create(&target).unwrap();
        partial.create_file("a").unwrap().write_all(b"a").unwrap();
        assert!(matches!(PartialFolder::create(&target), Err(FileError::Locked { .. })));
        drop(partial);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing of it stays");

        // As a run that was killed leaves it.
        fs::create_dir(folder.path().join("layer.partial")).unwrap();
        File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(folder.path().join("layer.partial/old"))
            .unwrap();
        let partial = PartialFolder::create(&target).unwrap();
        partial.create_file("b").unwrap().write_all(b"b").unwrap();
        assert_eq!(partial.commit().unwrap(), target);
        assert_eq!(fs::read(target.join("b")).unwrap(), b"b");
        assert!(!target.join("old").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(matches!(PartialFolder::create(&target), Err(FileError::Exists(_))));
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_stays_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("layer");
        let partial = PartialFolder::create(&target).unwrap();
        fs::create_dir(&target).unwrap();
        assert!(matches!(partial.commit(), Err(FileError::Exists(_))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
