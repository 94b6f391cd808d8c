//! The library's events, drawn: bars on a terminal, plain lines elsewhere, JSON for programs. All on stderr.

mod bars;
mod plain;

use std::io::IsTerminal;

use clap::ValueEnum;
use sealift::event::{Event, Reporter, Silent};
use sealift::image::Digest;
use serde_json::json;

use super::ui;

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
            Some(format!("{what}: {}; trying again in {:.1} s", in_one_line(*error), delay.as_secs_f64()))
        }
        Event::BlobThrownAway { digest } => Some(format!(
            "{}: what an earlier run left of it is something else; fetching it anew",
            digest_text(digest)
        )),
        _ => None,
    }
}

/// An error with its causes, in one line.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What a person should know even of a pull that is not watched.
struct Warnings;

impl Reporter for Warnings {
    fn report(&self, event: Event<'_>) {
        if let Event::Warning(warning) = event {
            ui::talk(&format!("warning: {warning}"));
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
                json!({"event": "retrying", "what": what, "error": in_one_line(error),
                       "delay_seconds": delay.as_secs_f64()})
            }
            Event::BlobVerified { digest } => json!({"event": "blob_verified", "digest": digest}),
            Event::InflateStarted { digest, size_bytes } => {
                json!({"event": "inflate_started", "digest": digest, "size_bytes": size_bytes})
            }
            Event::InflateProgressed { digest, bytes } => {
                json!({"event": "inflate_progressed", "digest": digest, "bytes": bytes})
            }
            Event::Inflated { digest, inflated_bytes } => {
                json!({"event": "inflated", "digest": digest, "inflated_bytes": inflated_bytes})
            }
            Event::CommitStarted { path } => {
                json!({"event": "commit_started", "path": path.display().to_string()})
            }
            Event::Committed { path, size_bytes } => {
                json!({"event": "committed", "path": path.display().to_string(), "size_bytes": size_bytes})
            }
            Event::Warning(warning) => json!({"event": "warning", "text": warning.to_string()}),
            _ => return,
        };
        ui::talk(&value.to_string());
    }
}
