//! An image as an archive describes it, from whichever of its documents.

use std::sync::Arc;

use crate::archive::names::Place;
use crate::foreign::shown;
use crate::image::manifest::Document;
use crate::image::{Descriptor, DiffId, Digest, ImageConfig, Manifest, Platform, Reference};

/// An image in an archive. Nothing of it is believed: its documents parsed, that is all.
#[derive(Clone, Debug)]
pub struct ArchivedImage {
    /// Its names, as its documents give them.
    pub names: Vec<ImageName>,
    /// Which documents name it.
    pub form: Form,
    /// What `index.json` says of it; several images are there where that is an index.
    pub root: Option<Descriptor>,
    /// The indexes between that and the manifest, outermost first.
    pub indexes: Vec<Document>,
    /// What the outermost has images for; one list for all its images.
    pub platforms: Arc<[String]>,
    /// What the innermost says that this image is for.
    pub marked: Option<Platform>,
    /// The manifest as its registry had it, if it came along.
    pub manifest: Option<(Document, Manifest)>,
    /// Its config; none if it is missing or can't be read.
    pub config: Option<StoredConfig>,
    /// The layers, lowest first.
    pub layers: Vec<ArchivedLayer>,
    /// True if each layer's own metadata names the one below it, and the lowest has none. What has a document that names
    /// its layers needs none of that.
    pub is_chain: bool,
}

/// Which documents name an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// `manifest.json` does.
    pub docker: bool,
    /// `index.json` does.
    pub oci: bool,
}

/// A name of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// As it stands there.
    pub text: String,
    /// The same, if it is a reference.
    pub reference: Option<Reference>,
    /// True where `manifest.json` has it.
    pub in_docker: bool,
    /// True where `index.json` has it.
    pub in_oci: bool,
}

/// A config and where it is.
#[derive(Clone, Debug)]
pub struct StoredConfig {
    /// The entry that has it.
    pub path: String,
    /// What its bytes hash to.
    pub digest: Digest,
    /// The config, read.
    pub config: ImageConfig,
}

/// A layer of an image.
#[derive(Clone, Debug)]
pub struct ArchivedLayer {
    /// The entry that `manifest.json` names, or else that of the blob.
    pub path: String,
    /// Where that is; none if it is missing.
    pub place: Option<Place>,
    /// What the manifest says of it, if there is one, and where that blob is.
    pub blob: Option<(Descriptor, Option<Place>)>,
    /// What its tar should hash to; none if the config doesn't say.
    pub diff_id: Option<DiffId>,
}

impl ArchivedImage {
    /// What it is called in messages: by its first name, its config or its last layer.
    pub fn label(&self) -> String {
        match (self.names.first(), &self.config, self.layers.last()) {
            (Some(name), _, _) => format!("`{}`", shown(&name.text)),
            (None, Some(config), _) => format!("the image {}", config.digest.short()),
            (None, None, Some(layer)) => format!("the image of `{}`", shown(&layer.path)),
            (None, None, None) => "an image of nothing".to_owned(),
        }
    }

    /// What it is built for; none if its config can't be read.
    pub fn platform(&self) -> Option<Platform> {
        self.config.as_ref().map(|stored| stored.config.platform())
    }

    /// What its name is the digest of, if `index.json` has it.
    pub fn root_digest(&self) -> Option<&Digest> {
        self.root.as_ref().map(|root| &root.digest)
    }

    /// How messages call a layer: `layer 3 of 7`.
    pub fn layer_label(&self, index: usize) -> String {
        format!("layer {} of {}", index + 1, self.layers.len())
    }
}
