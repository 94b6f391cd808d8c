//! What config.json says of single registries: their mirrors, how many connections they get.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::foreign::shown_host;
use crate::image::Registry;
use crate::registry::MirrorAddress;

/// The settings of registries.
pub type Registries = BTreeMap<RegistryName, RegistrySettings>;

/// What is set for one registry. The default has no mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// Where there are copies of its images.
    pub mirrors: Vec<MirrorAddress>,
    /// Which mirror is asked first.
    pub order: MirrorOrder,
    /// When the registry itself is asked.
    pub origin: OriginUse,
    /// Who says which image a tag names.
    pub verify_tag: TagAuthority,
    /// How many blobs of this registry are fetched at the same time; none means as many as of others.
    pub connections: Option<u8>,
}

/// Which mirror is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MirrorOrder {
    /// The first in the list.
    #[default]
    Priority,
    /// The one that answers soonest, found out before the first image.
    Fastest,
}

/// When a registry that has mirrors is asked itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginUse {
    /// After its mirrors.
    #[default]
    Last,
    /// Never, but for tags if it is to verify them.
    Never,
}

/// Who says which image a tag names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagAuthority {
    /// Whoever is asked first and has it.
    #[default]
    Mirror,
    /// The registry itself: mirrors are asked by digest only.
    Origin,
}

impl RegistrySettings {
    /// The keys of an entry.
    pub(super) const KEYS: [&str; 5] = ["mirrors", "order", "origin", "verify_tag", "connections"];
}

/// A registry's name as a key: `host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryName(pub Registry);

impl Serialize for RegistryName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RegistryName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map(Self).map_err(|_| {
            serde::de::Error::custom(format!("`{}` is no registry (`host[:port]`)", shown_host(&name)))
        })
    }
}
