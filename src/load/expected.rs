//! What is in an archive, as far as loading has to know it: names, IDs, platforms.

use super::made_manifest;
use crate::archive::contents::digest_named_by;
use crate::archived::{Archive, ArchivedImage};
use crate::image::media_type::LayerType;
use crate::image::{Compression, Descriptor, Digest, MediaType, Platform, Reference};

/// What gzip begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An image that an archive holds.
#[derive(Clone, Debug)]
pub(super) struct ExpectedImage {
    /// Its names.
    pub(super) names: Vec<Reference>,
    /// What loaders may call it: the digests of its config, which is the first, of its manifest, of the index its name
    /// resolved to and of the manifest that containerd makes.
    pub(super) ids: Vec<Digest>,
    /// The digests of its inflated layers, lowest first.
    pub(super) diff_ids: Vec<Digest>,
    /// What it is for.
    pub(super) platform: Platform,
}

/// The images of `archive` whose configs can be read.
pub(super) fn images(archive: &Archive) -> Vec<ExpectedImage> {
    archive.images().iter().filter_map(|image| expected(archive, image)).collect()
}

fn expected(archive: &Archive, image: &ArchivedImage) -> Option<ExpectedImage> {
    let stored = image.config.as_ref()?;
    let mut ids = vec![stored.digest.clone()];
    ids.extend(image.manifest.iter().map(|(document, _)| document.digest().clone()));
    ids.extend(image.root.iter().map(|root| root.digest.clone()));
    ids.extend(image.indexes.iter().map(|index| index.digest().clone()));
    if image.manifest.is_none() {
        ids.extend(made_manifest(archive, image));
    }
    let mut names: Vec<Reference> = Vec::new();
    for name in image.names.iter().filter_map(|name| name.reference.as_ref()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let diff_ids = stored.config.diff_ids().iter().map(|diff_id| diff_id.digest().clone()).collect();
    Some(ExpectedImage { names, ids, diff_ids, platform: stored.config.platform() })
}

/// What containerd calls the image if nothing in the archive says what to call it.
fn made_manifest(archive: &Archive, image: &ArchivedImage) -> Option<Digest> {
    let stored = image.config.as_ref()?;
    let layers = image.layers.iter().map(|layer| {
        let place = layer.place?;
        let (compression, digest) = if archive.has(place.offset_bytes, &GZIP_MAGIC)? {
            (Compression::Gzip, digest_named_by(&layer.path)?)
        } else {
            (Compression::Plain, layer.diff_id.as_ref()?.digest().clone())
        };
        let media_type = MediaType::Layer(LayerType { compression, foreign: false, oci: false });
        Some(Descriptor::new(media_type, digest, place.size_bytes))
    });
    let layers: Vec<_> = layers.collect::<Option<_>>()?;
    let size_bytes = stored.config.bytes().len() as u64;
    let config = Descriptor::new(MediaType::DockerConfig, stored.digest.clone(), size_bytes);
    Some(made_manifest::digest(&config, &layers))
}
