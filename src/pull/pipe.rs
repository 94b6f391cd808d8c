//! Pipe: an archive to a pipe, in order, in bounded memory.
//!
//! Blobs are asked for one after another: a connection that waits for its turn would be closed by many servers.

use std::io::Write;

use bytes::Bytes;
use futures::TryStreamExt;
use tokio::sync::{mpsc, oneshot};

use super::fill::QUEUED_CHUNKS;
use super::{PlannedArchive, Pull, blocking};
use crate::archive::{ArchiveStream, Content, Plan, PlannedBlob, StreamError};
use crate::error::{Error, Result};
use crate::event::Event;

/// A blob's bytes on their way to the pipe.
enum Piece {
    Bytes(Bytes),
    /// All are there; the answer comes when they are verified.
    End(oneshot::Sender<()>),
}

impl Pull<'_> {
    /// Writes a planned archive to `out`. Whatever goes wrong, what was written ends inside an entry, so that no loader
    /// takes it for whole.
    pub async fn pipe(&self, planned: &PlannedArchive, out: impl Write + Send + 'static) -> Result<()> {
        let plan = &planned.plan;
        let blob_bytes = plan.blobs().map(|blob| blob.descriptor.size_bytes).sum();
        self.reporter.report(Event::FillStarted {
            path: &planned.path,
            blobs: plan.blobs().count(),
            blob_bytes,
        });
        let (pieces, queue) = mpsc::channel(QUEUED_CHUNKS);
        let writer_plan = plan.clone();
        let writing = blocking(move || write(&writer_plan, queue, out));
        let receiving = async move {
            for blob in plan.blobs() {
                if !self.send(blob, &pieces).await? {
                    break; // the writer can't go on, and says why
                }
            }
            Ok::<(), Error>(())
        };
        let (received, written) = tokio::join!(receiving, writing);
        received?;
        written.map_err(|error| match error {
            StreamError::Blob(source) => {
                let blob = plan.blobs().find(|blob| blob.descriptor.digest == *source.digest());
                let registry = blob.map_or(planned.images[0].reference.repository(), |blob| &blob.repository);
                Error::Blob { registry: registry.registry().clone(), source }
            }
            error @ StreamError::Write(_) => Error::Stream(error),
        })
    }

    /// Sends a blob to the writer; false if it doesn't listen any more.
    async fn send(&self, blob: &PlannedBlob, pieces: &mpsc::Sender<Piece>) -> Result<bool> {
        let descriptor = &blob.descriptor;
        let digest = &descriptor.digest;
        self.reporter.report(Event::BlobStarted { digest, size_bytes: descriptor.size_bytes });
        let mut stream = self.source.open_blob(&blob.repository, descriptor, 0).await?;
        while let Some(chunk) = stream.try_next().await? {
            let bytes = chunk.len() as u64;
            if pieces.send(Piece::Bytes(chunk)).await.is_err() {
                return Ok(false);
            }
            self.reporter.report(Event::BlobProgressed { digest, bytes });
        }
        let (verified, verification) = oneshot::channel();
        if pieces.send(Piece::End(verified)).await.is_err() || verification.await.is_err() {
            return Ok(false);
        }
        self.reporter.report(Event::BlobVerified { digest });
        Ok(true)
    }
}

/// Lays the plan out, with the blobs' bytes from the queue. A queue that ends early ends the stream where it is.
fn write(plan: &Plan, mut queue: mpsc::Receiver<Piece>, out: impl Write) -> Result<(), StreamError> {
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
        }
    }
    archive.finish(plan)
}
