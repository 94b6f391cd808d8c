//! An image of a mirror: what it is made of, for each of its platforms.

use std::collections::HashSet;

use crate::containerd_store::{Store, StoreError, StoreSource, StoredImage};
use crate::error::Result;
use crate::event::Reporter;
use crate::image::{Descriptor, Digest, Document, Platform, ResolvedImage};
use crate::pull::Pull;

/// An image that is to be in a mirror, with those of its platforms that are.
#[derive(Clone, Debug)]
pub struct MirroredImage {
    /// The namespace it is in.
    pub namespace: String,
    /// Its name and what that stands for.
    pub image: StoredImage,
    /// The image for each platform. All are of the image's target.
    pub resolved: Vec<ResolvedImage>,
}

impl MirroredImage {
    /// An image of a store for these platforms. Its documents and configs are read, and hashed.
    pub async fn of(
        store: &Store,
        image: &StoredImage,
        platforms: &[Platform],
        reporter: &dyn Reporter,
    ) -> Result<Self> {
        let no_reference = || StoreError::NoReference { name: image.name.clone() };
        let reference = image.pinned().ok_or_else(no_reference)?;
        let source = StoreSource::new(store.root().content().clone(), []);
        let pull = Pull::of_files(&source, reporter);
        let mut resolved = Vec::new();
        for platform in platforms {
            resolved.push(pull.resolved(&reference, Some(platform)).await?);
        }
        Ok(Self { namespace: store.namespace().to_owned(), image: image.clone(), resolved })
    }

    /// True if both have the same name.
    pub(super) fn is_named(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.image.name == name
    }

    /// True if it can't be without one of these.
    pub(super) fn needs_any(&self, blobs: &HashSet<Digest>) -> bool {
        !blobs.is_empty() && self.parts().any(|part| blobs.contains(&part.digest))
    }

    /// The documents that lead to its platforms, each once; parents come before children.
    pub(super) fn documents(&self) -> Vec<&Document> {
        let mut documents: Vec<&Document> = Vec::new();
        for image in &self.resolved {
            for document in image.indexes.iter().chain([&image.manifest_document]) {
                if !documents.iter().any(|known| known.digest() == document.digest()) {
                    documents.push(document);
                }
            }
        }
        documents
    }

    /// Everything it is made of.
    pub(super) fn parts(&self) -> impl Iterator<Item = Descriptor> {
        let documents = self
            .documents()
            .into_iter()
            .map(|document| document.descriptor(self.image.target.media_type.clone()));
        let blobs = self
            .resolved
            .iter()
            .flat_map(|image| std::iter::once(&image.manifest.config).chain(&image.manifest.layers).cloned());
        documents.chain(blobs)
    }
}
