//! An index of three platforms, each with an attestation beside it, as buildkit pushes them.

use serde_json::{Value, json, to_vec};

use super::by_hand::{self, config, descriptor};
use super::{Image, TAG};
use crate::layer::LayerBuilder;
use crate::registry::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, digest_of, push_blob, push_manifest};

pub(crate) fn push_platforms(repository: &'static str) -> Image {
    let platforms = [
        json!({"os": "linux", "architecture": "arm", "variant": "v7"}),
        json!({"os": "linux", "architecture": "amd64"}),
        json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
    ];
    let mut manifests: Vec<Value> = platforms.map(|platform| push_platform(repository, platform)).into();
    let attestations: Vec<Value> =
        manifests.iter().map(|manifest| push_attestation(repository, manifest)).collect();
    manifests.extend(attestations);
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    push_manifest(repository, TAG, OCI_INDEX, &to_vec(&index).unwrap());
    Image::new(repository, "for amd64")
}

fn push_platform(repository: &str, platform: Value) -> Value {
    let architecture = platform["architecture"].as_str().unwrap().to_owned();
    let layers = [
        LayerBuilder::busybox(repository).gzip(),
        LayerBuilder::new()
            .file("platform", 0o644, format!("for {architecture}").as_bytes())
            .file("of", 0o644, repository.as_bytes()) // so that no other image has the layer
            .gzip(),
    ];
    let mut config = config(&architecture, &layers, &["/bin/cat", "/platform"]);
    if let Some(variant) = platform.get("variant") {
        config["variant"] = variant.clone();
    }
    let mut manifest = by_hand::push(&by_hand::OCI, repository, None, &to_vec(&config).unwrap(), &layers);
    manifest["platform"] = platform;
    manifest
}

fn push_attestation(repository: &str, subject: &Value) -> Value {
    let statement = to_vec(&json!({"_type": "https://in-toto.io/Statement/v0.1", "of": subject})).unwrap();
    let statement_digest = push_blob(repository, &statement);
    let config = to_vec(&json!({
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [statement_digest]},
    }))
    .unwrap();
    let config_digest = push_blob(repository, &config);
    let manifest = by_hand::manifest(
        &by_hand::OCI,
        &descriptor(OCI_CONFIG, &config_digest, config.len()),
        &[descriptor("application/vnd.in-toto+json", &statement_digest, statement.len())],
    );
    push_manifest(repository, &digest_of(&manifest), OCI_MANIFEST, &manifest);
    let mut entry = descriptor(OCI_MANIFEST, &digest_of(&manifest), manifest.len());
    entry["annotations"] = json!({
        "vnd.docker.reference.digest": subject["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    });
    entry["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    entry
}
