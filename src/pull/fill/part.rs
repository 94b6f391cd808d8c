//! One connection's work: a part of a blob, from its source into its region.
//!
//! A part goes receive → bounded queue → a blocking thread that writes and hashes, so the network, the disk and the hash
//! work at the same time and memory stays bounded, however many connections there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures::TryStreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::schedule::Part;
use super::{Job, QUEUED_BYTES, QUEUED_CHUNKS};
use crate::blob::{PartWriter, RegionError};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::pull::{Pull, blocking};

/// Bytes on their way to the disk, and their share of the room for such.
struct Chunk {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// How a part ended.
pub(super) struct PartEnd {
    pub(super) part: Part,
    /// How far it came.
    pub(super) position_bytes: u64,
    /// When it was begun.
    pub(super) started: Instant,
    /// Until the first byte.
    pub(super) latency: Duration,
    /// From then on.
    pub(super) transfer: Duration,
    pub(super) result: Result<()>,
}

impl Pull<'_> {
    /// Of all parts together no more is on its way to the disk than `queue_room` holds, in bytes.
    pub(super) async fn fetch_part(
        &self,
        job: &Job,
        part: Part,
        started: Instant,
        queue_room: Arc<Semaphore>,
    ) -> PartEnd {
        let mut first_byte = None;
        let writer = job.region.part(part.range.start);
        let (chunks, queue) = mpsc::channel::<Chunk>(QUEUED_CHUNKS);
        let writing = blocking(move || write_all(writer, queue));
        let range = if part.is_whole_only { 0..part.range.end } else { part.range.clone() };
        let receiving = async {
            let chunks = chunks; // dropped with the last one, which ends the writing
            let descriptor = job.region.descriptor();
            let mut unwanted_bytes = part.range.start - range.start;
            let mut stream = self.source.open_blob(&job.repository, descriptor, range).await?;
            while let Some(mut chunk) = stream.try_next().await? {
                first_byte.get_or_insert_with(Instant::now);
                let skipped = usize::try_from(unwanted_bytes).unwrap_or(usize::MAX).min(chunk.len());
                chunk.advance(skipped);
                unwanted_bytes -= skipped as u64;
                let bytes = chunk.len() as u64;
                let share = u32::try_from(chunk.len().min(QUEUED_BYTES)).unwrap_or(u32::MAX);
                let room = Arc::clone(&queue_room).acquire_many_owned(share).await.ok(); // it is never closed
                if chunks.send(Chunk { bytes: chunk, _room: room }).await.is_err() {
                    break; // the writer refused the bytes, and says why
                }
                self.reporter.report(Event::BlobProgressed { digest: &descriptor.digest, bytes });
            }
            Ok::<(), Error>(())
        };
        let (received, (position_bytes, written)) = tokio::join!(receiving, writing);
        let written = written.map_err(Error::in_region(self.source, job.repository.registry()));
        let first_byte = first_byte.unwrap_or_else(Instant::now);
        PartEnd {
            part,
            position_bytes,
            started,
            latency: first_byte - started,
            transfer: first_byte.elapsed(),
            result: written.and(received),
        }
    }
}

/// Writes what comes, and says how far it got.
fn write_all(mut part: PartWriter, mut queue: mpsc::Receiver<Chunk>) -> (u64, Result<(), RegionError>) {
    while let Some(chunk) = queue.blocking_recv() {
        if let Err(error) = part.write(&chunk.bytes) {
            return (part.position_bytes(), Err(error));
        }
    }
    (part.position_bytes(), Ok(()))
}
