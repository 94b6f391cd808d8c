//! The `docker save` half of the archive (Docker image spec v1.2, "Combined Image JSON + Filesystem Changeset
//! Format"): `manifest.json`, `repositories`, and the legacy `json` of each layer.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::oci::{one_a_name, to_json};
use crate::image::descriptor::null_as_empty;
use crate::image::json::{self, JsonError, Shape};
use crate::image::{Descriptor, Digest, Reference, Repository, ResolvedImage};

/// The config's fields that Docker repeats in the legacy metadata of an image's last layer.
const LEGACY_CONFIG_FIELDS: [&str; 10] = [
    "architecture",
    "author",
    "config",
    "container",
    "container_config",
    "created",
    "docker_version",
    "os",
    "os.version",
    "variant",
];

/// A layer of the archive, stored once however often images use it.
pub(super) struct Layer {
    pub(super) repository: Repository,
    pub(super) descriptor: Descriptor,
    pub(super) legacy_json: Bytes,
}

pub(super) fn config_path(digest: &Digest) -> String {
    format!("{}.json", digest.hex())
}

pub(super) fn layer_path(digest: &Digest) -> String {
    format!("{}/layer.tar", digest.hex())
}

/// An image of `manifest.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManifestItem {
    /// The entry that is its config.
    #[serde(default)]
    pub config: String,
    /// Its names.
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    /// The entries that are its layers, lowest first.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub layers: Vec<String>,
}

/// The keys of `manifest.json`.
const MANIFEST_JSON: Shape = Shape::List(&Shape::Object(&[
    ("Config", &Shape::Any),
    ("RepoTags", &Shape::Any),
    ("Layers", &Shape::Any),
]));

/// Reads a `manifest.json` that somebody else wrote.
pub fn read_manifest_json(bytes: &[u8]) -> Result<Vec<ManifestItem>, JsonError> {
    json::check(bytes, &MANIFEST_JSON)?;
    Ok(serde_json::from_slice(bytes)?)
}

/// What `repositories` says: by name and tag the ID of the last layer.
pub type Repositories = BTreeMap<String, BTreeMap<String, String>>;

/// Reads a `repositories` that somebody else wrote.
pub fn read_repositories(bytes: &[u8]) -> Result<Repositories, JsonError> {
    json::check(bytes, &Shape::Object(&[]))?;
    Ok(serde_json::from_slice(bytes)?)
}

/// `manifest.json`: what every loader but the oldest goes by. An image pulled by digest alone has no tags.
pub(super) fn manifest_json(images: &[ResolvedImage]) -> Bytes {
    let is_alone = images.len() == 1;
    let item = |image: &ResolvedImage| ManifestItem {
        config: config_path(&image.manifest.config.digest),
        repo_tags: tagged_name(&image.reference, is_alone).map(|name| vec![name]),
        layers: image.manifest.layers.iter().map(|layer| layer_path(&layer.digest)).collect(),
    };
    to_json(&one_a_name(images).map(item).collect::<Vec<_>>())
}

/// Docker shows Docker Hub's images by their familiar names. Of several images podman takes those for its own
/// (`localhost/…`), so there the names are full; Docker shortens them again.
fn tagged_name(reference: &Reference, is_alone: bool) -> Option<String> {
    if is_alone { reference.familiar_tagged_name() } else { reference.tagged_name() }
}

/// `repositories`: names by tag, each with the hex of the **last** layer; images without layers have no place there.
pub(super) fn repositories(images: &[ResolvedImage]) -> Bytes {
    let mut repositories: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for image in one_a_name(images) {
        if let (Some(tag), Some(last)) = (image.reference.tag(), image.manifest.layers.last()) {
            let tags = repositories.entry(image.reference.repository().familiar()).or_default();
            tags.insert(tag, last.digest.hex());
        }
    }
    to_json(&repositories)
}

#[derive(Serialize)]
struct LegacyLayer<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
    #[serde(flatten)]
    fields: BTreeMap<&'a str, &'a RawValue>,
}

/// The layers of all images, each where it first occurs; that occurrence decides its `parent`, which therefore
/// always stands before it and can make no cycle.
pub(super) fn layers(images: &[ResolvedImage]) -> Vec<Layer> {
    let mut last_of: HashMap<&Digest, &ResolvedImage> = HashMap::new();
    for image in images {
        if let Some(last) = image.manifest.layers.last() {
            last_of.entry(&last.digest).or_insert(image);
        }
    }
    let mut seen = HashSet::new();
    let mut layers = Vec::new();
    for image in images {
        let mut parent = None;
        for descriptor in &image.manifest.layers {
            let id = descriptor.digest.hex();
            if seen.insert(&descriptor.digest) {
                layers.push(Layer {
                    repository: image.reference.repository().clone(),
                    descriptor: descriptor.clone(),
                    legacy_json: legacy_json(id, parent, last_of.get(&descriptor.digest).copied()),
                });
            }
            parent = Some(id);
        }
    }
    layers
}

fn legacy_json(id: &str, parent: Option<&str>, last_of: Option<&ResolvedImage>) -> Bytes {
    let raw_fields = last_of.map(|image| image.config.raw_fields()).unwrap_or_default();
    let fields = LEGACY_CONFIG_FIELDS
        .iter()
        .filter_map(|name| raw_fields.get(*name).map(|value| (*name, *value)))
        .collect();
    to_json(&LegacyLayer { id, parent, fields })
}
