//! What of an image is there: its platforms, and the blobs of each.
//!
//! Manifests, indexes and configs are small, so they are read and hashed; of layers only the file's size is looked at.

use std::collections::HashMap;

use super::content::Content;
use super::error::StoreError;
use super::snapshots::OVERLAYFS;
use crate::image::config::MAX_CONFIG_BYTES;
use crate::image::manifest::Parsed;
use crate::image::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform};

/// Indexes of indexes exist; deeper nests than this are somebody's joke.
const MAX_DEPTH: usize = 4;

/// What is with a blob that an image names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// There is a file of its size, and what was read of it is right.
    There,
    /// There is no file.
    Missing,
    /// The file has another size, or other bytes.
    Damaged,
}

/// Where an image's layers may be taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayersFrom {
    /// From the content store, packed.
    Content,
    /// From the overlayfs snapshotter, too, where they are there unpacked only.
    Snapshots,
}

/// A blob that an image names.
#[derive(Clone, Debug)]
pub struct HeldBlob {
    /// Its type, digest and size.
    pub descriptor: Descriptor,
    /// Whether it is there.
    pub state: BlobState,
}

/// An image for one platform, of those an index names; or the only one.
#[derive(Clone, Debug)]
pub struct HeldPlatform {
    /// What it is for, as the index has it, or else by its config; none where neither can be read.
    pub platform: Option<Platform>,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its config, where the manifest could be read.
    pub config: Option<Descriptor>,
    /// Its layers, lowest first, where the manifest could be read.
    pub layers: Vec<Descriptor>,
    /// What is with the manifest.
    pub state: BlobState,
    /// How many blobs of it are missing or damaged.
    pub lacking: usize,
    /// Where blobs are missing: the snapshotter that has all its layers unpacked, if one has.
    pub unpacked_in: Option<String>,
}

impl HeldPlatform {
    /// True if nothing of it is missing or damaged.
    pub fn is_whole(&self) -> bool {
        self.lacking == 0
    }

    /// True if all of it can be had from there.
    pub fn can_be_had(&self, layers: LayersFrom) -> bool {
        let is_unpacked = || self.unpacked_in.as_deref() == Some(OVERLAYFS);
        self.is_whole() || layers == LayersFrom::Snapshots && is_unpacked()
    }

    /// Its manifest, its config and its layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        [&self.manifest].into_iter().chain(&self.config).chain(&self.layers)
    }

    /// What they take, by their descriptors.
    pub fn size_bytes(&self) -> u64 {
        self.blobs().map(|blob| blob.size_bytes).fold(0, u64::saturating_add)
    }
}

/// What of an image is there.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The platforms it is built for, in the index's order; those of which nothing is there, too. Attestations and
    /// artifacts are none.
    pub platforms: Vec<HeldPlatform>,
    /// What is there of it or should be, each once: its target, and all that documents which are there name. Platforms
    /// of which nothing is there are no fault: nobody asked for them.
    pub blobs: Vec<HeldBlob>,
}

impl Inventory {
    /// What `content` has of the image that `target` is.
    pub fn of(target: &Descriptor, content: &Content) -> Self {
        let mut survey = Survey { content, known: HashMap::new(), inventory: Self::default() };
        survey.look_at(target, 0);
        survey.inventory
    }

    /// The platforms whose manifests are there.
    pub fn present(&self) -> impl Iterator<Item = &HeldPlatform> {
        self.platforms.iter().filter(|held| held.state == BlobState::There)
    }

    /// The blobs that are not there as they should be.
    pub fn lacking(&self) -> impl Iterator<Item = &HeldBlob> {
        self.blobs.iter().filter(|blob| blob.state != BlobState::There)
    }

    /// What the blobs that are there take.
    pub fn size_bytes(&self) -> u64 {
        let there = self.blobs.iter().filter(|blob| blob.state == BlobState::There);
        there.map(|blob| blob.descriptor.size_bytes).fold(0, u64::saturating_add)
    }

    /// True if there is an image of which nothing is missing or damaged.
    pub fn is_usable(&self) -> bool {
        self.platforms.iter().any(HeldPlatform::is_whole)
    }

    /// The platforms of which all can be had.
    pub fn whole(&self, layers: LayersFrom) -> Vec<Platform> {
        let whole = self.platforms.iter().filter(|held| held.can_be_had(layers));
        whole.filter_map(|held| held.platform.clone()).collect()
    }

    /// The platforms there are: those of which all can be had or, where there is none, those whose manifests are there.
    /// containerd often has the manifests of platforms that nobody pulled.
    pub fn available(&self, layers: LayersFrom) -> Vec<Platform> {
        let whole = self.whole(layers);
        if whole.is_empty() {
            self.present().filter_map(|held| held.platform.clone()).collect()
        } else {
            whole
        }
    }

