//! Mirror: images out of a containerd root into a folder that is such a root itself, with them and nothing else.
//!
//! ```text
//! images ──open──▶ every blob, before the first is copied ──copy──▶ each hashed in its place, renamed ──▶ meta.db, the last
//! ```
//!
//! What earlier runs brought is verified, and its names are taken over into the new metadata.
//!
//! A blob that is open stays, even if containerd's garbage collection takes its name away meanwhile. What has a final name
//! was verified; what an earlier run left under one is verified again. The metadata comes last, so a folder with metadata
//! has all that it names.
//!
//! ```no_run
//! use std::path::Path;
//! use sealift::containerd_store::Store;
//! use sealift::mirror::export_images_to_dir;
//!
//! # async fn save() -> sealift::Result<()> {
//! let store = Store::open(Path::new("/mnt/var/lib/containerd"), "k8s.io")?;
//! export_images_to_dir(&store, &store.list()?, Path::new("usb/mirror")).await?;
//! let nginx = store.resolve("nginx")?; // one more: a mirror is added to
//! export_images_to_dir(&store, &[nginx], Path::new("usb/mirror")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Neighbours: [`crate::containerd_store`] reads roots, mirrors among them; [`crate::bolt`] writes the metadata.

mod blobs;
mod earlier;
mod image;
mod import;
mod metadata;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use self::blobs::{Blob, Copied};
use self::earlier::Earlier;
use crate::archive::PlanError;
use crate::containerd_store::{LayersFrom, META_DB, Root, Store, StoreError, StoredImage};
use crate::error::Result;
use crate::event::{Event, Reporter, Silent, Warning};
use crate::fsio::{Existing, Waiting, allow_open_files, blocking, check_room, folder_of, write_whole};
use crate::image::{Descriptor, Digest, Platform};

pub use image::MirroredImage;
pub use import::{Import, Imported};

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
    /// How many images of other names earlier runs brought, which stay.
    pub earlier: usize,
}

/// An image that is wanted in a mirror.
#[derive(Clone, Debug)]
pub struct WantedImage {
    /// Where it is.
    pub store: Store,
    /// The image.
    pub image: StoredImage,
    /// For what.
    pub platforms: Vec<Platform>,
}

/// Images of a store into a mirror at `folder`, each for linux/amd64 or the only platform it is there for. [`Mirror`] has
/// all there is to choose.
pub async fn export_images_to_dir(store: &Store, images: &[StoredImage], folder: &Path) -> Result<Mirrored> {
    let mut wanted = Vec::new();
    for image in images {
        let platforms = store.platforms(image, &[], LayersFrom::Content)?;
        wanted.push(WantedImage { store: store.clone(), image: image.clone(), platforms });
    }
    let mirror = Mirror { root: store.root(), folder, metadata: Metadata::Anew, reporter: &Silent };
    mirror.export(&wanted).await
}

impl Mirror<'_> {
    /// Finds out what images are made of, and writes them.
    pub async fn export(&self, wanted: &[WantedImage]) -> Result<Mirrored> {
        let mut images = Vec::new();
        for WantedImage { store, image, platforms } in wanted {
            images.push(MirroredImage::of(store, image, platforms, self.reporter).await?);
        }
        self.write(&images).await
    }

    /// Copies what `images` are made of, and then writes the metadata. What earlier runs brought is verified and stays.
    pub async fn write(&self, images: &[MirroredImage]) -> Result<Mirrored> {
        let canonical = |path: &Path| path.canonicalize().ok();
        let is_the_root = canonical(self.folder).is_some_and(|one| canonical(self.root.path()) == Some(one));
        if is_the_root || Root::is_more_than_images(self.folder) {
            return Err(StoreError::NotAMirror { path: self.folder.to_owned() }.into());
        }
        let mut blobs = self.open(images)?;
        let own: HashSet<Digest> = blobs.iter().map(|blob| blob.digest().clone()).collect();
        let own_bytes = blobs.iter().map(Blob::size_bytes).sum();
        let mut earlier = match self.metadata {
            Metadata::Anew => Earlier::of(self.folder, images).await?,
            Metadata::Verbatim => None,
        };
        let of_earlier = earlier.iter().flat_map(Earlier::parts).filter(|part| !own.contains(&part.digest));
        blobs.extend(of_earlier.map(|part| Blob::of_earlier(part, self.folder)));
        let metadata = self.metadata_of(images, earlier.as_ref())?;
        let blob_bytes = blobs.iter().map(Blob::size_bytes).sum();
        self.reporter.report(Event::MirrorStarted { path: self.folder, blobs: blobs.len(), blob_bytes });
        let copied = self.copy(blobs).await?;
        if let Some(earlier) = &mut earlier {
            earlier.forget(&copied.lost);
        }
        let is_whole = copied.lost.is_empty();
        let metadata = if is_whole { metadata } else { self.metadata_of(images, earlier.as_ref())? };
        self.warn_of_forgotten(earlier.as_ref())?;
        let meta_db = self.folder.join(META_DB);
        let written = blocking(move || {
            blobs::make_folder(folder_of(&meta_db))?;
            blobs::remove_link(&meta_db)?;
            write_whole(&meta_db, &metadata, Existing::Replace)
        });
        written.await?;
        self.reporter.report(Event::Committed { path: self.folder, size_bytes: own_bytes });
        let kept = copied.kept.intersection(&own).count();
        let is_other = |one: &&MirroredImage| {
            !images.iter().any(|image| image.is_named(&one.namespace, &one.image.name))
        };
        let earlier = earlier.map_or(0, |earlier| earlier.images.iter().filter(is_other).count());
        Ok(Mirrored { blobs: own.len(), blob_bytes: own_bytes, kept, earlier })
    }

    /// The metadata that names these images, and those of earlier runs.
    fn metadata_of(&self, images: &[MirroredImage], earlier: Option<&Earlier>) -> Result<Vec<u8>> {
        if self.metadata == Metadata::Verbatim {
            return Ok(self.root.database().bytes().to_vec());
        }
        let earlier =
            earlier.iter().flat_map(|earlier| earlier.images.iter().map(|image| (&earlier.root, image)));
        // Of what both have, the newer counts.
        let all: Vec<_> = earlier.chain(images.iter().map(|image| (self.root, image))).collect();
        Ok(metadata::of(self.root.schema_version()?, &all)?)
    }

    /// Says how many images the folder's metadata named so far, and names no more.
    fn warn_of_forgotten(&self, earlier: Option<&Earlier>) -> Result<()> {
        let folder = self.folder.to_owned();
        let forgotten = earlier.map_or(0, |earlier| earlier.forgotten);
        let warning = match self.metadata {
            Metadata::Anew if forgotten > 0 => Warning::MirrorForgets { folder, images: forgotten },
            Metadata::Anew => return Ok(()),
            Metadata::Verbatim => match earlier::count_unknown_to(self.root, self.folder)? {
                0 => return Ok(()),
                images => Warning::MirrorOverwritten { folder, images },
            },
        };
        self.reporter.report(Event::Warning(&warning));
        Ok(())
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

    /// Copies blobs, as many at a time as there are processors.
    async fn copy(&self, blobs: Vec<Blob>) -> Result<Copied> {
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
