//! A blob's region of the output: the only way bytes get there, hashed as they are written.

use super::{BlobError, VerifiedBlob, Verifier};
use crate::fsio::{FileError, FileHandle};
use crate::image::Descriptor;

/// Writes one blob to its place, in order, and verifies it.
pub struct RegionWriter {
    file: FileHandle,
    offset_bytes: u64,
    verifier: Verifier,
}

/// A region could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The bytes are not the blob's.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl RegionWriter {
    /// The region of `blob` that starts at `offset_bytes` of the file.
    pub(crate) fn new(file: FileHandle, offset_bytes: u64, blob: &Descriptor) -> Self {
        Self { file, offset_bytes, verifier: Verifier::new(blob) }
    }

    /// Hashes and writes the next bytes. Bytes beyond the blob's size are refused, so no region runs into the next.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), RegionError> {
        let position = self.offset_bytes + self.verifier.seen_bytes();
        self.verifier.update(bytes)?;
        Ok(self.file.write_at(bytes, position)?)
    }

    /// The proof that the region holds the blob.
    pub fn finish(self) -> Result<VerifiedBlob, RegionError> {
        Ok(self.verifier.finish()?.written_to(self.file, self.offset_bytes))
    }
}
