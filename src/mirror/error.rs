//! Why images can't be mirrored.

use std::path::PathBuf;

use crate::blob::BlobError;
use crate::containerd_store::StoreError;
use crate::fsio::FileError;
use crate::image::Digest;

/// Images can't be mirrored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The store hasn't got something, or it can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder can't be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A blob of the store is not what its name says.
    #[error("{} is damaged", .path.display())]
    Blob {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: BlobError,
    },
    /// Two manifests disagree on a blob.
    #[error("manifests name {0} with two different sizes")]
    TwoSizes(Digest),
    /// Whoever waited for it does so no more.
    #[error("it was interrupted")]
    Interrupted,
}
