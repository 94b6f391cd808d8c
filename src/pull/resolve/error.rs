//! What can be wrong with what a reference leads to.

use std::fmt;

use super::{MAX_DOCUMENTS, MAX_INDEX_DEPTH};
use crate::image::config::MAX_CONFIG_BYTES;
use crate::image::manifest::ManifestError;
use crate::image::{Digest, JsonError, MediaType, Platform, Reference};

/// More platforms than any image is built for are counted, not named.
const MAX_NAMED: usize = 40;

/// What a reference leads to is no image that can be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A manifest or index can't be read.
    #[error("the manifest {digest} of `{reference}` can't be used")]
    Manifest {
        /// What was asked for.
        reference: Box<Reference>,
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The config is no image config, though its media type says so.
    #[error("the config {digest} of `{reference}` is not an image config")]
    Config {
        /// What was asked for.
        reference: Box<Reference>,
        /// The config.
        digest: Digest,
        /// What is wrong with it.
        source: JsonError,
    },
    /// A config of many megabytes.
    #[error(
        "the config of `{reference}` has {size_bytes} bytes, more than any loader takes ({MAX_CONFIG_BYTES})"
    )]
    ConfigTooLarge {
        /// What was asked for.
        reference: Box<Reference>,
        /// Its size by the manifest.
        size_bytes: u64,
    },
    /// A Helm chart, a signature, an SBOM.
    #[error("`{reference}` is not a container image: its config is of type `{config_type}`")]
    NotAnImage {
        /// What was asked for.
        reference: Box<Reference>,
        /// What its config is.
        config_type: MediaType,
    },
    /// No image of an index fits.
    #[error("`{reference}` has no image for {wanted}")]
    NoSuchPlatform {
        /// What was asked for.
        reference: Box<Reference>,
        /// The platform that was asked for.
        wanted: Box<Platform>,
        /// What there is.
        #[source]
        offered: Offered,
    },
    /// Indexes that lead on and on.
    #[error("`{reference}` leads through more than {MAX_INDEX_DEPTH} indexes")]
    TooDeep {
        /// What was asked for.
        reference: Box<Reference>,
    },
    /// Indexes that lead to more and more.
    #[error("`{reference}` leads to more than {MAX_DOCUMENTS} manifests that don't say what they are for")]
    TooMany {
        /// What was asked for.
        reference: Box<Reference>,
    },
    /// A manifest's size isn't what the index said.
    #[error("manifest {digest} has {got} bytes, the index says {expected}")]
    WrongSize {
        /// The manifest.
        digest: Digest,
        /// Bytes by the index.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
}

/// The platforms there are, as the cause of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// True where an index lists them, false where there is one image only.
    pub by_index: bool,
    /// Each platform once, in the index's order.
    pub platforms: Vec<Platform>,
}

impl fmt::Display for Offered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.platforms.iter().take(MAX_NAMED).map(ToString::to_string).collect();
        let names = names.join(", ");
        match (self.by_index, self.platforms.len()) {
            (true, 0) => write!(formatter, "the index holds no image at all"),
            (true, ..=MAX_NAMED) => write!(formatter, "the index offers {names}"),
            (true, all) => write!(formatter, "the index offers {names} and {} more", all - MAX_NAMED),
            (false, _) => write!(formatter, "it is an image for {names} only"),
        }
    }
}

impl std::error::Error for Offered {}
