//! Which layers are stored as the registry holds them, and which inflated.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::image::{Compression, Descriptor, DiffId, MediaType};

/// How layers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerMode {
    /// gzip'd and bare layers as they are, which every loader takes; zstd'd ones inflated, which Docker before 23 needs.
    #[default]
    Auto,
    /// All as they are.
    Keep,
    /// All as bare tars: the digest of each `layer.tar` is its diff ID.
    Plain,
}

impl LayerMode {
    /// True if this layer is stored inflated.
    pub(super) fn inflates(self, layer: &Descriptor, diff_id: &DiffId) -> bool {
        match self {
            Self::Auto => {
                matches!(&layer.media_type, MediaType::Layer(kind) if kind.compression == Compression::Zstd)
            }
            Self::Keep => false,
            Self::Plain => layer.digest != *diff_id.digest(),
        }
    }

    /// The name, as options and settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Keep => "keep",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for LayerMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that is no layer mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of auto, keep and plain")]
pub struct UnknownLayerMode;

impl FromStr for LayerMode {
    type Err = UnknownLayerMode;

    fn from_str(text: &str) -> Result<Self, UnknownLayerMode> {
        [Self::Auto, Self::Keep, Self::Plain]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or(UnknownLayerMode)
    }
}
