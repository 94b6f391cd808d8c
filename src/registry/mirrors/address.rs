//! Where a mirror is, as settings say it.
//!
//! - `host[:port][/prefix]`: the prefix goes before the repository, as in containers' `registries.conf`:
//!   `harbor.example/hub` has docker.io's busybox at `https://harbor.example/v2/hub/library/busybox`.
//! - A URL: its path leads to the API, which is at `/v2/` below it, as in containerd's `hosts.toml`:
//!   `https://nexus.example/repository/hub` has it at `https://nexus.example/repository/hub/v2/library/busybox`. Where the
//!   path has a `v2` itself, what follows is a prefix: `https://artifactory.example/v2/hub`.
//!
//! A mirror is asked with the credentials of its own host, so an address with credentials in it is refused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::foreign::shown;
use crate::image::{Registry, Repository};

/// Where a mirror is. Shows as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MirrorAddress {
    text: Box<str>,
    registry: Registry,
    /// Where its API is, if that was said by a URL.
    base: Option<Url>,
    /// What goes before the repository, with a slash at its end; or nothing.
    prefix: Box<str>,
}

/// Why a text is no address of a mirror.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no mirror: {problem}")]
pub struct MirrorAddressError {
    /// The text, escaped; nothing of it where it may hold a password.
    pub text: String,
    /// What is wrong with it.
    pub problem: MirrorAddressProblem,
}

/// What can be wrong with the address of a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MirrorAddressProblem {
    /// The host or its port.
    #[error("its host name or port is not valid")]
    Host,
    /// Another scheme than http and https.
    #[error("its scheme is neither `https` nor `http`")]
    Scheme,
    /// A user or password.
    #[error("credentials don't belong here: `docker login HOST` keeps them")]
    Credentials,
    /// A query or fragment.
    #[error("it has a `?` or `#`")]
    Query,
    /// What goes before the repository can't be part of one.
    #[error("what goes before the repository has a character that no repository has")]
    Prefix,
}

impl MirrorAddress {
    /// The host it is at, whose credentials it is asked with.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where its API is, if a URL said so.
    pub fn base(&self) -> Option<&Url> {
        self.base.as_ref()
    }

    /// What all its repositories are below; empty if nothing.
    pub(super) fn namespace(&self) -> &str {
        self.prefix.trim_end_matches('/')
    }

    /// Where the mirror has what `repository` has; none if that name is too long.
    pub fn repository(&self, repository: &Repository) -> Option<Repository> {
        Repository::new(self.registry.clone(), &format!("{}{}", self.prefix, repository.path()))
    }

    fn parse(text: &str) -> Result<Self, MirrorAddressProblem> {
        match text.split_once("://") {
            Some(("http" | "https", _)) => Self::of_url(text),
            Some(_) => Err(MirrorAddressProblem::Scheme),
            None if text.contains('@') => Err(MirrorAddressProblem::Credentials),
            None if text.contains(['?', '#']) => Err(MirrorAddressProblem::Query),
            None => {
                let (host, prefix) = text.split_once('/').unwrap_or((text, ""));
                let registry = host.parse().map_err(|_| MirrorAddressProblem::Host)?;
                Ok(Self { text: text.into(), registry, base: None, prefix: as_prefix(prefix)? })
            }
        }
    }

    fn of_url(text: &str) -> Result<Self, MirrorAddressProblem> {
        let mut url = Url::parse(text).map_err(|_| MirrorAddressProblem::Host)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(MirrorAddressProblem::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(MirrorAddressProblem::Query);
        }
        let registry = url[url::Position::BeforeHost..url::Position::AfterPort].parse();
        let registry: Registry = registry.map_err(|_| MirrorAddressProblem::Host)?;
        let path = url.path().trim_end_matches('/').to_owned();
        let (api, prefix) = match format!("{path}/").find("/v2/") {
            Some(at) => (&path[..at], path[at + "/v2".len()..].trim_start_matches('/')),
            None => (path.as_str(), ""),
        };
        let prefix = as_prefix(prefix)?;
        url.set_path(&format!("{api}/v2/"));
        Ok(Self { text: text.into(), registry, base: Some(url), prefix })
    }
}