    /// The platforms that are meant by `asked`; where nobody asked, linux/amd64, or the only one there is. Where one is not
    /// there, the error is that one.
    pub fn choose(&self, asked: &[Platform], layers: LayersFrom) -> Result<Vec<Platform>, Platform> {
        let available = self.available(layers);
        let present: Vec<_> = self.present().filter_map(|held| held.platform.clone()).collect();
        let nearest = |wanted: &Platform, among: &[Platform]| {
            let fitting = among.iter().filter_map(|one| Some((wanted.distance_to(one)?, one)));
            fitting.min_by_key(|(distance, _)| *distance).map(|(_, one)| one.clone())
        };
        let asked_for = |wanted: &Platform| {
            nearest(wanted, &available).or_else(|| nearest(wanted, &present)).ok_or_else(|| wanted.clone())
        };
        match (asked, &available[..]) {
            ([], [only]) => Ok(vec![only.clone()]),
            ([], _) => asked_for(&Platform::linux_amd64()).map(|one| vec![one]),
            (asked, _) => asked.iter().map(asked_for).collect(),
        }
    }
}

/// The way through an image's documents.
struct Survey<'a> {
    content: &'a Content,
    known: HashMap<Digest, BlobState>,
    inventory: Inventory,
}

impl Survey<'_> {
    /// Looks at an index or a manifest, and at all it names.
    fn look_at(&mut self, descriptor: &Descriptor, depth: usize) {
        if self.known.contains_key(&descriptor.digest) {
            return; // an index may name one twice
        }
        match self.read(descriptor) {
            Ok(Parsed::Index(index)) if depth < MAX_DEPTH => self.index(descriptor, &index, depth),
            Ok(Parsed::Manifest(manifest)) => self.manifest(descriptor, *manifest),
            Ok(Parsed::Index(_)) => self.add(descriptor, BlobState::Damaged),
            Err(state) => {
                if depth == 0 || state == BlobState::Damaged {
                    self.add(descriptor, state);
                }
                if !descriptor.media_type.is_index() {
                    self.inventory.platforms.push(HeldPlatform {
                        platform: descriptor.platform.clone(),
                        manifest: descriptor.clone(),
                        config: None,
                        layers: Vec::new(),
                        state,
                        lacking: 1,
                        unpacked_in: None,
                    });
                }
            }
        }
    }

    fn read(&self, descriptor: &Descriptor) -> Result<Parsed, BlobState> {
        let document = self.content.document(descriptor).map_err(|error| match error {
            StoreError::Missing { .. } => BlobState::Missing,
            _ => BlobState::Damaged,
        })?;
        let is_sized = document.bytes().len() as u64 == descriptor.size_bytes;
        document.parse().ok().filter(|_| is_sized).ok_or(BlobState::Damaged)
    }

    fn index(&mut self, descriptor: &Descriptor, index: &Index, depth: usize) {
        self.add(descriptor, BlobState::There);
        for entry in index.manifests.iter().filter(|entry| entry.may_be_image()) {
            self.look_at(entry, depth + 1);
        }
    }

    fn manifest(&mut self, descriptor: &Descriptor, manifest: Manifest) {
        self.add(descriptor, BlobState::There);
        let of_config = self.platform(&manifest.config);
        let platform = descriptor.platform.clone().or(of_config);
        let blobs = [&manifest.config].into_iter().chain(&manifest.layers);
        let lacking = blobs.filter(|blob| self.state_of(blob) != BlobState::There).count();
        self.inventory.platforms.push(HeldPlatform {
            platform,
            manifest: descriptor.clone(),
            config: Some(manifest.config),
            layers: manifest.layers,
            state: BlobState::There,
            lacking,
            unpacked_in: None,
        });
    }

    /// What a config says it is for. What is wrong with it is noted, unless it is missing.
    fn platform(&mut self, config: &Descriptor) -> Option<Platform> {
        let bytes = self.content.small(&config.digest, MAX_CONFIG_BYTES).ok()?;
        let is_right = bytes.len() as u64 == config.size_bytes
            && Digest::by(config.digest.algorithm(), &bytes) == config.digest;
        let read = ImageConfig::parse(bytes.into()).ok().filter(|_| is_right);
        self.add(config, if read.is_some() { BlobState::There } else { BlobState::Damaged });
        Some(read?.platform())
    }

    /// What is with a config or layer, by its file's size.
    fn state_of(&mut self, blob: &Descriptor) -> BlobState {
        if let Some(known) = self.known.get(&blob.digest) {
            return *known;
        }
        let state = match self.content.size_bytes(&blob.digest) {
            None => BlobState::Missing,
            Some(size_bytes) if size_bytes == blob.size_bytes => BlobState::There,
            Some(_) => BlobState::Damaged,
        };
        self.add(blob, state);
        state
    }

    fn add(&mut self, descriptor: &Descriptor, state: BlobState) {
        if self.known.insert(descriptor.digest.clone(), state).is_none() {
            self.inventory.blobs.push(HeldBlob { descriptor: descriptor.clone(), state });
        }
    }
}
