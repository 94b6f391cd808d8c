//! How far an export is, by what its pull tells. Kept in memory, for whoever looks.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::export::ArchiveState;
use super::exports::Entry;
use super::metrics::Metrics;
use crate::event::{Event, Reporter};
use crate::image::Digest;

/// The speed is that of so long.
const WINDOW: Duration = Duration::from_secs(10);
const SAMPLE: Duration = Duration::from_millis(500);

/// The archive under way.
#[derive(Default)]
pub(super) struct Live {
    pub(super) total_bytes: u64,
    pub(super) done_bytes: u64,
    blobs: Vec<Blob>,
    index: HashMap<Digest, usize>,
    samples: VecDeque<(Instant, u64)>,
}

#[derive(Clone, Serialize)]
pub(super) struct Blob {
    digest: String,
    size: u64,
    done_bytes: u64,
    state: BlobState,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum BlobState {
    Fetching,
    Inflating,
    Done,
}

impl Live {
    pub(super) fn blobs(&self) -> Vec<Blob> {
        self.blobs.clone()
    }

    pub(super) fn bytes_per_second(&self) -> u64 {
        let (Some((since, before)), now) = (self.samples.front(), Instant::now()) else { return 0 };
        let milliseconds = now.duration_since(*since).as_millis().max(1);
        let bytes = u128::from(self.done_bytes.saturating_sub(*before));
        u64::try_from(bytes * 1000 / milliseconds).unwrap_or(u64::MAX)
    }

    fn blob(&mut self, digest: &Digest) -> Option<&mut Blob> {
        self.index.get(digest).and_then(|index| self.blobs.get_mut(*index))
    }

    fn begin_blob(&mut self, digest: &Digest, size: u64) {
        let next = self.blobs.len();
        let index = *self.index.entry(digest.clone()).or_insert(next);
        if index == next {
            self.blobs.push(Blob {
                digest: digest.to_string(),
                size,
                done_bytes: 0,
                state: BlobState::Fetching,
            });
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.done_bytes = (self.done_bytes + bytes).min(self.total_bytes);
        let now = Instant::now();
        if self.samples.back().is_none_or(|(at, _)| now.duration_since(*at) >= SAMPLE) {
            self.samples.push_back((now, self.done_bytes));
        }
        while self.samples.len() > 1
            && self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.samples.pop_front();
        }
    }
}

/// Takes down what the pull of one archive tells.
pub(super) struct Watcher {
    pub(super) entry: Arc<Entry>,
    pub(super) metrics: Arc<Metrics>,
    /// Which archive of the export.
    pub(super) index: usize,
}

impl Reporter for Watcher {
    fn report(&self, event: Event<'_>) {
        let entry = &self.entry;
        match event {
            Event::FillStarted { blob_bytes, .. } => {
                entry.live(|live| *live = Live { total_bytes: blob_bytes, ..Live::default() });
                entry.archive(self.index, |archive| archive.state = ArchiveState::Fetching);
            }
            Event::BlobStarted { digest, size_bytes } => {
                entry.live(|live| live.begin_blob(digest, size_bytes));
            }
            Event::BlobProgressed { digest, bytes } => {
                self.metrics.fetched_bytes.fetch_add(bytes, Ordering::Relaxed);
                entry.live(|live| {
                    live.advance(bytes);
                    if let Some(blob) = live.blob(digest) {
                        blob.done_bytes = (blob.done_bytes + bytes).min(blob.size);
                    }
                });
            }
            Event::BlobReused { size_bytes, .. } => entry.live(|live| live.advance(size_bytes)),
            Event::InflateStarted { digest, .. } => entry.live(|live| live.set(digest, BlobState::Inflating)),
            Event::BlobVerified { digest } | Event::Inflated { digest, .. } => {
                entry.live(|live| live.set(digest, BlobState::Done));
            }
            Event::BlobThrownAway { digest } => {
                entry.live(|live| live.throw_away(digest));
                entry.say(format!(
                    "{digest}: what an earlier run left of it is something else; fetching it anew"
                ));
            }
            Event::CommitStarted { .. } => {
                entry.archive(self.index, |archive| archive.state = ArchiveState::Writing);
            }
            Event::CheckStarted { .. } => {
                entry.archive(self.index, |archive| archive.state = ArchiveState::Checking);
            }
            Event::Resolved { reference, digest, platform } => {
                entry.say(format!("{reference}  {platform}  {digest}"));
            }
            Event::Resumed { bytes, .. } => {
                entry.say(format!("carrying on: {bytes} bytes are here from an earlier run"));
            }
            Event::Retrying { what, error, delay } => {
                let seconds = delay.as_secs_f64();
                entry.say(format!("{what}: {}; trying again in {seconds:.1} s", with_causes(error)));
            }
            Event::Warning(warning) => entry.say(format!("warning: {warning}")),
            _ => {}
        }
    }
}

impl Live {
    fn set(&mut self, digest: &Digest, state: BlobState) {
        if let Some(blob) = self.blob(digest) {
            blob.state = state;
        }
    }

    fn throw_away(&mut self, digest: &Digest) {
        let Some(blob) = self.blob(digest) else { return };
        let lost = std::mem::take(&mut blob.done_bytes);
        self.done_bytes = self.done_bytes.saturating_sub(lost);
        self.samples.clear();
    }
}

/// An error and its causes on one line.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause: &&dyn Error| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
