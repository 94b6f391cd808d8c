//! `Retry-After` (RFC 9110 section 10.2.3): how long a server asks to be left alone.
//!
//! Threats: it is a foreign number that someone will sleep for. What can't be read is as good as not said, and no wait
//! is longer than a day. A date is taken by the server's own clock where it tells the time (`Date`): clocks differ.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use crate::event::in_words;

/// No registry has a window longer than this; Docker Hub's is six hours.
const MAX_WAIT: Duration = Duration::from_hours(24);

/// How long a server asks to be left alone, from its answer on: at most a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(Duration);

impl RetryAfter {
    /// The time to wait.
    pub fn wait(self) -> Duration {
        self.0
    }

    /// As if a server had asked for `wait`.
    pub(super) fn new(wait: Duration) -> Self {
        Self(wait.min(MAX_WAIT))
    }

    /// Reads the header, in seconds or as a date, if it is there and means something.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            // More digits than fit are a long time, too.
            text.parse().map_or(MAX_WAIT, Duration::from_secs)
        } else {
            let until = httpdate::parse_http_date(text).ok()?;
            let now = date(headers, DATE).unwrap_or_else(SystemTime::now);
            until.duration_since(now).unwrap_or_default()
        };
        Some(Self::new(wait))
    }
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok()
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is left of a second is one.
        let seconds = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        formatter.write_str(&in_words(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn read(retry_after: &'static str, date: Option<&'static str>) -> Option<Duration> {
        let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(retry_after))]);
        headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
        RetryAfter::of(&headers).map(RetryAfter::wait)
    }

    #[test]
    fn seconds_are_read_and_nonsense_is_not() {
        for (text, seconds) in [
            ("30", Some(30)),
            (" 0 ", Some(0)),
            ("86401", Some(86_400)),
            ("99999999999999999999999999", Some(86_400)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(read(text, None), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(RetryAfter::of(&HeaderMap::new()), None);
    }

    #[test]
    fn dates_are_read_by_the_servers_clock() {
        let now = Some("Fri, 06 Nov 1998 08:49:37 GMT");
        for (text, seconds) in [
            ("Fri, 06 Nov 1998 08:50:07 GMT", 30),
            ("Friday, 06-Nov-98 08:50:07 GMT", 30),
            ("Fri Nov  6 08:50:07 1998", 30),
            ("Fri, 06 Nov 1998 08:49:00 GMT", 0),
            ("Fri, 06 Nov 2099 08:49:00 GMT", 86_400),
        ] {
            assert_eq!(read(text, now), Some(Duration::from_secs(seconds)), "{text}");
        }
        // By our own clock that is long ago.
        assert_eq!(read("Fri, 06 Nov 1998 08:50:07 GMT", None), Some(Duration::ZERO));
        assert_eq!(read("Fri, 06 Nov 1998 08:50:07 GMT", Some("today")), Some(Duration::ZERO));
        assert_eq!(read("Fri, 36 Nov 1998 08:50:07 GMT", now), None);
    }
}
