//! Why a layer file can't be written, read or unpacked.

use std::io;
use std::path::PathBuf;

use crate::fsio::FileError;
use crate::overlay::OverlayError;

/// A layer file can't be written, read or unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerFileError {
    /// This machine stands in the way of the file.
    #[error(transparent)]
    File(FileError),
    /// What is needed for a while has no place.
    #[error(transparent)]
    Scratch(FileError),
    /// The directory can't be read, or the tree not be made.
    #[error(transparent)]
    Overlay(OverlayError),
    /// Nobody waits for it any more.
    #[error("it was stopped")]
    Stopped,
    /// The stream can't be packed.
    #[error("cannot pack the file")]
    Packing(#[source] io::Error),
    /// What is in it has no room where it is to go.
    #[error("{} holds a layer of {layer_bytes} bytes, and there is room for {most_bytes}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How large its layer is, by its own word.
        layer_bytes: u64,
        /// What was allowed.
        most_bytes: u64,
    },
    /// A file that was verified is another by now.
    #[error("{} changed after it was verified", .0.display())]
    Changed(PathBuf),
}

impl LayerFileError {
    /// For `map_err`: the file can't be written, or what goes into it not be packed.
    pub(super) fn writing(error: io::Error) -> Self {
        match error.downcast::<FileError>() {
            Ok(error) => Self::File(error),
            Err(error) => Self::Packing(error),
        }
    }
}

impl From<FileError> for LayerFileError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<OverlayError> for LayerFileError {
    fn from(error: OverlayError) -> Self {
        match error {
            OverlayError::File(error) => Self::File(error),
            OverlayError::Stopped => Self::Stopped,
            OverlayError::Output(error) => Self::writing(error),
            error => Self::Overlay(error),
        }
    }
}
