//! What stands beside an archive, made when the archive has its name: its bytes are read back from the disk for that.

use std::time::Instant;

use super::{PlannedArchive, Pull, blocking};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::fsio::FileError;
use crate::image::Algorithm;
use crate::sidecar::{Checksum, Reading};

impl Pull<'_> {
    /// Writes the sidecars of an archive that was written, or was there; the checksum they were made of. Without any to
    /// write, nothing is read.
    pub async fn write_sidecars(&self, planned: &PlannedArchive) -> Result<Option<Checksum>> {
        if self.sidecars.is_empty() {
            return Ok(None);
        }
        let written = self.checksum_and_sidecars(planned).await;
        written.map(Some).map_err(|source| Error::Sidecar { archive: planned.path.clone(), source })
    }

    async fn checksum_and_sidecars(&self, planned: &PlannedArchive) -> Result<Checksum, FileError> {
        let checksum = self.checksum(planned).await?;
        for sidecar in self.sidecars.iter().copied() {
            let (checksum, existing) = (checksum.clone(), self.existing);
            let (path, images) = (planned.path.clone(), planned.images.clone());
            blocking(move || sidecar.write(&path, &checksum, &images, existing)).await?;
        }
        Ok(checksum)
    }

    async fn checksum(&self, planned: &PlannedArchive) -> Result<Checksum, FileError> {
        let (path, started) = (planned.path.clone(), Instant::now());
        let mut reading = blocking(move || Reading::begin(&path, Algorithm::Sha256)).await?;
        let (path, size_bytes) = (&*planned.path, reading.total_bytes());
        self.reporter.report(Event::CheckStarted { path, size_bytes: Some(size_bytes) });
        loop {
            let bytes;
            // A piece at a time, so that a pull can be interrupted.
            (reading, bytes) = blocking(move || reading.advance()).await?;
            if bytes == 0 {
                break;
            }
            self.reporter.report(Event::CheckProgressed { bytes });
        }
        let checksum = reading.finish();
        let (digest, took) = (&checksum.digest, started.elapsed());
        self.reporter.report(Event::Checksummed { path, digest, took });
        Ok(checksum)
    }
}
