//! Content descriptors (OCI image-spec "Content Descriptors"): what a manifest says of a blob before it is fetched.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::json::Shape;
use super::{Digest, MediaType, Platform};
use crate::secret::SafeUrl;

/// How many URLs of a blob are believed; real manifests name one.
const MAX_URLS: usize = 16;
/// The longest URL that is believed, as servers limit them.
const MAX_URL_BYTES: usize = 8 << 10;

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

/// `BuildKit`'s mark of attestations, which stand in indexes beside the images they are about.
const ATTESTATION: &str = "vnd.docker.reference.type";

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
    /// Where else the bytes may be had, in the manifest's order: the first 16, without what is no URL. Never written
    /// back: their queries may hold keys.
    #[serde(default, skip_serializing, deserialize_with = "believable_urls")]
    pub urls: Vec<SafeUrl>,
    /// Free text, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "texts")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Of these bytes, with nothing more to say.
    pub fn new(media_type: MediaType, digest: Digest, size_bytes: u64) -> Self {
        Self {
            media_type,
            digest,
            size_bytes,
            platform: None,
            artifact_type: None,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// Of an index's entry: may it lead to an image? Attestations and artifacts stand in indexes too. An image may say
    /// that its artifact type is that of its config.
    pub fn may_be_image(&self) -> bool {
        let is_kind = self.media_type.is_manifest() || self.media_type.is_index();
        let is_unknown = self.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        let is_artifact = self.artifact_type.as_ref().is_some_and(|kind| !kind.is_image_config());
        is_kind && !is_unknown && !is_artifact && !self.annotations.contains_key(ATTESTATION)
    }
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

fn believable_urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SafeUrl>, D::Error> {
    let texts = Option::<Vec<Option<String>>>::deserialize(deserializer)?.unwrap_or_default();
    let short = texts.into_iter().flatten().filter(|text| text.len() <= MAX_URL_BYTES);
    Ok(short.filter_map(|text| Url::parse(&text).ok()).map(SafeUrl::from).take(MAX_URLS).collect())
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let texts = Option::<BTreeMap<String, Option<String>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(texts.into_iter().map(|(key, text)| (key, text.unwrap_or_default())).collect())
}

/// Go writes an empty map as `null`.
pub(crate) fn null_as_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_bounded_and_never_written_back() {
        let read = |urls: &str| {
            let json = format!(r#"{{"mediaType":"x","digest":"{}","size":1{urls}}}"#, Digest::of(b"x"));
            let descriptor: Descriptor = serde_json::from_str(&json).unwrap();
            assert!(!serde_json::to_string(&descriptor).unwrap().contains("urls"));
            descriptor.urls.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for none in ["", r#","urls":null"#, r#","urls":[]"#, r#","urls":[null,"","no url"]"#] {
            assert!(read(none).is_empty(), "{none}");
        }
        let long = "a".repeat(MAX_URL_BYTES);
        let urls = format!(r#","urls":["https://h.example/{long}","ftp://h.example/a?key=b"]"#);
        assert_eq!(read(&urls), ["ftp://h.example/a"]);
        let many = vec![r#""https://h.example/""#; 1000].join(",");
        assert_eq!(read(&format!(r#","urls":[{many}]"#)).len(), MAX_URLS);
    }
}
