//! The plan: every entry of the archive, its offset and size, before a layer is fetched.
//!
//! A pure function of the resolved images: no I/O, no clock, so the same images give the same plan and the same
//! bytes. The order of entries is that of `docs/formats.md`. Blobs and documents that images share are stored once.
//!
//! Layers that are to be inflated have no size before they were. They stand last, so all else has its place at once,
//! and [`Plan::with_sizes`] gives them theirs when the sizes are known.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::LayerMode;
use super::entry::{self, BLOCK_BYTES, Content, Entry};
use super::{docker, oci};
use crate::image::{
    Algorithm, Descriptor, DiffId, Digest, Document, Hasher, MediaType, Reference, Repository, ResolvedImage,
};

/// Two zero blocks end a tar.
const END_BYTES: u64 = 2 * BLOCK_BYTES;
/// Offsets beyond this are not a file's.
const MAX_ARCHIVE_BYTES: u64 = i64::MAX as u64;

/// How much larger than its blob a layer is taken to be before it was inflated: about what gzip and zstd do with
/// programs and text.
const ESTIMATED_RATIO: u64 = 3;

/// Where every byte of an archive goes.
#[derive(Clone, Debug)]
pub struct Plan {
    entries: Vec<Entry>,
    size_bytes: u64,
}

/// Layers that an archive names but does not hold. Loaders take it where they have these layers: Docker's graph driver looks
/// for them by chain IDs, all others by the digests of their blobs, which they need an OCI part for.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    /// Their blobs.
    pub layers: HashSet<Digest>,
    /// True if nobody knows their blobs, and the manifest names them by something else: then the OCI part would lie,
    /// and the archive is for graph drivers alone.
    pub has_made_manifest: bool,
}

/// A blob that has to be fetched, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBlob {
    /// The repository that has it.
    pub repository: Repository,
    /// Its digest and size.
    pub descriptor: Descriptor,
    /// Where its first byte goes in the archive.
    pub offset_bytes: u64,
}

/// A layer that has to be fetched and inflated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InflatedLayer {
    /// The repository that has its blob.
    pub repository: Repository,
    /// The blob, as the registry holds it.
    pub descriptor: Descriptor,
    /// The digest of what it inflates to.
    pub diff_id: DiffId,
    /// The size of what it inflates to, if it is known.
    pub known_size_bytes: Option<u64>,
    /// Where its first byte goes in the archive; an estimate as long as the size of a layer before it is one.
    pub offset_bytes: u64,
}

impl InflatedLayer {
    /// The size of what it inflates to, or an estimate.
    pub fn size_bytes(&self) -> u64 {
        let estimate = || self.descriptor.size_bytes.saturating_mul(ESTIMATED_RATIO);
        self.known_size_bytes.unwrap_or_else(estimate)
    }
}

/// Why images can't be put into an archive.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The config lists another number of layers than the manifest.
    #[error("the manifest of {image} has {layers} layers, its config lists {diff_ids}")]
    LayerCount {
        /// The image.
        image: String,
        /// Layers of the manifest.
        layers: usize,
        /// Diff IDs of the config.
        diff_ids: usize,
    },
    /// The images of one name don't belong together.
    #[error("{image} changed while it was resolved: it is {one} and {other}")]
    TwoTargets {
        /// The image.
        image: String,
        /// What the name resolved to for one platform.
        one: Digest,
        /// And for another.
        other: Digest,
    },
    /// One digest stands with two sizes.
    #[error("blob {digest} has two sizes, {one} and {other} bytes: the manifests contradict each other")]
    TwoSizes {
        /// The blob.
        digest: Digest,
        /// One size.
        one: u64,
        /// The other.
        other: u64,
    },
    /// A blob is used in two roles.
    #[error("blob {0} is a layer and a config or manifest at once")]
    TwoRoles(Digest),
    /// The sizes of the manifest add up to more than any file can hold.
    #[error("the sizes in the manifest add up to more than a file can hold")]
    TooLarge,
    /// One layer that is to be inflated stands with two diff IDs.
    #[error("layer {digest} has two diff IDs, {one} and {other}: the configs contradict each other")]
    TwoDiffIds {
        /// The layer's blob.
        digest: Digest,
        /// One diff ID.
        one: DiffId,
        /// The other.
        other: DiffId,
    },
    /// Only an index can tell several platforms of one name apart, and archives with inflated layers have none.
    #[error("several platforms of {image} don't go into one file with inflated layers")]
    PlatformsOfInflated {
        /// The image.
        image: String,
    },
    /// A layer that isn't a filesystem's.
    #[error("{image} is not a container image: a layer's media type is `{media_type}`")]
    NotALayer {
        /// The image.
        image: String,
        /// The layer's media type.
        media_type: MediaType,
    },
}

