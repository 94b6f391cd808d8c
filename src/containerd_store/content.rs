//! The content store: blobs by their digests, each a file.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::error::StoreError;
use super::system::System;
use crate::fsio::{FileError, FileHandle, ForeignFolder};
use crate::image::manifest::MAX_MANIFEST_BYTES;
use crate::image::{Algorithm, Descriptor, Digest, Document};

/// Where a root has its blobs: `<algorithm>/<hex digits>` below it.
pub const BLOBS: &str = "io.containerd.content.v1.content/blobs";

/// The blobs of a root.
#[derive(Clone, Debug)]
pub struct Content {
    root: PathBuf,
    sha256: Arc<Folder>,
    sha512: Arc<Folder>,
}

/// The blobs of one algorithm: where they are, and that folder, once it was there.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    opened: OnceLock<ForeignFolder>,
}

impl Content {
    /// That of the containerd root at `root`.
    pub fn of(root: &Path) -> Self {
        let folder = |algorithm: Algorithm| root.join(BLOBS).join(algorithm.name());
        Self::at(root, folder(Algorithm::Sha256), folder(Algorithm::Sha512))
    }

    /// The same of a root on another system's disk, where links lead to what is on that.
    pub(super) fn within(system: &System, root: &Path) -> Result<Self, FileError> {
        let folder = |algorithm: Algorithm| system.resolved(&root.join(BLOBS).join(algorithm.name()));
        Ok(Self::at(root, folder(Algorithm::Sha256)?, folder(Algorithm::Sha512)?))
    }

    fn at(root: &Path, sha256: PathBuf, sha512: PathBuf) -> Self {
        let folder = |path| Arc::new(Folder { path, opened: OnceLock::new() });
        Self { root: root.to_owned(), sha256: folder(sha256), sha512: folder(sha512) }
    }

    fn folder(&self, algorithm: Algorithm) -> &Folder {
        match algorithm {
            Algorithm::Sha256 => &self.sha256,
            Algorithm::Sha512 => &self.sha512,
        }
    }

    /// Where a blob is, if it is there.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder(digest.algorithm()).path.join(digest.hex())
    }

    /// How many bytes a blob's file has; none if there is no such file.
    pub fn size_bytes(&self, digest: &Digest) -> Option<u64> {
        self.folder(digest.algorithm()).opened().ok()?.size_bytes(digest.hex())
    }

    /// Opens a blob. Its bytes are not looked at.
    pub fn open(&self, digest: &Digest) -> Result<FileHandle, StoreError> {
        Ok(FileHandle::of_foreign(self.file(digest)?.0, &self.path(digest)))
    }

    /// The same, for who copies it; and how many bytes it has.
    pub fn file(&self, digest: &Digest) -> Result<(File, u64), StoreError> {
        let opened = self.folder(digest.algorithm()).opened().and_then(|folder| folder.file(digest.hex()));
        opened.map_err(|error| self.missing_or(digest, error))
    }

    /// Reads a manifest or index, whose bytes have its digest.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Document, StoreError> {
        let digest = &descriptor.digest;
        let bytes = self.small(digest, MAX_MANIFEST_BYTES)?;
        Document::verified(bytes.into(), descriptor.media_type.clone(), digest)
            .map_err(|_| StoreError::WrongBytes { path: self.path(digest) })
    }

    /// The error of an image that is not there.
    pub(super) fn no_such_image(&self, name: &str) -> StoreError {
        StoreError::NoSuchImage { name: name.to_owned(), root: self.root.clone(), near: Vec::new() }
    }

    /// Reads a blob of at most so many bytes, whatever they are.
    pub(super) fn small(&self, digest: &Digest, limit_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let folder = self.folder(digest.algorithm()).opened();
        let read = folder.and_then(|folder| folder.read(digest.hex(), limit_bytes));
        let read = read.map_err(|error| self.missing_or(digest, error))?;
        read.ok_or_else(|| StoreError::WrongBytes { path: self.path(digest) })
    }

    fn missing_or(&self, digest: &Digest, error: FileError) -> StoreError {
        match error {
            FileError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
                StoreError::Missing { path: self.path(digest) }
            }
            error => error.into(),
        }
    }
}

impl Folder {
    fn opened(&self) -> Result<&ForeignFolder, FileError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = ForeignFolder::open(&self.path)?;
        Ok(self.opened.get_or_init(|| opened))
    }
}
