//! Image configs (OCI image-spec "Image Configuration"): read for what they say, never written back.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::descriptor::null_as_empty;
use super::json::{self, JsonError, Shape};
use super::{DiffId, Digest, Platform};

/// The largest config that is read: 8 MiB, containerd's limit for such blobs.
pub const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// The keys that are read, here or where the archive repeats them.
const CONFIG: Shape = Shape::Object(&[
    ("architecture", &Shape::Any),
    ("author", &Shape::Any),
    ("config", &Shape::Any),
    ("container", &Shape::Any),
    ("container_config", &Shape::Any),
    ("created", &Shape::Any),
    ("docker_version", &Shape::Any),
    ("os", &Shape::Any),
    ("os.version", &Shape::Any),
    ("rootfs", &Shape::Object(&[("type", &Shape::Any), ("diff_ids", &Shape::Any)])),
    ("variant", &Shape::Any),
]);

/// A config blob, with the few fields sealift needs read out of it.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    bytes: Bytes,
    /// The same, with what is not UTF-8 replaced, as Go reads it.
    text: Bytes,
    fields: Fields,
}

#[derive(Clone, Debug, Deserialize)]
struct Fields {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    #[serde(rename = "os.version")]
    os_version: Option<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    rootfs: RootFs,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "null_as_empty")]
    diff_ids: Vec<DiffId>,
}

impl ImageConfig {
    /// Reads a config's bytes.
    pub fn parse(bytes: Bytes) -> Result<Self, JsonError> {
        let text = match String::from_utf8_lossy(&bytes) {
            Cow::Borrowed(_) => bytes.clone(),
            Cow::Owned(text) => text.into(),
        };
        json::check(&text, &CONFIG)?;
        let fields = serde_json::from_slice(&text)?;
        Ok(Self { bytes, text, fields })
    }

    /// The blob, byte for byte.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the image is built for. A config without an os is for linux, as Docker takes it; one without an
    /// architecture is for an `unknown` one.
    pub fn platform(&self) -> Platform {
        let Fields { os, architecture, variant, os_version, .. } = self.fields.clone();
        let or = |word: Option<String>, missing: &str| {
            word.filter(|w| !w.is_empty()).unwrap_or(missing.to_owned())
        };
        Platform { os: or(os, "linux"), architecture: or(architecture, "unknown"), variant, os_version }
            .normalised()
    }

    /// The digests of the inflated layers, lowest first.
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.fields.rootfs.diff_ids
    }

    /// What stacks of its layers are called, from the lowest layer alone to all of them (OCI image-spec, "Layer `ChainID`").
    pub fn chain_ids(&self) -> Vec<Digest> {
        let mut chain_ids: Vec<Digest> = Vec::new();
        for diff_id in self.diff_ids() {
            chain_ids.push(match chain_ids.last() {
                Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
                None => diff_id.digest().clone(),
            });
        }
        chain_ids
    }

    /// The same config for other layers.
    pub fn with_diff_ids(&self, diff_ids: &[Digest]) -> Result<Self, JsonError> {
        let rootfs =
            serde_json::value::to_raw_value(&serde_json::json!({"type": "layers", "diff_ids": diff_ids}))?;
        let mut fields = self.raw_fields();
        fields.insert("rootfs".to_owned(), &rootfs);
        Self::parse(serde_json::to_vec(&fields)?.into())
    }

    /// The top-level fields of the config, each as it stands in the bytes.
    pub fn raw_fields(&self) -> BTreeMap<String, &RawValue> {
        // It parsed in `parse`, so this is an object.
        serde_json::from_slice(&self.text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kept_as_they_stand() {
        let json = r#"{"architecture":"arm","variant":"v6","os":"linux","author":"\u003cé","rootfs":{"diff_ids":null}}"#;
        let config = ImageConfig::parse(Bytes::from_static(json.as_bytes())).unwrap();
        assert_eq!(config.platform().to_string(), "linux/arm/v6");
        assert_eq!(config.raw_fields()["author"].get(), r#""\u003cé""#);
        assert!(config.diff_ids().is_empty());
    }

    #[test]
    fn chains_are_those_of_the_specification() {
        let diff_ids: Vec<_> = [&b"a"[..], b"b", b"c"].iter().map(|layer| Digest::of(layer)).collect();
        let config =
            ImageConfig::parse(Bytes::from_static(b"{\"os\":\"linux\",\"x\":1.50,\"rootfs\":{}}")).unwrap();
        assert!(config.chain_ids().is_empty());
        let config = config.with_diff_ids(&diff_ids).unwrap();
        let second = Digest::of(format!("{} {}", diff_ids[0], diff_ids[1]).as_bytes());
        let third = Digest::of(format!("{second} {}", diff_ids[2]).as_bytes());
        assert_eq!(config.chain_ids(), [diff_ids[0].clone(), second, third]);
        assert_eq!(config.raw_fields()["x"].get(), "1.50", "other fields stay");
    }

    #[test]
    fn what_go_takes_is_taken() {
        let platform = |json: &'static [u8]| {
            ImageConfig::parse(Bytes::from_static(json)).unwrap().platform().to_string()
        };
        assert_eq!(platform(b"{}"), "linux/unknown");
        assert_eq!(platform(br#"{"os":null,"architecture":"amd64","author":"\ud800"}"#), "linux/amd64");
        assert_eq!(platform(b"{\"architecture\":\"amd64\",\"author\":\"\xfc\"}"), "linux/amd64");
        let author = |json: &'static [u8]| {
            let config = ImageConfig::parse(Bytes::from_static(json)).unwrap();
            config.raw_fields()["author"].get().to_owned()
        };
        assert_eq!(author(b"{\"author\":\"\xfc\"}"), "\"\u{fffd}\"");
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for json in [
            "[]",
            r#"["linux","amd64",null,null,{"diff_ids":[]}]"#,
            r#"{"rootfs":{"diff_ids":[]},"rootfs":{"diff_ids":[]}}"#,
            r#"{"rootfs":{"diff_ids":[],"diff_ids":[]}}"#,
            r#"{"rootfs":{"Diff_IDs":[]}}"#,
            r#"{"RootFS":{"diff_ids":[]}}"#,
            r#"{"rootfs":[[]]}"#,
            r#"{"config":{},"Config":{}}"#,
            r#"{"os":"linux","o\u017f":"windows"}"#,
        ] {
            assert!(ImageConfig::parse(Bytes::from_static(json.as_bytes())).is_err(), "{json}");
        }
    }
}
