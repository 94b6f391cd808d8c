//! An archived image as the other verbs take it: with a name, a manifest and a config.
//!
//! Where the registry's manifest came along it is kept. Where it did not, one is made of what the layers turned out to be,
//! the same for the same layers; its digest is new then.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::image::{ArchivedImage, ArchivedLayer, StoredConfig};
use super::known::Known;
use super::legacy::metadata_path;
use super::open::{Archive, Contents};
use crate::archive::contents::digest_named_by;
use crate::blob::{Measured, Packing};
use crate::foreign::shown;
use crate::image::media_type::LayerType;
use crate::image::{
    Algorithm, Compression, Descriptor, DiffId, Digest, Document, ImageConfig, JsonError, Manifest,
    MediaType, Platform, Reference, ResolvedImage,
};

/// An image can't be told of as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// It has no name.
    #[error("{image} has no name that loaders take")]
    NoName {
        /// Which image.
        image: String,
    },
    /// Its config is missing or can't be read.
    #[error("{image} has no config that can be read")]
    NoConfig {
        /// Which image.
        image: String,
    },
    /// Its config has other bytes than it should.
    #[error("{image}: its config `{}` was changed: it has not the digest in its name", shown(.path))]
    Config {
        /// Which image.
        image: String,
        /// The entry.
        path: String,
    },
    /// Which layers make it is not known for sure.
    #[error(
        "{image}: its layers' parents are missing, unreadable or form a ring, so what it is made of is not known"
    )]
    Parents {
        /// Which image.
        image: String,
    },
    /// A layer is missing, can't be read or is not what the config says.
    #[error("{image}: {what} is missing or not what the config says")]
    Layer {
        /// Which image.
        image: String,
        /// `layer 3 of 7`.
        what: String,
    },
    /// The metadata of its last layer can't be read.
    #[error("{image}: the metadata of its last layer can't be read")]
    Legacy {
        /// Which image.
        image: String,
        /// Why.
        source: JsonError,
    },
}

/// The fields of a layer's metadata that make a config.
const CONFIG_FIELDS: [&str; 8] =
    ["architecture", "author", "config", "container_config", "created", "docker_version", "os", "variant"];

impl ArchivedImage {
    /// The name it goes by: the first that is a reference.
    pub fn reference(&self) -> Option<&Reference> {
        // What `index.json` says is in full, and may be a digest.
        let in_oci = self.names.iter().filter(|name| name.in_oci).find_map(|name| name.reference.as_ref());
        in_oci.or_else(|| self.names.iter().find_map(|name| name.reference.as_ref()))
    }

    /// The image with the manifest that came along, under `reference`; none if none did.
    pub fn resolved(&self, reference: Reference) -> Option<ResolvedImage> {
        let (document, manifest) = self.manifest.as_ref()?;
        let config = &self.config.as_ref()?.config;
        let outermost = self.indexes.first().unwrap_or(document);
        let target = match &self.root {
            // What `index.json` says of its size may be wrong.
            Some(root) => outermost.descriptor(root.media_type.clone()),
            None => outermost.descriptor(manifest.media_type.clone()),
        };
        Some(ResolvedImage {
            reference,
            target,
            platform: self.marked.as_ref().map_or_else(|| config.platform(), Platform::normalised),
            asked_os_version: None,
            indexes: self.indexes.clone(),
            manifest_document: document.clone(),
            manifest: manifest.clone(),
            config: config.clone(),
        })
    }
}

