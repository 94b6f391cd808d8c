//! Pipe: an archive to a pipe, in order, in bounded memory.
//!
//! Blobs are asked for one after another: a connection that waits for its turn would be closed by many servers.

use std::collections::HashMap;
use std::io::Write;

use bytes::{Buf, Bytes};
use futures::TryStreamExt;
use tokio::sync::{mpsc, oneshot};

use super::fill::QUEUED_CHUNKS;
use super::reuse::each_chunk;
use super::{PlannedArchive, Pull, blocking};
use crate::archive::{ArchiveStream, Content, Plan, PlannedBlob, StreamError};
use crate::attempts::Attempts;
use crate::blob::{Inflation, Limits, WrittenBlob};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::fsio::{ScratchFile, Waiting};
use crate::image::{Descriptor, Digest};
use crate::reuse::Claim;

/// A blob's bytes on their way to the pipe.
enum Piece {
    Bytes(Bytes),
    /// All are there; the answer comes when they are verified.
    End(oneshot::Sender<()>),
}

impl Pull<'_> {
    /// Writes a planned archive to `out`. Whatever goes wrong, what was written ends inside an entry, so that no loader
    /// takes it for whole. Layers that are to be inflated wait, compressed, in the system's temporary folder: their
    /// sizes stand before them.
    pub async fn pipe(&self, planned: &PlannedArchive, out: impl Write + Send + 'static) -> Result<()> {
        self.report_fill(planned);
        let (plan, spooled) = if planned.plan.is_estimate() {
            let spool = self.spool(&planned.plan, ScratchFile::temporary).await?;
            self.measure_all(&spool).await?
        } else {
            (planned.plan.clone(), HashMap::new())
        };
        let (pieces, queue) = mpsc::channel(QUEUED_CHUNKS);
        let (writer_plan, limits) = (plan.clone(), self.limits);
        let writing = blocking(move || write(&writer_plan, queue, &spooled, limits, out));
        let blobs = plan.blobs();
        let receiving = async move {
            let mut origins = HashMap::new();
            for blob in blobs {
                let goes_on = match self.reusable(&blob.descriptor).await {
                    Some(claim) => {
                        origins.insert(blob.descriptor.digest.clone(), claim.origin().to_owned());
                        self.send_reused(&blob.descriptor, claim, &pieces).await?
                    }
                    None => self.send(blob, &pieces).await?,
                };
                if !goes_on {
                    break; // the writer can't go on, and says why
                }
            }
            Ok::<_, Error>((pieces, origins)) // the writer goes on as long as this end is open
        };
        let (received, written) = tokio::join!(receiving, writing);
        let (_, mut origins) = received?;
        written.map_err(|error| match error {
            StreamError::Blob(source) => {
                if let Some(path) = origins.remove(source.digest()) {
                    return Error::Reused { path, source };
                }
                let blob = plan.blobs().find(|blob| blob.descriptor.digest == *source.digest());
                let repository =
                    blob.map_or(planned.images[0].reference.repository(), |blob| &blob.repository);
                Error::in_blob(self.source, repository.registry())(source)
            }
            StreamError::Inflate(error) => error.into(),
            error @ StreamError::Write(_) => Error::Stream(error),
        })
    }

    /// Sends a blob to the writer; false if it doesn't listen any more.
    async fn send(&self, blob: &PlannedBlob, pieces: &mpsc::Sender<Piece>) -> Result<bool> {
        let descriptor = &blob.descriptor;
        let digest = &descriptor.digest;
        self.reporter.report(Event::BlobStarted { digest, size_bytes: descriptor.size_bytes });
        let mut attempts = Attempts::new(self.retries);
        let mut sent_bytes = 0;
        let mut knows_ranges = true;
        loop {
            let before_bytes = sent_bytes;
            let sent = self.send_from(blob, knows_ranges, &mut sent_bytes, pieces).await;
            if sent_bytes > before_bytes {
                attempts.progressed();
            }
            match sent {
                Ok(true) => break,
                Ok(false) => return Ok(false),
                Err(error) if knows_ranges && error.is_of_ranges() => knows_ranges = false,
                Err(error) => {
                    let failed = attempts.failed(error);
                    let (error, delay) =
                        failed.map_err(|error| error.stopped(descriptor, sent_bytes, false))?;
                    self.reporter.report(Event::Retrying { what: &digest.to_string(), error: &error, delay });
                    tokio::time::sleep(delay).await;
                }
            }
        }
        let is_verified = end(pieces).await;
        if is_verified {
            self.reporter.report(Event::BlobVerified { digest });
        }
        Ok(is_verified)
    }

    /// Sends a blob that is here. It had its digest a moment ago; the writer looks again.
    async fn send_reused(
        &self,
        descriptor: &Descriptor,
        claim: Claim,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<bool> {
        let (from, to, waiting) = (claim.clone(), pieces.clone(), Waiting::default());
        let is_awaited = waiting.asked();
        let send = move |chunk: &[u8]| to.blocking_send(Piece::Bytes(Bytes::copy_from_slice(chunk))).is_ok();
        let is_sent = blocking(move || each_chunk(&from, |chunk| is_awaited() && send(chunk))).await?;
        drop(waiting);
        if !is_sent || !end(pieces).await {
            return Ok(false);
        }
        let (digest, size_bytes) = (&descriptor.digest, descriptor.size_bytes);
        self.reporter.report(Event::BlobReused { digest, size_bytes, from: claim.origin() });
        Ok(true)
    }
}

