//! Attempts: how often a thing is tried again, and how long is waited before. For all verbs that use the wire.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::error::{Error, Result};
use crate::event::{Event, Reporter};
use crate::registry::Retry;

/// The first wait; each next one is twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// No wait of our own is longer. What a server asks for is waited in full.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// What is done about failures that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often something is tried again in a row. Progress begins a new row.
    pub times: usize,
    /// Wait this long each time, instead of longer and longer.
    pub delay: Option<Duration>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { times: 5, delay: None }
    }
}

/// The tries of one thing, since it last got on.
pub(crate) struct Attempts {
    retries: Retries,
    delays: ExponentialBackoff,
    tries: u32,
    since: Instant,
    failed_at: Option<Instant>,
}

impl Attempts {
    pub(crate) fn new(retries: Retries) -> Self {
        let delays = ExponentialBuilder::default()
            .with_min_delay(retries.delay.unwrap_or(FIRST_DELAY))
            .with_max_delay(retries.delay.unwrap_or(MAX_DELAY))
            .with_max_times(retries.times);
        let delays = if retries.delay.is_none() { delays.with_jitter() } else { delays };
        Self { retries, delays: delays.build(), tries: 0, since: Instant::now(), failed_at: None }
    }

    /// It got on: whatever fails next is the first of a new row.
    pub(crate) fn progressed(&mut self) {
        *self = Self { failed_at: self.failed_at, ..Self::new(self.retries) };
    }

    /// True if what was begun then had no part in the row since the last failure: where several connections notice one
    /// outage, that is one failure.
    pub(crate) fn is_of_an_earlier_try(&self, begun: Instant) -> bool {
        self.failed_at.is_some_and(|failed_at| begun <= failed_at)
    }

    /// How long to wait before it is tried again after `error`; the error, with the tries it took, if it is not.
    pub(crate) fn failed(&mut self, error: Error) -> Result<(Error, Duration)> {
        self.tries += 1;
        self.failed_at = Some(Instant::now());
        let asked_for = match error.retry() {
            Retry::Never => return Err(error),
            Retry::Soon => Duration::ZERO,
            Retry::After(delay) => delay,
        };
        match self.delays.next() {
            Some(delay) => Ok((error, delay.max(asked_for))),
            None if self.tries > 1 => Err(Error::GaveUp {
                tries: self.tries,
                seconds: self.since.elapsed().as_secs_f64(),
                source: Box::new(error),
            }),
            None => Err(error),
        }
    }
}

/// Does `work`, again and again as long as it fails in a way that may pass.
pub(crate) async fn persistently<T, F: Future<Output = Result<T>>>(
    retries: Retries,
    reporter: &dyn Reporter,
    what: &str,
    mut work: impl FnMut() -> F,
) -> Result<T> {
    let mut attempts = Attempts::new(retries);
    loop {
        match work().await {
            Ok(value) => return Ok(value),
            Err(error) => {
                let (error, delay) = attempts.failed(error)?;
                reporter.report(Event::Retrying { what, error: &error, delay });
                tokio::time::sleep(delay).await;
            }
        }
    }
}
