//! sealift: container images across the air gap.
//!
//! ```text
//! reference ──resolve──▶ image ──plan──▶ every entry, its offset and size ──fill──▶ blobs land at their offsets,
//! many at once ──commit──▶ fsync, rename
//! ```
//!
//! Nouns: [`image`] (the field's words), [`image_list`] (names in files), [`registry`] (the wire), [`blob`] (verified
//! bytes), [`archive`] (the file), [`archived`] (files that others made), [`containerd_store`] (containerd's images on a disk,
//! read by [`bolt`]), [`reuse`] (blobs that are here already),
//! [`sidecar`] (what stands beside one), [`daemon`] (who runs images), [`overlay`] and [`layer_file`] (a container's own layer).
//! Verbs: [`pull`]; [`inspect`], [`verify`], [`load`], [`push`], [`grab`], [`container_layer`], [`serve`]. [`source`] is
//! where a verb gets images from. Nouns know nothing of verbs.

pub mod archive;
pub mod archived;
pub mod attempts;
pub mod blob;
pub mod bolt;
pub mod config;
#[cfg(target_os = "linux")]
pub mod container_layer;
pub mod containerd_store;
pub mod daemon;
pub mod demo;
pub mod error;
pub mod event;
pub mod foreign;
pub mod fsio;
pub mod grab;
pub mod image;
pub mod image_list;
pub mod inspect;
#[cfg(target_os = "linux")]
pub mod layer_file;
pub mod load;
pub mod mirror;
#[cfg(target_os = "linux")]
pub mod overlay;
pub mod pull;
pub mod push;
pub mod registry;
pub mod reuse;
pub mod secret;
pub mod serve;
pub mod sidecar;
pub mod source;
pub mod verify;

pub use error::{Error, Result};
