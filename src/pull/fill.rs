//! Fill: every blob of a plan into its region, several at once.
//!
//! A blob goes receive → bounded queue → a blocking thread that hashes and writes, so the network, the hash and the
//! disk work at the same time and memory stays bounded. Retries, segments and mirrors will live in [`fetch`](Pull::fetch).

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Semaphore, mpsc};

use super::{Pull, blocking};
use crate::archive::{PartialArchive, PlannedBlob};
use crate::blob::{RegionError, RegionWriter, WrittenBlob};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::image::{Descriptor, Repository};

/// Chunks on their way to the disk, a blob: they come in up to about 400 KiB each.
pub(super) const QUEUED_CHUNKS: usize = 4;

impl Pull<'_> {
    /// Fetches all blobs of the archive's plan that are kept as they are. The largest go first, so none is waited for
    /// alone at the end.
    pub(super) async fn fill(
        &self,
        archive: &PartialArchive,
        connections: &Semaphore,
    ) -> Result<Vec<WrittenBlob>> {
        let mut blobs: Vec<&PlannedBlob> = archive.plan().blobs().collect();
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.descriptor.size_bytes));
        let all = blobs.len().max(1);
        let fetches = blobs
            .into_iter()
            .map(|blob| self.fetch(&blob.repository, &blob.descriptor, archive.region(blob), connections));
        stream::iter(fetches).buffer_unordered(all).try_collect().await
    }

    /// Fetches one blob into its region, as soon as a connection is free, unless it is here to be reused.
    pub(super) async fn fetch(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        region: RegionWriter,
        connections: &Semaphore,
    ) -> Result<WrittenBlob> {
        if let Some(reused) = self.reuse(blob, &region).await? {
            return Ok(reused);
        }
        // It is never closed, so there is always a permit some day.
        let _permit = connections.acquire().await;
        let digest = &blob.digest;
        self.reporter.report(Event::BlobStarted { digest, size_bytes: blob.size_bytes });
        let mut stream = self.source.open_blob(repository, blob, 0).await?;
        let (chunks, queue) = mpsc::channel::<Bytes>(QUEUED_CHUNKS);
        let writing = blocking(move || write_all(region, queue));
        let receiving = async move {
            while let Some(chunk) = stream.try_next().await? {
                let bytes = chunk.len() as u64;
                if chunks.send(chunk).await.is_err() {
                    break; // the writer refused the bytes, and says why
                }
                self.reporter.report(Event::BlobProgressed { digest, bytes });
            }
            Ok::<(), Error>(())
        };
        let (received, written) = tokio::join!(receiving, writing);
        received?;
        let written = written.map_err(Error::in_region(repository.registry()))?;
        self.reporter.report(Event::BlobVerified { digest });
        Ok(written)
    }
}

fn write_all(mut region: RegionWriter, mut queue: mpsc::Receiver<Bytes>) -> Result<WrittenBlob, RegionError> {
    while let Some(chunk) = queue.blocking_recv() {
        region.write(&chunk)?;
    }
    region.finish()
}
