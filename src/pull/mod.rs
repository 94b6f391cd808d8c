//! Pull: image references to archive files. The whole of sealift in one line: resolve → plan → fill → commit.
//!
//! Neighbours: images come from a [`Source`], the places of bytes from [`crate::archive`]. Nothing here knows which
//! source it is, or who watches.

mod fill;
mod inflate;
mod output;
mod pipe;
mod resolve;
mod reuse;
mod sidecars;
mod small;

use std::num::NonZero;
use std::path::PathBuf;

use futures::{StreamExt, stream};
use tokio::sync::OnceCell;

use self::fill::Job;
use crate::archive::{CommittedArchive, LayerMode, PartialArchive, Plan, size_of_archive};
use crate::attempts::{Retries, persistently};
use crate::blob::Limits;
use crate::error::{Error, Result};
use crate::event::{Event, Reporter, Warning};
use crate::fsio::{Existing, LeftOver, ScratchFile, blocking};
use crate::image::{Platform, Reference, ResolvedImage};
use crate::reuse::Pool;
use crate::sidecar::Sidecar;
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
    /// How many connections fetch blobs at the same time, at least one.
    pub connections: usize,
    /// What is done about failures that may pass.
    pub retries: Retries,
    /// What is done with files that are there already.
    pub existing: Existing,
    /// Which layers are stored inflated.
    pub layers: LayerMode,
    /// How far a layer may inflate.
    pub limits: Limits,
    /// What may be copied instead of fetched. Archives that are written join it.
    pub reuse: Option<&'a Pool>,
    /// What is to stand beside each archive.
    pub sidecars: &'a [Sidecar],
    /// Is asked before an archive becomes larger than it was planned: may it have so many bytes? Without it, it may.
    pub may_grow: Option<&'a (dyn Fn(u64) -> bool + Sync)>,
}

impl<'a> Pull<'a> {
    /// From files of this machine, layers as they are: what fails there fails again, and a file that is there is in the
    /// way.
    pub fn of_files(source: &'a dyn Source, reporter: &'a dyn Reporter) -> Self {
        Self {
            source,
            reporter,
            connections: std::thread::available_parallelism().map_or(1, NonZero::get),
            retries: Retries { times: 0, delay: None },
            existing: Existing::Refuse,
            layers: LayerMode::Keep,
            limits: Limits::default(),
            reuse: None,
            sidecars: &[],
            may_grow: None,
        }
    }
}

/// An archive that is planned to the byte, but for the sizes of layers that are to be inflated; nothing of its layers
/// is fetched.
#[derive(Clone, Debug)]
pub struct PlannedArchive {
    /// The images in it, at least one.
    pub images: Vec<ResolvedImage>,
    /// The archive.
    pub plan: Plan,
    /// The archive's path.
    pub path: PathBuf,
}

impl PlannedArchive {
    /// What it takes of the disk while it is written; of layers that are inflated, as far as that can be foretold.
    pub fn room_bytes(&self) -> u64 {
        self.plan.size_bytes().saturating_add(inflate::Spool::size_bytes(&self.plan))
    }
}

/// What came of planning: with a file for each image, one that fails doesn't stop the others.
#[derive(Debug, Default)]
pub struct Planned {
    /// The archives to write.
    pub archives: Vec<PlannedArchive>,
    /// The images that can't be had, in the order they were asked for.
    pub failures: Vec<Failed>,
}

/// An image that can't be had.
#[derive(Debug)]
pub struct Failed {
    /// Its name.
    pub image: String,
    /// Why.
    pub error: Error,
}

/// What became of a planned archive. Either way the file is what was planned, to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was fetched.
    Fetched(CommittedArchive),
    /// The file was there already.
    UpToDate(CommittedArchive),
}

impl Written {
    /// The file.
    pub fn archive(&self) -> &CommittedArchive {
        match self {
            Self::Fetched(archive) | Self::UpToDate(archive) => archive,
        }
    }
}

