//! The content store: blobs by their digests, each a file.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use crate::fsio::{FileError, FileHandle, Links, open_regular};
use crate::image::manifest::MAX_MANIFEST_BYTES;
use crate::image::{Descriptor, Digest, Document};

/// Where a root has its blobs: `<algorithm>/<hex digits>` below it.
pub const BLOBS: &str = "io.containerd.content.v1.content/blobs";

/// The blobs of a root.
#[derive(Clone, Debug)]
pub struct Content {
    root: PathBuf,
}

impl Content {
    /// That of the containerd root at `root`.
    pub fn of(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where a blob is, if it is there.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(BLOBS).join(digest.algorithm().name()).join(digest.hex())
    }

    /// How many bytes a blob's file has; none if there is no such file.
    pub fn size_bytes(&self, digest: &Digest) -> Option<u64> {
        let found = fs::symlink_metadata(self.path(digest)).ok()?;
        found.is_file().then_some(found.len())
    }

    /// Opens a blob. Its bytes are not looked at.
    pub fn open(&self, digest: &Digest) -> Result<FileHandle, StoreError> {
        self.opened(digest, FileHandle::open_foreign)
    }

    /// The same, for who copies it.
    pub fn file(&self, digest: &Digest) -> Result<File, StoreError> {
        self.opened(digest, open_regular)
    }

    fn opened<T>(
        &self,
        digest: &Digest,
        open: impl Fn(&Path, Links) -> Result<T, FileError>,
    ) -> Result<T, StoreError> {
        let path = self.path(digest);
        match open(&path, Links::Refuse) {
            Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Err(StoreError::Missing { path })
            }
            opened => Ok(opened?),
        }
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
        let file = self.open(digest)?;
        let size_bytes = file.size_bytes()?;
        if size_bytes > limit_bytes {
            return Err(StoreError::WrongBytes { path: self.path(digest) });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or_default());
        let read = file.reader_of(0..size_bytes).read_to_end(&mut bytes);
        read.map_err(|source| file.cannot_read(source))?;
        Ok(bytes)
    }
}
