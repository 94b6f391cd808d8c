//! Where images come from: resolve a reference, open a blob.
//!
//! A registry is a source, and so are an archive and a containerd store; grabbed pushes are to be another. What a source hands out
//! is **not** believed: manifests are [`Document`]s, which carry the digest their bytes hash to, and blob streams are
//! verified by whoever reads them.

use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};

use crate::containerd_store::StoreError;
use crate::fsio::{FileError, blocking};
use crate::image::{Descriptor, Digest, Document, Repository};
use crate::registry::RegistryError;

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A tag.
    Tag(String),
    /// The digest of the manifest's bytes.
    Digest(Digest),
}

/// A source could not give what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A registry could not be reached, refused or answered nonsense.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A containerd store is damaged, or does not have it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An archive names it, but does not have it.
    #[error("{what} is not in {}", .path.display())]
    NotInArchive {
        /// What was asked for.
        what: String,
        /// The archive.
        path: PathBuf,
    },
}

impl SourceError {
    /// True if the source is sound, but does not have what was asked for.
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::NotInArchive { .. }
                | Self::Registry(RegistryError::NotFound { .. })
                | Self::Store(StoreError::Missing { .. })
        )
    }
}

/// The bytes of a blob as they come in, in chunks of any size.
pub type BlobStream = BoxStream<'static, Result<Bytes, SourceError>>;

/// Somewhere images can be had from.
pub trait Source: Send + Sync {
    /// Fetches a manifest or index. By digest the bytes hash to that digest, or it is an error.
    fn fetch_manifest<'a>(
        &'a self,
        repository: &'a Repository,
        selector: &'a Selector,
    ) -> BoxFuture<'a, Result<Document, SourceError>>;

    /// Opens the bytes `range` of a blob. The stream has exactly so many bytes, or ends with an error; what they are is
    /// unverified.
    fn open_blob<'a>(
        &'a self,
        repository: &'a Repository,
        blob: &'a Descriptor,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<BlobStream, SourceError>>;

    /// Says that the bytes given for a blob were put together and are not what its digest says. True if it is worth
    /// getting all of the blob again, from its first byte: a source of several places drops those that had a part in
    /// it, and has others.
    ///
    /// Where bytes that an earlier run left were among them, they may be what is wrong: then the blob is to be fetched
    /// anew before anyone is blamed.
    fn distrust(&self, _repository: &Repository, _blob: &Descriptor) -> bool {
        false
    }

    /// The file a blob is read from, where it has one of its own: messages name it.
    fn path_of(&self, _blob: &Digest) -> Option<PathBuf> {
        None
    }
}

/// Bytes read at a time.
const CHUNK_BYTES: usize = 512 << 10;

/// What a reader of the file at `path` has, each chunk read where blocking is no harm.
pub(crate) fn in_chunks(reader: impl Read + Send + 'static, path: PathBuf) -> BlobStream {
    stream::try_unfold((reader, path), |(mut reader, path)| async {
        let failed = FileError::io("read", &path);
        let read = blocking(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = reader.read(&mut chunk)?;
            chunk.truncate(read);
            io::Result::Ok((Bytes::from(chunk), reader))
        });
        let (chunk, rest) = read.await.map_err(failed)?;
        Ok((!chunk.is_empty()).then_some((chunk, (rest, path))))
    })
    .boxed()
}
