//! `--reuse`: which paths, and how much came of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealift::config::Config;
use sealift::event::{Event, Reporter};
use sealift::fsio::blocking;
use sealift::reuse::Pool;

use crate::cli::report::Failure;
use crate::cli::ui;

/// Paths are named in the end; of more only how many there are.
const MAX_NAMED: usize = 3;

/// The settings' paths, and those `asked` for by name: these have to be there.
pub(super) fn paths(asked: &[PathBuf], config: &Config) -> Result<Vec<PathBuf>, Failure> {
    match asked.iter().find(|path| path.symlink_metadata().is_err()) {
        Some(missing) => Err(Failure::NothingToReuse(missing.clone())),
        None => Ok([asked, &config.reuse].concat()),
    }
}

/// Looks into `paths`, and tells what is there; none if there are none.
pub(super) async fn open(paths: Vec<PathBuf>, reporter: &dyn Reporter) -> Option<Pool> {
    if paths.is_empty() {
        return None;
    }
    let (pool, notes) = blocking(move || Pool::open(&paths)).await;
    for note in &notes {
        reporter.report(Event::Reusable(note));
    }
    Some(pool)
}

/// Hands events on and counts what is reused of the archive that is under way.
pub(in crate::cli) struct Tally {
    inner: Box<dyn Reporter>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    layers: usize,
    reused: usize,
    reused_bytes: u64,
    origins: BTreeSet<PathBuf>,
}

impl Tally {
    pub(in crate::cli) fn of(inner: Box<dyn Reporter>) -> Self {
        Self { inner, counts: Mutex::default() }
    }

    /// How much of the last archive was reused.
    pub(super) fn reused_bytes(&self) -> u64 {
        self.counts().reused_bytes
    }

    /// What was reused of the last archive, and from where, if anything was.
    pub(super) fn words(&self) -> Option<String> {
        let Counts { layers, reused, reused_bytes, origins } = &*self.counts();
        let mut named: Vec<_> = origins.iter().take(MAX_NAMED).map(|path| ui::shell_word(path)).collect();
        if origins.len() > MAX_NAMED {
            named.push(format!("{} more", origins.len() - MAX_NAMED));
        }
        let plural = if *layers == 1 { "layer" } else { "layers" };
        let size = ui::size(*reused_bytes);
        (*reused > 0)
            .then(|| format!("{reused} of {layers} {plural}, {size}, reused from {}", named.join(", ")))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, size_bytes: u64, from: &Path) {
        let mut counts = self.counts();
        counts.reused += 1;
        counts.reused_bytes += size_bytes;
        counts.origins.insert(from.to_owned());
    }
}

impl Reporter for Tally {
    fn report(&self, event: Event<'_>) {
        match event {
            Event::FillStarted { blobs, .. } => {
                *self.counts() = Counts { layers: blobs, ..Counts::default() }
            }
            Event::BlobReused { size_bytes, from, .. } => self.count(size_bytes, from),
            _ => {}
        }
        self.inner.report(event);
    }
}
