//! Mirror: images out of a containerd root into a folder that is such a root itself, with them and nothing else.
//!
//! ```text
//! images ──open──▶ every blob, before the first is copied ──copy──▶ each hashed in its place, renamed ──▶ meta.db, the last
//! ```
//!
//! A blob that is open stays, even if containerd's garbage collection takes its name away meanwhile. What has a final name
//! was verified; what an earlier run left under one is verified again. The metadata comes last, so a folder with metadata
//! has all that it names.
//!
//! Neighbours: [`crate::containerd_store`] reads roots, mirrors among them; [`crate::bolt`] writes the metadata.

mod blobs;
mod import;
mod metadata;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use self::blobs::Blob;
use crate::archive::PlanError;
use crate::containerd_store::{META_DB, Root, StoreError, StoredImage};
use crate::error::Result;
use crate::event::{Event, Reporter, Warning};
use crate::fsio::{Existing, Waiting, allow_open_files, blocking, check_room, folder_of, write_whole};
use crate::image::{Descriptor, Digest, Document, ResolvedImage};

pub use import::Import;

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

/// What a mirror's metadata is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// Written anew, with the images of the mirror and their content. A containerd runs on it.
    Anew,
    /// The root's, byte for byte, with all the images and snapshots that the mirror hasn't.
    Verbatim,
}

/// What all steps of a mirror work with.
#[derive(Clone, Copy)]
pub struct Mirror<'a> {
    /// Where the images come from.
    pub root: &'a Root,
    /// The folder that is to be a root; made where it isn't there.
    pub folder: &'a Path,
    /// What its metadata is to be.
    pub metadata: Metadata,
    /// Who is told what happens.
    pub reporter: &'a dyn Reporter,
}

/// A mirror that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// How many blobs the images have, each once.
    pub blobs: usize,
    /// Their sizes added up.
    pub blob_bytes: u64,
    /// How many of them were there already.
    pub kept: usize,
}

impl MirroredImage {
    /// The documents that lead to its platforms, each once; parents come before children.
    fn documents(&self) -> Vec<&Document> {
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
    fn parts(&self) -> impl Iterator<Item = Descriptor> {
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

impl Mirror<'_> {
    /// Copies what `images` are made of, and then writes the metadata.
    pub async fn write(&self, images: &[MirroredImage]) -> Result<Mirrored> {
        let canonical = |path: &Path| path.canonicalize().ok();
        let is_the_root = canonical(self.folder).is_some_and(|one| canonical(self.root.path()) == Some(one));
        if is_the_root || Root::is_more_than_images(self.folder) {
            return Err(StoreError::NotAMirror { path: self.folder.to_owned() }.into());
        }
        let blobs = self.open(images)?;
        let metadata = match self.metadata {
            Metadata::Anew => metadata::of(self.root, images)?,
            Metadata::Verbatim => self.root.database().bytes().to_vec(),
        };
        self.warn_of_others(images);
        let (count, blob_bytes) = (blobs.len(), blobs.iter().map(Blob::size_bytes).sum());
        self.reporter.report(Event::MirrorStarted { path: self.folder, blobs: count, blob_bytes });
        let kept = self.copy(blobs).await?;
        let meta_db = self.folder.join(META_DB);
        let written = blocking(move || {
            blobs::make_folder(folder_of(&meta_db))?;
            blobs::remove_link(&meta_db)?;
            write_whole(&meta_db, &metadata, Existing::Replace)
        });
        written.await?;
        self.reporter.report(Event::Committed { path: self.folder, size_bytes: blob_bytes });
        Ok(Mirrored { blobs: count, blob_bytes, kept })
    }

    /// Other images that the folder's metadata names so far, it names no more.
    fn warn_of_others(&self, images: &[MirroredImage]) {
        let Ok(mirror) = Root::open(self.folder) else { return };
        let names = mirror.namespaces().unwrap_or_default();
        let known = names.iter().flat_map(|namespace| {
            let stored = mirror.store(namespace).list().unwrap_or_default();
            stored.into_iter().map(move |image| (namespace, image.name))
        });
        let others = known.filter(|(namespace, name)| {
            !images.iter().any(|one| one.namespace == **namespace && one.image.name == *name)
        });
        let images = others.count();
        if images > 0 && self.metadata == Metadata::Anew {
            let folder = self.folder.to_owned();
            self.reporter.report(Event::Warning(&Warning::MirrorForgets { folder, images }));
        }
    }

    /// Opens every blob of the images, each once, the largest first.
    fn open(&self, images: &[MirroredImage]) -> Result<Vec<Blob>> {
        let mut parts: HashMap<Digest, Descriptor> = HashMap::new();
        for part in images.iter().flat_map(MirroredImage::parts) {
            let known = parts.entry(part.digest.clone()).or_insert_with(|| part.clone());
            if known.size_bytes != part.size_bytes {
                let (digest, one, other) = (part.digest, known.size_bytes, part.size_bytes);
                return Err(PlanError::TwoSizes { digest, one, other }.into());
            }
        }
        let mut parts: Vec<_> = parts.into_values().collect();
        parts.sort_by(|one, other| other.size_bytes.cmp(&one.size_bytes).then(one.digest.cmp(&other.digest)));
        allow_open_files(parts.len());
        let blobs = parts.into_iter().map(|part| Blob::open(part, self.root.content(), self.folder));
        let blobs = blobs.collect::<Result<Vec<_>>>()?;
        for blob in &blobs {
            blobs::make_folder(folder_of(blob.target()))?;
        }
        let missing = blobs.iter().filter(|blob| !blob.target().exists());
        let missing: Vec<(&Path, u64)> = missing.map(|blob| (blob.target(), blob.size_bytes())).collect();
        check_room(&missing)?;
        Ok(blobs)
    }

    /// Copies blobs, as many at a time as there are processors; how many were there already.
    async fn copy(&self, blobs: Vec<Blob>) -> Result<usize> {
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let waiting = Waiting::default();
        let is_awaited = waiting.asked();
        let blobs = Arc::new(blobs);
        let work = Arc::clone(&blobs);
        let copying = blocking(move || blobs::copy_all(&work, &is_awaited, &|step| _ = sender.send(step)));
        let telling = async {
            while let Some((index, step)) = told.recv().await {
                let (digest, size_bytes) = (blobs[index].digest(), blobs[index].size_bytes());
                self.reporter.report(match step {
                    blobs::Step::Started => Event::BlobStarted { digest, size_bytes },
                    blobs::Step::Progressed(bytes) => Event::BlobProgressed { digest, bytes },
                    blobs::Step::Verified => Event::BlobVerified { digest },
                });
            }
        };
        let (copied, ()) = tokio::join!(copying, telling);
        drop(waiting);
        copied
    }
}