impl Plan {
    /// Plans one archive of all `images`. Where a layer is inflated the whole archive goes without its OCI part:
    /// loaders that see one take only what it names, and the inflated layer has no blob for it to name.
    pub fn of(images: &[ResolvedImage], mode: LayerMode) -> Result<Self, PlanError> {
        Self::without(images, mode, &LeftOut::default())
    }

    /// The same without layers that are expected to be where it is loaded.
    pub fn without(images: &[ResolvedImage], mode: LayerMode, left_out: &LeftOut) -> Result<Self, PlanError> {
        check_names(images)?;
        check_layers(images)?;
        let mut inflated = inflated_layers(images, mode)?;
        inflated.retain(|layer, _| !left_out.layers.contains(*layer));
        let has_oci_part = inflated.is_empty() && !left_out.has_made_manifest;
        let mut plan = Draft { has_oci_part, ..Draft::default() };
        if !plan.has_oci_part {
            check_platforms(images)?;
        }
        plan.literal("manifest.json".into(), docker::manifest_json(images))?;
        plan.literal("repositories".into(), docker::repositories(images))?;
        if plan.has_oci_part {
            plan.literal("oci-layout".into(), oci::layout())?;
            plan.literal("index.json".into(), oci::index_json(images))?;
        }
        for document in images.iter().flat_map(documents) {
            plan.document(document)?;
        }
        for image in images {
            plan.config(image)?;
        }
        let layers = docker::layers(images).into_iter();
        let layers = layers.filter(|layer| !left_out.layers.contains(&layer.descriptor.digest));
        let (to_inflate, kept): (Vec<_>, Vec<_>) =
            layers.partition(|layer| inflated.contains_key(&layer.descriptor.digest));
        for layer in kept.into_iter().chain(to_inflate) {
            let diff_id = inflated.get(&layer.descriptor.digest).copied().cloned();
            plan.layer(layer, diff_id)?;
        }
        Ok(plan.finish())
    }

    /// The same plan with these sizes of inflated layers, by the digest of their blobs. The others stay as they are.
    pub fn with_sizes(&self, size_of: impl Fn(&Digest) -> Option<u64>) -> Result<Self, PlanError> {
        let mut plan = Draft::default();
        for entry in &self.entries {
            match &entry.content {
                Content::Inflated(layer) => {
                    let known_size_bytes = size_of(&layer.descriptor.digest).or(layer.known_size_bytes);
                    let layer = InflatedLayer { known_size_bytes, ..(**layer).clone() };
                    plan.inflated(entry.path.clone(), layer)?;
                }
                content => plan.push(entry.path.clone(), entry.header.clone(), content.clone())?,
            }
        }
        Ok(plan.finish())
    }

    /// Where an inflated layer goes if those before it have these sizes; none if one has none.
    pub fn offset_of(&self, layer: &Digest, size_of: impl Fn(&Digest) -> Option<u64>) -> Option<u64> {
        let (mut planned_bytes, mut true_bytes) = (0u64, 0u64);
        for before in self.inflated() {
            let digest = &before.descriptor.digest;
            if digest == layer {
                return Some(before.offset_bytes - planned_bytes + true_bytes);
            }
            planned_bytes += before.size_bytes().next_multiple_of(BLOCK_BYTES);
            let size_bytes = size_of(digest).or(before.known_size_bytes)?;
            true_bytes = true_bytes.checked_add(size_bytes.checked_next_multiple_of(BLOCK_BYTES)?)?;
        }
        None
    }

    /// A word that only this plan has: a digest of all that goes into the archive, and where. Sizes that are not known
    /// yet are no part of it.
    pub fn identity(&self) -> String {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for entry in &self.entries {
            hasher.update(entry.path.as_bytes());
            hasher.update(&[0]);
            match &entry.content {
                Content::Nothing => hasher.update(&entry.header),
                Content::Literal(bytes) => hasher.update(bytes),
                Content::Blob(blob) => {
                    hasher.update(format!("{} {}", blob.descriptor.digest, blob.offset_bytes).as_bytes());
                }
                Content::Inflated(layer) => {
                    hasher.update(format!("{} {}", layer.descriptor.digest, layer.diff_id).as_bytes());
                }
            }
        }
        hasher.finish().hex().to_owned()
    }

