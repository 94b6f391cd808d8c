//! The universal archive read as a tar, entry for entry, against what the registry has.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};

use crate::images::{Image, TAG};
use crate::registry::{Resolved, blob, written};
use crate::sealift::Layers;

/// An entry; only small ones are kept in memory, the digest is of the whole content.
struct Entry {
    path: String,
    kind: EntryType,
    link: Option<String>,
    start: Vec<u8>,
    digest: String,
}

const BYTES_KEPT: usize = 1 << 20;

fn read(archive: &Path) -> Vec<Entry> {
    let mut archive = Archive::new(File::open(archive).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let header = entry.header();
        let kind = header.entry_type();
        assert_eq!(header.mtime().unwrap(), 0, "{path}");
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0), "{path}");
        assert_eq!(header.username_bytes(), Some(&b""[..]), "{path}");
        assert_eq!(header.groupname_bytes(), Some(&b""[..]), "{path}");
        let mode = match kind {
            EntryType::Directory => 0o755,
            EntryType::Symlink => 0o777,
            _ => 0o644,
        };
        assert_eq!(header.mode().unwrap(), mode, "{path}");
        let link = entry.link_name_bytes().map(|link| String::from_utf8(link.into_owned()).unwrap());
        let (start, digest) = start_and_digest(&mut entry);
        Entry { path, kind, link, start, digest }
    });
    entries.collect()
}

fn start_and_digest(content: &mut impl Read) -> (Vec<u8>, String) {
    let (mut start, mut hasher, mut buffer) = (Vec::new(), Sha256::new(), vec![0; BYTES_KEPT]);
    loop {
        let length = content.read(&mut buffer).unwrap();
        if length == 0 {
            return (start, written(&hasher.finalize()));
        }
        hasher.update(&buffer[..length]);
        let room = BYTES_KEPT - start.len();
        start.extend_from_slice(&buffer[..length.min(room)]);
    }
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}