impl Pull<'_> {
    /// Sends what comes of a blob after the first `sent_bytes`; false if the writer doesn't listen any more.
    async fn send_from(
        &self,
        blob: &PlannedBlob,
        knows_ranges: bool,
        sent_bytes: &mut u64,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<bool> {
        let descriptor = &blob.descriptor;
        let range = if knows_ranges { *sent_bytes..descriptor.size_bytes } else { 0..descriptor.size_bytes };
        let mut unwanted_bytes = *sent_bytes - range.start;
        let mut stream = self.source.open_blob(&blob.repository, descriptor, range).await?;
        while let Some(mut chunk) = stream.try_next().await? {
            let skipped = usize::try_from(unwanted_bytes).unwrap_or(usize::MAX).min(chunk.len());
            chunk.advance(skipped);
            unwanted_bytes -= skipped as u64;
            let bytes = chunk.len() as u64;
            if pieces.send(Piece::Bytes(chunk)).await.is_err() {
                return Ok(false);
            }
            *sent_bytes += bytes;
            self.reporter.report(Event::BlobProgressed { digest: &descriptor.digest, bytes });
        }
        Ok(true)
    }
}

/// Says that a blob is all there, and waits until the writer verified it; false if it doesn't.
async fn end(pieces: &mpsc::Sender<Piece>) -> bool {
    let (verified, verification) = oneshot::channel();
    pieces.send(Piece::End(verified)).await.is_ok() && verification.await.is_ok()
}

/// Lays the plan out, with the blobs' bytes from the queue and the inflated layers' from the spool. A queue that ends
/// early ends the stream where it is.
fn write(
    plan: &Plan,
    mut queue: mpsc::Receiver<Piece>,
    spooled: &HashMap<Digest, WrittenBlob>,
    limits: Limits,
    out: impl Write,
) -> Result<(), StreamError> {
    let mut archive = ArchiveStream::new(out);
    for entry in plan.entries() {
        archive.header(entry);
        match &entry.content {
            Content::Nothing => {}
            Content::Literal(bytes) => archive.literal(bytes),
            Content::Blob(blob) => {
                archive.start_blob(&blob.descriptor);
                loop {
                    match queue.blocking_recv() {
                        Some(Piece::Bytes(bytes)) => archive.blob_bytes(&bytes)?,
                        Some(Piece::End(verified)) => {
                            archive.finish_blob()?;
                            // Whoever asked may have been interrupted.
                            let _ = verified.send(());
                            break;
                        }
                        None => return Ok(()), // whoever should have sent has the error
                    }
                }
            }
            Content::Inflated(layer) => {
                let Some(blob) = spooled.get(&layer.descriptor.digest) else {
                    let missing = std::io::Error::other("a layer was never measured");
                    return Err(StreamError::Write(missing));
                };
                let inflation = Inflation { blob, limits, progress: &|_| !queue.is_closed() };
                inflation.verified(&layer.diff_id, |chunk, _| archive.layer_bytes(chunk))?;
            }
        }
    }
    archive.finish(plan)
}