    /// The size of the archive: exact, unless [`is_estimate`](Self::is_estimate).
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The least the archive can take: no layer inflates to less than it was.
    pub fn least_size_bytes(&self) -> u64 {
        let guessed = self.inflated().filter(|layer| layer.known_size_bytes.is_none());
        let beyond = guessed.map(|layer| {
            let padded = |size_bytes: u64| size_bytes.next_multiple_of(BLOCK_BYTES);
            padded(layer.size_bytes()) - padded(layer.descriptor.size_bytes)
        });
        self.size_bytes - beyond.sum::<u64>()
    }

    /// True as long as the size of an inflated layer is not known.
    pub fn is_estimate(&self) -> bool {
        self.inflated().any(|layer| layer.known_size_bytes.is_none())
    }

    /// All entries, in the archive's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The blobs to fetch into the archive as they are, in its order.
    pub fn blobs(&self) -> impl Iterator<Item = &PlannedBlob> {
        self.entries.iter().filter_map(|entry| match &entry.content {
            Content::Blob(blob) => Some(&**blob),
            _ => None,
        })
    }

    /// All that is to be fetched into it.
    pub fn layers(&self) -> impl Iterator<Item = &Descriptor> {
        self.blobs().map(|blob| &blob.descriptor).chain(self.inflated().map(|layer| &layer.descriptor))
    }

    /// The layers to fetch and inflate, in the archive's order.
    pub fn inflated(&self) -> impl Iterator<Item = &InflatedLayer> {
        self.entries.iter().filter_map(|entry| match &entry.content {
            Content::Inflated(layer) => Some(&**layer),
            _ => None,
        })
    }
}

/// Several platforms of one name stand under one index.
fn check_names(images: &[ResolvedImage]) -> Result<(), PlanError> {
    let mut targets: HashMap<&Reference, &Digest> = HashMap::new();
    for ResolvedImage { reference, target, .. } in images {
        let one = *targets.entry(reference).or_insert(&target.digest);
        if *one != target.digest {
            let (image, other) = (reference.to_string(), target.digest.clone());
            return Err(PlanError::TwoTargets { image, one: one.clone(), other });
        }
    }
    Ok(())
}

fn documents(image: &ResolvedImage) -> impl Iterator<Item = &Document> {
    image.indexes.iter().chain([&image.manifest_document])
}

/// `manifest.json` has room for one platform of a name.
fn check_platforms(images: &[ResolvedImage]) -> Result<(), PlanError> {
    let mut names = HashSet::new();
    match images.iter().find(|image| !names.insert(&image.reference)) {
        Some(image) => Err(PlanError::PlatformsOfInflated { image: image.reference.to_string() }),
        None => Ok(()),
    }
}

/// Manifests and configs agree with each other and among themselves, and all layers are a filesystem's.
fn check_layers(images: &[ResolvedImage]) -> Result<(), PlanError> {
    let mut sizes: HashMap<&Digest, u64> = HashMap::new();
    for image in images {
        let (layers, diff_ids) = (image.manifest.layers.len(), image.config.diff_ids().len());
        if layers != diff_ids {
            return Err(PlanError::LayerCount { image: image.reference.to_string(), layers, diff_ids });
        }
        for layer in &image.manifest.layers {
            check_media_type(image, layer)?;
            let (digest, other) = (&layer.digest, layer.size_bytes);
            let one = *sizes.entry(digest).or_insert(other);
            if one != other {
                return Err(PlanError::TwoSizes { digest: digest.clone(), one, other });
            }
        }
    }
    Ok(())
}

/// The layers that are stored inflated, with what they inflate to.
fn inflated_layers(
    images: &[ResolvedImage],
    mode: LayerMode,
) -> Result<HashMap<&Digest, &DiffId>, PlanError> {
    let mut inflated: HashMap<&Digest, &DiffId> = HashMap::new();
    let layers = images.iter().flat_map(|image| image.manifest.layers.iter().zip(image.config.diff_ids()));
    for (layer, diff_id) in layers.filter(|(layer, diff_id)| mode.inflates(layer, diff_id)) {
        let one = *inflated.entry(&layer.digest).or_insert(diff_id);
        if one != diff_id {
            let (digest, one, other) = (layer.digest.clone(), one.clone(), diff_id.clone());
            return Err(PlanError::TwoDiffIds { digest, one, other });
        }
    }
    Ok(inflated)
}

