//! The field's nouns: references, digests, manifests, configs, platforms.
//!
//! Pure values and their parsing: no I/O, no clock. What is read here came from a registry or a person and is
//! believed only as far as its type says. Neighbours: [`crate::registry`] brings the bytes, [`crate::archive`]
//! plans a file from them.

pub mod config;
pub mod descriptor;
pub mod digest;
pub mod json;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod reference;
pub mod resolved;
pub mod runtime;

pub use config::ImageConfig;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, DiffId, Digest, Hasher};
pub use json::JsonError;
pub use manifest::{Document, Index, Manifest};
pub use media_type::{Compression, MediaType};
pub use platform::Platform;
pub use reference::{Reference, Registry, Repository};
pub use resolved::ResolvedImage;
pub use runtime::{HistoryEntry, Runtime};
