//! Layers that a store has unpacked only, made anew from their snapshots.
//!
//! containerd throws packed layers away where it is told to (`discard_unpacked_layers`). What is unpacked has all of a layer
//! but the order and the fields of its tar, which are told by convention: where the config's diff ID comes out, it is the
//! layer, to the byte; else it is another with the same files, under a diff ID of its own and in a config of its own.

#[cfg(target_os = "linux")]
mod layer;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Root, Snapshots, StoreError};
use crate::event::Warning;
use crate::fsio::{FileError, FileHandle};
use crate::image::media_type::LayerType;
use crate::image::{
    Algorithm, Compression, Descriptor, Digest, Document, JsonError, Manifest, MediaType, Reference,
    Repository, ResolvedImage,
};
use crate::source::{BlobStream, Selector, Source, SourceError, in_chunks};

/// A layer can't be made anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not everything of a snapshot can be seen.
    #[error("snapshots can be read by root only: others don't see which of their directories are opaque")]
    NotRoot,
    /// The layer is neither packed nor unpacked.
    #[error("layer {number} of {layers} is not in the content store, and the overlayfs snapshotter of {} has no snapshot {chain_id}", .root.display())]
    NoSnapshot {
        /// Which layer, from 1.
        number: usize,
        /// How many the image has.
        layers: usize,
        /// The root.
        root: PathBuf,
        /// What the snapshot would be called.
        chain_id: Digest,
    },
    /// The config does not say as many layers as the manifest.
    #[error("the config names {diff_ids} layers, the manifest {layers}")]
    Layers {
        /// How many the config names.
        diff_ids: usize,
        /// How many the manifest names.
        layers: usize,
    },
    /// Other systems have not all that a layer has.
    #[error("snapshots can be read on Linux only")]
    NotLinux,
    /// A snapshot can't be read.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Overlay(#[from] crate::overlay::OverlayError),
    /// There is no room for the layer, or it can't be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The config can't be written anew.
    #[error("the config can't be written anew")]
    Config(#[from] JsonError),
}

/// A layer that was made anew.
#[derive(Clone, Debug)]
pub struct RebuiltLayer {
    /// Which of the image's, from 1.
    pub number: usize,
    /// True if it is to the byte what it was.
    pub is_exact: bool,
    /// What could not be said in it.
    pub left_out: Vec<String>,
    /// The diff ID it has.
    diff_id: Digest,
    size_bytes: u64,
    file: FileHandle,
}

/// An image with layers that were made anew.
#[derive(Debug)]
pub struct RebuiltImage {
    /// The image. Its manifest is a new one, as packed layers are plain now; its config is the old one if all layers are.
    pub image: ResolvedImage,
    /// The layers that were made anew.
    pub layers: Vec<RebuiltLayer>,
}

impl RebuiltImage {
    /// What is worth a word about it.
    pub fn warnings(&self) -> Vec<Warning> {
        let reference = || Box::new(self.image.reference.clone());
        let others = self.layers.iter().filter(|layer| !layer.is_exact).map(|layer| layer.number).collect();
        let mut warnings =
            vec![Warning::LayersRebuilt { reference: reference(), layers: self.layers.len(), others }];
        warnings.extend(self.layers.iter().flat_map(|layer| {
            layer.left_out.iter().map(move |what| Warning::LeftOutOfLayer {
                reference: reference(),
                layer: layer.number,
                what: what.clone(),
            })
        }));
        warnings
    }
}

/// The image with the layers that the content store hasn't, made of their snapshots; none if it has all. The layers
/// stand in files without names in the system's temporary folder. Blocks.
pub fn rebuilt(
    root: &Root,
    namespace: &str,
    image: &ResolvedImage,
) -> Result<Option<RebuiltImage>, RebuildError> {
    let is_missing = |layer: &Descriptor| root.content().size_bytes(&layer.digest).is_none();
    if !image.manifest.layers.iter().any(is_missing) {
        return Ok(None);
    }
    check_rights()?;
    let (chain_ids, layers) = (image.config.chain_ids(), image.manifest.layers.len());
    if chain_ids.len() != layers {
        return Err(RebuildError::Layers { diff_ids: chain_ids.len(), layers });
    }
    let snapshots = Snapshots::open(root)?;
    let mut rebuilt = Vec::new();
    for (index, _) in image.manifest.layers.iter().enumerate().filter(|(_, layer)| is_missing(layer)) {
        let (number, chain_id) = (index + 1, &chain_ids[index]);
        let upper = match &snapshots {
            Some(snapshots) => snapshots.layer(root, namespace, chain_id)?,
            None => None,
        };
        let no_snapshot = || RebuildError::NoSnapshot {
            number,
            layers,
            root: root.path().to_owned(),
            chain_id: chain_id.clone(),
        };
        let upper = upper.ok_or_else(no_snapshot)?;
        rebuilt.push(RebuiltLayer::of(&upper, number, image.config.diff_ids()[index].digest())?);
    }
    Ok(Some(RebuiltImage { image: with_layers(image, &rebuilt)?, layers: rebuilt }))
}

