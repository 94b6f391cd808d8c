//! Fill: blobs into their regions, over several connections.
//!
//! What is missing is cut into parts ([`schedule`]), as large as the line makes sensible ([`pace`]); each free
//! connection fetches the next ([`part`]). What fails and may pass is tried again from where it stopped; what fails for
//! good stays, so far as it got, for the next run.

mod pace;
mod part;
mod schedule;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use self::part::PartEnd;
use self::schedule::Schedule;
use super::{Pull, blocking};
use crate::attempts::{Attempts, Retries};
use crate::blob::{RegionError, RegionWriter, WrittenBlob};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::image::{Registry, Repository};
use crate::registry::{RegistryError, Retry};
use crate::source::SourceError;

/// Chunks on their way to the disk, a connection: they come in up to about 400 KiB each.
pub(super) const QUEUED_CHUNKS: usize = 4;
/// Bytes on their way to the disk, of all connections.
const QUEUED_BYTES: usize = 4 << 20;

/// A blob to fetch, and where it goes.
pub(super) struct Job {
    pub(super) repository: Repository,
    pub(super) region: RegionWriter,
}

/// What a blob's transfer is at.
struct Progress {
    is_started: bool,
    tries: Tries,
}

/// The tries of a blob; or of a registry that answered too many requests, of which nothing is asked then.
struct Tries {
    attempts: Attempts,
    /// What was missing when it last failed, or at first.
    missing_bytes: u64,
}

impl Tries {
    fn new(retries: Retries, missing_bytes: u64) -> Self {
        Self { attempts: Attempts::new(retries), missing_bytes }
    }

    /// Those of now, while so much is missing: less than before is progress, by whichever connection it came.
    fn with_missing(&mut self, missing_bytes: u64) -> &mut Attempts {
        if std::mem::replace(&mut self.missing_bytes, missing_bytes) > missing_bytes {
            self.attempts.progressed();
        }
        &mut self.attempts
    }
}

/// What can come about while filling.
enum Turn {
    Part(PartEnd),
    Hashed(usize, Result<WrittenBlob, RegionError>),
    Woken,
}

