//! Why a directory can't be written as a layer.

use std::io;
use std::path::{Path, PathBuf};

use crate::fsio::FileError;

/// A directory can't be written as a layer.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// Something in it can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody changes it.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// Renamed or changed in its properties only: what is in it stayed where it was.
    #[error("what is in {} stands in a layer below it (overlayfs calls that redirect and metacopy)", .0.display())]
    Below(PathBuf),
    /// What is made of it can't be written.
    #[error("cannot write the layer")]
    Output(#[source] io::Error),
}

impl OverlayError {
    /// For `map_err`: the system refused to read `path`.
    pub(super) fn reading(path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.to_owned();
        move |errno| FileError::io("read", &path)(errno.into()).into()
    }
}
