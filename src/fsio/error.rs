//! What this machine says no to.

use std::io;
use std::path::{Path, PathBuf};

use super::partial::PARTIAL;
use super::space::FAT32_MAX_FILE_BYTES;
use crate::foreign::shown_path;

/// Something on this machine stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The folder of the output isn't there.
    #[error("folder {} does not exist", .0.display())]
    NoFolder(PathBuf),
    /// Where a folder must be is something else.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Where the file must go is a folder.
    #[error("{} is a folder", .0.display())]
    IsAFolder(PathBuf),
    /// What stands there is neither file nor folder.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// There is a file of that name, and it was not to be replaced.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The name is one that unfinished files have.
    #[error("{} ends in .{PARTIAL}, as unfinished files do", .0.display())]
    ReservedName(PathBuf),
    /// The partial file was removed or replaced while it was written.
    #[error("{} was removed or replaced by another program", .0.display())]
    Taken(PathBuf),
    /// A partial file on a file system that can't tell whether somebody writes it.
    #[error("{} is there already, and this file system can't tell whether it is in use", .0.display())]
    LeftOver(PathBuf),
    /// Another process writes this output.
    #[error("another sealift{} is writing {}", numbered(*.process), .target.display())]
    Locked {
        /// The output.
        target: PathBuf,
        /// The other's process id, where it is known.
        process: Option<u32>,
    },
    /// The disk has too little room, known before anything was fetched.
    #[error("{} needs {needed_bytes} bytes, its disk has {free_bytes} free", .path.display())]
    NoSpace {
        /// The output.
        path: PathBuf,
        /// The size of the output.
        needed_bytes: u64,
        /// What the file system has left for us.
        free_bytes: u64,
    },
    /// The file system has room for bytes, but not for so many files.
    #[error("{needed_files} files and folders are needed in {}, its disk has room for {free_files} more", .path.display())]
    NoFiles {
        /// Where they were to go.
        path: PathBuf,
        /// How many there were to be.
        needed_files: u64,
        /// How many more there can be.
        free_files: u64,
    },
    /// The output is on FAT32, which holds no file of its size.
    #[error("{} needs {needed_bytes} bytes, FAT32 holds files of at most {FAT32_MAX_FILE_BYTES}", .path.display())]
    TooLargeForFat32 {
        /// The output.
        path: PathBuf,
        /// The size of the output.
        needed_bytes: u64,
    },
    /// The system refused.
    #[error("cannot {action} {}", shown_path(.path))]
    Io {
        /// What was tried (`create`, `write`, …).
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn numbered(process: Option<u32>) -> String {
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}

impl FileError {
    /// For `map_err`: the system refused to do `action` on `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
