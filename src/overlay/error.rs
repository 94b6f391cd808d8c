//! Why a directory can't be written as a layer, or a layer not become a directory.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::foreign::{shown, shown_path};
use crate::fsio::FileError;

/// A directory can't be written as a layer, or a layer not become a directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// Something in it can't be read or made.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody changes it.
    #[error("{} changed while it was read", shown_path(.0))]
    Changed(PathBuf),
    /// Renamed or changed in its properties only: what is in it stayed where it was.
    #[error("what is in {} stands in a layer below it (overlayfs calls that redirect and metacopy)", shown_path(.0))]
    Below(PathBuf),
    /// Changed in its properties only, and its contents stayed in the image.
    #[error("the contents of {} stand in the image below it (overlayfs calls that metacopy)", shown_path(.0))]
    Metacopy(PathBuf),
    /// It is something that could not be read back.
    #[error("{} can't be kept: {what}", shown_path(.path))]
    Odd {
        /// What.
        path: PathBuf,
        /// Why.
        what: &'static str,
    },
    /// Entries without end.
    #[error("it has more than 33,554,432 entries")]
    TooMany,
    /// What is made of it can't be written.
    #[error("cannot write the layer")]
    Output(#[source] io::Error),
    /// Nobody waits for it any more.
    #[error("it was stopped")]
    Stopped,
    /// It has a device, and none was to be made.
    #[error("it has a device: `{}`", shown_path(.0))]
    Device(PathBuf),
    /// An extended attribute can't be given.
    #[error("cannot give `{}` the attribute `{name}`", shown_path(.path))]
    Attribute {
        /// To what, from the layer's root.
        path: PathBuf,
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// What stands on the disk is not what was to be made.
    #[error("`{}` did not come out as it should: {what}", shown_path(.path))]
    NotTheSame {
        /// The path, from the layer's root.
        path: PathBuf,
        /// What is not the same.
        what: &'static str,
    },
}

impl OverlayError {
    /// For `map_err`: the system refused to read `path`.
    pub(super) fn reading(path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self {
        Self::doing("read", path)
    }

    /// For `map_err`: the system refused to do `action` on `path`.
    pub(super) fn doing(action: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.to_owned();
        move |errno| FileError::io(action, &path)(errno.into()).into()
    }

    /// For `map_err`: an attribute of `path` can't be given.
    pub(super) fn giving(path: &Path) -> impl FnOnce((Vec<u8>, rustix::io::Errno)) -> Self {
        let path = path.to_owned();
        move |(name, errno)| {
            let name = shown(&String::from_utf8_lossy(&name));
            Self::Attribute { path, name, source: errno.into() }
        }
    }
}

/// The path of an entry, as it stands in a tar.
pub(super) fn path_of(name: &[u8]) -> PathBuf {
    OsStr::from_bytes(name.strip_suffix(b"/").unwrap_or(name)).into()
}
