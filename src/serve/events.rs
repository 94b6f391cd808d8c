//! An export's events, as a browser's `EventSource` takes them: `job` at each change of state, `progress` in between,
//! `log` for each line.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::App;
use super::answer::{Named, Refusal};
use super::exports::{Detail, Entry};

/// Watchers at a time.
pub(super) const MAX_WATCHERS: usize = 256;
/// Not more often than that.
const PAUSE: Duration = Duration::from_millis(500);
/// When nothing happens, a word that the line is still there.
const PING: Duration = Duration::from_secs(15);

/// One who watches.
struct Watcher {
    entry: Arc<Entry>,
    changed: watch::Receiver<()>,
    stopping: watch::Receiver<bool>,
    /// What was told last: the state's revision, and lines of the log.
    told: Option<(u64, usize)>,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

/// `/api/exports/{id}/events`
pub(super) async fn events(State(app): State<Arc<App>>, Named(id): Named) -> Result<Response, Refusal> {
    let entry = app.exports.of(&id)?;
    let place = Arc::clone(&app.watchers).try_acquire_owned();
    let place = place.map_err(|_| Refusal::TooMany("too_many_watch", "too many watch already", PING))?;
    let (changed, stopping) = (entry.watch(), app.stopping.subscribe());
    let watcher = Watcher { entry, changed, stopping, told: None, has_ended: false, _place: place };
    let events = stream::unfold(watcher, |mut watcher| async {
        let text = watcher.next().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(text)), watcher))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would wait for more.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

impl Watcher {
    /// What is new; none when there will be no more.
    async fn next(&mut self) -> Option<String> {
        if self.has_ended || *self.stopping.borrow() {
            return None;
        }
        if self.told.is_some() {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = self.stopping.wait_for(|stopping| *stopping) => return None,
            }
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                () = tokio::time::sleep(PING) => return Some(": still here\n\n".to_owned()),
                _ = self.stopping.wait_for(|stopping| *stopping) => return None,
            }
        }
        // Seen before it is read, so that no change is missed.
        self.changed.mark_unchanged();
        let (revision, lines) = self.entry.marks();
        let before = self.told.replace((revision, lines));
        let mut text = String::new();
        match before {
            Some((told, said)) if told == revision => {
                self.entry.lines_after(said).iter().for_each(|line| text += &event("log", line));
                text += &event("progress", &self.entry.told(Detail::Progress));
            }
            _ => {
                let told = self.entry.told(Detail::Whole);
                self.has_ended = !told.state.is_under_way();
                text += &event("job", &told);
            }
        }
        Some(text)
    }
}

fn event(name: &str, data: &impl Serialize) -> String {
    // JSON has no line breaks of its own.
    format!("event: {name}\ndata: {}\n\n", serde_json::to_string(data).unwrap_or_default())
}
