//! An archive as a [`Source`]: the images that its `index.json` names, or else its `manifest.json`.
//!
//! Threats: the archive is foreign. Of its documents only as much is read as any honest one has; blobs are found by the names
//! of entries ([`super::contents`]), which are claims: whoever takes them verifies them. The file is opened anew for each
//! blob; of one that was replaced meanwhile nothing has its digest.
//!
//! A docker-archive has no registry's manifest. One is made of its config and its layers as they are: bare ones have the
//! digests that the config says, packed ones are taken only if their entries are named by their digests.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::contents::{Contents, digest_named_by};
use super::reader::ReadError;
use crate::foreign::shown;
use crate::fsio::{FileError, Links, open_regular};
use crate::image::json::JsonError;
use crate::image::manifest::MAX_MANIFEST_BYTES;
use crate::image::media_type::LayerType;
use crate::image::{
    Compression, Descriptor, Digest, Document, ImageConfig, MediaType, Reference, Repository,
};
use crate::source::{BlobStream, Selector, Source, SourceError};

const INDEX: &str = "index.json";
const MANIFEST: &str = "manifest.json";
/// The names that containerd and skopeo read in `index.json`.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
/// Bytes read at a time, and how many such wait to be taken.
const CHUNK_BYTES: usize = 256 << 10;
const QUEUED_CHUNKS: usize = 4;

/// An archive that can't be read as one of images.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tar is broken.
    #[error("{} can't be read", .path.display())]
    Tar {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        source: ReadError,
    },
    /// It names no images.
    #[error("{} is no archive of images: it has neither index.json nor manifest.json", .path.display())]
    NoImages {
        /// The archive.
        path: PathBuf,
    },
    /// What names the images can't be read.
    #[error("{} of {} can't be read", .entry, .path.display())]
    Json {
        /// The archive.
        path: PathBuf,
        /// The entry.
        entry: &'static str,
        /// What is wrong.
        source: JsonError,
    },
    /// A name that is none, or a file that is missing.
    #[error("{} of {} names `{name}`, which is not there or no name", .entry, .path.display())]
    Named {
        /// The archive.
        path: PathBuf,
        /// The entry.
        entry: &'static str,
        /// What it names, fit to show.
        name: String,
    },
}

/// An image of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedImage {
    /// Its name, if it has one.
    pub name: Option<Reference>,
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// True if that manifest was made here.
    pub is_made: bool,
}

/// An archive, opened.
#[derive(Debug)]
pub struct ArchiveSource {
    path: PathBuf,
    blobs: HashMap<Digest, Range<u64>>,
    made: HashMap<Digest, Document>,
}

#[derive(Deserialize)]
struct IndexJson {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestItem {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl ArchiveSource {
    /// Opens the archive at `path`, and says which images it has. Blocks.
    pub fn open(path: &Path) -> Result<(Self, Vec<ArchivedImage>), ArchiveError> {
        let contents = Contents::read(BufReader::new(open_regular(path, Links::Follow)?));
        if let Some(source) = contents.problem {
            return Err(ArchiveError::Tar { path: path.to_owned(), source });
        }
        let blobs = contents.blobs.iter().map(|blob| {
            let end = blob.offset_bytes + blob.size_bytes;
            (blob.digest.clone(), blob.offset_bytes..end)
        });
        let mut archive = Self { path: path.to_owned(), blobs: blobs.collect(), made: HashMap::new() };
        let images = match (contents.file(INDEX), contents.file(MANIFEST)) {
            (Some(range), _) => archive.indexed(&archive.read(&range)?)?,
            (None, Some(range)) => archive.listed(&archive.read(&range)?, &contents)?,
            (None, None) => return Err(ArchiveError::NoImages { path: path.to_owned() }),
        };
        Ok((archive, images))
    }

    fn indexed(&self, json: &[u8]) -> Result<Vec<ArchivedImage>, ArchiveError> {
        let index: IndexJson = self.parse(INDEX, json)?;
        let images = index.manifests.into_iter().map(|entry| {
            let named = NAMES.iter().find_map(|name| entry.annotations.get(*name));
            let name = named.map(|name| name.parse().map_err(|_| self.named(INDEX, name))).transpose()?;
            Ok(ArchivedImage { name, digest: entry.digest, is_made: false })
        });
        images.collect()
    }

    fn listed(&mut self, json: &[u8], contents: &Contents) -> Result<Vec<ArchivedImage>, ArchiveError> {
        let items: Vec<ManifestItem> = self.parse(MANIFEST, json)?;
        let mut images = Vec::new();
        for item in items {
            let document = self.made_of(&item, contents)?;
            let digest = document.digest().clone();
            self.made.insert(digest.clone(), document);
            let image = |name| ArchivedImage { name, digest: digest.clone(), is_made: true };
            let names = item.repo_tags.unwrap_or_default();
            if names.is_empty() {
                images.push(image(None));
            }
            for name in names {
                images.push(image(Some(name.parse().map_err(|_| self.named(MANIFEST, &name))?)));
            }
        }
        Ok(images)
    }

