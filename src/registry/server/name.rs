//! The names in a request's path: repositories, tags, digests, and the endpoint they stand at.
//!
//! Threats: paths are foreign text that storage turns into file names. Each part parses by the strict grammar of
//! [`crate::image`], which has no `..`, no empty component, no leading `.` or `_` and no separator but `/`; what does
//! not parse never reaches storage.

use std::fmt;
use std::str::FromStr;

use super::ServerError;
use crate::image::Digest;
use crate::image::reference::{is_repository_path, is_tag};

/// A repository's path in this registry, of any number of components (`library/busybox`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Box<str>);

impl RepositoryName {
    /// The path as it stands in requests.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for RepositoryName {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        if is_repository_path(text) {
            Ok(Self(text.into()))
        } else {
            Err(ServerError::NameInvalid { name: text.into() })
        }
    }
}

/// What a manifest is addressed by: `<reference>` in the distribution-spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestReference {
    /// A tag, which can come to name another manifest.
    Tag(Tag),
    /// The digest of the manifest's bytes.
    Digest(Digest),
}

impl FromStr for ManifestReference {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        // No tag has a colon, every digest has one.
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { text.parse().map(Self::Tag) }
    }
}

impl fmt::Display for ManifestReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(formatter),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        if is_tag(text) { Ok(Self(text.into())) } else { Err(ServerError::TagInvalid { tag: text.into() }) }
    }
}

/// What the part of a path after `/v2/` is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `_catalog`
    Catalog,
    /// `<name>/tags/list`
    Tags(RepositoryName),
    /// `<name>/manifests/<reference>`
    Manifest(RepositoryName, ManifestReference),
    /// `<name>/blobs/<digest>`
    Blob(RepositoryName, Digest),
    /// `<name>/blobs/uploads/`
    Uploads(RepositoryName),
    /// `<name>/blobs/uploads/<id>`; the ID is looked up, never used as a name.
    Upload(RepositoryName, String),
}

impl FromStr for Endpoint {
    type Err = ServerError;

    /// Reads a path from its end, as a repository may be called `tags` or `blobs/uploads`.
    fn from_str(path: &str) -> Result<Self, ServerError> {
        if path == "_catalog" {
            return Ok(Self::Catalog);
        }
        let unknown = || ServerError::EndpointUnknown;
        let (rest, last) = path.rsplit_once('/').ok_or_else(unknown)?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            let name = name.parse()?;
            return Ok(if last.is_empty() { Self::Uploads(name) } else { Self::Upload(name, last.into()) });
        }
        let (name, kind) = rest.rsplit_once('/').ok_or_else(unknown)?;
        match (kind, last) {
            ("tags", "list") => Ok(Self::Tags(name.parse()?)),
            ("manifests", reference) => Ok(Self::Manifest(name.parse()?, reference.parse()?)),
            ("blobs", "uploads") => Ok(Self::Uploads(name.parse()?)),
            ("blobs", digest) => Ok(Self::Blob(name.parse()?, digest.parse()?)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_look_like_endpoints() {
        let name = |text: &str| text.parse::<RepositoryName>().unwrap();
        let endpoint = |text: &str| text.parse::<Endpoint>().unwrap();
        assert_eq!(endpoint("tags/tags/list"), Endpoint::Tags(name("tags")));
        assert_eq!(endpoint("a/blobs/uploads/"), Endpoint::Uploads(name("a")));
        assert_eq!(endpoint("a/blobs/uploads"), Endpoint::Uploads(name("a")));
        assert_eq!(endpoint("a/blobs/uploads/7"), Endpoint::Upload(name("a"), "7".into()));
        let tag = ManifestReference::Tag("list".parse().unwrap());
        assert_eq!(
            endpoint("a/blobs/uploads/manifests/list"),
            Endpoint::Manifest(name("a/blobs/uploads"), tag)
        );
    }

    #[test]
    fn nothing_outside_the_grammar_is_a_name() {
        for bad in ["", "/", "..", "a/..", "a//b", "A", "_tags", "a/_tags", ".a", "a\0", "a%2f", "é", "a\\b"]
        {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
        assert!("a/".repeat(200).parse::<RepositoryName>().is_err());
        for bad in ["", "..", "-x", "sha256:..", "sha256:../../x", "a/b", "é"] {
            assert!(bad.parse::<ManifestReference>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_asked_for_no_name_climbs(path in "[a./_%:@-]{0,20}(/(manifests|blobs|tags)/[a./:-]{0,9})?") {
            let name = match path.parse::<Endpoint>() {
                Ok(Endpoint::Manifest(name, ManifestReference::Tag(tag))) => format!("{name}/{tag}"),
                Ok(Endpoint::Uploads(name) | Endpoint::Upload(name, _) | Endpoint::Tags(name)) => name.to_string(),
                _ => return Ok(()),
            };
            for component in name.split('/') {
                assert!(!component.is_empty() && !component.starts_with('.'), "{path}");
            }
        }
    }
}
