//! An archive as a source of images: manifests and blobs by their digests, from where it has them.
//!
//! Nothing is believed here: whoever takes bytes hashes them, as those of a registry.

use std::collections::HashMap;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};

use super::medium::Content;
use super::open::{Archive, Contents};
use crate::archive::ClaimedBlob;
use crate::archive::contents::claims;
use crate::archive::names::Place;
use crate::fsio::{FileError, FileHandle};
use crate::image::manifest::MAX_MANIFEST_BYTES;
use crate::image::{Algorithm, Descriptor, Digest, Document, MediaType, Repository, ResolvedImage};
use crate::source::{BlobStream, Selector, Source, SourceError, in_chunks};

/// An archive whose images are asked for.
pub struct ArchiveSource {
    archive: Arc<Archive>,
    blobs: HashMap<Digest, Place>,
    documents: HashMap<Digest, Document>,
    tags: HashMap<(Repository, String), Digest>,
    configs: HashMap<Digest, Bytes>,
}

impl ArchiveSource {
    /// The source of these images of `archive`. What `contents` were measured to be is known by its digests too.
    pub fn new(archive: Arc<Archive>, images: &[ResolvedImage], contents: &Contents) -> Self {
        let (mut documents, mut configs) = (HashMap::new(), HashMap::new());
        let (mut tags, mut blobs) = (HashMap::new(), HashMap::new());
        for image in images {
            if let Some(tag) = image.reference.tag() {
                let name = (image.reference.repository().clone(), tag.to_owned());
                tags.insert(name, image.target.digest.clone());
            }
            for document in image.indexes.iter().chain([&image.manifest_document]) {
                documents.insert(document.digest().clone(), document.clone());
            }
            configs.insert(image.manifest.config.digest.clone(), image.config.bytes().clone());
        }
        for claim in claims(archive.names()) {
            let ClaimedBlob { digest, offset_bytes, size_bytes } = claim;
            blobs.insert(digest, Place { offset_bytes, size_bytes });
        }
        // What was measured goes before what is claimed.
        for (place, measured) in contents {
            if let Ok(measured) = measured {
                for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                    blobs.insert(measured.hashes.by(algorithm).clone(), *place);
                }
            }
        }
        Self { archive, blobs, documents, tags, configs }
    }

    fn missing(&self, what: String) -> SourceError {
        SourceError::NotInArchive { what, path: self.archive.path().to_owned() }
    }

    /// A manifest: of the images, or what else indexes may name.
    fn document(&self, digest: &Digest) -> Option<Document> {
        if let Some(document) = self.documents.get(digest) {
            return Some(document.clone());
        }
        let place = self.blobs.get(digest).filter(|place| place.size_bytes <= MAX_MANIFEST_BYTES)?;
        let bytes = self.archive.document(*place).ok().flatten()?;
        Document::verified(bytes, MediaType::Other("".into()), digest).ok()
    }

    /// The file that a blob stands in, and where; none unless the archive is one file and the blob a part of it.
    pub fn place_in_file(&self, blob: &Digest) -> Option<(FileHandle, Range<u64>)> {
        let Place { offset_bytes, size_bytes } = *self.blobs.get(blob)?;
        Some((self.archive.file()?.clone(), offset_bytes..offset_bytes.checked_add(size_bytes)?))
    }

    fn open(&self, blob: &Descriptor, range: &Range<u64>) -> Result<BlobStream, SourceError> {
        let digest = &blob.digest;
        if let Some(config) = self.configs.get(digest) {
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(config.len());
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            return Ok(stream::iter([Ok(config.slice(start..end))]).boxed());
        }
        let missing = || self.missing(digest.to_string());
        let place = self.blobs.get(digest).ok_or_else(missing)?;
        let start = range.start.min(place.size_bytes);
        let left = Place { offset_bytes: place.offset_bytes, size_bytes: range.end.min(place.size_bytes) };
        let failed = FileError::io("read", self.archive.path());
        let mut content = self.archive.content(left).map_err(failed)?.ok_or_else(missing)?;
        content.skip(start).map_err(FileError::io("read", self.archive.path()))?;
        Ok(in_chunks(content, self.archive.path().to_owned()))
    }
}

impl Content {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Window { position_bytes, left_bytes, .. } => {
                let bytes = bytes.min(*left_bytes);
                *position_bytes += bytes;
                *left_bytes -= bytes;
            }
            Self::File(file) => {
                file.get_mut().seek(SeekFrom::Current(i64::try_from(bytes).unwrap_or(i64::MAX)))?;
                file.set_limit(file.limit().saturating_sub(bytes));
            }
        }
        Ok(())
    }
}

impl Source for ArchiveSource {
    fn fetch_manifest<'a>(
        &'a self,
        repository: &'a Repository,
        selector: &'a Selector,
    ) -> BoxFuture<'a, Result<Document, SourceError>> {
        let (digest, name) = match selector {
            Selector::Digest(digest) => (Some(digest), digest.to_string()),
            Selector::Tag(tag) => {
                (self.tags.get(&(repository.clone(), tag.clone())), format!("{repository}:{tag}"))
            }
        };
        let found = digest.and_then(|digest| self.document(digest));
        async move { found.ok_or_else(|| self.missing(name)) }.boxed()
    }

    fn open_blob<'a>(
        &'a self,
        _repository: &'a Repository,
        blob: &'a Descriptor,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<BlobStream, SourceError>> {
        async move { self.open(blob, &range) }.boxed()
    }
}
