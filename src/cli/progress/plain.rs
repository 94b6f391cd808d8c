//! Plain lines for logs: what begins, how far it is every few seconds.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealift::event::{Event, Reporter};

use crate::cli::ui;

/// How often a line is worth its place in a log.
const EVERY: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Plain(Mutex<Option<Fill>>);

/// A fill, or the reading for a checksum, that is under way.
struct Fill {
    total_bytes: u64,
    done_bytes: u64,
    inflate_bytes: u64,
    inflated_bytes: u64,
    started: Instant,
    told: Instant,
}

impl Fill {
    /// Says where blobs go, and begins.
    fn of_blobs(target: &dyn fmt::Display, blobs: usize, blob_bytes: u64) -> Self {
        let blobs = if blobs == 1 { "1 blob".to_owned() } else { format!("{blobs} blobs") };
        ui::talk(&format!("{target}: {blobs}, {}", ui::size(blob_bytes)));
        Self::of(blob_bytes)
    }

    /// One that begins now.
    fn of(total_bytes: u64) -> Self {
        let now = Instant::now();
        Self { total_bytes, done_bytes: 0, inflate_bytes: 0, inflated_bytes: 0, started: now, told: now }
    }

    /// Says how far it is, if that was not said lately.
    fn tell(&mut self) {
        if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            ui::talk(&self.words());
        }
    }

    fn words(&self) -> String {
        if self.done_bytes >= self.total_bytes && self.inflate_bytes > 0 {
            // A layer may be inflated twice.
            let done = ui::size(self.inflated_bytes.min(self.inflate_bytes));
            return format!("{done} of {} inflated", ui::size(self.inflate_bytes));
        }
        if self.total_bytes == 0 {
            return format!("{} so far", ui::size(self.done_bytes));
        }
        let seconds = self.started.elapsed().as_secs_f64();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "for people"
        )]
        let (bytes_per_second, left) = {
            let speed = self.done_bytes as f64 / seconds.max(0.001);
            (speed as u64, self.total_bytes.saturating_sub(self.done_bytes) as f64 / speed.max(1.0))
        };
        let (done, total) = (ui::size(self.done_bytes), ui::size(self.total_bytes));
        format!("{done} of {total}, {}/s, {left:.0} s left", ui::size(bytes_per_second))
    }
}

impl Reporter for Plain {
    fn report(&self, event: Event<'_>) {
        let mut fill = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::FillStarted { blobs, blob_bytes, path, inflate_bytes } => {
                let layers = if blobs == 1 { "layer" } else { "layers" };
                let to_inflate = match inflate_bytes {
                    0 => String::new(),
                    some => format!(", {} of it to be inflated", ui::size(some)),
                };
                ui::talk(&format!(
                    "{}: {blobs} {layers}, {}{to_inflate}",
                    path.display(),
                    ui::size(blob_bytes)
                ));
                *fill = Some(Fill { inflate_bytes, ..Fill::of(blob_bytes) });
            }
            Event::LoadStarted { daemon, path, size_bytes } => {
                ui::talk(&format!("{}: {} to {daemon}", path.display(), ui::size(size_bytes)));
                *fill = Some(Fill::of(size_bytes));
            }
            Event::LayerStarted { doing, path, size_bytes } => {
                ui::talk(&format!("{}: {} {}", path.display(), super::work(doing), ui::size(size_bytes)));
                *fill = Some(Fill::of(size_bytes));
            }
            Event::LoadSent => ui::talk("all is sent; it is being unpacked"),
            Event::PushStarted { registry, blobs, blob_bytes } => {
                *fill = Some(Fill::of_blobs(registry, blobs, blob_bytes));
            }
            Event::MirrorStarted { path, blobs, blob_bytes } => {
                *fill = Some(Fill::of_blobs(&path.display(), blobs, blob_bytes));
            }
            Event::BlobProgressed { bytes, .. }
            | Event::BlobReused { size_bytes: bytes, .. }
            | Event::BlobSkipped { size_bytes: bytes, .. }
            | Event::CheckProgressed { bytes }
            | Event::LoadProgressed { bytes }
            | Event::GrabProgressed { bytes }
            | Event::LayerProgressed { bytes } => {
                if let Some(fill) = fill.as_mut() {
                    fill.done_bytes += bytes;
                    fill.tell();
                }
            }
            Event::InflateProgressed { bytes, .. } => {
                if let Some(fill) = fill.as_mut() {
                    fill.inflated_bytes += bytes;
                    fill.tell();
                }
            }
            Event::CheckStarted { size_bytes, .. } => *fill = size_bytes.map(Fill::of),
            Event::GrabStarted { daemon, layer } => {
                ui::talk(&format!("layer {layer} of {daemon}"));
                // What comes besides is not known.
                *fill = Some(Fill::of(0));
            }
            Event::Checked { .. } | Event::LayerEnded => *fill = None,
            event => {
                if let Some(words) = super::words(&event, &ToString::to_string) {
                    ui::talk(&words);
                }
            }
        }
    }
}
