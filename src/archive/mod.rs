//! The universal archive: one tar that is a `docker save` archive and an OCI image layout at once.
//!
//! [`plan`] knows the place of every byte before a layer is fetched, [`writer`] puts bytes there and lets only a
//! whole, verified archive appear under its name. [`reader`] reads archives that others made, [`contents`] finds blobs in
//! them. Nothing here fetches: images come from [`crate::image`], verified
//! blobs from [`crate::blob`]. What goes into the archive and why is written in `docs/formats.md`.

pub mod contents;
pub mod docker;
pub(crate) mod entry;
mod existing;
pub mod file_name;
mod layer_mode;
pub mod names;
pub mod oci;
pub mod plan;
pub mod reader;
mod stream;
pub mod writer;

pub use contents::{ClaimedBlob, Contents};
pub use entry::{Content, Entry};
pub use existing::size_of_archive;
pub use layer_mode::{LayerMode, UnknownLayerMode};
pub use plan::{InflatedLayer, LeftOut, Plan, PlanError, PlannedBlob};
pub use stream::{ArchiveStream, StreamError};
pub use writer::{CommittedArchive, CompleteArchive, DurableArchive, PartialArchive};
