//! What happens to exports, as a browser's `EventSource` takes it: `job` at each change of state, `progress` in between,
//! `log` for each line. Of one export, or of all that are under way: browsers have few connections to a host.

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
use tokio::time::Instant;

use super::App;
use super::answer::{Named, Refusal};
use super::export::LogLine;
use super::exports::{Detail, Entry};

/// Watchers at a time.
pub(super) const MAX_WATCHERS: usize = 256;
/// Not more often than that.
const PAUSE: Duration = Duration::from_millis(500);
/// When nothing happens, a word that the line is still there.
const PING: Duration = Duration::from_secs(15);

/// One who watches.
struct Watcher {
    app: Arc<App>,
    /// Those that have not ended.
    watched: Vec<Watched>,
    /// True if those that begin are watched, too.
    takes_more: bool,
    stopping: watch::Receiver<bool>,
    told_at: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

/// An export, and what was told of it.
struct Watched {
    entry: Arc<Entry>,
    changed: watch::Receiver<()>,
    /// What was told last: the state's revision, and lines of the log.
    told: Option<(u64, usize)>,
}

#[derive(Serialize)]
struct ToldLine<'a> {
    export: &'a str,
    #[serde(flatten)]
    line: &'a LogLine,
}

/// `/api/exports/{id}/events`: of one, until it has ended.
pub(super) async fn of_one(State(app): State<Arc<App>>, Named(id): Named) -> Result<Response, Refusal> {
    let one = Watched::new(app.exports.of(&id)?);
    events(&app, vec![one], false)
}

/// `/api/events`: of all that are under way, until none is.
pub(super) async fn of_all(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    events(&app, Vec::new(), true)
}

fn events(app: &Arc<App>, exports: Vec<Watched>, takes_more: bool) -> Result<Response, Refusal> {
    let place = Arc::clone(&app.watchers).try_acquire_owned();
    let place = place.map_err(|_| Refusal::TooMany("too_many_watch", "too many watch already", PING))?;
    let (app, stopping) = (Arc::clone(app), app.stopping.subscribe());
    let watcher = Watcher { app, watched: exports, takes_more, stopping, told_at: None, _place: place };
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
        loop {
            if self.watched.is_empty() && !self.takes_more {
                return None;
            }
            if self.told_at.is_some() {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    _ = self.stopping.wait_for(|stopping| *stopping) => return None,
                }
            }
            if *self.stopping.borrow() {
                return None;
            }
            if self.takes_more {
                self.take_more();
            }
            if self.watched.is_empty() {
                return None;
            }
            let mut text = String::new();
            self.watched.retain_mut(|watched| watched.tell(&mut text));
            if text.is_empty() && self.told_at.is_some_and(|at| at.elapsed() >= PING) {
                ": still here\n\n".clone_into(&mut text);
            }
            if !text.is_empty() {
                self.told_at = Some(Instant::now());
                return Some(text);
            }
        }
    }

    fn take_more(&mut self) {
        for entry in self.app.exports.all() {
            if entry.state().is_under_way()
                && !self.watched.iter().any(|watched| Arc::ptr_eq(&watched.entry, &entry))
            {
                self.watched.push(Watched::new(entry));
            }
        }
    }
}

impl Watched {
    fn new(entry: Arc<Entry>) -> Self {
        Self { changed: entry.watch(), entry, told: None }
    }

    /// Adds what is new; false when there will be no more.
    fn tell(&mut self, text: &mut String) -> bool {
        if self.told.is_some() && !self.changed.has_changed().unwrap_or(false) {
            return true;
        }
        // Seen before it is read, so that no change is missed.
        self.changed.mark_unchanged();
        let (revision, lines) = self.entry.marks();
        match self.told.replace((revision, lines)) {
            Some((told, said)) if told == revision => {
                let export = &self.entry.id;
                for line in &self.entry.lines_after(said) {
                    *text += &event("log", &ToldLine { export, line });
                }
                *text += &event("progress", &self.entry.told(Detail::Progress));
                true
            }
            _ => {
                let told = self.entry.told(Detail::Whole);
                *text += &event("job", &told);
                told.state.is_under_way()
            }
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> String {
    // JSON has no line breaks of its own.
    format!("event: {name}\ndata: {}\n\n", serde_json::to_string(data).unwrap_or_default())
}