    /// A manifest of what `manifest.json` lists for an image. The config is hashed; it says what bare layers hash to.
    fn made_of(&mut self, item: &ManifestItem, contents: &Contents) -> Result<Document, ArchiveError> {
        let file = |path: &str| contents.file(path).ok_or_else(|| self.named(MANIFEST, path));
        let place = file(&item.config)?;
        let bytes = self.read(&place)?;
        let config = Descriptor::new(MediaType::OciConfig, Digest::of(&bytes), bytes.len() as u64);
        let diff_ids = ImageConfig::parse(bytes).ok().map(|config| config.diff_ids().to_vec());
        let diff_ids = diff_ids.filter(|ids| ids.len() == item.layers.len());
        let diff_ids = diff_ids.ok_or_else(|| self.named(MANIFEST, &item.config))?;
        let mut found = vec![(config.digest.clone(), place)];
        let mut layers = Vec::new();
        for (path, diff_id) in item.layers.iter().zip(diff_ids) {
            let place = file(path)?;
            let compression = match &self.read(&(place.start..place.end.min(place.start + 4)))?[..] {
                [0x1f, 0x8b, ..] => Compression::Gzip,
                [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
                _ => Compression::Plain,
            };
            let digest = match compression {
                Compression::Plain => diff_id.digest().clone(),
                _ => digest_named_by(path).ok_or_else(|| self.named(MANIFEST, path))?,
            };
            let media_type = MediaType::Layer(LayerType { compression, foreign: false, oci: true });
            layers.push(Descriptor::new(media_type, digest.clone(), place.end - place.start));
            found.push((digest, place));
        }
        self.blobs.extend(found);
        Ok(Document::manifest_of(&config, &layers))
    }

    /// A small part of the archive; more than any document has is cut off.
    fn read(&self, range: &Range<u64>) -> Result<Bytes, FileError> {
        let mut file = open_regular(&self.path, Links::Follow)?;
        let mut bytes = Vec::new();
        let size_bytes = (range.end - range.start).min(MAX_MANIFEST_BYTES);
        let read = file
            .seek(SeekFrom::Start(range.start))
            .and_then(|_| file.take(size_bytes).read_to_end(&mut bytes));
        read.map_err(FileError::io("read", &self.path))?;
        Ok(bytes.into())
    }

    fn parse<'a, T: Deserialize<'a>>(&self, entry: &'static str, json: &'a [u8]) -> Result<T, ArchiveError> {
        let path = || self.path.clone();
        serde_json::from_slice(json).map_err(|error| ArchiveError::Json {
            path: path(),
            entry,
            source: error.into(),
        })
    }

    fn named(&self, entry: &'static str, name: &str) -> ArchiveError {
        ArchiveError::Named { path: self.path.clone(), entry, name: shown(name) }
    }

    fn missing(&self, what: String) -> SourceError {
        SourceError::NotInArchive { what, path: self.path.clone() }
    }

    fn place(&self, digest: &Digest) -> Result<Range<u64>, SourceError> {
        self.blobs.get(digest).cloned().ok_or_else(|| self.missing(digest.to_string()))
    }
}

impl Source for ArchiveSource {
    /// A manifest is had by its digest, whatever the repository.
    fn fetch_manifest<'a>(
        &'a self,
        _: &'a Repository,
        selector: &'a Selector,
    ) -> BoxFuture<'a, Result<Document, SourceError>> {
        async move {
            let digest = match selector {
                Selector::Digest(digest) => digest,
                Selector::Tag(tag) => return Err(self.missing(tag.clone())),
            };
            if let Some(document) = self.made.get(digest) {
                return Ok(document.clone());
            }
            let bytes = self.read(&self.place(digest)?)?;
            Document::verified(bytes, MediaType::of(""), digest).map_err(|got| SourceError::WrongDocument {
                path: self.path.clone(),
                expected: digest.clone(),
                got,
            })
        }
        .boxed()
    }

    fn open_blob<'a>(
        &'a self,
        _: &'a Repository,
        blob: &'a Descriptor,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<BlobStream, SourceError>> {
        async move {
            let place = self.place(&blob.digest)?;
            let start = (place.start + range.start).min(place.end);
            let end = (place.start + range.end).min(place.end);
            let mut file = open_regular(&self.path, Links::Follow)?;
            file.seek(SeekFrom::Start(start)).map_err(FileError::io("read", &self.path))?;
            let (chunks, mut queue) = mpsc::channel(QUEUED_CHUNKS);
            let path = self.path.clone();
            // It ends with its queue, at the latest.
            drop(tokio::task::spawn_blocking(move || {
                let mut bytes = file.take(end - start);
                loop {
                    let chunk = next_chunk(&mut bytes).map_err(FileError::io("read", &path));
                    let is_over = chunk.as_ref().is_ok_and(Bytes::is_empty);
                    let is_broken = chunk.is_err();
                    if is_over || chunks.blocking_send(chunk.map_err(SourceError::from)).is_err() || is_broken
                    {
                        return;
                    }
                }
            }));
            Ok(stream::poll_fn(move |context| queue.poll_recv(context)).boxed())
        }
        .boxed()
    }
}

/// Up to a chunk; none at the end.
fn next_chunk(bytes: &mut impl Read) -> io::Result<Bytes> {
    let mut chunk = BytesMut::zeroed(CHUNK_BYTES);
    let mut filled = 0;
    while filled < chunk.len() {
        match bytes.read(&mut chunk[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    chunk.truncate(filled);
    Ok(chunk.freeze())
}
