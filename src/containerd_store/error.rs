//! Why a containerd store can't be read, or does not have what was asked for.

use std::path::PathBuf;

use crate::bolt::BoltError;
use crate::foreign::shown;
use crate::fsio::FileError;

/// A containerd store can't be read, or does not have what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or folder of it can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder has no metadata of containerd.
    #[error("{} is no containerd root: it has no {}", .path.display(), super::META_DB)]
    NotARoot {
        /// The folder.
        path: PathBuf,
    },
    /// The metadata can't be read.
    #[error("{} is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BoltError,
    },
    /// It is a bolt database, but another program's.
    #[error("{} is a bolt database, but not containerd's: it has no bucket `v1`", .path.display())]
    NotContainerds {
        /// The file.
        path: PathBuf,
    },
    /// What the metadata has of an image makes no sense.
    #[error("{} has no valid {field} of image `{}`", .path.display(), shown(.image))]
    Field {
        /// The file.
        path: PathBuf,
        /// The image.
        image: String,
        /// What of it.
        field: &'static str,
    },
    /// The metadata is larger than is read into memory.
    #[error("{} has {limit_bytes} bytes or more", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit_bytes: u64,
    },
    /// containerd wrote without a pause.
    #[error("{} was written to all the time for {seconds} s", .path.display())]
    Restless {
        /// The file.
        path: PathBuf,
        /// For how long it was tried.
        seconds: u64,
    },
    /// No image has such a name.
    #[error("no image in {} is `{}`", .root.display(), shown(.name))]
    NoSuchImage {
        /// What was asked for.
        name: String,
        /// The root.
        root: PathBuf,
        /// Names that are near.
        near: Vec<String>,
    },
    /// Several images have such a digest or name.
    #[error("`{}` is not one image: {}", shown(.name), .images.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The images, with their namespaces where these differ.
        images: Vec<String>,
    },
    /// There is no such namespace.
    #[error("{} has no namespace `{}`", .root.display(), shown(.namespace))]
    NoSuchNamespace {
        /// What was asked for.
        namespace: String,
        /// The root.
        root: PathBuf,
        /// Those there are.
        known: Vec<String>,
    },
    /// A blob is not there.
    #[error("{} is missing", .path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A document's bytes are not what its digest says.
    #[error("{} is damaged: it is not what its name says", .path.display())]
    WrongBytes {
        /// Where it is.
        path: PathBuf,
    },
}
