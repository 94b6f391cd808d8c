//! The library's events, drawn: bars on a terminal, plain lines elsewhere, JSON for programs. All on stderr.

mod arguments;
mod bars;
mod plain;

use std::io::IsTerminal;

use clap::ValueEnum;
use sealift::event::{Event, LayerWork, Reporter, Silent, with_causes};
use sealift::image::Digest;
use sealift::reuse::Note;
use serde_json::json;

use super::ui;
pub(super) use arguments::ProgressArguments;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Bars on a terminal, plain lines elsewhere
    Auto,
    /// A bar for each blob in flight and one for the total
    Bar,
    /// A line every few seconds
    Plain,
    /// A line of JSON for each event
    Json,
    /// Nothing but warnings
    None,
    /// Nothing at all, for `--quiet`
    #[value(skip)]
    Quiet,
}

impl Mode {
    /// A reporter that shows events this way.
    pub(super) fn reporter(self) -> Box<dyn Reporter> {
        match self {
            Self::Auto if std::io::stderr().is_terminal() => Box::new(bars::Bars::new()),
            Self::Bar => Box::new(bars::Bars::new()),
            Self::Auto | Self::Plain => Box::new(plain::Plain::default()),
            Self::Json => Box::new(JsonLines),
            Self::None => Box::new(Warnings),
            Self::Quiet => Box::new(Silent),
        }
    }

    /// True where a sentence for people has its place on stderr.
    pub(super) fn has_words(self) -> bool {
        !matches!(self, Self::Json | Self::Quiet)
    }
}

/// What is done with a container's layer, in words.
fn work(doing: LayerWork) -> &'static str {
    match doing {
        LayerWork::Export => "exporting",
        LayerWork::Unpack => "unpacking",
        LayerWork::Compare => "comparing",
    }
}

/// What is said of an event in words, where words are wanted; `digest_text` is how digests are shown.
fn words(event: &Event<'_>, digest_text: &dyn Fn(&Digest) -> String) -> Option<String> {
    match event {
        Event::Resolved { reference, digest, platform } => {
            Some(format!("{reference}  {platform}  {}", digest_text(digest)))
        }
        Event::Warning(warning) => Some(format!("warning: {warning}")),
        Event::Resumed { path, bytes } => {
            Some(format!("{}: an earlier run left {}; carrying on", path.display(), ui::size(*bytes)))
        }
        Event::Retrying { what, error, delay } => {
            Some(format!("{what}: {}; trying again in {:.1} s", with_causes(*error), delay.as_secs_f64()))
        }
        Event::BlobThrownAway { digest } => Some(format!(
            "{}: what an earlier run left of it is something else; fetching it anew",
            digest_text(digest)
        )),
        Event::Reusable(note) => Some(note_words(note)),
        Event::BlobSearchStarted { daemon, images } => {
            let images = if *images == 1 { "1 image".to_owned() } else { format!("{images} images") };
            Some(format!("no ID is like that; {daemon} is to tell the blobs of {images}"))
        }
        Event::GrabAnswered { request } => Some(format!("debug: {request}")),
        Event::Grabbed { layer, size_bytes, inflated_bytes, thrown_away_bytes } => {
            let besides = match thrown_away_bytes {
                0 => String::new(),
                bytes => format!("; {} came besides, and were thrown away", ui::size(*bytes)),
            };
            let (size, inflated) = (ui::size(*size_bytes), ui::size(*inflated_bytes));
            Some(format!("{}: {size} pushed, {inflated} inflated{besides}", digest_text(layer)))
        }
        Event::Checksummed { path, digest, took } => Some(format!(
            "{}: SHA-256 {}, read back in {:.1} s",
            path.display(),
            digest.hex(),
            took.as_secs_f64()
        )),
        _ => None,
    }
}

fn note_words(note: &Note) -> String {
    match note {
        Note::Found { path, archives, blobs } => {
            let among = if *archives == 1 { String::new() } else { format!(" in {archives} archives") };
            let blobs = if *blobs == 1 { "1 blob".to_owned() } else { format!("{blobs} blobs") };
            format!("{}: {blobs}{among} to reuse", path.display())
        }
        Note::Skipped(error) => format!("warning: {}", with_causes(error)),
    }
}

/// What a person should know even of a pull that is not watched.
struct Warnings;

impl Reporter for Warnings {
    fn report(&self, event: Event<'_>) {
        if let Event::Warning(_) | Event::Reusable(Note::Skipped(_)) = event
            && let Some(words) = words(&event, &ToString::to_string)
        {
            ui::talk(&words);
        }
    }
}

/// An event a line, with units in the names.
struct JsonLines;

