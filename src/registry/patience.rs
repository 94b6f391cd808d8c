//! Patience: how slowly a body may come.
//!
//! Threats: a server that sends nothing holds whoever waits for as long as it likes, and so does one that sends a byte now
//! and then. So nothing may come for a while only, and every byte buys a little time; what was saved up of it never exceeds a
//! start: a body that comes more slowly than [`PER_BYTE`] for so long ends with an error. Time in which nobody asks for bytes
//! doesn't count.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Response;

use super::failure::{Cause, Failure, classify};

/// 100 bytes a second: no line that carries TLS is slower.
const PER_BYTE: Duration = Duration::from_millis(10);

/// What is left of the patience with one body.
pub(crate) struct Patience {
    idle: Duration,
    most: Duration,
    left: Duration,
}

/// Why a body ended too early.
pub(crate) enum Broken {
    Failed(reqwest::Error),
    TimedOut,
    TooSlow,
}

impl Patience {
    /// At its start; `idle` is how long nothing may come, `most` how long a body may be too slow.
    pub(crate) fn new(idle: Duration, most: Duration) -> Self {
        Self { idle, most, left: most }
    }

    /// The next bytes of `response`.
    pub(super) async fn next_chunk(&mut self, response: &mut Response) -> Result<Option<Bytes>, Broken> {
        let begun = Instant::now();
        let limit = self.left.min(self.idle);
        let chunk = tokio::time::timeout(limit, response.chunk()).await;
        let chunk = chunk.map_err(|_| if limit < self.idle { Broken::TooSlow } else { Broken::TimedOut })?;
        let chunk = chunk.map_err(Broken::Failed)?;
        let bytes = chunk.as_ref().map_or(0, |chunk| u32::try_from(chunk.len()).unwrap_or(u32::MAX));
        let bought = PER_BYTE.saturating_mul(bytes);
        self.left = self.left.saturating_sub(begun.elapsed()).saturating_add(bought).min(self.most);
        Ok(chunk)
    }
}

impl Broken {
    /// How it failed; `proxied` says whether a proxy was on the way.
    pub(crate) fn told(self, proxied: bool) -> (Failure, Cause) {
        match self {
            Self::Failed(error) => (classify(&error, proxied), error.into()),
            Self::TimedOut => timed_out(),
            Self::TooSlow => (Failure::TooSlow, Cause::new("less than 100 bytes a second came")),
        }
    }
}

/// How it failed where nothing came for too long.
pub(super) fn timed_out() -> (Failure, Cause) {
    (Failure::TimedOut, Cause::new("operation timed out"))
}
