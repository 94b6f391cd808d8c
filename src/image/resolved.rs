//! An image with everything known that a plan needs: the answer of *resolve*.

use super::{Descriptor, Document, ImageConfig, Manifest, Platform, Reference};

/// A reference followed down to one platform's manifest and config.
#[derive(Clone, Debug)]
pub struct ResolvedImage {
    /// What was asked for.
    pub reference: Reference,
    /// What the reference resolved to at the source: the outermost index, or the manifest itself.
    pub target: Descriptor,
    /// What the image is built for, by the index that led to it, or else by its config.
    pub platform: Platform,
    /// The os version that was asked for, if one was; the platform's may be longer.
    pub asked_os_version: Option<String>,
    /// The indexes between the reference and the manifest, outermost first; none where the name is the manifest's.
    pub indexes: Vec<Document>,
    /// The chosen manifest's bytes.
    pub manifest_document: Document,
    /// The chosen manifest, read.
    pub manifest: Manifest,
    /// The config, verified against the manifest.
    pub config: ImageConfig,
}
