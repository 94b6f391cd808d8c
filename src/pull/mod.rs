//! Pull: image references to archive files. The whole of sealift in one line: resolve → plan → fill → commit.
//!
//! Neighbours: images come from a [`Source`], the places of bytes from [`crate::archive`]. Nothing here knows which
//! source it is, or who watches.

mod fill;
mod output;
mod resolve;
mod small;

use std::path::PathBuf;

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::{CommittedArchive, PartialArchive, Plan};
use crate::error::Result;
use crate::event::{Event, Reporter};
use crate::image::{Platform, Reference, ResolvedImage};
use crate::source::Source;

pub use output::Output;
pub use resolve::{Offered, ResolveError};

/// What all steps of a pull work with.
#[derive(Clone, Copy)]
pub struct Pull<'a> {
    /// Where images come from.
    pub source: &'a dyn Source,
    /// Who is told what happens.
    pub reporter: &'a dyn Reporter,
    /// How many blobs are fetched at the same time, at least one.
    pub connections: usize,
}

/// An image whose archive is planned to the byte; nothing of its layers is fetched.
#[derive(Clone, Debug)]
pub struct PlannedArchive {
    /// The image.
    pub image: ResolvedImage,
    /// The archive.
    pub plan: Plan,
    /// The archive's path.
    pub path: PathBuf,
}

impl Pull<'_> {
    /// Resolves all references at once and plans a file for each.
    pub async fn plan(
        &self,
        references: &[Reference],
        platform: Option<&Platform>,
        output: &Output,
    ) -> Result<Vec<PlannedArchive>> {
        output.check()?;
        let resolutions = references.iter().map(|reference| self.resolve(reference, platform));
        let images: Vec<_> =
            stream::iter(resolutions).buffered(self.connections.max(1)).try_collect().await?;
        for image in &images {
            let (reference, digest) = (&image.reference, &image.target.digest);
            self.reporter.report(Event::Resolved { reference, digest, platform: &image.platform });
        }
        let paths = output.paths(&images);
        images
            .into_iter()
            .zip(paths)
            .map(|(image, path)| {
                Ok(PlannedArchive { plan: Plan::of(std::slice::from_ref(&image))?, image, path })
            })
            .collect()
    }

    /// Makes sure, before the first byte of a layer, that all of `planned` has names and room.
    pub fn check(planned: &[PlannedArchive]) -> Result<()> {
        Ok(Output::check_all(planned)?)
    }

    /// Fetches what a plan is missing and gives the file its name.
    pub async fn write(&self, planned: &PlannedArchive) -> Result<CommittedArchive> {
        let (plan, path) = (planned.plan.clone(), planned.path.clone());
        let archive = blocking(move || PartialArchive::create(plan, &path)).await?;
        let blobs = self.fill(&archive, &planned.path).await?;
        let complete = archive.complete(&blobs)?;
        self.reporter.report(Event::CommitStarted { path: &planned.path });
        let durable = blocking(move || complete.sync()).await?;
        // Nothing awaits from here on, so whoever is interrupted has no file under the final name.
        let committed = durable.commit()?;
        self.reporter.report(Event::Committed { path: &committed.path, size_bytes: committed.size_bytes });
        Ok(committed)
    }
}

/// Runs what waits for the disk beside the runtime's own threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // The runtime ends only with the process, so the work panicked: carry that on.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
