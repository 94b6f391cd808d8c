//! A folder on its way to its name: its files are there together, or none is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::FileError;
use super::left_over::{is_ours, lock_left_over, lock_new, names_this_file};
use super::partial::{partial_path, rename_to_new};
use super::target::{check_folder, folder_of};

/// `<target>.partial`, locked as long as it is written. Dropped uncommitted, it goes away.
#[derive(Debug)]
pub struct PartialFolder {
    /// The folder, whose lock tells others that somebody writes in it.
    folder: File,
    /// What was put into it.
    files: Vec<(PathBuf, File)>,
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
        let partial = partial_path(target);
        loop {
            match fs::create_dir(&partial) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    remove_left_over(&partial, target)?;
                    continue;
                }
                Err(error) => return Err(FileError::io("create", &partial)(error)),
            }
            let folder = match open(&partial) {
                // Another run took it for one that a dead run left, before it was locked.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                folder => folder.map_err(FileError::io("open", &partial))?,
            };
            lock_new(&folder, &partial, target)?;
            if names_this_file(&partial, &folder)? {
                let target = target.to_owned();
                return Ok(Self { folder, files: Vec::new(), partial, target, is_committed: false });
            }
        }
    }

    /// A new file in it, for reading and writing.
    pub fn create_file(&mut self, name: &str) -> Result<File, FileError> {
        let path = self.partial.join(name);
        let failed = |error| FileError::io("create", &path)(error);
        let file = create_in(&self.folder, &self.partial, name).map_err(failed)?;
        self.files.push((path.clone(), file.try_clone().map_err(failed)?));
        Ok(file)
    }

    /// Waits until the disk has all of it.
    pub fn sync(&self) -> Result<(), FileError> {
        for (path, file) in &self.files {
            file.sync_all().map_err(FileError::io("write", path))?;
        }
        self.folder.sync_all().map_err(FileError::io("write", &self.partial))
    }

    /// Gives the folder its name, which nobody has taken meanwhile. It is [`sync`](Self::sync)ed before.
    pub fn commit(mut self) -> Result<PathBuf, FileError> {
        if !self.has_its_name()? {
            return Err(FileError::Taken(self.partial.clone()));
        }
        rename_to_new(&self.partial, &self.target).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => FileError::Exists(self.target.clone()),
            _ => FileError::io("create", &self.target)(error),
        })?;
        self.is_committed = true;
        // The files are whole in any case; after a power cut the name may be missing.
        let _ = File::open(folder_of(&self.target)).and_then(|folder| folder.sync_all());
        Ok(self.target.clone())
    }

    /// False if the folder was removed or replaced under us: then its name is another's.
    fn has_its_name(&self) -> Result<bool, FileError> {
        names_this_file(&self.partial, &self.folder)
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        if !self.is_committed && self.has_its_name().is_ok_and(|is_ours| is_ours) {
            // What will not go now, the next run removes.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// Removes the folder of a dead run. What it leads to is nobody's business, and a folder of somebody else's neither.
fn remove_left_over(partial: &Path, target: &Path) -> Result<(), FileError> {
    let folder = match open(partial) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        folder => folder.map_err(FileError::io("open", partial))?,
    };
    if !is_ours(&folder) {
        return Err(FileError::io("take over", partial)(ErrorKind::PermissionDenied.into()));
    }
    lock_left_over(&folder, partial, target)?;
    if names_this_file(partial, &folder)? {
        // This follows no links.
        fs::remove_dir_all(partial).map_err(FileError::io("remove", partial))?;
    }
    Ok(())
}

/// Opens a folder, and nothing else.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;
        options.custom_flags((OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed());
    }
    options.open(path)
}

/// A new file in a folder that is open, whatever has its name by now.
#[cfg(unix)]
fn create_in(folder: &File, _: &Path, name: &str) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, openat};
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(openat(folder, name, flags, Mode::from_raw_mode(0o666))?.into())
}

#[cfg(not(unix))]
fn create_in(_: &File, path: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path.join(name))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("layer");
        let mut partial = PartialFolder::create(&target).unwrap();
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
        let mut partial = PartialFolder::create(&target).unwrap();
        partial.create_file("b").unwrap().write_all(b"b").unwrap();
        partial.sync().unwrap();
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

    #[cfg(unix)]
    #[test]
    fn what_a_planted_folder_leads_to_stays_as_it_is() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let (target, precious) = (folder.path().join("layer"), folder.path().join("precious"));
        let partial = folder.path().join("layer.partial");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("key"), "key").unwrap();
        symlink(&precious, &partial).unwrap();
        assert!(matches!(PartialFolder::create(&target), Err(FileError::Io { .. })));
        assert!(partial.is_symlink() && !target.exists());
        // Links in what a dead run left go, and not what they lead to.
        fs::remove_file(&partial).unwrap();
        fs::create_dir(&partial).unwrap();
        symlink(&precious, partial.join("folder")).unwrap();
        symlink(precious.join("key"), partial.join("layer.tar")).unwrap();
        let mut written = PartialFolder::create(&target).unwrap();
        written.create_file("layer.tar").unwrap().write_all(b"layer").unwrap();
        written.commit().unwrap();
        assert_eq!(fs::read(precious.join("key")).unwrap(), b"key");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_was_replaced_is_neither_written_nor_committed_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, partial) = (folder.path().join("layer"), folder.path().join("layer.partial"));
        let mut first = PartialFolder::create(&target).unwrap();
        fs::rename(&partial, folder.path().join("away")).unwrap();
        let mut second = PartialFolder::create(&target).unwrap();
        second.create_file("layer.tar").unwrap().write_all(b"second").unwrap();
        first.create_file("more").unwrap().write_all(b"first").unwrap();
        assert!(matches!(first.commit(), Err(FileError::Taken(_))));
        second.commit().unwrap();
        assert_eq!(fs::read(target.join("layer.tar")).unwrap(), b"second");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    }
}
