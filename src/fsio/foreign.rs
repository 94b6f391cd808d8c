//! Files that somebody else made: opened for reading, if they are files at all.

use std::fs::{File, OpenOptions};
use std::path::Path;

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
    }
}
