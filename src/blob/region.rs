//! A blob's region of the output: the only way bytes get there, hashed as they are written.

use std::io::{self, Read};

use super::{BlobError, VerifiedBlob, Verifier};
use crate::fsio::{FileError, FileHandle};
use crate::image::{Descriptor, Digest};

/// Bytes read back at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes one blob to its place, in order, and verifies it.
#[derive(Clone)]
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

    /// The file, and where in it the next bytes go: for bytes that are put there by other means than
    /// [`write`](Self::write) and count when they are [`adopt`](Self::adopt)ed.
    pub fn next(&self) -> (&FileHandle, u64) {
        (&self.file, self.offset_bytes + self.verifier.seen_bytes())
    }

    /// Reads back and hashes the next bytes, which are in their place already.
    pub fn adopt(&mut self, size_bytes: u64) -> Result<(), RegionError> {
        let (file, position_bytes) = self.next();
        let mut reader =
            BlobReader { file: file.clone(), position_bytes, end_bytes: position_bytes + size_bytes };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match reader.read(&mut chunk).map_err(|error| self.file.cannot_read(error))? {
                0 => return Ok(()),
                read => self.verifier.update(&chunk[..read])?,
            }
        }
    }

    /// The proof that the region holds the blob.
    pub fn finish(self) -> Result<WrittenBlob, RegionError> {
        let Self { file, offset_bytes, verifier } = self;
        Ok(WrittenBlob { blob: verifier.finish()?, file, offset_bytes })
    }
}

/// Proof that a region of a file holds a blob. Only a [`RegionWriter`] makes one.
#[derive(Clone, Debug)]
pub struct WrittenBlob {
    blob: VerifiedBlob,
    file: FileHandle,
    offset_bytes: u64,
}

impl WrittenBlob {
    /// The blob's digest.
    pub fn digest(&self) -> &Digest {
        self.blob.digest()
    }

    /// The blob's size.
    pub fn size_bytes(&self) -> u64 {
        self.blob.size_bytes()
    }

    /// Where in `file` the blob is; none if it is elsewhere.
    pub fn offset_bytes_in(&self, file: &FileHandle) -> Option<u64> {
        self.file.is_same(file).then_some(self.offset_bytes)
    }

    /// The blob's last bytes; an error if it has fewer.
    pub(super) fn last_bytes<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut last = [0; N];
        let position = self.size_bytes().checked_sub(N as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut reader = self.reader();
        reader.position_bytes += position;
        reader.read_exact(&mut last)?;
        Ok(last)
    }

    /// Reads the blob back.
    pub(super) fn reader(&self) -> BlobReader {
        let end_bytes = self.offset_bytes + self.size_bytes();
        BlobReader { file: self.file.clone(), position_bytes: self.offset_bytes, end_bytes }
    }
}

/// Reads a blob that was written.
pub(super) struct BlobReader {
    file: FileHandle,
    position_bytes: u64,
    end_bytes: u64,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end_bytes - self.position_bytes).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.position_bytes)?;
        self.position_bytes += read as u64;
        Ok(read)
    }
}