impl Reporter for JsonLines {
    fn report(&self, event: Event<'_>) {
        let value = match event {
            Event::Resolved { reference, digest, platform } => {
                json!({"event": "resolved", "image": reference.to_string(), "digest": digest,
                       "platform": platform.to_string()})
            }
            Event::FillStarted { path, blobs, blob_bytes, inflate_bytes } => {
                json!({"event": "fill_started", "path": path.display().to_string(), "blobs": blobs,
                       "blob_bytes": blob_bytes, "inflate_bytes": inflate_bytes})
            }
            Event::BlobStarted { digest, size_bytes } => {
                json!({"event": "blob_started", "digest": digest, "size_bytes": size_bytes})
            }
            Event::BlobProgressed { digest, bytes } => {
                json!({"event": "blob_progressed", "digest": digest, "bytes": bytes})
            }
            Event::BlobThrownAway { digest } => json!({"event": "blob_thrown_away", "digest": digest}),
            Event::Resumed { path, bytes } => {
                json!({"event": "resumed", "path": path.display().to_string(), "bytes": bytes})
            }
            Event::Retrying { what, error, delay } => {
                json!({"event": "retrying", "what": what, "error": with_causes(error),
                       "delay_seconds": delay.as_secs_f64()})
            }
            Event::BlobVerified { digest } => json!({"event": "blob_verified", "digest": digest}),
            Event::BlobReused { digest, size_bytes, from } => {
                json!({"event": "blob_reused", "digest": digest, "size_bytes": size_bytes,
                       "from": from.display().to_string()})
            }
            Event::Reusable(Note::Found { path, archives, blobs }) => {
                json!({"event": "reusable", "path": path.display().to_string(), "archives": archives,
                       "blobs": blobs})
            }
            Event::Reusable(Note::Skipped(error)) => json!({"event": "warning", "text": with_causes(error)}),
            Event::InflateStarted { digest, size_bytes } => {
                json!({"event": "inflate_started", "digest": digest, "size_bytes": size_bytes})
            }
            Event::InflateProgressed { digest, bytes } => {
                json!({"event": "inflate_progressed", "digest": digest, "bytes": bytes})
            }
            Event::Inflated { digest, inflated_bytes } => {
                json!({"event": "inflated", "digest": digest, "inflated_bytes": inflated_bytes})
            }
            Event::MirrorStarted { path, blobs, blob_bytes } => {
                json!({"event": "mirror_started", "path": path.display().to_string(), "blobs": blobs,
                       "blob_bytes": blob_bytes})
            }
            Event::PushStarted { registry, blobs, blob_bytes } => {
                json!({"event": "push_started", "registry": registry.to_string(), "blobs": blobs,
                       "blob_bytes": blob_bytes})
            }
            Event::BlobSkipped { digest, size_bytes } => {
                json!({"event": "blob_skipped", "digest": digest, "size_bytes": size_bytes})
            }
            Event::PushEnded => json!({"event": "push_ended"}),
            Event::CommitStarted { path } => {
                json!({"event": "commit_started", "path": path.display().to_string()})
            }
            Event::Committed { path, size_bytes } => {
                json!({"event": "committed", "path": path.display().to_string(), "size_bytes": size_bytes})
            }
            Event::CheckStarted { path, size_bytes } => {
                json!({"event": "check_started", "path": path.display().to_string(), "size_bytes": size_bytes})
            }
            Event::CheckProgressed { bytes } => json!({"event": "check_progressed", "bytes": bytes}),
            Event::Checked { path } => json!({"event": "checked", "path": path.display().to_string()}),
            Event::LoadStarted { daemon, path, size_bytes } => {
                json!({"event": "load_started", "daemon": daemon, "path": path.display().to_string(),
                       "size_bytes": size_bytes})
            }
            Event::LoadProgressed { bytes } => json!({"event": "load_progressed", "bytes": bytes}),
            Event::GrabStarted { daemon, layer } => {
                json!({"event": "grab_started", "daemon": daemon, "layer": layer})
            }
            Event::BlobSearchStarted { daemon, images } => {
                json!({"event": "blob_search_started", "daemon": daemon, "images": images})
            }
            Event::GrabProgressed { bytes } => json!({"event": "grab_progressed", "bytes": bytes}),
            Event::GrabAnswered { request } => json!({"event": "grab_answered", "request": request}),
            Event::Grabbed { layer, size_bytes, inflated_bytes, thrown_away_bytes } => {
                json!({"event": "grabbed", "layer": layer, "size_bytes": size_bytes,
                       "inflated_bytes": inflated_bytes, "thrown_away_bytes": thrown_away_bytes})
            }
            Event::LayerStarted { doing, path, size_bytes } => {
                json!({"event": "layer_started", "doing": work(doing), "path": path.display().to_string(),
                       "size_bytes": size_bytes})
            }
            Event::LayerProgressed { bytes } => json!({"event": "layer_progressed", "bytes": bytes}),
            Event::LayerEnded => json!({"event": "layer_ended"}),
            Event::LoadSent => json!({"event": "load_sent"}),
            Event::LoadEnded => json!({"event": "load_ended"}),
            Event::Checksummed { path, digest, took } => {
                json!({"event": "checksummed", "path": path.display().to_string(), "digest": digest,
                       "seconds": took.as_secs_f64()})
            }
            Event::Warning(warning) => json!({"event": "warning", "text": warning.to_string()}),
            _ => return,
        };
        ui::talk(&value.to_string());
    }
}
