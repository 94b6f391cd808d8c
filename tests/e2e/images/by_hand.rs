//! Configs and manifests written by the test, so that their bytes are the test's own.

use serde_json::{Value, json};

use crate::layer::Layer;
use crate::registry::{DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST, push_blob, push_manifest};

/// A config that names the layers.
pub(super) fn config(architecture: &str, layers: &[Layer], command: &[&str]) -> Value {
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let history: Vec<Value> =
        layers.iter().map(|_| json!({"created": "2026-11-01T00:00:00Z", "created_by": "by hand"})).collect();
    json!({
        "created": "2026-11-01T00:00:00Z",
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": command, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    })
}

/// A descriptor.
pub(super) fn descriptor(media_type: &str, digest: &str, size_bytes: usize) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size_bytes})
}

/// Which of the two specifications an image's media types are of.
pub(super) struct Kind {
    pub(super) manifest: &'static str,
    config: &'static str,
}

pub(super) const OCI: Kind = Kind { manifest: OCI_MANIFEST, config: OCI_CONFIG };
pub(super) const DOCKER: Kind = Kind { manifest: DOCKER_MANIFEST, config: DOCKER_CONFIG };

/// A manifest, its blobs pushed already.
pub(super) fn manifest(kind: &Kind, config: &Value, layers: &[Value]) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": kind.manifest,
        "config": config,
        "layers": layers,
    });
    serde_json::to_vec(&manifest).unwrap()
}

/// Pushes config and layers as an image under a tag or, with none, its digest; the manifest's descriptor.
pub(super) fn push(
    kind: &Kind,
    repository: &str,
    tag: Option<&str>,
    config: &[u8],
    layers: &[Layer],
) -> Value {
    let config_digest = push_blob(repository, config);
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| descriptor(layer.media_type, &push_blob(repository, &layer.blob), layer.blob.len()))
        .collect();
    let manifest = manifest(kind, &descriptor(kind.config, &config_digest, config.len()), &layers);
    let reference = tag.map_or_else(|| crate::registry::digest_of(&manifest), str::to_owned);
    let digest = push_manifest(repository, &reference, kind.manifest, &manifest);
    descriptor(kind.manifest, &digest, manifest.len())
}
