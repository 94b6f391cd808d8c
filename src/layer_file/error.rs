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
    File(#[from] FileError),
    /// The directory can't be read, or the tree not be made.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// Nobody waits for it any more.
    #[error("it was stopped")]
    Stopped,
    /// The packed stream can't be made.
    #[error("cannot pack the file")]
    Packing(#[source] io::Error),
    /// The file has a device, and none was to be made.
    #[error("it has a device: `{}`", .0.display())]
    Device(PathBuf),
    /// A file that was verified is another by now.
    #[error("{} changed after it was verified", .0.display())]
    Changed(PathBuf),
    /// What was unpacked is not what the file has.
    #[error("`{}` did not come out as it is in the file", .path.display())]
    NotTheSame {
        /// The path, from the layer's root.
        path: PathBuf,
        /// What differs (`its time`, `its contents`, …).
        what: &'static str,
    },
}
