//! The demo image: linux/amd64 and linux/arm64 in one index, an attestation beside them, a whiteout in the second
//! layer. Everything small, everything the same on every machine.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use crate::image::{Digest, MediaType};
use crate::registry::server::{ServerError, Store};

const HELLO_AMD64: &[u8] = include_bytes!("../../fixtures/demo/hello-amd64");
const HELLO_ARM64: &[u8] = include_bytes!("../../fixtures/demo/hello-arm64");
const CREATED: &str = "2026-01-01T00:00:00Z";

/// Puts the image into `store` as `repository:tag`.
pub(super) async fn publish(store: &Store, repository: &str, tag: &str) -> Result<(), ServerError> {
    let mut manifests = Vec::new();
    for (architecture, program) in [("amd64", HELLO_AMD64), ("arm64", HELLO_ARM64)] {
        let image = platform_image(store, repository, architecture, program).await?;
        let attestation = attestation(store, repository, &image).await?;
        manifests.push(described(&image, json!({"platform": {"os": "linux", "architecture": architecture}})));
        manifests.push(described(
            &attestation,
            json!({
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": image.digest,
                },
            }),
        ));
    }
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": manifests});
    store.put_manifest(repository, tag, MediaType::OciIndex, index.to_string()).await?;
    Ok(())
}

/// A descriptor's fields, for what was just stored.
struct Stored {
    media_type: MediaType,
    digest: Digest,
    size_bytes: usize,
}

async fn platform_image(
    store: &Store,
    repository: &str,
    architecture: &str,
    program: &[u8],
) -> Result<Stored, ServerError> {
    let base = tar(&[
        ("etc/", 0o755, b""),
        ("etc/motd", 0o644, b"you will never read this: the next layer deletes it\n"),
        ("hello", 0o755, program),
    ]);
    let top = tar(&[
        ("etc/", 0o755, b""),
        ("etc/.wh.motd", 0o644, b""),
        ("etc/message", 0o644, b"a file from the connected side\n"),
    ]);
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "created": CREATED,
        "author": "sealift demo",
        "config": {"Env": ["PATH=/"], "Entrypoint": ["/hello"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&base), Digest::of(&top)]},
        "history": [
            {"created": CREATED, "created_by": "the program and a message of the day"},
            {"created": CREATED, "created_by": "the message of the day deleted"},
        ],
    });
    let config = blob(store, MediaType::OciConfig, config.to_string().into()).await?;
    let mut layers = Vec::new();
    for layer in [base, top] {
        let stored =
            blob(store, MediaType::of("application/vnd.oci.image.layer.v1.tar+gzip"), gzip(&layer)).await?;
        layers.push(described(&stored, json!({})));
    }
    manifest(store, repository, &config, &layers).await
}

/// A provenance statement as BuildKit puts beside an image.
async fn attestation(store: &Store, repository: &str, image: &Stored) -> Result<Stored, ServerError> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [{"name": "sealift demo", "digest": {"sha256": image.digest.hex()}}],
        "predicate": {},
    });
    let statement = statement.to_string();
    let diff_ids = [Digest::of(statement.as_bytes())];
    let config = json!({"architecture": "unknown", "os": "unknown", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = blob(store, MediaType::OciConfig, config.to_string().into()).await?;
    let layer = blob(store, MediaType::of("application/vnd.in-toto+json"), statement.into()).await?;
    manifest(store, repository, &config, &[described(&layer, json!({}))]).await
}

async fn manifest(
    store: &Store,
    repository: &str,
    config: &Stored,
    layers: &[Value],
) -> Result<Stored, ServerError> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest,
        "config": described(config, json!({})),
        "layers": layers,
    });
    let bytes = Bytes::from(manifest.to_string());
    let (digest, size_bytes) = (Digest::of(&bytes), bytes.len());
    store.put_manifest(repository, &digest.to_string(), MediaType::OciManifest, bytes).await?;
    Ok(Stored { media_type: MediaType::OciManifest, digest, size_bytes })
}

async fn blob(store: &Store, media_type: MediaType, bytes: Bytes) -> Result<Stored, ServerError> {
    let (digest, size_bytes) = (Digest::of(&bytes), bytes.len());
    store.put_blob(bytes).await?;
    Ok(Stored { media_type, digest, size_bytes })
}

/// A descriptor of `stored`, with `more` fields.
fn described(stored: &Stored, mut more: Value) -> Value {
    more["mediaType"] = stored.media_type.as_str().into();
    more["digest"] = stored.digest.to_string().into();
    more["size"] = stored.size_bytes.into();
    more
}

/// A tar of small files; names that end in `/` are directories.
fn tar(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_ustar();
        let is_directory = path.ends_with('/');
        header.set_entry_type(if is_directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_mtime(0);
        // Writing to memory does not fail, and the names are short.
        let _ = archive.append_data(&mut header, path, *content);
    }
    archive.into_inner().unwrap_or_default()
}

/// gzip without a time stamp, so that the digests are the same on every machine.
fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(6));
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}
