//! The file of a container's own layer, out and in: nothing is lost, and no byte of it is without a check.
//!
//! ```text
//! upper directory ──plan──▶ layer.tar's size and tree ──write──▶ file ──open──▶ LayerFile ──verify──▶ VerifiedLayerFile
//!                                                                  (every byte)                             │ unpack
//!                                             VerifiedTree ◀──verify (read back)── Unpacked ◀──────────────┘
//! ```
//!
//! The file is a tar of `layer.tar`, `metadata.json` and `metadata.json.sha256`, packed as a whole or not (docs/formats.md). Only
//! what was verified can be unpacked, and only what was verified again on the disk is a [`VerifiedTree`].
//!
//! Threats: the file is foreign, and may be damaged or made to do harm; [`verify`](LayerFile::verify) says how it is held. What was
//! verified may be another when it is unpacked: each entry is compared with the one that was verified, and held to the same
//! rules again.
//!
//! Neighbours: [`crate::overlay`] walks and makes trees.

mod error;
mod metadata;
mod outer;
mod problem;
mod seal;
mod stream;
mod unpacked;
mod verify;
mod version_1;
mod write;

pub use error::LayerFileError;
pub use metadata::{About, ContainerMetadata, DockerInfo, LayerTar, LeftOutOfFile, Metadata, Mount, VERSION};
pub use problem::{Part, Problem};
pub use seal::Seal;
pub use unpacked::{Unpacked, VerifiedLayerFile, VerifiedTree};
pub use verify::{LayerFile, Verdict};
pub use write::{WrittenFile, write};
