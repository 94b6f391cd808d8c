//! Fill: every blob of a plan into its region, several at once.
//!
//! A blob goes receive → bounded queue → a blocking thread that hashes and writes, so the network, the hash and the
//! disk work at the same time and memory stays bounded. Retries, segments and mirrors will live in [`fetch`](Pull::fetch).

use std::path::Path;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::{Pull, blocking};
use crate::archive::{PartialArchive, PlannedBlob};
use crate::blob::{RegionError, RegionWriter, VerifiedBlob};
use crate::error::{Error, Result};
use crate::event::Event;

/// Chunks on their way to the disk, a blob: they come in up to about 400 KiB each.
pub(super) const QUEUED_CHUNKS: usize = 4;

impl Pull<'_> {
    /// Fetches all blobs of the archive's plan. The largest go first, so none is waited for alone at the end.
    pub(super) async fn fill(&self, archive: &PartialArchive, path: &Path) -> Result<Vec<VerifiedBlob>> {
        let mut blobs: Vec<&PlannedBlob> = archive.plan().blobs().collect();
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.descriptor.size_bytes));
        let blob_bytes = blobs.iter().map(|blob| blob.descriptor.size_bytes).sum();
        self.reporter.report(Event::FillStarted { path, blobs: blobs.len(), blob_bytes });
        stream::iter(blobs.into_iter().map(|blob| self.fetch(blob, archive.region(blob))))
            .buffer_unordered(self.connections.max(1))
            .try_collect()
            .await
    }

    async fn fetch(&self, blob: &PlannedBlob, region: RegionWriter) -> Result<VerifiedBlob> {
        let descriptor = &blob.descriptor;
        let digest = &descriptor.digest;
        self.reporter.report(Event::BlobStarted { digest, size_bytes: descriptor.size_bytes });
        let mut stream = self.source.open_blob(&blob.repository, descriptor, 0).await?;
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
        let verified = written.map_err(Error::in_region(blob.repository.registry()))?;
        self.reporter.report(Event::BlobVerified { digest });
        Ok(verified)
    }
}

fn write_all(
    mut region: RegionWriter,
    mut queue: mpsc::Receiver<Bytes>,
) -> Result<VerifiedBlob, RegionError> {
    while let Some(chunk) = queue.blocking_recv() {
        region.write(&chunk)?;
    }
    region.finish()
}
