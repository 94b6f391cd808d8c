//! Reuse: blobs that are here already, copied and verified like any other.
//!
//! A claim that doesn't hold is passed over in silence: the next one is tried, and then the source is asked.

use std::io::Read;
use std::path::Path;

use super::{Pull, blocking};
use crate::blob::{RegionError, RegionWriter, Verifier, WrittenBlob};
use crate::error::Result;
use crate::event::Event;
use crate::fsio::{CopyError, FileError, Waiting};
use crate::image::Descriptor;
use crate::reuse::Claim;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// A claim did not hold, or the disk refused.
enum Unusable {
    Claim,
    File(FileError),
}

impl From<RegionError> for Unusable {
    fn from(error: RegionError) -> Self {
        match error {
            RegionError::Blob(_) => Self::Claim,
            RegionError::File(error) => Self::File(error),
        }
    }
}

impl From<CopyError> for Unusable {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Source(_) => Self::Claim,
            CopyError::Target(error) => Self::File(error),
        }
    }
}

impl Pull<'_> {
    /// Copies a blob that is here already into its region; none if it isn't.
    pub(super) async fn reuse(
        &self,
        blob: &Descriptor,
        region: &RegionWriter,
    ) -> Result<Option<WrittenBlob>> {
        let Some(pool) = self.reuse else { return Ok(None) };
        if region.missing().bytes() < blob.size_bytes {
            return Ok(None); // an earlier run got on with it
        }
        for claim in pool.candidates(blob) {
            let _turn = pool.turn().await;
            let (copied, target, waiting) = (claim.clone(), region.clone(), Waiting::default());
            let is_awaited = waiting.asked();
            let filled = blocking(move || copy(&copied, &target, &is_awaited)).await;
            drop(waiting);
            match filled {
                Ok(written) => {
                    let (digest, size_bytes) = (&blob.digest, blob.size_bytes);
                    self.reporter.report(Event::BlobReused { digest, size_bytes, from: claim.origin() });
                    return Ok(Some(written));
                }
                Err(Unusable::Claim) => {
                    region.throw_away();
                }
                Err(Unusable::File(error)) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// A claim that holds just now, for where bytes can't be taken back.
    pub(super) async fn reusable(&self, blob: &Descriptor) -> Option<Claim> {
        let pool = self.reuse?;
        for claim in pool.candidates(blob) {
            let (read, verifier, waiting) = (claim.clone(), Verifier::new(blob), Waiting::default());
            let is_awaited = waiting.asked();
            let is_held = blocking(move || holds(&read, verifier, &is_awaited)).await;
            drop(waiting);
            if is_held {
                return Some(claim);
            }
        }
        None
    }

    /// What was written may be reused by the archives after it.
    pub(super) fn offer(&self, archive: &Path) {
        if let Some(pool) = self.reuse {
            pool.add(archive);
        }
    }
}

/// Copies piece by piece, each hashed when it is in its place.
fn copy(
    claim: &Claim,
    region: &RegionWriter,
    is_awaited: &impl Fn() -> bool,
) -> Result<WrittenBlob, Unusable> {
    let mut bytes = claim.open().map_err(|_| Unusable::Claim)?;
    let mut part = region.part(0);
    while is_awaited() {
        let (file, to_bytes) = part.next();
        match bytes.copy_next(file, to_bytes)? {
            0 => break,
            copied_bytes => part.adopt(copied_bytes)?,
        }
    }
    drop(part);
    Ok(region.finish()?)
}

fn holds(claim: &Claim, mut verifier: Verifier, is_awaited: &impl Fn() -> bool) -> bool {
    let read = each_chunk(claim, |chunk| is_awaited() && verifier.update(chunk).is_ok());
    read.is_ok_and(|is_all| is_all) && verifier.finish().is_ok()
}

/// Hands what is claimed to `sink` until it says no; true if it took all.
pub(super) fn each_chunk(claim: &Claim, mut sink: impl FnMut(&[u8]) -> bool) -> Result<bool, FileError> {
    let mut content = claim.open()?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match content.read(&mut chunk).map_err(FileError::io("read", claim.origin()))? {
            0 => return Ok(true),
            read if sink(&chunk[..read]) => {}
            _ => return Ok(false),
        }
    }
}
