//! Push: images of a source to a registry: gather → what is there? → blobs → manifests, the root last, under its name.
//!
//! Neighbours: images come from a [`Source`], [`crate::registry::Upload`] is how a blob gets there. Nothing is sent that is
//! there, nothing under a name before all it names is. Manifests go as the bytes they are, so digests stay.

mod archive;
mod blob;
mod destination;
mod gather;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{join_all, try_join_all};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use crate::attempts::{Retries, persistently};
use crate::error::{Error, Result};
use crate::event::{Event, Reporter};
use crate::image::{Descriptor, Digest, Document, MediaType, Reference, Registry, Repository};
use crate::registry::Client;
use crate::source::{Selector, Source};

pub use archive::PushableArchive;
pub use blob::Placed;
pub use destination::{Destination, DestinationError, Rename, RenameError};
pub use gather::GatherError;

/// What all steps of a push work with.
#[derive(Clone, Copy)]
pub struct Push<'a> {
    /// Where images come from.
    pub source: &'a dyn Source,
    /// What that is called.
    pub origin: &'a str,
    /// The registry they go to is reached by this.
    pub client: &'a Client,
    /// Who is told what happens.
    pub reporter: &'a dyn Reporter,
    /// How many connections send blobs at the same time, at least one.
    pub connections: usize,
    /// What is done about failures that may pass.
    pub retries: Retries,
}

/// A manifest or index with the media type its content turned out to have.
#[derive(Clone, Debug)]
pub struct TypedDocument {
    /// Its bytes.
    pub document: Document,
    /// What it is.
    pub media_type: MediaType,
}

/// An image as its source names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceImage {
    /// Its name, if it has one.
    pub name: Option<Reference>,
    /// What its manifest or index is fetched by.
    pub target: Selector,
    /// True if the source does not have the registry's manifest, but one made of what it has: then its digest is new.
    pub is_made: bool,
}

impl fmt::Display for SourceImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.target) {
            (Some(name), _) => name.fmt(formatter),
            (None, Selector::Digest(digest)) => digest.fmt(formatter),
            (None, Selector::Tag(tag)) => formatter.write_str(tag),
        }
    }
}

/// An image, gathered from its source, and where it goes.
#[derive(Clone, Debug)]
pub struct ImageToPush {
    /// What the source calls it.
    pub name: String,
    /// Where it is at the source.
    pub from: Repository,
    /// Its name at the registry.
    pub to: Reference,
    /// What the name will stand for.
    pub root: TypedDocument,
    /// What the root names, in an order in which each comes after what it names itself.
    pub children: Vec<TypedDocument>,
    /// All configs and layers, each once.
    pub blobs: Vec<Descriptor>,
}

impl ImageToPush {
    /// The digest the name will stand for.
    pub fn digest(&self) -> &Digest {
        self.root.document.digest()
    }

    /// The sizes of all its blobs and documents, added up.
    pub fn size_bytes(&self) -> u64 {
        let documents = self.children.iter().chain([&self.root]).map(|one| one.document.bytes().len() as u64);
        self.blobs.iter().map(|blob| blob.size_bytes).chain(documents).sum()
    }

    /// What it is put under: its tag, or else its digest.
    fn selector(&self) -> Selector {
        self.to
            .tag()
            .map_or_else(|| Selector::Digest(self.digest().clone()), |tag| Selector::Tag(tag.to_owned()))
    }
}

/// What became of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// True if the registry had it under this name: nothing was sent.
    pub was_there: bool,
    /// What was sent of blobs.
    pub sent_bytes: u64,
    /// How many blobs the registry took from another of its repositories.
    pub mounted: usize,
}

/// What a push would do for an image.
#[derive(Clone, Debug)]
pub struct Survey {
    /// True if the registry has it under this name.
    pub is_there: bool,
    /// The blobs that it does not have there.
    pub missing: Vec<Descriptor>,
}

/// What is known of where blobs are at the registry, and how many are dealt with at the same time.
struct Places {
    turns: Semaphore,
    blobs: Mutex<HashMap<Digest, Known>>,
}

/// The repositories that have a blob. Who holds it is putting the blob into one more.
type Known = Arc<AsyncMutex<Vec<Repository>>>;

impl Places {
    fn new(connections: usize) -> Self {
        Self { turns: Semaphore::new(connections.max(1)), blobs: Mutex::default() }
    }

    fn of(&self, digest: &Digest) -> Known {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(blobs.entry(digest.clone()).or_default())
    }
}