fn layers(resolved: &Resolved) -> Vec<&str> {
    let layers = resolved.manifest.json["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap()).collect()
}

/// A layer of the image: the registry's blob, and what `layer.tar` has to hold.
pub(crate) struct ExpectedLayer {
    pub(crate) blob: String,
    pub(crate) stored: String,
}

impl ExpectedLayer {
    fn is_inflated(&self) -> bool {
        self.blob != self.stored
    }
}

/// The layers of the image in its own order, when they are stored so.
pub(crate) fn expected_layers(image: &Image, how: Layers) -> Vec<ExpectedLayer> {
    let resolved = image.resolved();
    let config: Value = serde_json::from_slice(&blob(image.repository, resolved.config_digest())).unwrap();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    let layers = resolved.manifest.json["layers"].as_array().unwrap();
    assert_eq!(layers.len(), diff_ids.len());
    let expected = layers.iter().zip(diff_ids).map(|(layer, diff_id)| {
        let blob = layer["digest"].as_str().unwrap().to_owned();
        let inflated = match how {
            Layers::Auto => layer["mediaType"].as_str().unwrap().ends_with("+zstd"),
            Layers::Keep => false,
            Layers::Plain => true,
        };
        let stored = if inflated { diff_id.as_str().unwrap().to_owned() } else { blob.clone() };
        ExpectedLayer { blob, stored }
    });
    expected.collect()
}

/// Whether the archive has an OCI part: when every layer is what the registry has.
pub(crate) fn has_oci_part(image: &Image, how: Layers) -> bool {
    !expected_layers(image, how).iter().any(ExpectedLayer::is_inflated)
}

/// Path, kind and link target of every entry, in the order that FORMATS asks for.
fn expected_entries(
    resolved: &Resolved,
    expected: &[ExpectedLayer],
) -> Vec<(String, EntryType, Option<String>)> {
    if expected.iter().any(ExpectedLayer::is_inflated) {
        return entries_without_oci_part(resolved, expected);
    }
    let file = |path: String| (path, EntryType::Regular, None);
    let link = |digest: &str, target: String| {
        (format!("blobs/sha256/{}", hex(digest)), EntryType::Symlink, Some(target))
    };
    let mut entries: Vec<_> =
        ["manifest.json", "repositories", "oci-layout", "index.json"].map(|name| file(name.into())).into();
    let documents = resolved.index.iter().chain([&resolved.manifest]);
    entries.extend(documents.map(|document| file(format!("blobs/sha256/{}", hex(&document.digest)))));
    let config = resolved.config_digest();
    entries.push(file(format!("{}.json", hex(config))));
    entries.push(link(config, format!("../../{}.json", hex(config))));
    let mut seen = HashSet::new();
    for layer in layers(resolved) {
        if seen.insert(layer) {
            let folder = hex(layer);
            entries.push((format!("{folder}/"), EntryType::Directory, None));
            entries.push(file(format!("{folder}/VERSION")));
            entries.push(file(format!("{folder}/json")));
            entries.push(file(format!("{folder}/layer.tar")));
            entries.push(link(layer, format!("../../{folder}/layer.tar")));
        }
    }
    entries
}

/// The same of an archive with an inflated layer: no `oci-layout`, `index.json`, `blobs/`, kept layers first.
fn entries_without_oci_part(
    resolved: &Resolved,
    expected: &[ExpectedLayer],
) -> Vec<(String, EntryType, Option<String>)> {
    let file = |path: String| (path, EntryType::Regular, None);
    let config = format!("{}.json", hex(resolved.config_digest()));
    let mut entries: Vec<_> = ["manifest.json", "repositories", &config].map(|name| file(name.into())).into();
    let (inflated, kept): (Vec<_>, Vec<_>) = expected.iter().partition(|layer| layer.is_inflated());
    let mut seen = HashSet::new();
    for layer in kept.into_iter().chain(inflated) {
        if seen.insert(&layer.blob) {
            let folder = hex(&layer.blob);
            entries.push((format!("{folder}/"), EntryType::Directory, None));
            entries.extend(["VERSION", "json", "layer.tar"].map(|name| file(format!("{folder}/{name}"))));
        }
    }
    entries
}

/// Fails unless the archive is what FORMATS says an archive of this image with its layers stored so is.
pub(crate) fn is_as_documented(image: &Image, how: Layers) {
    let resolved = image.resolved();
    let expected = expected_layers(image, how);
    let archive = image.archive_with(how);
    let entries = read(archive);
    let found: Vec<_> =
        entries.iter().map(|entry| (entry.path.clone(), entry.kind, entry.link.clone())).collect();
    assert_eq!(found, expected_entries(&resolved, &expected));
    assert_eq!(fs::metadata(archive).unwrap().len() % 512, 0, "a tar is made of whole blocks");

    let entry = |path: &str| entries.iter().find(|entry| entry.path == path).expect("an entry of that path");
    let content = |path: &str| entry(path).start.as_slice();
    let json = |path: &str| -> Value { serde_json::from_slice(content(path)).unwrap() };

    if has_oci_part(image, how) {
        for document in resolved.index.iter().chain([&resolved.manifest]) {
            assert_eq!(content(&format!("blobs/sha256/{}", hex(&document.digest))), document.bytes);
        }
        assert_eq!(content("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#);
        names_the_target(&json("index.json"), image, &resolved);
    }
    let config = hex(resolved.config_digest());
    assert_eq!(content(&format!("{config}.json")), blob(image.repository, resolved.config_digest()));

    let paths: Vec<String> =
        layers(&resolved).iter().map(|layer| format!("{}/layer.tar", hex(layer))).collect();
    let manifest = serde_json::json!([
        {"Config": format!("{config}.json"), "RepoTags": [image.name()], "Layers": paths}
    ]);
    assert_eq!(json("manifest.json"), manifest);

    let repository = image.name().strip_suffix(&format!(":{TAG}")).unwrap().to_owned();
    let repositories = match layers(&resolved).last() {
        Some(last) => serde_json::json!({repository: {TAG: hex(last)}}),
        None => serde_json::json!({}),
    };
    assert_eq!(json("repositories"), repositories);

    for (place, layer) in layers(&resolved).into_iter().enumerate() {
        let folder = hex(layer);
        assert_eq!(entry(&format!("{folder}/layer.tar")).digest, expected[place].stored);
        assert_eq!(content(&format!("{folder}/VERSION")), b"1.0");
        let metadata = json(&format!("{folder}/json"));
        assert_eq!(metadata["id"], folder);
        let first = layers(&resolved).iter().position(|other| *other == layer).unwrap();
        if first == place {
            let parent = place.checked_sub(1).map(|before| hex(layers(&resolved)[before]));
            assert_eq!(metadata.get("parent").and_then(Value::as_str), parent, "of layer {place}");
        }
    }
}

/// `index.json` has one descriptor: of what the name resolved to, with the name.
fn names_the_target(index: &Value, image: &Image, resolved: &Resolved) {
    let target = resolved.index.as_ref().unwrap_or(&resolved.manifest);
    let descriptors = index["manifests"].as_array().unwrap();
    assert_eq!(descriptors.len(), 1);
    assert_eq!(descriptors[0]["digest"], target.digest);
    assert_eq!(descriptors[0]["size"], target.bytes.len());
    assert_eq!(descriptors[0]["mediaType"], target.media_type);
    let annotations = &descriptors[0]["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], image.name());
    assert_eq!(annotations["org.opencontainers.image.ref.name"], TAG);
}
