//! Why a path is no archive that can be opened.

use std::path::PathBuf;

use crate::archive::reader::ReadError;
use crate::fsio::FileError;

/// Nothing can be made of a path.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can't be opened or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no tar.
    #[error("{} is no archive of images", .path.display())]
    NotAnArchive {
        /// The path.
        path: PathBuf,
        /// What was found.
        source: ReadError,
    },
    /// It is packed with something that is not unpacked here.
    #[error("{} is packed with {packing}", .path.display())]
    Packing {
        /// The path.
        path: PathBuf,
        /// With what.
        packing: &'static str,
    },
    /// What it is packed with is broken.
    #[error("{} can't be unpacked to its end", .path.display())]
    Unpack {
        /// The path.
        path: PathBuf,
        /// What the decompressor said.
        source: std::io::Error,
    },
    /// A folder has far more files than any layout.
    #[error("{} has more than {limit} files", .path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
        /// How many are looked at.
        limit: usize,
    },
}
