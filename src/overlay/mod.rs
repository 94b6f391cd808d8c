//! A directory as the overlayfs keeps it above others, written as the layer it is.
//!
//! ```text
//! upper directory ──walk──▶ entries in byte order ──header──▶ tar: whiteouts are `.wh.` names, opacity `.wh..wh..opq`
//! ```
//!
//! Such are the snapshots of containerd's overlayfs snapshotter, and what a container of it or of Docker wrote.
//!
//! Threats: whoever made the image or the container made these names, links and attributes. Nothing is reached by a path:
//! each folder is opened from the one above it, no symlink is followed, nothing but files and folders is opened, and what is
//! another kind of thing when it is opened than when it was looked at is refused.
//!
//! Neighbours: [`crate::containerd_store`] says which directory is an image's layer.

mod attributes;
mod error;
mod folder;
mod header;
mod layer;
mod plan;

pub use error::OverlayError;
pub use layer::{Form, LeftOut, Written, write_layer};
pub use plan::{Devices, Plan, Tree, Watch};

/// Removes the folder or file `name` within `folder` with all that is in it, by open folders only. Blocks. What isn't there
/// is no error.
pub fn remove_tree(folder: std::os::fd::BorrowedFd<'_>, name: &std::ffi::OsStr) -> Result<(), OverlayError> {
    todo!()
}
