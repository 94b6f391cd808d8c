//! sealift: container images across the air gap.
//!
//! ```text
//! reference ──resolve──▶ image ──plan──▶ every entry, its offset and size ──fill──▶ blobs land at their offsets,
//! many at once ──commit──▶ fsync, rename
//! ```
//!
//! Nouns: [`image`] (the field's words), [`image_list`] (names in files), [`registry`] (the wire), [`blob`] (verified
//! bytes), [`archive`] (the file), [`reuse`] (blobs that are here already).
//! Verbs: [`pull`], [`push`]. [`source`] is where a verb gets images from. Nouns know nothing of verbs.

pub mod archive;
pub mod attempts;
pub mod blob;
pub mod config;
pub mod demo;
pub mod error;
pub mod event;
pub mod foreign;
pub mod fsio;
pub mod image;
pub mod image_list;
pub mod pull;
pub mod push;
pub mod registry;
pub mod reuse;
pub mod secret;
pub mod source;

pub use error::{Error, Result};