impl Push<'_> {
    /// Pushes all images at the same time; one that fails doesn't stop the others. What became of each is told as it is
    /// known, and in the end, in their order.
    pub async fn push(&self, images: &[ImageToPush]) -> Vec<Result<Pushed>> {
        let places = Places::new(self.connections);
        let there = join_all(images.iter().map(|image| self.is_there(&places, image))).await;
        let is_missing = |there: &Result<bool>| matches!(there, Ok(false));
        let missing: Vec<_> = images
            .iter()
            .zip(&there)
            .filter(|(_, there)| is_missing(there))
            .map(|(image, _)| image)
            .collect();
        if let Some(first) = missing.first() {
            self.report_start(first.to.registry(), &missing);
        }
        let pushes = images.iter().zip(there).map(|(image, there)| {
            let places = &places;
            async move {
                if there? {
                    return Ok(Pushed { was_there: true, ..Pushed::default() });
                }
                self.push_image(places, image).await
            }
        });
        let results = join_all(pushes).await;
        self.reporter.report(Event::PushEnded);
        results
    }

    /// Looks what the registry has of the images, and sends nothing. What several of them miss is counted for the first.
    pub async fn survey(&self, images: &[ImageToPush]) -> Result<Vec<Survey>> {
        let places = Places::new(self.connections);
        let surveys = images.iter().map(|image| self.survey_image(&places, image));
        let mut surveys = try_join_all(surveys).await?;
        let mut counted = HashSet::new();
        for survey in &mut surveys {
            survey.missing.retain(|blob| counted.insert(blob.digest.clone()));
        }
        Ok(surveys)
    }

    async fn survey_image(&self, places: &Places, image: &ImageToPush) -> Result<Survey> {
        if self.is_there(places, image).await? {
            return Ok(Survey { is_there: true, missing: vec![] });
        }
        let looks = image.blobs.iter().map(|blob| async {
            let _turn = places.turns.acquire().await;
            let look = || self.has_blob(image.to.repository(), &blob.digest);
            let is_there = persistently(self.retries, self.reporter, &blob.digest.to_string(), look).await?;
            Ok::<_, Error>((!is_there).then(|| blob.clone()))
        });
        let missing = try_join_all(looks).await?.into_iter().flatten().collect();
        Ok(Survey { is_there: false, missing })
    }

    async fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool> {
        Ok(self.client.has_blob(repository, digest).await?)
    }

    /// True if the registry has the image under its name, and all documents that it is made of.
    async fn is_there(&self, places: &Places, image: &ImageToPush) -> Result<bool> {
        let has = |selector: Selector, digest| async move {
            let _turn = places.turns.acquire().await;
            let ask = || async { Ok(self.client.manifest_digest(image.to.repository(), &selector).await?) };
            let found = persistently(self.retries, self.reporter, &image.to.to_string(), ask).await?;
            Ok::<_, Error>(found.as_ref() == Some(digest))
        };
        if !has(image.selector(), image.digest()).await? {
            return Ok(false);
        }
        let children = image.children.iter().map(|child| child.document.digest());
        let there =
            try_join_all(children.map(|digest| has(Selector::Digest(digest.clone()), digest))).await?;
        Ok(there.into_iter().all(|is_there| is_there))
    }

    async fn push_image(&self, places: &Places, image: &ImageToPush) -> Result<Pushed> {
        let blobs = image.blobs.iter().map(|blob| Box::pin(self.place_blob(places, image, blob)));
        let mut pushed = Pushed::default();
        for (placed, blob) in try_join_all(blobs).await?.into_iter().zip(&image.blobs) {
            match placed {
                Placed::Sent => pushed.sent_bytes += blob.size_bytes,
                Placed::Mounted => pushed.mounted += 1,
                Placed::WasThere | Placed::LeftOut => {}
            }
        }
        for child in &image.children {
            self.put(image, child, &Selector::Digest(child.document.digest().clone())).await?;
        }
        self.put(image, &image.root, &image.selector()).await?;
        Ok(pushed)
    }

    async fn put(&self, image: &ImageToPush, one: &TypedDocument, selector: &Selector) -> Result<()> {
        let TypedDocument { document, media_type } = one;
        let put = || async {
            Ok(self.client.put_manifest(image.to.repository(), selector, document, media_type).await?)
        };
        persistently(self.retries, self.reporter, &image.to.to_string(), put).await
    }

    fn report_start(&self, registry: &Registry, images: &[&ImageToPush]) {
        let mut known = HashSet::new();
        let all = images.iter().flat_map(|image| &image.blobs);
        let blobs: Vec<_> = all.filter(|blob| known.insert(&blob.digest)).collect();
        let blob_bytes = blobs.iter().map(|blob| blob.size_bytes).sum();
        self.reporter.report(Event::PushStarted { registry, blobs: blobs.len(), blob_bytes });
    }
}
