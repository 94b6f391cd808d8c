//! An image that a daemon has, in its own words (`inspect`).

use serde::Deserialize;

use crate::image::{Digest, Platform};

/// What a daemon says of an image.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Inspected")]
pub struct Held {
    /// What the daemon calls it.
    pub id: Digest,
    /// Digests that it leads to and that are there whole: of a manifest's config, of an index's manifests. Only containerd
    /// tells.
    pub leads_to: Vec<Digest>,
    /// What it is for.
    pub platform: Platform,
    /// The digests of its inflated layers, lowest first; none from containerd.
    pub diff_ids: Option<Vec<Digest>>,
    /// False if parts of it are known to be missing.
    pub is_whole: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: Digest,
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
    #[serde(default, rename = "RootFS")]
    root_fs: RootFs,
    manifests: Option<Vec<Manifest>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    layers: Option<Vec<Digest>>,
}

/// Of Docker's containerd image store, from API version 1.48 on.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    available: bool,
}

impl From<Inspected> for Held {
    fn from(inspected: Inspected) -> Self {
        let Inspected { id, os, architecture, variant, root_fs, manifests } = inspected;
        let images = manifests.unwrap_or_default();
        let mut images = images.iter().filter(|manifest| manifest.kind == "image").peekable();
        Self {
            id,
            leads_to: Vec::new(),
            platform: Platform { os, architecture, variant, os_version: None }.normalised(),
            diff_ids: Some(root_fs.layers.unwrap_or_default()),
            is_whole: images.peek().is_none() || images.any(|manifest| manifest.available),
        }
    }
}
