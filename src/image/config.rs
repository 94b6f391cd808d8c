//! Image configs (OCI image-spec "Image Configuration"): read for what they say, never written back.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::descriptor::null_as_empty;
use super::{DiffId, Platform};

/// The largest config that is read: 8 MiB, containerd's limit for such blobs.
pub const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// A config blob, with the few fields sealift needs read out of it.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    bytes: Bytes,
    fields: Fields,
}

#[derive(Clone, Debug, Deserialize)]
struct Fields {
    #[serde(flatten)]
    platform: Platform,
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
    pub fn parse(bytes: Bytes) -> Result<Self, serde_json::Error> {
        let fields = serde_json::from_slice(&bytes)?;
        Ok(Self { bytes, fields })
    }

    /// The blob, byte for byte.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the image is built for.
    pub fn platform(&self) -> Platform {
        self.fields.platform.normalised()
    }

    /// The digests of the inflated layers, lowest first.
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.fields.rootfs.diff_ids
    }

    /// The top-level fields of the config, each as it stands in the bytes.
    pub fn raw_fields(&self) -> BTreeMap<String, &RawValue> {
        // The same bytes parsed in `parse`, so this is an object.
        serde_json::from_slice(&self.bytes).unwrap_or_default()
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
    fn a_config_without_a_platform_is_none() {
        assert!(ImageConfig::parse(Bytes::from_static(b"{}")).is_err());
        assert!(ImageConfig::parse(Bytes::from_static(b"[]")).is_err());
    }
}
