//! Limits that a registry states with its answers: `RateLimit-Limit` and `RateLimit-Remaining` as Docker Hub writes them
//! (`76;w=21600`: 76 in a window of so many seconds), and others' `X-RateLimit-*` with `…-Reset`.
//!
//! They are told before they bite: a limit that is met in the middle of a list of images costs hours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;

use crate::event::Warning;
use crate::image::Registry;

/// Limits over a shorter time are gone before a person has read of them.
const SHORT_WINDOW: Duration = Duration::from_mins(10);
/// A `Reset` beyond this is a date (GitLab, GitHub), below it a number of seconds (the IETF's draft).
const FIRST_DATE: u64 = 1_000_000_000;
/// Fewer left than this, and it is time to tell; with small limits half of them.
const FEW: u64 = 10;

/// What a registry allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RateLimit {
    left: u64,
    allowed: Option<u64>,
    window: Option<Duration>,
}

impl RateLimit {
    /// Reads the headers, if they are there and mean something.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let (left, left_window) = of_either(headers, "ratelimit-remaining", "x-ratelimit-remaining")?;
        let limit = of_either(headers, "ratelimit-limit", "x-ratelimit-limit");
        let reset =
            of_either(headers, "ratelimit-reset", "x-ratelimit-reset").map(|(number, _)| until(number));
        Some(Self {
            left,
            allowed: limit.map(|(allowed, _)| allowed),
            window: left_window.or(limit.and_then(|(_, window)| window)).or(reset),
        })
    }

    /// True if it will bite soon.
    pub(super) fn is_near(&self) -> bool {
        let few = self.allowed.map_or(FEW, |allowed| FEW.min(allowed.div_ceil(2)).max(allowed / 10));
        self.left < few && self.window.is_none_or(|window| window > SHORT_WINDOW)
    }

    /// That it is near.
    pub(super) fn warning(&self, registry: &Registry) -> Warning {
        let Self { left, allowed, window } = *self;
        Warning::FewLeft { registry: registry.clone(), left, allowed, window }
    }
}

/// The number in one of two headers, with its window.
fn of_either(headers: &HeaderMap, name: &str, other: &str) -> Option<(u64, Option<Duration>)> {
    let text = headers.get(name).or_else(|| headers.get(other))?.to_str().ok()?;
    let mut parts = text.split(';').map(str::trim);
    let number = parts.next()?.parse().ok()?;
    let window = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok()).map(Duration::from_secs);
    Some((number, window))
}

fn until(reset: u64) -> Duration {
    if reset < FIRST_DATE {
        return Duration::from_secs(reset);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(reset).saturating_sub(now)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Option<RateLimit> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        RateLimit::of(&headers.collect())
    }

    #[test]
    fn docker_hubs_headers_are_read() {
        let hours = Some(Duration::from_hours(6));
        let hub = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")];
        assert_eq!(read(&hub), Some(RateLimit { left: 76, allowed: Some(100), window: hours }));
        let bare = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", " 76 ")];
        assert_eq!(read(&bare), Some(RateLimit { left: 76, allowed: Some(100), window: hours }));
        for bad in ["", "-1", "many", "76,75", "99999999999999999999999"] {
            assert_eq!(read(&[("ratelimit-remaining", bad)]), None, "{bad}");
        }
        assert_eq!(read(&[("ratelimit-limit", "100;w=21600")]), None);
        let odd = read(&[("ratelimit-remaining", "76;w=x")]).unwrap();
        assert_eq!(odd.window, None);
    }

    #[test]
    fn others_state_when_it_ends() {
        let with_reset = |reset: &str| {
            read(&[("x-ratelimit-remaining", "3"), ("x-ratelimit-limit", "60"), ("x-ratelimit-reset", reset)])
        };
        assert_eq!(with_reset("1800").unwrap().window, Some(Duration::from_mins(30)));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let window = with_reset(&(now + 3600).to_string()).unwrap().window.unwrap();
        assert!((3590..=3600).contains(&window.as_secs()), "{window:?}");
        assert_eq!(with_reset("1000000000").unwrap().window, Some(Duration::ZERO));
    }

    #[test]
    fn a_limit_is_near_when_few_are_left_for_long() {
        let near = |left, allowed, seconds: Option<u64>| {
            RateLimit { left, allowed, window: seconds.map(Duration::from_secs) }.is_near()
        };
        for (left, allowed, near_at_6_h) in [
            (9, Some(100), true),
            (10, Some(100), false),
            (19, Some(200), true),
            (20, Some(200), false),
            (4, Some(10), true),
            (5, Some(10), false),
            (0, Some(1), true),
            (9, None, true),
            (10, None, false),
        ] {
            assert_eq!(near(left, allowed, Some(21_600)), near_at_6_h, "{left} of {allowed:?}");
            assert!(!near(left, allowed, Some(60)), "soon there are more");
            assert_eq!(near(left, allowed, None), near_at_6_h);
        }
    }
}
