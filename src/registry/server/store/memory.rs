//! A store in memory, for tests and the demo. Its bound is that of what is put there.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt};

use super::{Answer, BlobBytes, Storage, StoredManifest, Upload};
use crate::image::{Algorithm, Digest, Hasher};
use crate::registry::server::ServerError;
use crate::registry::server::name::{ManifestReference, RepositoryName, Tag};

#[derive(Default)]
pub(super) struct Memory(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    blobs: HashMap<Digest, Bytes>,
    repositories: BTreeMap<RepositoryName, Repository>,
}

#[derive(Default)]
struct Repository {
    manifests: HashMap<Digest, StoredManifest>,
    tags: BTreeMap<Tag, Digest>,
}

/// Nothing between taking and giving back the lock can panic halfway through a change, so poison is none.
fn lock(content: &Mutex<Content>) -> MutexGuard<'_, Content> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that waits for nothing.
fn ready<'a, T: Send + 'a>(answer: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl Storage for Memory {
    fn blob_size_bytes<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<u64>> {
        ready(lock(&self.0).blobs.get(digest).map(|bytes| bytes.len() as u64))
    }

    fn open_blob<'a>(&'a self, digest: &'a Digest, range: Range<u64>) -> Answer<'a, BlobBytes> {
        let bytes = lock(&self.0).blobs.get(digest).cloned();
        Box::pin(async move {
            let bytes = bytes.ok_or_else(|| ServerError::BlobUnknown(digest.clone()))?;
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            let bytes = bytes.slice(place(range.start)..place(range.end).max(place(range.start)));
            Ok(stream::iter([Ok(bytes)]).boxed())
        })
    }

    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a ManifestReference,
    ) -> Answer<'a, Option<StoredManifest>> {
        let content = lock(&self.0);
        let found = content.repositories.get(repository).and_then(|repository| {
            let digest = match reference {
                ManifestReference::Tag(tag) => repository.tags.get(tag)?,
                ManifestReference::Digest(digest) => digest,
            };
            repository.manifests.get(digest).cloned()
        });
        ready(found)
    }

    fn tags<'a>(&'a self, repository: &'a RepositoryName) -> Answer<'a, Option<Vec<Tag>>> {
        let content = lock(&self.0);
        ready(content.repositories.get(repository).map(|found| found.tags.keys().cloned().collect()))
    }

    fn repositories(&self) -> Answer<'_, Vec<RepositoryName>> {
        ready(lock(&self.0).repositories.keys().cloned().collect())
    }

    fn start_upload(&self) -> Answer<'_, Box<dyn Upload>> {
        let upload = MemoryUpload { bytes: BytesMut::new(), content: Arc::clone(&self.0) };
        ready(Box::new(upload) as Box<dyn Upload>)
    }

    fn put_manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        tag: Option<&'a Tag>,
        manifest: StoredManifest,
    ) -> Answer<'a, ()> {
        let mut content = lock(&self.0);
        content.blobs.insert(manifest.digest.clone(), manifest.bytes.clone());
        let found = content.repositories.entry(repository.clone()).or_default();
        if let Some(tag) = tag {
            found.tags.insert(tag.clone(), manifest.digest.clone());
        }
        found.manifests.insert(manifest.digest.clone(), manifest);
        ready(())
    }

    fn remove_manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a ManifestReference,
    ) -> Answer<'a, bool> {
        let mut content = lock(&self.0);
        let removed = content.repositories.get_mut(repository).is_some_and(|found| match reference {
            ManifestReference::Tag(tag) => found.tags.remove(tag).is_some(),
            ManifestReference::Digest(digest) => {
                found.tags.retain(|_, named| named != digest);
                found.manifests.remove(digest).is_some()
            }
        });
        ready(removed)
    }
}

struct MemoryUpload {
    bytes: BytesMut,
    content: Arc<Mutex<Content>>,
}

impl Upload for MemoryUpload {
    fn append(&mut self, bytes: Bytes) -> Answer<'_, ()> {
        self.bytes.extend_from_slice(&bytes);
        ready(())
    }

    fn digest(&mut self, algorithm: Algorithm) -> Answer<'_, Digest> {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&self.bytes);
        ready(hasher.finish())
    }

    fn commit(self: Box<Self>, digest: Digest) -> Answer<'static, ()> {
        lock(&self.content).blobs.insert(digest, self.bytes.freeze());
        ready(())
    }
}