fn check_media_type(image: &ResolvedImage, layer: &Descriptor) -> Result<(), PlanError> {
    match &layer.media_type {
        MediaType::Layer(_) => Ok(()),
        other => {
            let image = image.reference.to_string();
            Err(PlanError::NotALayer { image, media_type: other.clone() })
        }
    }
}

/// A plan on its way: entries are laid one after another.
#[derive(Default)]
struct Draft {
    entries: Vec<Entry>,
    end_bytes: u64,
    /// Names in `blobs/`, known even where that part is left out.
    blob_paths: HashSet<String>,
    has_oci_part: bool,
}

impl Draft {
    /// A manifest or index as `blobs/<algorithm>/<hex>`; one that is there already is not stored twice.
    fn document(&mut self, document: &Document) -> Result<(), PlanError> {
        let path = oci::blob_path(document.digest());
        if !self.blob_paths.insert(path.clone()) || !self.has_oci_part {
            return Ok(());
        }
        self.literal(path, document.bytes().clone())
    }

    /// A config under Docker's name, with OCI's as a link to it.
    fn config(&mut self, image: &ResolvedImage) -> Result<(), PlanError> {
        let digest = &image.manifest.config.digest;
        let path = docker::config_path(digest);
        if self.entries.iter().any(|entry| entry.path == path) {
            return Ok(());
        }
        self.literal(path.clone(), image.config.bytes().clone())?;
        self.blob_link(digest, &path)
    }

    /// A layer's directory as Docker's legacy format has it, with OCI's name as a link to the layer.
    fn layer(&mut self, layer: docker::Layer, inflates_to: Option<DiffId>) -> Result<(), PlanError> {
        let digest = layer.descriptor.digest.clone();
        let directory = format!("{}/", digest.hex());
        self.push(directory.clone(), entry::directory_header(&directory), Content::Nothing)?;
        self.literal(format!("{directory}VERSION"), Bytes::from_static(b"1.0"))?;
        self.literal(format!("{directory}json"), layer.legacy_json)?;
        let path = docker::layer_path(&digest);
        let docker::Layer { repository, descriptor, .. } = layer;
        if let Some(diff_id) = inflates_to {
            let known_size_bytes = None;
            let layer = InflatedLayer { repository, descriptor, diff_id, known_size_bytes, offset_bytes: 0 };
            self.inflated(path.clone(), layer)?;
        } else {
            let header = entry::file_header(&path, descriptor.size_bytes);
            let offset_bytes = self.end_bytes + header.len() as u64;
            let blob = PlannedBlob { repository, descriptor, offset_bytes };
            self.push(path.clone(), header, Content::Blob(blob.into()))?;
        }
        self.blob_link(&digest, &path)
    }

    /// An inflated layer, placed where the entries so far end.
    fn inflated(&mut self, path: String, layer: InflatedLayer) -> Result<(), PlanError> {
        let header = entry::file_header(&path, layer.size_bytes());
        let offset_bytes = self.end_bytes + header.len() as u64;
        self.push(path, header, Content::Inflated(Box::new(InflatedLayer { offset_bytes, ..layer })))
    }

    fn blob_link(&mut self, digest: &Digest, target: &str) -> Result<(), PlanError> {
        let path = oci::blob_path(digest);
        if !self.blob_paths.insert(path.clone()) {
            return Err(PlanError::TwoRoles(digest.clone()));
        }
        if !self.has_oci_part {
            return Ok(());
        }
        let header = entry::symlink_header(&path, &format!("../../{target}"));
        self.push(path, header, Content::Nothing)
    }

    fn literal(&mut self, path: String, content: Bytes) -> Result<(), PlanError> {
        let header = entry::file_header(&path, content.len() as u64);
        self.push(path, header, Content::Literal(content))
    }

    fn push(&mut self, path: String, header: Bytes, content: Content) -> Result<(), PlanError> {
        let entry = Entry { path, offset_bytes: self.end_bytes, header, content };
        self.end_bytes = entry
            .content_offset_bytes()
            .checked_add(entry.content_size_bytes())
            .and_then(|end| end.checked_next_multiple_of(BLOCK_BYTES))
            .filter(|end| *end <= MAX_ARCHIVE_BYTES - END_BYTES)
            .ok_or(PlanError::TooLarge)?;
        self.entries.push(entry);
        Ok(())
    }

    fn finish(self) -> Plan {
        Plan { size_bytes: self.end_bytes + END_BYTES, entries: self.entries }
    }
}

#[cfg(test)]
mod tests;
