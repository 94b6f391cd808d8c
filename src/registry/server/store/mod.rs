//! Where the server keeps blobs and manifests: behind [`Storage`], so that an archive or a shim can stand in.
//!
//! Storage does not judge: names come to it parsed, digests verified (`receive`), manifests read
//! (`manifests`). Blobs are one pool for all repositories: whoever can ask for one repository here can ask
//! for all, so there is nothing to keep apart. Manifests and tags belong to a repository.

mod directory;
mod memory;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::ServerError;
use super::name::{ManifestReference, RepositoryName, Tag};
use super::receive::Receiving;
use crate::image::{Algorithm, Digest, Hasher, MediaType};

/// What storage answers with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ServerError>>;

/// The bytes of a blob as they are read. An error cuts the response short.
pub type BlobBytes = BoxStream<'static, std::io::Result<Bytes>>;

/// A manifest or index as it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The `Content-Type` it is served under.
    pub media_type: MediaType,
    /// The document, byte for byte.
    pub bytes: Bytes,
}

/// A place for blobs, manifests and tags. What isn't implemented answers as a read-only registry.
pub trait Storage: Send + Sync {
    /// The size of a blob; `None` if it is not here.
    fn blob_size_bytes<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<u64>>;

    /// Opens a blob that is here, for the bytes of `range`, which lies inside it.
    fn open_blob<'a>(&'a self, digest: &'a Digest, range: Range<u64>) -> Answer<'a, BlobBytes>;

    /// A manifest by tag or digest; `None` if it is not in the repository.
    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a ManifestReference,
    ) -> Answer<'a, Option<StoredManifest>>;

    /// The tags of a repository, in any order; `None` if there is no such repository.
    fn tags<'a>(&'a self, repository: &'a RepositoryName) -> Answer<'a, Option<Vec<Tag>>>;

    /// All repositories, in any order.
    fn repositories(&self) -> Answer<'_, Vec<RepositoryName>>;

    /// Begins a blob.
    fn start_upload(&self) -> Answer<'_, Box<dyn Upload>> {
        Box::pin(async { Err(ServerError::ReadOnly) })
    }

    /// True if a client may carry on with an upload that broke off; else nothing of it stays.
    fn keeps_cut_uploads(&self) -> bool {
        true
    }

    /// Keeps a manifest, and lets `tag` name it.
    fn put_manifest<'a>(
        &'a self,
        _repository: &'a RepositoryName,
        _tag: Option<&'a Tag>,
        _manifest: StoredManifest,
    ) -> Answer<'a, ()> {
        Box::pin(async { Err(ServerError::ReadOnly) })
    }

    /// Removes a tag, or a manifest with all its tags; false if it is not here.
    fn remove_manifest<'a>(
        &'a self,
        _repository: &'a RepositoryName,
        _reference: &'a ManifestReference,
    ) -> Answer<'a, bool> {
        Box::pin(async { Err(ServerError::ReadOnly) })
    }
}

/// The bytes of a blob on their way in. Dropped without [`commit`](Upload::commit), nothing of it stays.
pub trait Upload: Send {
    /// Adds bytes at the end. After an error, or when the future is dropped, the upload is no longer usable.
    fn append(&mut self, bytes: Bytes) -> Answer<'_, ()>;

    /// Hashes what is here.
    fn digest(&mut self, algorithm: Algorithm) -> Answer<'_, Digest>;

    /// Makes it a blob under the digest it was found to have.
    fn commit(self: Box<Self>, digest: Digest) -> Answer<'static, ()>;
}

/// A handle on storage, cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<dyn Storage>);

impl Store {
    /// Everything in memory, gone with the last handle.
    pub fn memory() -> Self {
        Self::new(memory::Memory::default())
    }

    /// Everything in files below `path`, which is created if need be. What uploads of a process that died left there
    /// is removed.
    pub fn directory(path: impl Into<PathBuf>) -> Result<Self, ServerError> {
        Ok(Self::new(directory::Directory::open(path.into())?))
    }

    /// Any storage.
    pub fn new(storage: impl Storage + 'static) -> Self {
        Self(Arc::new(storage))
    }

    /// The storage itself, with its parsed names.
    pub fn storage(&self) -> &dyn Storage {
        &*self.0
    }

    /// Puts a blob there without a request.
    pub async fn put_blob(&self, bytes: impl Into<Bytes>) -> Result<Digest, ServerError> {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let mut receiving = Receiving::start(self, digest.algorithm()).await?;
        receiving.append(bytes).await?;
        receiving.finish(digest).await
    }

    /// Puts a manifest there without a request, by a tag or by its digest. Only the digest is checked: tests want
    /// manifests that no registry would take.
    pub async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: MediaType,
        bytes: impl Into<Bytes>,
    ) -> Result<Digest, ServerError> {
        let (repository, reference) = (repository.parse()?, reference.parse()?);
        self.keep_manifest(&repository, &reference, media_type, bytes.into()).await
    }

    /// Hashes a manifest and keeps it; by digest, it must be the one its bytes have.
    pub(super) async fn keep_manifest(
        &self,
        repository: &RepositoryName,
        reference: &ManifestReference,
        media_type: MediaType,
        bytes: Bytes,
    ) -> Result<Digest, ServerError> {
        let (algorithm, tag) = match reference {
            ManifestReference::Tag(tag) => (Algorithm::Sha256, Some(tag)),
            ManifestReference::Digest(digest) => (digest.algorithm(), None),
        };
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let digest = hasher.finish();
        match reference {
            ManifestReference::Digest(expected) if *expected != digest => {
                return Err(ServerError::DigestMismatch { expected: expected.clone(), got: digest });
            }
            _ => {}
        }
        let manifest = StoredManifest { digest: digest.clone(), media_type, bytes };
        self.0.put_manifest(repository, tag, manifest).await?;
        Ok(digest)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").finish_non_exhaustive()
    }
}
