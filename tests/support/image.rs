//! Images for the test registry.

use bytes::Bytes;
use sealift::image::{Digest, MediaType};
use serde_json::{Value, json};

use super::registry::TestRegistry;

pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image that is in a registry.
pub(crate) struct TestImage {
    pub(crate) reference: String,
    pub(crate) manifest: Digest,
    pub(crate) config: Digest,
    pub(crate) layers: Vec<Digest>,
}

/// Puts an image for `platform` (`os/arch[/variant]`) into the registry, with these layers, tarred or not: sealift
/// doesn't look inside.
pub(crate) fn push(registry: &TestRegistry, name: &str, platform: &str, layers: &[&[u8]]) -> TestImage {
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let mut parts = platform.split('/');
    let (os, architecture, variant) = (parts.next().unwrap(), parts.next().unwrap(), parts.next());
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let mut config =
        json!({"os": os, "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    if let Some(variant) = variant {
        config["variant"] = variant.into();
    }
    let config = Bytes::from(config.to_string());
    let manifest = manifest(&MediaType::OciConfig, &config, layers);
    registry.blob(config.clone());
    for layer in layers {
        registry.blob(layer.to_vec());
    }
    let digest = registry.manifest(repository, tag, &MediaType::OciManifest, manifest.to_string());
    TestImage {
        reference: format!("{}/{repository}:{tag}", registry.address()),
        manifest: digest,
        config: Digest::of(&config),
        layers: diff_ids,
    }
}

/// A manifest over these bytes.
pub(crate) fn manifest(config_type: &MediaType, config: &[u8], layers: &[&[u8]]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest,
        "config": descriptor(config_type.as_str(), config),
        "layers": layers.iter().map(|layer| descriptor(OCI_LAYER, layer)).collect::<Vec<_>>(),
    })
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()})
}

/// Numbers that look random, the same for the same seed.
pub(crate) fn random(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

/// Bytes of any length that no two calls with other seeds share.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    random(seed).flat_map(u64::to_le_bytes).take(length).collect()
}