fn as_prefix(text: &str) -> Result<Box<str>, MirrorAddressProblem> {
    match text.trim_end_matches('/') {
        "" => Ok("".into()),
        prefix if crate::image::reference::is_repository_path(prefix) => Ok(format!("{prefix}/").into()),
        _ => Err(MirrorAddressProblem::Prefix),
    }
}

impl FromStr for MirrorAddress {
    type Err = MirrorAddressError;

    fn from_str(text: &str) -> Result<Self, MirrorAddressError> {
        Self::parse(text).map_err(|problem| {
            let text = if text.contains('@') { "…".to_owned() } else { shown(text) };
            MirrorAddressError { text, problem }
        })
    }
}

impl fmt::Display for MirrorAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for MirrorAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for MirrorAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    #[test]
    fn addresses_lead_to_an_api_and_a_repository_there() {
        let busybox = "busybox".parse::<Reference>().unwrap().repository().clone();
        for (text, base, repository) in [
            ("mirror.example", None, "mirror.example/library/busybox"),
            ("mirror:5000", None, "mirror:5000/library/busybox"),
            ("harbor.example/hub/", None, "harbor.example/hub/library/busybox"),
            ("docker.io/org", None, "docker.io/org/library/busybox"),
            ("https://m.example", Some("https://m.example/v2/"), "m.example/library/busybox"),
            ("https://m.example:443/", Some("https://m.example/v2/"), "m.example/library/busybox"),
            ("http://[::1]:5000", Some("http://[::1]:5000/v2/"), "[::1]:5000/library/busybox"),
            (
                "https://nexus.example/repository/Hub",
                Some("https://nexus.example/repository/Hub/v2/"),
                "nexus.example/library/busybox",
            ),
            (
                "https://a.example/artifactory/api/docker/hub/v2",
                Some("https://a.example/artifactory/api/docker/hub/v2/"),
                "a.example/library/busybox",
            ),
            ("https://a.example/v2/hub", Some("https://a.example/v2/"), "a.example/hub/library/busybox"),
            ("https://a.example/x/v2/a/b/", Some("https://a.example/x/v2/"), "a.example/a/b/library/busybox"),
            ("https://a.example/v20", Some("https://a.example/v20/v2/"), "a.example/library/busybox"),
        ] {
            let address: MirrorAddress = text.parse().unwrap();
            assert_eq!(address.base().map(Url::as_str), base, "{text}");
            assert_eq!(address.repository(&busybox).unwrap().to_string(), repository, "{text}");
            assert_eq!(address.to_string(), text);
        }
        let address: MirrorAddress = format!("m.example/{}", "a".repeat(240)).parse().unwrap();
        assert_eq!(address.repository(&busybox), None, "too long a name");
    }

    #[test]
    fn what_is_no_mirror_is_refused_without_showing_a_password() {
        for (text, problem) in [
            ("", MirrorAddressProblem::Host),
            ("a b", MirrorAddressProblem::Host),
            ("m.example:0", MirrorAddressProblem::Host),
            ("https://", MirrorAddressProblem::Host),
            ("ftp://m.example", MirrorAddressProblem::Scheme),
            ("docker://m.example", MirrorAddressProblem::Scheme),
            ("https://user:hunter2@m.example", MirrorAddressProblem::Credentials),
            ("user:hunter2@m.example", MirrorAddressProblem::Credentials),
            ("https://m.example?ns=x", MirrorAddressProblem::Query),
            ("m.example/Hub", MirrorAddressProblem::Prefix),
            ("https://m.example/v2/../x/v2/a//b", MirrorAddressProblem::Prefix),
        ] {
            let error = text.parse::<MirrorAddress>().unwrap_err();
            assert_eq!(error.problem, problem, "{text}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