impl Archive {
    /// The image under `reference`, with a manifest made of what its layers turned out to be. What is made is the same
    /// for the same config and layers.
    pub fn resolved_anew(
        &self,
        image: &ArchivedImage,
        reference: Reference,
        contents: &Contents,
        known: &Known<'_>,
    ) -> Result<ResolvedImage, Unresolved> {
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for (index, wanted) in wanted(image).into_iter().enumerate() {
            let what = || image.layer_label(index);
            let measured = found(image, wanted.as_ref(), index, contents, known)
                .ok_or_else(|| Unresolved::Layer { image: image.label(), what: what() })?;
            let tar = measured.tar_hashes().unwrap_or(&measured.hashes);
            diff_ids.push(tar.by(Algorithm::Sha256).clone());
            layers.push(descriptor(measured));
        }
        let config = match &image.config {
            Some(stored) if !has_its_digest(stored) => {
                return Err(Unresolved::Config { image: image.label(), path: stored.path.clone() });
            }
            Some(stored) => stored.config.clone(),
            None if image.form.docker || image.form.oci => {
                return Err(Unresolved::NoConfig { image: image.label() });
            }
            None => self.config_of_metadata(image, &diff_ids)?,
        };
        let config_digest = Digest::of(config.bytes());
        let manifest = Manifest {
            media_type: MediaType::OciManifest,
            config: Descriptor::new(MediaType::OciConfig, config_digest, config.bytes().len() as u64),
            layers,
        };
        let document = Document::manifest_of(&manifest.config, &manifest.layers);
        Ok(ResolvedImage {
            reference,
            target: document.descriptor(MediaType::OciManifest),
            platform: config.platform(),
            asked_os_version: None,
            indexes: Vec::new(),
            manifest_document: document,
            manifest,
            config,
        })
    }

    fn metadata(&self, layer: &ArchivedLayer) -> Option<Bytes> {
        self.document(self.names().place(&metadata_path(&layer.path))?).ok().flatten()
    }

    /// A config of what Docker 1.9 wrote into an image's last layer.
    fn config_of_metadata(
        &self,
        image: &ArchivedImage,
        diff_ids: &[Digest],
    ) -> Result<ImageConfig, Unresolved> {
        if !image.is_chain {
            return Err(Unresolved::Parents { image: image.label() });
        }
        let no_config = || Unresolved::NoConfig { image: image.label() };
        let bytes = image.layers.last().and_then(|last| self.metadata(last)).ok_or_else(no_config)?;
        let broken =
            |error: serde_json::Error| Unresolved::Legacy { image: image.label(), source: error.into() };
        let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(&bytes).map_err(broken)?;
        let fields = CONFIG_FIELDS.iter().filter_map(|name| Some((*name, *fields.get(*name)?)));
        let rootfs = RootFs { kind: "layers", diff_ids };
        let made = Made { fields: fields.collect(), rootfs };
        let bytes = serde_json::to_vec(&made).map_err(broken)?;
        ImageConfig::parse(bytes.into()).map_err(|source| Unresolved::Legacy { image: image.label(), source })
    }
}

/// False for a config that has a digest for its name, and other bytes.
fn has_its_digest(StoredConfig { path, config, .. }: &StoredConfig) -> bool {
    digest_named_by(path).is_none_or(|named| Digest::by(named.algorithm(), config.bytes()) == named)
}

#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    fields: BTreeMap<&'a str, &'a RawValue>,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
struct RootFs<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    diff_ids: &'a [Digest],
}

/// The layers by their diff IDs, as the config lists them; without one each layer that is named is what it is.
fn wanted(image: &ArchivedImage) -> Vec<Option<DiffId>> {
    match &image.config {
        Some(stored) => stored.config.diff_ids().iter().cloned().map(Some).collect(),
        None => vec![None; image.layers.len()],
    }
}

/// What a layer turned out to be: that in its place if it is the one, or else any content that is.
fn found<'a>(
    image: &ArchivedImage,
    wanted: Option<&DiffId>,
    index: usize,
    contents: &'a Contents,
    known: &Known<'a>,
) -> Option<&'a Measured> {
    let is_one = |measured: &&Measured| match (measured.tar_hashes(), wanted) {
        (Some(tar), Some(diff_id)) => tar.are(diff_id.digest()),
        (tar, None) => tar.is_some(),
        (None, Some(_)) => false,
    };
    let in_place = image.layers.get(index).and_then(|layer| contents.get(&layer.place?)?.as_ref().ok());
    in_place.filter(is_one).or_else(|| known.layer(wanted?))
}

fn descriptor(measured: &Measured) -> Descriptor {
    let compression = match measured.packing {
        Packing::Gzip => Compression::Gzip,
        Packing::Zstd => Compression::Zstd,
        _ => Compression::Plain,
    };
    let media_type = MediaType::Layer(LayerType { compression, foreign: false, oci: true });
    Descriptor::new(media_type, measured.hashes.by(Algorithm::Sha256).clone(), measured.size_bytes)
}
