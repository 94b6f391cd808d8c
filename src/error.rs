//! The library's error: a variant a module, each with fields that name the object.
//!
//! Texts are lower-case fragments that never repeat their source. Headings, hints and exit codes belong to the
//! binary (`cli/report.rs`).

use crate::image::reference::ReferenceError;
use crate::registry::RegistryError;

/// Whatever can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was typed is no image reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A registry could not be reached, refused or answered nonsense.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// `std::result::Result` with sealift's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
