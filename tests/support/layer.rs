//! Layers as registries hold them, packed, and images of them.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use sealift::image::{Digest, MediaType};
use serde_json::{Value, json};

use super::image::{OCI_LAYER, TestImage, descriptor, noise};
use super::registry::TestRegistry;

pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// A layer as a registry holds it, and what it inflates to.
pub(crate) struct Layer {
    pub(crate) media_type: &'static str,
    pub(crate) blob: Vec<u8>,
    pub(crate) inflated: Vec<u8>,
}

/// Bytes that pack well, and differ by `seed`.
pub(crate) fn text(seed: usize, length: usize) -> Vec<u8> {
    (seed * 1_000_000..).flat_map(|number| format!("line {number}\n").into_bytes()).take(length).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As podman and buildah write it: without a content size.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl Layer {
    /// A gzip'd tar of one file that packs badly, about `length` bytes.
    pub(crate) fn tar(seed: u64, length: usize) -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(length as u64);
        tar.append_data(&mut header, "file", &noise(seed, length)[..]).unwrap();
        Self::gzip(tar.into_inner().unwrap())
    }

    pub(crate) fn gzip(inflated: Vec<u8>) -> Self {
        Self { media_type: GZIP, blob: gzip(&inflated), inflated }
    }

    pub(crate) fn zstd(inflated: Vec<u8>) -> Self {
        Self { media_type: ZSTD, blob: zstd(&inflated), inflated }
    }

    pub(crate) fn plain(inflated: Vec<u8>) -> Self {
        Self { media_type: OCI_LAYER, blob: inflated.clone(), inflated }
    }

    /// A gzip member for each 10,000 bytes, as eStargz has one for each file: the last says nothing of the whole.
    pub(crate) fn members(inflated: Vec<u8>) -> Self {
        let blob = inflated.chunks(10_000).flat_map(gzip).collect();
        Self { media_type: GZIP, blob, inflated }
    }

    /// A second member that lies between half the size and the whole, so the trailer looks like the size and isn't.
    pub(crate) fn misleading(inflated: Vec<u8>) -> Self {
        let (first, last) = inflated.split_at(inflated.len() / 3);
        Self { media_type: GZIP, blob: [gzip(first), gzip(last)].concat(), inflated }
    }
}

/// Puts an image of these layers into the registry; the config says what `diff_ids` makes of the true ones.
pub(crate) fn push_with(
    registry: &TestRegistry,
    name: &str,
    layers: &[Layer],
    diff_ids: impl FnOnce(&mut Vec<Digest>),
) -> TestImage {
    let mut ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(&layer.inflated)).collect();
    diff_ids(&mut ids);
    let config =
        json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ids}})
            .to_string();
    let descriptors: Vec<Value> = layers
        .iter()
        .map(|layer| {
            registry.blob(layer.blob.clone());
            descriptor(layer.media_type, &layer.blob)
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest,
        "config": descriptor(MediaType::OciConfig.as_str(), config.as_bytes()),
        "layers": descriptors,
    });
    let config = registry.blob(config);
    let manifest = registry.manifest(name, "latest", &MediaType::OciManifest, manifest.to_string());
    TestImage {
        reference: format!("{}/{name}:latest", registry.address()),
        manifest,
        config,
        layers: layers.iter().map(|layer| Digest::of(&layer.blob)).collect(),
    }
}

pub(crate) fn push_layers(registry: &TestRegistry, name: &str, layers: &[Layer]) -> TestImage {
    push_with(registry, name, layers, |_| ())
}