impl Pull<'_> {
    /// Fetches what is missing of all `jobs`, the first first; `done` gets each with its number as it is verified.
    pub(super) async fn fill(&self, jobs: &[Job], mut done: impl FnMut(usize, WrittenBlob)) -> Result<()> {
        let is_here: Vec<bool> = stream::iter(jobs)
            .map(|job| self.reuse(job.region.descriptor(), &job.region))
            .buffered(jobs.len().max(1))
            .enumerate()
            .map(|(number, reused)| {
                let reused = reused?;
                let is_here = reused.is_some();
                if let Some(blob) = reused {
                    done(number, blob);
                }
                Ok::<_, Error>(is_here)
            })
            .try_collect()
            .await?;
        let mut schedule = Schedule::new(
            jobs.iter().map(|job| (job.region.descriptor().size_bytes, job.region.missing())),
            self.connections.max(1),
        );
        let progress = |job: &Job| Progress {
            is_started: false,
            tries: Tries::new(self.retries, job.region.missing().bytes()),
        };
        let mut progress: Vec<Progress> = jobs.iter().map(progress).collect();
        let mut limited = HashMap::new();
        let mut parts = FuturesUnordered::new();
        let mut hashes = FuturesUnordered::new();
        let hash = |number: usize| {
            let region = jobs[number].region.clone();
            async move { Turn::Hashed(number, blocking(move || region.finish()).await) }
        };
        for (number, job) in jobs.iter().enumerate() {
            if job.region.missing().is_empty() && !is_here[number] {
                self.start(job, &mut progress[number]);
                hashes.push(hash(number));
            }
        }
        let queue_room = Arc::new(Semaphore::new(QUEUED_BYTES));
        let mut just_had = None;
        loop {
            let now = Instant::now();
            while parts.len() < self.connections.max(1)
                && let Some(part) = schedule.next(just_had.take(), now)
            {
                let job = &jobs[part.blob];
                self.start(job, &mut progress[part.blob]);
                let queue_room = Arc::clone(&queue_room);
                // What is begun together is of one try, whichever is polled first.
                parts.push(async move { Turn::Part(self.fetch_part(job, part, now, queue_room).await) });
            }
            let wakes_at = schedule.wakes_at(now);
            let turn = tokio::select! {
                Some(turn) = parts.next() => turn,
                Some(turn) = hashes.next() => turn,
                () = sleep_until(wakes_at), if wakes_at.is_some() => Turn::Woken,
                else => return Ok(()),
            };
            match turn {
                Turn::Woken => {}
                Turn::Part(end) => {
                    just_had = Some(end.part.blob);
                    let number = end.part.blob;
                    if self.take_in(end, jobs, &mut schedule, &mut progress, &mut limited)? {
                        hashes.push(hash(number));
                    }
                }
                Turn::Hashed(number, Ok(blob)) => {
                    self.reporter.report(Event::BlobVerified { digest: blob.digest() });
                    done(number, blob);
                }
                Turn::Hashed(number, Err(error)) => {
                    let job = &jobs[number];
                    // Of nothing there is nothing else to get.
                    let is_worth_it = matches!(error, RegionError::Blob(_))
                        && job.region.descriptor().size_bytes > 0
                        && self.throw_away(job);
                    if !is_worth_it {
                        return Err(Error::in_region(self.source, job.repository.registry())(error));
                    }
                    progress[number].tries.missing_bytes = job.region.missing().bytes();
                    schedule.again(number);
                }
            }
        }
    }

    /// Takes note of how a part ended. True if nothing of its blob is missing any more.
    fn take_in(
        &self,
        end: PartEnd,
        jobs: &[Job],
        schedule: &mut Schedule,
        progress: &mut [Progress],
        limited: &mut HashMap<Registry, Tries>,
    ) -> Result<bool> {
        let PartEnd { part, position_bytes, started, latency, transfer, result } = end;
        let bytes = position_bytes - part.range.start;
        if bytes > 0 {
            schedule.pace.learn(bytes, latency, transfer);
        }
        let is_complete = schedule.end(&part, position_bytes..part.range.end);
        let Err(error) = result else { return Ok(is_complete) };
        let Job { repository, region } = &jobs[part.blob];
        let registry = repository.registry();
        let of_registry = || (0..jobs.len()).filter(|number| jobs[*number].repository.registry() == registry);
        if error.is_of_ranges() && !part.is_whole_only {
            schedule.keep_whole(of_registry());
            return Ok(is_complete);
        }
        let is_registrys =
            matches!(&error, Error::Source(SourceError::Registry(RegistryError::RateLimited { .. })));
        let missing_bytes = |number: usize| jobs[number].region.missing().bytes();
        // Connections that are one too many may be refused, so what came by others counts, too.
        let attempts = if is_registrys {
            let missing_bytes = of_registry().map(missing_bytes).sum();
            let tries = limited.entry(registry.clone());
            tries.or_insert_with(|| Tries::new(self.retries, missing_bytes)).with_missing(missing_bytes)
        } else {
            progress[part.blob].tries.with_missing(missing_bytes(part.blob))
        };
        let retry = error.retry();
        if retry != Retry::Never && attempts.is_of_an_earlier_try(started) {
            if let Retry::After(delay) = retry {
                schedule.wait(of_registry(), Instant::now() + delay);
            }
            return Ok(is_complete);
        }
        let (error, delay) = attempts.failed(error).map_err(|error| {
            let written_bytes = region.descriptor().size_bytes - missing_bytes(part.blob);
            error.stopped(region.descriptor(), written_bytes, region.is_kept())
        })?;
        let then = Instant::now() + delay;
        let what = if is_registrys {
            schedule.wait(of_registry(), then);
            registry.to_string()
        } else {
            schedule.wait(std::iter::once(part.blob), then);
            region.descriptor().digest.to_string()
        };
        self.reporter.report(Event::Retrying { what: &what, error: &error, delay });
        Ok(is_complete)
    }

    /// Throws away bytes that are not the blob's. True if it is worth getting them all again: an earlier run's may be to
    /// blame, and then nobody else is yet; or the source has other places.
    fn throw_away(&self, job: &Job) -> bool {
        let descriptor = job.region.descriptor();
        let had_old_bytes = job.region.throw_away();
        if had_old_bytes {
            self.reporter.report(Event::BlobThrownAway { digest: &descriptor.digest });
        }
        had_old_bytes || self.source.distrust(&job.repository, descriptor)
    }

    /// Tells that a blob's transfer begins, with what of it is there already.
    fn start(&self, job: &Job, progress: &mut Progress) {
        if !std::mem::replace(&mut progress.is_started, true) {
            let descriptor = job.region.descriptor();
            let (digest, size_bytes) = (&descriptor.digest, descriptor.size_bytes);
            self.reporter.report(Event::BlobStarted { digest, size_bytes });
            let bytes = size_bytes - job.region.missing().bytes();
            if bytes > 0 {
                self.reporter.report(Event::BlobProgressed { digest, bytes });
            }
        }
    }
}

async fn sleep_until(then: Option<Instant>) {
    if let Some(then) = then {
        tokio::time::sleep_until(then.into()).await;
    }
}
