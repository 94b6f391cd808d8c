//! A directory as the overlayfs keeps it above others, written as the layer it is, or as it stands, and made again.
//!
//! ```text
//! upper directory ──walk──▶ entries in byte order ──header──▶ an image's layer: whiteouts are `.wh.` names, opacity `.wh..wh..opq`
//!                                                 └─header──▶ a raw tar: everything as it is ──reader──▶ entries ──unpack──▶ a tree
//!                                                                                                           ▲ read back ──check─┘
//! ```
//!
//! Such are the snapshots of containerd's overlayfs snapshotter, and what a container of it or of Docker wrote.
//!
//! Threats: whoever made the image or the container made these names, links and attributes. Nothing is reached by a path:
//! each folder is opened from the one above it, no symlink is followed, nothing but files and folders is opened, and what is
//! another kind of thing when it is opened than when it was looked at is refused. What is unpacked was made by whoever has
//! the file: `reader` and `unpack` say how it is held.
//!
//! Neighbours: [`crate::containerd_store`] says which directory is an image's layer; [`crate::layer_file`] is the file that a
//! raw tar stands in.

mod ahead;
mod attributes;
mod below;
mod check;
mod content;
mod decode;
mod descent;
mod durable;
mod error;
mod header;
mod holes;
mod layer;
mod plan;
mod raw;
mod reader;
mod rules;
mod staged;
mod tree;
mod unpack;
mod walk;

pub use error::OverlayError;
pub use layer::{Form, LeftOut, Written, write_layer};
pub use plan::{Plan, Watch};
pub use staged::remove_tree;
pub use tree::{Counts, Tree};

pub(crate) use check::{check, check_root};
pub(crate) use decode::{HeaderError, read_header};
pub(crate) use durable::kernel_version;
pub(crate) use header::{BLOCK_BYTES, Header, Kind, Time};
pub(crate) use holes::{Extent, MAX_EXTENTS, flaw as extents_flaw};
pub(crate) use plan::checksummed_path;
pub(crate) use raw::ROOT;
pub(crate) use reader::{Entries, EntryError, RawReader};
pub(crate) use rules::Rules;
pub(crate) use staged::Staged;
pub(crate) use tree::{Summed, TreeSum};
pub(crate) use unpack::{Made, UnpackError, finish_root, unpack};

/// Who mounts a directory, which says what attributes in it are overlayfs's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountedBy {
    /// Root: `trusted.overlay.*`. What is called `user.overlay.*` belongs to a program.
    Root,
    /// A user, within a namespace of his own: `user.overlay.*`, too.
    User,
}

/// Whether devices may be made (whiteouts always may).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// They are made.
    Allow,
    /// They are an error, before anything is made.
    Refuse,
}
