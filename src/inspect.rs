//! Inspect: what an image is, from its documents alone. Of a registry's image nothing but manifests and config is
//! fetched, of an archive's nothing else is read.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::archived::ArchivedImage;
use crate::image::manifest::Parsed;
use crate::image::{
    Descriptor, DiffId, Digest, Document, HistoryEntry, ImageConfig, MediaType, ResolvedImage, Runtime,
};

/// An image, told.
#[derive(Clone, Debug, Serialize)]
pub struct Inspected {
    /// Its names.
    pub names: Vec<String>,
    /// What it is built for; none if its config can't be read.
    pub platform: Option<String>,
    /// When it was built (RFC 3339); empty where it doesn't say.
    pub created: String,
    /// What its name resolves to: an index's digest, or the manifest's. None where an archive doesn't say.
    pub digest: Option<Digest>,
    /// The manifest's digest.
    pub manifest: Option<Digest>,
    /// The manifest's media type.
    pub media_type: Option<MediaType>,
    /// The config's digest, which many loaders call the image ID.
    pub config: Option<Digest>,
    /// What the index is there for; empty where the name is a manifest's.
    #[serde(serialize_with = "<[String] as Serialize>::serialize")]
    pub platforms: Arc<[String]>,
    /// How it runs.
    pub runtime: Runtime,
    /// Its layers, lowest first.
    pub layers: Vec<InspectedLayer>,
    /// How it was built, oldest step first, each with the layer it made.
    pub history: Vec<Step>,
    /// The layers' sizes added up.
    pub size_bytes: u64,
    /// How much of that other images told beside it have too.
    pub shared_bytes: u64,
}

/// A layer, told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedLayer {
    /// The blob's digest; none where there is no manifest.
    pub digest: Option<Digest>,
    /// The digest of its tar; none where the config doesn't say.
    pub diff_id: Option<DiffId>,
    /// Its size as it is stored; none if it is missing.
    pub size_bytes: Option<u64>,
}

/// A step of how an image was built.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The layer it made, counted from 1; none if it made none.
    pub layer: Option<usize>,
    /// What was done.
    #[serde(flatten)]
    pub entry: HistoryEntry,
}

impl From<&ResolvedImage> for Inspected {
    fn from(image: &ResolvedImage) -> Self {
        let layer = |(index, layer): (usize, &Descriptor)| InspectedLayer {
            digest: Some(layer.digest.clone()),
            diff_id: image.config.diff_ids().get(index).cloned(),
            size_bytes: Some(layer.size_bytes),
        };
        Self {
            names: vec![image.reference.to_string()],
            platform: Some(image.platform.to_string()),
            digest: Some(image.target.digest.clone()),
            manifest: Some(image.manifest_document.digest().clone()),
            media_type: Some(image.manifest.media_type.clone()),
            platforms: platforms(image.indexes.first()),
            ..Self::of(
                Some((&image.manifest.config.digest, &image.config)),
                image.manifest.layers.iter().enumerate().map(layer).collect(),
            )
        }
    }
}

impl From<&ArchivedImage> for Inspected {
    fn from(image: &ArchivedImage) -> Self {
        let layers = image.layers.iter().map(|layer| InspectedLayer {
            digest: layer.blob.as_ref().map(|(descriptor, _)| descriptor.digest.clone()),
            diff_id: layer.diff_id.clone(),
            size_bytes: layer.place.map(|place| place.size_bytes),
        });
        let manifest = image.manifest.as_ref();
        Self {
            names: image.names.iter().map(|name| name.text.clone()).collect(),
            platform: image.platform().map(|platform| platform.to_string()),
            digest: image.root.as_ref().map(|root| root.digest.clone()),
            manifest: manifest.map(|(document, _)| document.digest().clone()),
            media_type: manifest.map(|(_, manifest)| manifest.media_type.clone()),
            platforms: image.platforms.clone(),
            ..Self::of(image.config.as_ref().map(|stored| (&stored.digest, &stored.config)), layers.collect())
        }
    }
}

impl Inspected {
    fn of(config: Option<(&Digest, &ImageConfig)>, layers: Vec<InspectedLayer>) -> Self {
        let mut made = 0;
        let history = config.map(|(_, config)| config.history()).unwrap_or_default().into_iter();
        let history = history.map(|entry| {
            let layer = (!entry.empty_layer && made < layers.len()).then(|| {
                made += 1;
                made
            });
            Step { layer, entry }
        });
        let history = history.collect();
        Self {
            names: Vec::new(),
            platform: None,
            created: config.map(|(_, config)| config.created()).unwrap_or_default(),
            digest: None,
            manifest: None,
            media_type: None,
            config: config.map(|(digest, _)| digest.clone()),
            platforms: Arc::default(),
            runtime: config.map(|(_, config)| config.runtime()).unwrap_or_default(),
            history,
            size_bytes: layers.iter().filter_map(|layer| layer.size_bytes).sum(),
            shared_bytes: 0,
            layers,
        }
    }
}

/// Tells of each image how much of it others have too.
pub fn find_shared(images: &mut [Inspected]) {
    let key = |layer: &InspectedLayer| {
        layer.digest.clone().or_else(|| Some(layer.diff_id.clone()?.digest().clone()))
    };
    let mut users: HashMap<Digest, usize> = HashMap::new();
    for image in images.iter() {
        let mut met: Vec<Digest> = image.layers.iter().filter_map(key).collect();
        met.sort_unstable();
        met.dedup();
        for layer in met {
            *users.entry(layer).or_default() += 1;
        }
    }
    for image in images {
        let shared = image.layers.iter().filter(|layer| key(layer).is_some_and(|key| users[&key] > 1));
        image.shared_bytes = shared.filter_map(|layer| layer.size_bytes).sum();
    }
}

/// What an index has images for.
fn platforms(index: Option<&Document>) -> Arc<[String]> {
    let Some(Ok(Parsed::Index(index))) = index.map(Document::parse) else { return Arc::default() };
    index.platforms().map(|platform| platform.to_string()).collect()
}