#[cfg(not(target_os = "linux"))]
impl RebuiltLayer {
    fn of(_: &std::path::Path, _: usize, _: &Digest) -> Result<Self, RebuildError> {
        Err(RebuildError::NotLinux)
    }
}

#[cfg(target_os = "linux")]
fn check_rights() -> Result<(), RebuildError> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(RebuildError::NotRoot) }
}

#[cfg(not(target_os = "linux"))]
fn check_rights() -> Result<(), RebuildError> {
    Err(RebuildError::NotLinux)
}

/// The image with these layers in place of those it had.
fn with_layers(image: &ResolvedImage, rebuilt: &[RebuiltLayer]) -> Result<ResolvedImage, JsonError> {
    let mut layers = image.manifest.layers.clone();
    let mut diff_ids: Vec<Digest> =
        image.config.diff_ids().iter().map(|diff_id| diff_id.digest().clone()).collect();
    let plain = MediaType::Layer(LayerType { compression: Compression::Plain, foreign: false, oci: true });
    for layer in rebuilt {
        let index = layer.number - 1;
        layers[index] = Descriptor::new(plain.clone(), layer.diff_id.clone(), layer.size_bytes);
        diff_ids[index] = layer.diff_id.clone();
    }
    let is_exact = rebuilt.iter().all(|layer| layer.is_exact);
    let config = if is_exact { image.config.clone() } else { image.config.with_diff_ids(&diff_ids)? };
    let digest = Digest::by(Algorithm::Sha256, config.bytes());
    let manifest = Manifest {
        media_type: MediaType::OciManifest,
        config: Descriptor::new(MediaType::OciConfig, digest, config.bytes().len() as u64),
        layers,
    };
    let document = Document::manifest_of(&manifest.config, &manifest.layers);
    Ok(ResolvedImage {
        target: document.descriptor(MediaType::OciManifest),
        indexes: Vec::new(),
        manifest_document: document,
        manifest,
        config,
        ..image.clone()
    })
}

/// Platforms of one name stand under one index: where some were made anew, under a new one.
pub fn under_one_index(images: &mut [ResolvedImage]) {
    let mut by_name: BTreeMap<Reference, Vec<usize>> = BTreeMap::new();
    for (place, image) in images.iter().enumerate() {
        by_name.entry(image.reference.clone()).or_default().push(place);
    }
    for places in by_name.into_values() {
        let target = |place: usize| &images[place].target.digest;
        if places.iter().all(|place| target(*place) == target(places[0])) {
            continue;
        }
        let entry = |place: &usize| {
            let image = &images[*place];
            let manifest = image.manifest_document.descriptor(image.manifest.media_type.clone());
            Descriptor { platform: Some(image.platform.clone()), ..manifest }
        };
        let index = Document::index_of(MediaType::OciIndex, &places.iter().map(entry).collect::<Vec<_>>());
        for place in places {
            images[place].target = index.descriptor(MediaType::OciIndex);
            images[place].indexes = vec![index.clone()];
        }
    }
}

/// A store together with layers that were made anew of its snapshots.
pub struct RebuiltSource<'a> {
    store: &'a dyn Source,
    layers: HashMap<Digest, FileHandle>,
}

impl<'a> RebuiltSource<'a> {
    /// `store`, and nothing else yet.
    pub fn new(store: &'a dyn Source) -> Self {
        Self { store, layers: HashMap::new() }
    }

    /// Takes in an image's layers that were made anew, and gives the image.
    pub fn add(&mut self, made: RebuiltImage) -> ResolvedImage {
        let RebuiltImage { image, layers } = made;
        self.layers.extend(layers.into_iter().map(|layer| (layer.diff_id, layer.file)));
        image
    }

    /// True for a layer that was made anew.
    pub fn has(&self, layer: &Digest) -> bool {
        self.layers.contains_key(layer)
    }
}

impl Source for RebuiltSource<'_> {
    fn fetch_manifest<'a>(
        &'a self,
        repository: &'a Repository,
        selector: &'a Selector,
    ) -> BoxFuture<'a, Result<Document, SourceError>> {
        self.store.fetch_manifest(repository, selector)
    }

    fn path_of(&self, blob: &Digest) -> Option<PathBuf> {
        if self.has(blob) { None } else { self.store.path_of(blob) }
    }

    fn open_blob<'a>(
        &'a self,
        repository: &'a Repository,
        blob: &'a Descriptor,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<BlobStream, SourceError>> {
        let Some(file) = self.layers.get(&blob.digest) else {
            return self.store.open_blob(repository, blob, range);
        };
        let reader = file.reader_of(range);
        async move { Ok(in_chunks(reader, PathBuf::from("a layer made anew"))) }.boxed()
    }
}
