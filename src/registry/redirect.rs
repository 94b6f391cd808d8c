//! Redirects: where a `Location` leads, and what is wrong with one that is not followed.
//!
//! Threats: it is foreign input. It may carry credentials of its own, which are dropped; where it may lead is
//! [`super::hop`]'s rule. Whoever follows it must not send `Authorization` along to another origin.

use std::fmt;

use reqwest::header::{HeaderMap, LOCATION};
use url::Url;

use crate::secret::SafeUrl;

/// What is wrong with a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectProblem {
    /// There is no `Location`, or it is no URL.
    NoLocation,
    /// It leads to plain HTTP on a host that was not declared insecure.
    PlainHttp(SafeUrl),
    /// It leads from another machine to this one.
    ThisMachine(SafeUrl),
    /// It leads to another scheme than http and https.
    Scheme(String),
}

impl fmt::Display for RedirectProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLocation => formatter.write_str("it has no valid `Location`"),
            Self::PlainHttp(to) => write!(formatter, "it leads to plain HTTP: {to}"),
            Self::ThisMachine(to) => write!(formatter, "it leads to this machine: {to}"),
            Self::Scheme(scheme) => write!(formatter, "it leads to a `{scheme}:` URL"),
        }
    }
}

/// The URL a redirect of `from` leads to.
pub(super) fn target(from: &Url, headers: &HeaderMap) -> Result<Url, RedirectProblem> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let mut to = location
        .filter(|location| !location.is_empty())
        .and_then(|location| from.join(location).ok())
        .filter(|to| to.has_host() || !matches!(to.scheme(), "http" | "https"))
        .ok_or(RedirectProblem::NoLocation)?;
    strip(&mut to);
    Ok(to)
}

/// Takes user and password off a foreign URL: reqwest would make an Authorization header of them.
pub(super) fn strip(url: &mut Url) {
    // Both fail only on URLs that can't have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
}

/// True if both URLs have the same scheme, host and port.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn from_registry(location: &'static str) -> Result<Url, RedirectProblem> {
        let from = Url::parse("https://reg.example/v2/x/blobs/sha256:0").unwrap();
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))]);
        target(&from, &headers)
    }

    #[test]
    fn locations_are_resolved() {
        for (location, expected) in [
            ("https://cdn.example/a?key=b", "https://cdn.example/a?key=b"),
            ("/storage/a", "https://reg.example/storage/a"),
            ("../a", "https://reg.example/v2/x/a"),
            ("//cdn.example/a", "https://cdn.example/a"),
            ("https://user:pass@cdn.example/a#f", "https://cdn.example/a"),
        ] {
            assert_eq!(from_registry(location).unwrap().as_str(), expected, "{location}");
        }
        assert_eq!(from_registry("https://"), Err(RedirectProblem::NoLocation));
        assert_eq!(from_registry(""), Err(RedirectProblem::NoLocation));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = Url::parse("https://reg.example/a").unwrap();
        for (other, same) in [
            ("https://reg.example:443/b", true),
            ("https://REG.example/b", true),
            ("https://reg.example:444/a", false),
            ("http://reg.example/a", false),
            ("https://cdn.reg.example/a", false),
        ] {
            assert_eq!(same_origin(&origin, &Url::parse(other).unwrap()), same, "{other}");
        }
    }
}
