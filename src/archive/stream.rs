//! An archive written to a pipe, in order.
//!
//! A loader at the other end believes what ends at an entry's boundary: Docker 28.5 reports a broken image as loaded
//! then. So whatever goes wrong, the stream ends inside an entry: a blob's last bytes are held back until it is
//! verified, and go out together with all that stands between it and the next blob, that blob's header included.

use std::io::{self, Write};

use super::entry::BLOCK_BYTES;
use super::{Entry, Plan};
use crate::blob::{BlobError, InflateError, Verifier};
use crate::image::Descriptor;

/// Writes an archive's bytes, in the plan's order.
pub struct ArchiveStream<W> {
    out: W,
    /// Bytes up to and into an entry, not to go out before more of that entry is there.
    held: Vec<u8>,
    verifier: Option<Verifier>,
    position_bytes: u64,
}

/// The stream can't go on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A blob's bytes are not what its descriptor promised.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A layer can't be inflated.
    #[error(transparent)]
    Inflate(#[from] InflateError),
    /// The reader went away, or the disk behind it is full.
    #[error("cannot write the archive")]
    Write(#[from] io::Error),
}

impl<W: Write> ArchiveStream<W> {
    /// Nothing written yet.
    pub fn new(out: W) -> Self {
        Self { out, held: Vec::new(), verifier: None, position_bytes: 0 }
    }

    /// The next entry's header, after what padding the one before needs.
    pub fn header(&mut self, entry: &Entry) {
        self.pad_to(entry.offset_bytes);
        self.hold(&entry.header);
    }

    /// The whole content of a small file.
    pub fn literal(&mut self, bytes: &[u8]) {
        self.hold(bytes);
    }

    /// From here on come the bytes of a blob.
    pub fn start_blob(&mut self, descriptor: &Descriptor) {
        self.verifier = Some(Verifier::new(descriptor));
    }

    /// More bytes of the blob. What came before them goes out.
    pub fn blob_bytes(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if let Some(verifier) = &mut self.verifier {
            verifier.update(bytes)?;
        }
        self.layer_bytes(bytes)
    }

    /// More bytes of a layer that is inflated, and verified by whoever inflates it before the next entry comes.
    pub fn layer_bytes(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if !bytes.is_empty() {
            self.out.write_all(&self.held)?;
            self.held.clear();
            self.hold(bytes);
        }
        Ok(())
    }

    /// The blob is over: its last bytes may go out, with whatever comes next.
    pub fn finish_blob(&mut self) -> Result<(), StreamError> {
        if let Some(verifier) = self.verifier.take() {
            verifier.finish()?;
        }
        Ok(())
    }

    /// All entries are there.
    pub fn finish(mut self, plan: &Plan) -> Result<(), StreamError> {
        self.pad_to(plan.size_bytes());
        self.out.write_all(&self.held)?;
        Ok(self.out.flush()?)
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        self.position_bytes += bytes.len() as u64;
    }

    fn pad_to(&mut self, offset_bytes: u64) {
        let missing = offset_bytes.saturating_sub(self.position_bytes).min(4 * BLOCK_BYTES);
        self.held.resize(self.held.len() + usize::try_from(missing).unwrap_or_default(), 0);
        self.position_bytes += missing;
    }
}
