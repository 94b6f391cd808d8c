//! The plan: every entry of the archive, its offset and size, before a layer is fetched.
//!
//! A pure function of the resolved images: no I/O, no clock, so the same images give the same plan and the same
//! bytes. The order of entries is that of `docs/formats.md`. Blobs and documents that images share are stored once.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::entry::{self, BLOCK_BYTES, Content, Entry};
use super::{docker, oci};
use crate::image::{
    Compression, Descriptor, Digest, Document, MediaType, Reference, Repository, ResolvedImage,
};

/// Two zero blocks end a tar.
const END_BYTES: u64 = 2 * BLOCK_BYTES;
/// Offsets beyond this are not a file's.
const MAX_ARCHIVE_BYTES: u64 = i64::MAX as u64;

/// Where every byte of an archive goes.
#[derive(Clone, Debug)]
pub struct Plan {
    entries: Vec<Entry>,
    size_bytes: u64,
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
    /// A layer that the archive can't take.
    #[error("layer {digest} of {image} is compressed with zstd, which Docker before 23 can't load")]
    Zstd {
        /// The image.
        image: String,
        /// The layer.
        digest: Digest,
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
    /// Plans one archive of all `images`.
    pub fn of(images: &[ResolvedImage]) -> Result<Self, PlanError> {
        check_names(images)?;
        let layers = unique_layers(images)?;
        let mut plan = Draft::default();
        plan.literal("manifest.json".into(), docker::manifest_json(images))?;
        plan.literal("repositories".into(), docker::repositories(images))?;
        plan.literal("oci-layout".into(), oci::layout())?;
        plan.literal("index.json".into(), oci::index_json(images))?;
        for document in images.iter().flat_map(documents) {
            plan.document(document)?;
        }
        for image in images {
            plan.config(image)?;
        }
        for layer in layers {
            plan.layer(layer)?;
        }
        Ok(plan.finish())
    }

    /// The exact size of the archive.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// All entries, in the archive's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The blobs to fetch, in the archive's order.
    pub fn blobs(&self) -> impl Iterator<Item = &PlannedBlob> {
        self.entries.iter().filter_map(|entry| match &entry.content {
            Content::Blob(blob) => Some(&**blob),
            Content::Nothing | Content::Literal(_) => None,
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

/// The layers of all images, each once, where it first occurs.
fn unique_layers(images: &[ResolvedImage]) -> Result<Vec<docker::Layer>, PlanError> {
    let mut sizes: HashMap<&Digest, u64> = HashMap::new();
    for image in images {
        let (layers, diff_ids) = (image.manifest.layers.len(), image.config.diff_ids().len());
        if layers != diff_ids {
            return Err(PlanError::LayerCount { image: image.reference.to_string(), layers, diff_ids });
        }
        for layer in &image.manifest.layers {
            check_media_type(image, layer)?;
            let one = *sizes.entry(&layer.digest).or_insert(layer.size_bytes);
            if one != layer.size_bytes {
                return Err(PlanError::TwoSizes {
                    digest: layer.digest.clone(),
                    one,
                    other: layer.size_bytes,
                });
            }
        }
    }
    Ok(docker::layers(images))
}

fn check_media_type(image: &ResolvedImage, layer: &Descriptor) -> Result<(), PlanError> {
    let image = || image.reference.to_string();
    match &layer.media_type {
        MediaType::Layer(kind) if kind.compression == Compression::Zstd => {
            Err(PlanError::Zstd { image: image(), digest: layer.digest.clone() })
        }
        MediaType::Layer(_) => Ok(()),
        other => Err(PlanError::NotALayer { image: image(), media_type: other.clone() }),
    }
}

/// A plan on its way: entries are laid one after another.
#[derive(Default)]
struct Draft {
    entries: Vec<Entry>,
    end_bytes: u64,
    blob_paths: HashSet<String>,
}

impl Draft {
    /// A manifest or index as `blobs/<algorithm>/<hex>`; one that is there already is not stored twice.
    fn document(&mut self, document: &Document) -> Result<(), PlanError> {
        let path = oci::blob_path(document.digest());
        if !self.blob_paths.insert(path.clone()) {
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
    fn layer(&mut self, layer: docker::Layer) -> Result<(), PlanError> {
        let digest = layer.descriptor.digest.clone();
        let directory = format!("{}/", digest.hex());
        self.push(directory.clone(), entry::directory_header(&directory), Content::Nothing)?;
        self.literal(format!("{directory}VERSION"), Bytes::from_static(b"1.0"))?;
        self.literal(format!("{directory}json"), layer.legacy_json)?;
        let path = docker::layer_path(&digest);
        let header = entry::file_header(&path, layer.descriptor.size_bytes);
        let blob = PlannedBlob {
            repository: layer.repository,
            offset_bytes: self.end_bytes + header.len() as u64,
            descriptor: layer.descriptor,
        };
        self.push(path.clone(), header, Content::Blob(blob.into()))?;
        self.blob_link(&digest, &path)
    }

    fn blob_link(&mut self, digest: &Digest, target: &str) -> Result<(), PlanError> {
        let path = oci::blob_path(digest);
        if !self.blob_paths.insert(path.clone()) {
            return Err(PlanError::TwoRoles(digest.clone()));
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
