//! Where a file is to go: may it, and in which folder is that?

use std::io;
use std::path::{Path, PathBuf};

use super::error::FileError;
use super::partial::PARTIAL;

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

/// What `path` leads to, if it is a link: a rename would replace the link itself.
pub(super) fn followed(path: &Path) -> Result<PathBuf, FileError> {
    if path.is_symlink() {
        path.canonicalize().map_err(FileError::io("follow", path))
    } else {
        Ok(path.to_owned())
    }
}
