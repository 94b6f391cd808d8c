//! Files that somebody else made: opened for reading, if they are files at all.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::FileError;

/// What is done with a path that is a symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// It leads on: the person named it.
    Follow,
    /// It is refused: something foreign has it.
    Refuse,
}

/// Opens a regular file for reading. A FIFO is not waited for, and a device not woken.
pub fn open_regular(path: &Path, links: Links) -> Result<File, FileError> {
    let found = match links {
        Links::Follow => path.metadata(),
        Links::Refuse => path.symlink_metadata(),
    };
    let not_a_file = || FileError::NotAFile(path.to_owned());
    if !found.map_err(FileError::io("read", path))?.is_file() {
        return Err(not_a_file());
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;
        let refuse = if links == Links::Refuse { OFlags::NOFOLLOW } else { OFlags::empty() };
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY | refuse).bits().cast_signed());
    }
    let file = options.open(path).map_err(FileError::io("open", path))?;
    // Between the two it may have been replaced.
    if !file.metadata().map_err(FileError::io("read", path))?.is_file() {
        return Err(not_a_file());
    }
    Ok(file)
}

/// A folder that somebody else filled, held open: its files are looked at by their names, which takes no way from the root
/// of the file system for each.
#[derive(Debug)]
pub struct ForeignFolder {
    path: PathBuf,
    #[cfg(unix)]
    folder: rustix::fd::OwnedFd,
}

impl ForeignFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the regular file `name` holds, if that is at most so much.
    pub fn read(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, FileError> {
        let (file, size_bytes) = self.looked_up(name)?;
        if size_bytes > limit_bytes {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or_default());
        let read = file.take(size_bytes).read_to_end(&mut bytes);
        read.map_err(|error| FileError::io("read", &self.path.join(name))(error))?;
        Ok(Some(bytes))
    }
}

#[cfg(unix)]
impl ForeignFolder {
    /// Opens the folder.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        use rustix::fs::{Mode, OFlags};
        // On Linux it need not be one whose names may be read.
        #[cfg(target_os = "linux")]
        let how = OFlags::PATH;
        #[cfg(not(target_os = "linux"))]
        let how = OFlags::RDONLY;
        let opened = rustix::fs::open(path, how | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let folder = opened.map_err(|error| FileError::io("open", path)(error.into()))?;
        Ok(Self { path: path.to_owned(), folder })
    }

    /// How many bytes the regular file `name` has; none if there is no such file.
    pub fn size_bytes(&self, name: &str) -> Option<u64> {
        let found = rustix::fs::statat(&self.folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if is_regular(&found) { u64::try_from(found.st_size).ok() } else { None }
    }

    /// Opens the regular file `name` for reading, as [`open_regular`] does, and says how many bytes it has.
    pub fn file(&self, name: &str) -> Result<(File, u64), FileError> {
        let (file, _) = self.looked_up(name)?;
        // Between the two it may have been replaced.
        let found = rustix::fs::fstat(&file);
        let found = found.map_err(|error| FileError::io("read", &self.path.join(name))(error.into()))?;
        let size_bytes = u64::try_from(found.st_size).ok().filter(|_| is_regular(&found));
        Ok((file, size_bytes.ok_or_else(|| FileError::NotAFile(self.path.join(name)))?))
    }

    /// The same, of what was a regular file of that size just before.
    fn looked_up(&self, name: &str) -> Result<(File, u64), FileError> {
        use rustix::fs::{AtFlags, Mode, OFlags};
        let cannot = |action| {
            move |error: rustix::io::Errno| FileError::io(action, &self.path.join(name))(error.into())
        };
        let not_a_file = || FileError::NotAFile(self.path.join(name));
        let found =
            rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(cannot("read"))?;
        if !is_regular(&found) {
            return Err(not_a_file());
        }
        let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, name, how, Mode::empty()).map_err(cannot("open"))?;
        Ok((file.into(), u64::try_from(found.st_size).unwrap_or_default()))
    }
}

#[cfg(unix)]
fn is_regular(found: &rustix::fs::Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(found.st_mode).is_file()
}

#[cfg(not(unix))]
impl ForeignFolder {
    /// Opens the folder.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        path.read_dir().map_err(FileError::io("open", path))?;
        Ok(Self { path: path.to_owned() })
    }

    /// How many bytes the regular file `name` has; none if there is no such file.
    pub fn size_bytes(&self, name: &str) -> Option<u64> {
        let found = self.path.join(name).symlink_metadata().ok()?;
        found.is_file().then_some(found.len())
    }

    /// Opens the regular file `name` for reading, as [`open_regular`] does, and says how many bytes it has.
    pub fn file(&self, name: &str) -> Result<(File, u64), FileError> {
        let path = self.path.join(name);
        let file = open_regular(&path, Links::Refuse)?;
        let size_bytes = file.metadata().map_err(FileError::io("read", &path))?.len();
        Ok((file, size_bytes))
    }

    fn looked_up(&self, name: &str) -> Result<(File, u64), FileError> {
        self.file(name)
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "x").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert!(open_regular(&path("file"), Links::Refuse).is_ok());
        assert!(open_regular(&path("link"), Links::Follow).is_ok());
        for bad in [path("link"), path("fifo"), path("")] {
            assert!(matches!(open_regular(&bad, Links::Refuse), Err(FileError::NotAFile(_))), "{bad:?}");
        }
        assert!(matches!(open_regular(&path("none"), Links::Follow), Err(FileError::Io { .. })));

        let held = ForeignFolder::open(folder.path()).unwrap();
        assert_eq!(held.file("file").unwrap().1, 1);
        assert_eq!([1, 0].map(|limit| held.read("file", limit).unwrap()), [Some(b"x".to_vec()), None]);
        assert_eq!(
            ["file", "link", "fifo", "none"].map(|name| held.size_bytes(name)),
            [Some(1), None, None, None]
        );
        for bad in ["link", "fifo"] {
            assert!(matches!(held.file(bad), Err(FileError::NotAFile(wrong)) if wrong == path(bad)), "{bad}");
        }
        assert!(matches!(held.file("none"), Err(FileError::Io { path: wrong, .. }) if wrong == path("none")));
        assert!(ForeignFolder::open(&path("file")).is_err());
    }
}
