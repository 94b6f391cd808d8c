//! Why a path, or some of it, is of no use.

use std::path::PathBuf;

use super::folder::MAX_ARCHIVES;
use crate::archive::reader::ReadError;
use crate::fsio::FileError;

/// A path that nothing, or not all, can be reused of.
#[derive(Debug, thiserror::Error)]
pub enum ReuseError {
    /// It can't be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is compressed as a whole: its blobs have no places.
    #[error("{} is compressed ({packing}): only plain tars can be reused", .path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
        /// By what.
        packing: &'static str,
    },
    /// It can't be read as an archive, or not to its end.
    #[error("cannot read all of {}", .path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadError,
    },
    /// Nothing in it is named as blobs are.
    #[error("{} holds no blobs of images", .0.display())]
    NoBlobs(PathBuf),
    /// A folder with more archives than are looked into.
    #[error("{} has more than {MAX_ARCHIVES} archives: the first of them are used", .0.display())]
    TooManyArchives(PathBuf),
    /// More blobs than are remembered.
    #[error("{} has more blobs than are looked at: the first of them are used", .path.display())]
    TooMany {
        /// The path.
        path: PathBuf,
    },
}
