//! Archives whose images are handed out at `/v2/`: each is opened once, for all who ask, and closed when it is deleted.
//!
//! Threats: archives are foreign. One that can't be used is opened once, too, and told once. What is packed as a whole
//! would have to be unpacked to the disk first, and is not handed out.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryStreamExt};

use super::App;
use super::folder::{FileName, Identity};
use super::lock;
use super::log::Asker;
use super::progress::with_causes;
use crate::blob::Packing;
use crate::fsio::{blocking, stream_range};
use crate::image::manifest::Parsed;
use crate::image::{Descriptor, Digest, Document, MediaType, Reference, Repository};
use crate::push::PushableArchive;
use crate::registry::server::{BlobBytes, StoredManifest};
use crate::source::{Selector, Source, SourceError};

/// Archives that are kept open.
const MAX_OPEN: usize = 256;
/// Documents that the names of one lead to.
const MAX_DOCUMENTS: usize = 1000;

/// On its way, or open; none if it can't be used.
type Opening = Shared<BoxFuture<'static, Option<Arc<OpenedArchive>>>>;

/// Those that are open, by their names.
#[derive(Default)]
pub(super) struct OpenedArchives(Mutex<HashMap<String, (Identity, Opening)>>);

/// An archive whose images are handed out.
pub(super) struct OpenedArchive {
    archive: PushableArchive,
    /// What each name leads to.
    pub(super) names: Vec<(Reference, Digest)>,
    pub(super) documents: HashMap<Digest, StoredManifest>,
    pub(super) blobs: HashMap<Digest, Descriptor>,
}

impl OpenedArchives {
    /// True if this very file is open, or on its way.
    pub(super) fn has(&self, name: &FileName, identity: Identity) -> bool {
        lock(&self.0).get(name.as_str()).is_some_and(|(known, _)| *known == identity)
    }

    /// Opens an archive, unless it is open; none if it can't be used.
    pub(super) async fn open(
        &self,
        app: &Arc<App>,
        name: &FileName,
        identity: Identity,
    ) -> Option<Arc<OpenedArchive>> {
        let opening = {
            let mut open = lock(&self.0);
            let known = open.get(name.as_str()).filter(|(known, _)| *known == identity);
            if let Some((_, opening)) = known {
                opening.clone()
            } else {
                if open.len() >= MAX_OPEN
                    && let Some(other) = open.keys().next().cloned()
                {
                    open.remove(&other);
                }
                let opening = begin(app, name);
                open.insert(name.as_str().to_owned(), (identity, opening.clone()));
                opening
            }
        };
        opening.await
    }

    /// Closes those with these names: as long as one is open, the disk keeps its bytes.
    pub(super) fn forget<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut open = lock(&self.0);
        names.for_each(|name| drop(open.remove(name)));
    }
}

/// On a task of its own: who asked first may go away.
fn begin(app: &Arc<App>, name: &FileName) -> Opening {
    let (app, name) = (Arc::clone(app), name.clone());
    let task = tokio::spawn(async move {
        let opened = OpenedArchive::open(&app, &name).await;
        let told = opened.inspect_err(|why| app.log.add(&Asker::server(), "registry", name.as_str(), why));
        told.ok().map(Arc::new)
    });
    async move { task.await.ok().flatten() }.boxed().shared()
}

impl OpenedArchive {
    async fn open(app: &Arc<App>, name: &FileName) -> Result<Self, String> {
        let (files, named) = (Arc::clone(&app.files), name.clone());
        let opened =
            blocking(move || files.folder.archive(&named)).await.map_err(|error| with_causes(&error))?;
        let (archive, _) = opened.ok_or("it is gone")?;
        if archive.packing() != Packing::Plain {
            return Err("it is packed as a whole, so nothing is handed out of it".to_owned());
        }
        let has_manifests = archive.images().iter().all(|image| image.manifest.is_some());
        let archive = move || PushableArchive::of(archive);
        let archive = if has_manifests {
            blocking(archive).await
        } else {
            // All layers are read to make them.
            app.reading(archive).await.map_err(|_| "the server is stopping")?
        };
        Ok(Self::of(archive.map_err(|error| with_causes(&error))?).await)
    }

    async fn of(archive: PushableArchive) -> Self {
        let mut opened =
            Self { names: Vec::new(), documents: HashMap::new(), blobs: HashMap::new(), archive };
        let named: Vec<_> = opened
            .archive
            .images
            .iter()
            .filter_map(|image| match &image.target {
                Selector::Digest(target) => Some((image.name.clone()?, target.clone())),
                Selector::Tag(_) => None,
            })
            .collect();
        for (reference, target) in named {
            opened.walk(reference.repository(), target.clone()).await;
            opened.names.push((reference, target));
        }
        opened
    }

    /// Takes down all that is there below a document.
    async fn walk(&mut self, repository: &Repository, target: Digest) {
        let mut waiting = vec![target];
        while let Some(digest) = waiting.pop() {
            if self.documents.contains_key(&digest) || self.documents.len() >= MAX_DOCUMENTS {
                continue;
            }
            // What an index names and the archive lacks is not there.
            let Ok(document) =
                self.archive.source.fetch_manifest(repository, &Selector::Digest(digest)).await
            else {
                continue;
            };
            let media_type = match document.parse() {
                Ok(Parsed::Index(index)) => {
                    waiting.extend(index.manifests.iter().map(|named| named.digest.clone()));
                    index.media_type
                }
                Ok(Parsed::Manifest(manifest)) => {
                    let blobs = manifest.layers.into_iter().chain([manifest.config]);
                    self.blobs.extend(blobs.map(|blob| (blob.digest.clone(), blob)));
                    manifest.media_type
                }
                Err(_) => continue,
            };
            self.documents.insert(document.digest().clone(), stored(&document, media_type));
        }
    }

    /// The bytes of a blob in `range`; none if they aren't there.
    pub(super) async fn read(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Option<BlobBytes>, SourceError> {
        let source = &self.archive.source;
        if let Some((file, place)) = source.place_in_file(digest) {
            let at = |bytes: u64| place.start.saturating_add(bytes).min(place.end);
            return Ok(Some(stream_range(file, at(range.start)..at(range.end))));
        }
        let (Some(blob), Some((reference, _))) = (self.blobs.get(digest), self.names.first()) else {
            return Ok(None);
        };
        let stream = source.open_blob(reference.repository(), blob, range).await?;
        Ok(Some(stream.map_err(io::Error::other).boxed()))
    }
}

fn stored(document: &Document, media_type: MediaType) -> StoredManifest {
    StoredManifest { digest: document.digest().clone(), media_type, bytes: document.bytes().clone() }
}
