//! A store as a source of images: manifests and blobs by their digests, from its content.
//!
//! Nothing is believed here: whoever takes bytes hashes them, as those of a registry.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::content::Content;
use super::error::StoreError;
use crate::fsio::{FileHandle, allow_open_files};
use crate::image::{Descriptor, Digest, Document, MediaType, Reference, Repository};
use crate::source::{BlobStream, Selector, Source, SourceError, in_chunks};

/// A store whose images are asked for.
pub struct StoreSource {
    content: Content,
    targets: HashMap<(Repository, String), Descriptor>,
    /// Blobs that were opened: from then on they are there, whatever containerd removes.
    held: Mutex<HashMap<Digest, FileHandle>>,
}

impl StoreSource {
    /// A source of the blobs of `content`, with tags for these images.
    pub fn new<'a>(
        content: Content,
        images: impl IntoIterator<Item = (&'a Reference, &'a Descriptor)>,
    ) -> Self {
        let tagged = images.into_iter().filter_map(|(reference, target)| {
            // A name with a digest is asked for by that.
            let tag = reference.tag().filter(|_| reference.digest().is_none())?;
            Some(((reference.repository().clone(), tag.to_owned()), target.clone()))
        });
        Self { content, targets: tagged.collect(), held: Mutex::default() }
    }

    /// Opens blobs before the first is read, so that containerd's garbage collection can't get between. Each has to be
    /// there, in its size. Blocks.
    pub fn hold<'a>(&self, blobs: impl IntoIterator<Item = &'a Descriptor>) -> Result<(), StoreError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let blobs: Vec<_> = blobs.into_iter().collect();
        allow_open_files(held.len() + blobs.len());
        for Descriptor { digest, size_bytes, .. } in blobs {
            if held.contains_key(digest) {
                continue;
            }
            let (file, got) = self.content.file(digest)?;
            if got != *size_bytes {
                let path = self.content.path(digest);
                return Err(StoreError::WrongSize { path, expected: *size_bytes, got });
            }
            held.insert(digest.clone(), FileHandle::of_foreign(file, &self.content.path(digest)));
        }
        Ok(())
    }

    fn file(&self, digest: &Digest) -> Result<FileHandle, StoreError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        held.map_or_else(|| self.content.open(digest), Ok)
    }

    fn document(&self, repository: &Repository, selector: &Selector) -> Result<Document, StoreError> {
        match selector {
            Selector::Digest(digest) => {
                self.content.document(&Descriptor::new(MediaType::Other("".into()), digest.clone(), 0))
            }
            Selector::Tag(tag) => match self.targets.get(&(repository.clone(), tag.clone())) {
                Some(target) => self.content.document(target),
                None => Err(self.content.no_such_image(&format!("{repository}:{tag}"))),
            },
        }
    }
}

impl Source for StoreSource {
    fn fetch_manifest<'a>(
        &'a self,
        repository: &'a Repository,
        selector: &'a Selector,
    ) -> BoxFuture<'a, Result<Document, SourceError>> {
        async move { Ok(self.document(repository, selector)?) }.boxed()
    }

    fn open_blob<'a>(
        &'a self,
        _repository: &'a Repository,
        blob: &'a Descriptor,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<BlobStream, SourceError>> {
        let opened = self.file(&blob.digest);
        async move { Ok(in_chunks(opened?.reader_of(range), self.content.path(&blob.digest))) }.boxed()
    }

    fn path_of(&self, blob: &Digest) -> Option<PathBuf> {
        Some(self.content.path(blob))
    }
}
