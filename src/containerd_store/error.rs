//! Why a containerd store can't be read, or does not have what was asked for.

use std::path::PathBuf;

use crate::bolt::BoltError;
use crate::foreign::shown;
use crate::fsio::FileError;
use crate::image::Platform;

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
    /// A mirror would take the place of a root that is more than a mirror.
    #[error("{} is a containerd root itself: a mirror would take away what it has besides", .path.display())]
    NotAMirror {
        /// The folder.
        path: PathBuf,
    },
    /// What a mirror has already can't be read, so it can't be added to.
    #[error("{} has metadata already, and that can't be read", .path.display())]
    UnreadMirror {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: Box<StoreError>,
    },
    /// There is none on this machine, where they usually are.
    #[error("there is no containerd root on this machine")]
    NoRoot,
    /// There are several, and none was named.
    #[error("there are several containerd roots here: {}", listed(.roots.iter().map(|root| root.display())))]
    SeveralRoots {
        /// Where they are.
        roots: Vec<PathBuf>,
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
    #[error("`{}` may be any of {}", shown(.name), listed(.images.iter().map(|image| shown(image))))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The images, with their namespaces where these differ.
        images: Vec<String>,
    },
    /// There is no namespace that could have it.
    #[error("there is no namespace that `{}` could be in", shown(.name))]
    NoNamespace {
        /// What was asked for.
        name: String,
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
    /// An image has nothing for a platform.
    #[error("{} has nothing of `{}` for {wanted}", .root.display(), shown(.name))]
    NoSuchPlatform {
        /// The image.
        name: String,
        /// What was asked for.
        wanted: Box<Platform>,
        /// The root.
        root: PathBuf,
        /// The platforms of which there is something.
        there: Vec<Platform>,
    },
    /// An index that names no image.
    #[error("`{}` is an index that names no image", shown(.name))]
    NoImage {
        /// The index's name.
        name: String,
    },
    /// No name of an image is one that an archive could give it.
    #[error("`{}` is no name that an archive could give an image", shown(.name))]
    NoReference {
        /// The name.
        name: String,
    },
    /// A blob is not there.
    #[error("{} is missing", .path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A blob's file has another size than its image says.
    #[error("{} has {got} bytes, its image says {expected}", .path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Bytes by the image.
        expected: u64,
        /// Bytes there are.
        got: u64,
    },
    /// A document's bytes are not what its digest says.
    #[error("{} is damaged: it is not what its name says", .path.display())]
    WrongBytes {
        /// Where it is.
        path: PathBuf,
    },
}

fn listed(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
