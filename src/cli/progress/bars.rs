//! Bars for a terminal: one for each blob in flight, and the total below them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealift::event::{Event, Reporter};
use sealift::image::Digest;

pub(super) struct Bars {
    screen: MultiProgress,
    in_flight: Mutex<InFlight>,
}

#[derive(Default)]
struct InFlight {
    total: Option<ProgressBar>,
    blobs: HashMap<Digest, ProgressBar>,
    inflating: HashMap<Digest, ProgressBar>,
}

impl Bars {
    pub(super) fn new() -> Self {
        Self {
            screen: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            in_flight: Mutex::default(),
        }
    }

    /// A bar above the total, or the total itself.
    fn bar(&self, total: Option<&ProgressBar>, size_bytes: u64, template: &str, name: String) -> ProgressBar {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(size_bytes).with_style(style.progress_chars("━╸ ")).with_message(name);
        let bar = match total {
            Some(total) => self.screen.insert_before(total, bar),
            None => self.screen.add(bar),
        };
        bar.enable_steady_tick(EVERY);
        bar
    }
}

/// How often bars are drawn.
const EVERY: Duration = Duration::from_millis(100);

const BLOB: &str = "  {msg:12.dim}  {bar:30.cyan}  {bytes:>10} / {total_bytes}";
/// Sizes are those of the blob: what it inflates to is not known.
const INFLATE: &str = "  {msg:12.dim}  {bar:30.magenta}  {bytes:>10} / {total_bytes}  inflating";
const TOTAL: &str = "  {msg:12}  {bar:30.green}  {bytes:>10} / {total_bytes}  {bytes_per_sec}, {eta} left";
/// Of what is packed, or comes through a pipe, the end is not known.
const UNPACKED: &str = "  {msg:12}  {bytes:>10}  {bytes_per_sec}";
const COMMIT: &str = "  {msg} {spinner}";

/// As much of a digest as tells it from others, so that lines fit a terminal.
fn short(digest: &Digest) -> String {
    format!("{}:{}…", digest.algorithm().name(), digest.short())
}

impl Reporter for Bars {
    fn report(&self, event: Event<'_>) {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::FillStarted { blobs, blob_bytes, .. } => {
                let name = if blobs == 1 { "1 layer".to_owned() } else { format!("{blobs} layers") };
                in_flight.total = Some(self.bar(None, blob_bytes, TOTAL, name));
            }
            Event::PushStarted { blobs, blob_bytes, .. } | Event::MirrorStarted { blobs, blob_bytes, .. } => {
                let name = if blobs == 1 { "1 blob".to_owned() } else { format!("{blobs} blobs") };
                in_flight.total = Some(self.bar(None, blob_bytes, TOTAL, name));
            }
            Event::BlobStarted { digest, size_bytes } => {
                let total = in_flight.total.as_ref();
                let bar = self.bar(total, size_bytes, BLOB, digest.short().to_owned());
                in_flight.blobs.insert(digest.clone(), bar);
            }
            Event::InflateStarted { digest, size_bytes } => {
                let total = in_flight.total.as_ref();
                let bar = self.bar(total, size_bytes, INFLATE, digest.short().to_owned());
                in_flight.inflating.insert(digest.clone(), bar);
            }
            Event::InflateProgressed { digest, bytes } => {
                if let Some(bar) = in_flight.inflating.get(digest) {
                    bar.inc(bytes);
                }
            }
            Event::Inflated { digest, .. } => {
                if let Some(bar) = in_flight.inflating.remove(digest) {
                    bar.finish_and_clear();
                }
            }
            Event::BlobProgressed { digest, bytes } => {
                if let Some(bar) = in_flight.blobs.get(digest) {
                    bar.inc(bytes);
                }
                if let Some(total) = &in_flight.total {
                    total.inc(bytes);
                }
            }
            // What is copied, or there already, says nothing of the line's speed.
            Event::BlobReused { size_bytes: bytes, .. }
            | Event::BlobSkipped { size_bytes: bytes, .. }
            | Event::CheckProgressed { bytes }
            | Event::LoadProgressed { bytes }
            | Event::GrabProgressed { bytes }
            | Event::LayerProgressed { bytes } => {
                if let Some(total) = &in_flight.total {
                    total.inc(bytes);
                }
            }
            Event::BlobVerified { digest } => {
                if let Some(bar) = in_flight.blobs.remove(digest) {
                    bar.finish_and_clear();
                }
            }
            Event::CommitStarted { .. } => {
                if let Some(total) = in_flight.total.take() {
                    total.finish_and_clear();
                }
                in_flight.total = Some(self.bar(None, 0, COMMIT, "putting it on disk".to_owned()));
            }
            Event::Committed { .. }
            | Event::Checked { .. }
            | Event::LoadEnded
            | Event::PushEnded
            | Event::LayerEnded => {
                if let Some(total) = in_flight.total.take() {
                    total.finish_and_clear();
                }
            }
            Event::CheckStarted { size_bytes, .. } => {
                let template = if size_bytes.is_some() { TOTAL } else { UNPACKED };
                let bar = self.bar(None, size_bytes.unwrap_or_default(), template, "reading".to_owned());
                in_flight.total = Some(bar);
            }
            Event::GrabStarted { .. } => {
                in_flight.total = Some(self.bar(None, 0, UNPACKED, "receiving".to_owned()));
            }
            Event::LoadStarted { size_bytes, .. } => {
                in_flight.total = Some(self.bar(None, size_bytes, TOTAL, "sending".to_owned()));
            }
            Event::LayerStarted { doing, size_bytes, .. } => {
                in_flight.total = Some(self.bar(None, size_bytes, TOTAL, super::work(doing).to_owned()));
            }
            Event::LoadSent => {
                if let Some(total) = in_flight.total.take() {
                    total.finish_and_clear();
                }
                in_flight.total = Some(self.bar(None, 0, COMMIT, "sent; it is being unpacked".to_owned()));
            }
            event => {
                if let Event::Checksummed { .. } | Event::Grabbed { .. } = event
                    && let Some(total) = in_flight.total.take()
                {
                    total.finish_and_clear();
                }
                if let Some(words) = super::words(&event, &short) {
                    self.screen.suspend(|| super::ui::talk(&words));
                }
            }
        }
    }
}

impl Drop for Bars {
    /// What is still drawn when a pull fails goes before the error is told.
    fn drop(&mut self) {
        let in_flight = self.in_flight.get_mut().unwrap_or_else(PoisonError::into_inner);
        for bar in in_flight.blobs.values().chain(in_flight.inflating.values()).chain(&in_flight.total) {
            bar.finish_and_clear();
        }
    }
}
