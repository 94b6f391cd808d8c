//! What is wrong with a layer file, and where.

use std::fmt;

/// A part of a layer file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The packing as a whole, and its seal.
    Packing,
    /// The outer tar: headers, order, padding, end.
    Structure,
    /// `layer.tar`.
    Layer,
    /// `metadata.json`.
    Metadata,
    /// `metadata.json.sha256`.
    MetadataDigest,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Packing => "the packing",
            Self::Structure => "the file's structure",
            Self::Layer => "layer.tar",
            Self::Metadata => "metadata.json",
            Self::MetadataDigest => "metadata.json.sha256",
        })
    }
}

/// Something that is wrong with a layer file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {what}")]
pub struct Problem {
    /// Where.
    pub part: Part,
    /// What, fit to show.
    pub what: String,
}