impl Pull<'_> {
    /// Resolves all references for all platforms at once, and plans one file of all or a file for each. Without a
    /// platform it is linux/amd64, or whatever an image is for that has no other. An image that can't be had fails a
    /// file of all.
    pub async fn plan(
        &self,
        references: &[Reference],
        platforms: &[Platform],
        output: &Output,
    ) -> Result<Planned> {
        self.plan_each(references.iter().map(|reference| (reference, platforms)), output).await
    }

    /// The same, where each image has platforms of its own.
    pub async fn plan_each<'a>(
        &self,
        wanted: impl IntoIterator<Item = (&'a Reference, &'a [Platform])>,
        output: &Output,
    ) -> Result<Planned> {
        output.check()?;
        // What a name means is asked once for all platforms: registries count that, and it may change.
        let names: Vec<_> = wanted.into_iter().map(|wanted| (wanted, OnceCell::new())).collect();
        let wanted = names.iter().flat_map(|((reference, platforms), named)| {
            let usual = platforms.is_empty().then_some(None);
            usual.into_iter().chain(platforms.iter().map(Some)).map(move |one| (*reference, named, one))
        });
        let resolutions = wanted.map(|(reference, named, platform)| async move {
            let resolve = || self.resolve(reference, platform, named);
            let image = persistently(self.retries, self.reporter, &reference.to_string(), resolve).await;
            image.map_err(|error| Failed { image: reference.to_string(), error })
        });
        let resolved: Vec<_> = stream::iter(resolutions).buffered(self.connections.max(1)).collect().await;
        let mut planned = Planned::default();
        let mut images = Vec::new();
        for resolution in resolved {
            match resolution {
                Ok(image) => {
                    let (reference, digest) = (&image.reference, &image.target.digest);
                    self.reporter.report(Event::Resolved { reference, digest, platform: &image.platform });
                    images.push(image);
                }
                Err(failed) if output.is_of_all() => return Err(failed.error),
                Err(failed) => planned.failures.push(failed),
            }
        }
        if images.is_empty() {
            return Ok(planned);
        }
        for (path, images) in output.archives(images) {
            match Plan::of(&images, self.layers) {
                Ok(plan) => planned.archives.push(PlannedArchive { images, plan, path }),
                Err(error) if output.is_of_all() => return Err(error.into()),
                Err(error) => {
                    let image = images[0].reference.to_string();
                    planned.failures.push(Failed { image, error: error.into() });
                }
            }
        }
        Ok(planned)
    }

    /// Follows one reference to one image. Nothing but manifests and the config is fetched.
    pub async fn resolved(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<ResolvedImage> {
        let named = OnceCell::new();
        let resolve = || self.resolve(reference, platform, &named);
        persistently(self.retries, self.reporter, &reference.to_string(), resolve).await
    }

    /// Makes sure, before the first byte of a layer, that all of `planned` has names and room.
    pub fn check(&self, planned: &[PlannedArchive]) -> Result<()> {
        if let Some(warning) = Output::check_all(planned, self.sidecars, self.existing)? {
            self.reporter.report(Event::Warning(&warning));
        }
        Ok(())
    }

    /// Fetches what a plan is missing and gives the file its name, unless that very file is there already.
    pub async fn write(&self, planned: &PlannedArchive) -> Result<Written> {
        let (plan, path) = (planned.plan.clone(), planned.path.clone());
        if let Some(size_bytes) = blocking(move || size_of_archive(&path, &plan)).await {
            // A run that was killed at its very end may have left it.
            ScratchFile::remove_left_over(&planned.path);
            self.offer(&planned.path);
            return Ok(Written::UpToDate(CommittedArchive { path: planned.path.clone(), size_bytes }));
        }
        let archive = self.open(planned).await?;
        self.report_fill(planned);
        let mut kept: Vec<Job> = planned
            .plan
            .blobs()
            .map(|blob| Job { repository: blob.repository.clone(), region: archive.region(blob) })
            .collect();
        // The largest go first, so that none is waited for alone at the end.
        kept.sort_by_key(|job| std::cmp::Reverse(job.region.descriptor().size_bytes));
        let (complete, spool) = if planned.plan.is_estimate() {
            let (path, identity) = (planned.path.clone(), planned.plan.identity());
            let spool =
                self.spool(&planned.plan, move |bytes| ScratchFile::beside(&path, bytes, &identity)).await?;
            self.report_resumed(planned, archive.claimed_bytes() + spool.claimed_bytes());
            match self.fill_and_inflate(kept, &spool, archive).await {
                Ok(complete) => (complete, Some(spool)),
                Err(error) => {
                    if inflate::is_hopeless(&error) {
                        spool.remove();
                    }
                    return Err(error);
                }
            }
        } else {
            self.report_resumed(planned, archive.claimed_bytes());
            ScratchFile::remove_left_over(&planned.path);
            let mut blobs = Vec::new();
            self.fill(&kept, |_, blob| blobs.push(blob)).await?;
            (archive.complete(&blobs, &[])?, None)
        };
        self.reporter.report(Event::CommitStarted { path: &planned.path });
        let durable = blocking(move || complete.sync()).await?;
        // Nothing awaits from here on, so whoever is interrupted has no file under the final name.
        let committed = durable.commit()?;
        // Until now a run that was killed could carry on from it.
        if let Some(spool) = spool {
            spool.remove();
        }
        self.reporter.report(Event::Committed { path: &committed.path, size_bytes: committed.size_bytes });
        self.offer(&committed.path);
        Ok(Written::Fetched(committed))
    }

    /// The archive's file, with what an earlier run left of it.
    async fn open(&self, planned: &PlannedArchive) -> Result<PartialArchive> {
        let (plan, path, existing) = (planned.plan.clone(), planned.path.clone(), self.existing);
        let (archive, left_over) = blocking(move || PartialArchive::open(plan, &path, existing)).await?;
        if left_over == LeftOver::Another {
            self.reporter.report(Event::Warning(&Warning::StartedAnew { path: planned.path.clone() }));
        }
        Ok(archive)
    }

    fn report_resumed(&self, planned: &PlannedArchive, bytes: u64) {
        if bytes > 0 {
            self.reporter.report(Event::Resumed { path: &planned.path, bytes });
        }
    }

    fn report_fill(&self, planned: &PlannedArchive) {
        let (blobs, inflated) = (planned.plan.blobs(), planned.plan.inflated());
        let sizes = blobs.map(|blob| blob.descriptor.size_bytes);
        let inflated_sizes: Vec<_> = inflated.map(|layer| layer.descriptor.size_bytes).collect();
        let sizes: Vec<_> = sizes.chain(inflated_sizes.iter().copied()).collect();
        self.reporter.report(Event::FillStarted {
            path: &planned.path,
            blobs: sizes.len(),
            blob_bytes: sizes.iter().sum(),
            inflate_bytes: inflated_sizes.iter().sum(),
        });
    }
}
