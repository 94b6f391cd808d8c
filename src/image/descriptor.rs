//! Content descriptors (OCI image-spec "Content Descriptors"): what a manifest says of a blob before it is fetched.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::json::Shape;
use super::{Digest, MediaType, Platform};

/// The keys of a descriptor.
pub(super) const DESCRIPTOR: Shape = Shape::Object(&[
    ("mediaType", &Shape::Any),
    ("digest", &Shape::Any),
    ("size", &Shape::Any),
    ("urls", &Shape::Any),
    ("platform", &super::platform::PLATFORM),
    ("artifactType", &Shape::Any),
    ("annotations", &Shape::Any),
]);

/// A reference to a blob or manifest by type, digest and size. A size that is negative, no whole number or over
/// 2⁶³ − 1 does not parse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the bytes are.
    pub media_type: MediaType,
    /// The digest of the bytes.
    pub digest: Digest,
    /// How many bytes there are.
    #[serde(rename = "size", deserialize_with = "size_bytes")]
    pub size_bytes: u64,
    /// In an index: what the manifest is for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "named_platform")]
    pub platform: Option<Platform>,
    /// In an index: set on artifacts by their kind.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "named_type")]
    pub artifact_type: Option<MediaType>,
    /// Free text, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "texts")]
    pub annotations: BTreeMap<String, String>,
}

fn size_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = i64::deserialize(deserializer)?;
    u64::try_from(size).map_err(|_| serde::de::Error::custom(format_args!("size {size} is negative")))
}

/// A platform without os and architecture says nothing.
fn named_platform<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Platform>, D::Error> {
    let platform = Option::<Platform>::deserialize(deserializer)?;
    Ok(platform.filter(|platform| !platform.os.is_empty() || !platform.architecture.is_empty()))
}

fn named_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MediaType>, D::Error> {
    let kind = Option::<MediaType>::deserialize(deserializer)?;
    Ok(kind.filter(|kind| !kind.as_str().is_empty()))
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let texts = Option::<BTreeMap<String, Option<String>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(texts.into_iter().map(|(key, text)| (key, text.unwrap_or_default())).collect())
}

/// Go writes an empty map as `null`.
pub(super) fn null_as_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
