//! Image references as people type them: `busybox`, `quay.io/org/name:tag`, `[::1]:5000/x@sha256:…`.
//!
//! The grammar is that of the distribution project's `reference` package, with Docker's familiar names: no registry
//! means docker.io, one path component there means `library/`. Every refusal knows the character it is about.

use std::fmt;
use std::str::FromStr;

use super::Digest;

/// Docker Hub's name in references.
const DOCKER_HUB: &str = "docker.io";
const MAX_NAME_LENGTH: usize = 255;
const MAX_TAG_LENGTH: usize = 128;

/// A registry's host and port, as written in a reference, but in lower case (`docker.io`, `localhost:5000`, `[::1]:5000`).
/// A host that only its capitals tell from the start of a path (`MYHOST/app`) keeps them, as it does at Docker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Registry(Box<str>);

impl Registry {
    /// True for docker.io.
    pub fn is_docker_hub(&self) -> bool {
        &*self.0 == DOCKER_HUB
    }

    /// `host[:port]` of the registry's API: docker.io's lives at `registry-1.docker.io`.
    pub fn api_authority(&self) -> &str {
        if self.is_docker_hub() { "registry-1.docker.io" } else { &self.0 }
    }

    /// `host[:port]`, in lower case where that reads as a host.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Registry {
    type Err = ReferenceError;

    /// Reads `host[:port]`.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some(at) = text.rfind('@') {
            return Err(ReferenceError::of_credentials(text, at));
        }
        let host = host(text, 0).map_err(|refusal| ReferenceError::new(text, refusal))?;
        Ok(Self(host.into()))
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A repository: a registry and the path in it (`docker.io` and `library/busybox`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: Registry,
    path: Box<str>,
}

impl Repository {
    /// The repository at `path` in `registry`; none if that is no path, or too long a name.
    pub fn new(registry: Registry, path: &str) -> Option<Self> {
        let fits = registry.0.len() + 1 + path.len() <= MAX_NAME_LENGTH;
        let path = Some(path).filter(|path| fits && is_repository_path(path))?.into();
        Some(Self { registry, path })
    }

    /// The registry it is in.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The path in the registry; on Docker Hub with `library/` where the familiar name has none.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name Docker shows: Docker Hub's without registry and `library/`, others in full. A short form that would be
    /// read as something else (`docker.io/quay.io/x`, 64 hex digits) is none, and stays in full too.
    pub fn familiar(&self) -> String {
        if !self.registry.is_docker_hub() {
            return self.to_string();
        }
        match self.path.strip_prefix("library/") {
            Some(name) if !name.contains('/') && !looks_like_id(name) => name.to_owned(),
            Some(name) if !name.contains('/') => self.to_string(),
            _ if self.path.split('/').next().is_some_and(is_host) => self.to_string(),
            _ => self.path.to_string(),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.path)
    }
}

/// A reference to an image: a repository with a tag, a digest or both. Without either the tag is `latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    repository: Repository,
    tag: Option<Box<str>>,
    digest: Option<Digest>,
}

impl Reference {
    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.repository.registry
    }

    /// The tag; `None` only where the reference is by digest alone.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest asked for, if any.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `repository:tag` in full, which archives name the image by; `None` without a tag.
    pub fn tagged_name(&self) -> Option<String> {
        self.tag.as_ref().map(|tag| format!("{}:{tag}", self.repository))
    }

    /// The name that archives give the image: `repository:tag` in full or, without a tag, by its digest.
    pub fn name_in_archives(&self) -> String {
        self.tagged_name().unwrap_or_else(|| self.to_string())
    }

    /// `repository:tag` as Docker shows it; `None` without a tag.
    pub fn familiar_tagged_name(&self) -> Option<String> {
        self.tag.as_ref().map(|tag| format!("{}:{tag}", self.repository.familiar()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(formatter)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(formatter, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Why a text is no image reference, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an image reference: {problem}", .text.escape_debug())]
pub struct ReferenceError {
    /// The text as it was given, but for a user and a password in it: these are left out.
    pub text: String,
    /// The byte of `text` the problem is at; its length if something is missing at the end.
    pub position: usize,
    /// What is wrong there.
    pub problem: ReferenceProblem,
}

/// What can be wrong with a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceProblem {
    /// Nothing there.
    #[error("a repository name is missing")]
    NoName,
    /// An upper-case letter in the path.
    #[error("repository names are lower case")]
    UpperCase,
    /// A character that no path may have.
    #[error("a repository name has only a-z, 0-9 and, between them, `.`, `_`, `__`, `-` and `/`")]
    BadPathCharacter,
    /// A separator at the start or end of a component, or a run of them.
    #[error("a separator stands between letters or digits, alone (`__` and runs of `-` are allowed)")]
    BadSeparator,
    /// An empty path component.
    #[error("a part of the name between slashes is empty")]
    EmptyComponent,
    /// A registry host with a character that no host has.
    #[error("the registry's host name is not valid")]
    BadHost,
    /// A port that is no number from 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    BadPort,
    /// A tag with a wrong character, empty or too long.
    #[error("a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and starts with none of the last two")]
    BadTag,
    /// What follows the `@`.
    #[error(transparent)]
    BadDigest(#[from] super::digest::DigestError),
    /// User and password, as in a URL.
    #[error("user and password don't belong here")]
    Credentials,
    /// A URL scheme.
    #[error("a reference has no URL scheme (only `docker://` is understood)")]
    Scheme,
    /// A name of over 255 characters.
    #[error("a name has at most 255 characters")]
    TooLong,
    /// A bare 64-digit hex name, which every tool takes for an image ID.
    #[error("64 hex digits are an image ID, not a name; to pull by digest write `name@sha256:…`")]
    LooksLikeId,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let start = if text.starts_with("docker://") { "docker://".len() } else { 0 };
        match end_of_credentials(&text[start..]) {
            Some(at) => Err(ReferenceError::of_credentials(text, start + at)),
            None => parse(text, start).map_err(|refusal| ReferenceError::new(text, refusal)),
        }
    }
}

impl ReferenceError {
    fn new(text: &str, (position, problem): (usize, ReferenceProblem)) -> Self {
        Self { text: text.to_owned(), position, problem }
    }

    /// Of a text with user and password before the `@` at `at`.
    fn of_credentials(text: &str, at: usize) -> Self {
        Self::new(&format!("…{}", &text[at..]), (0, ReferenceProblem::Credentials))
    }
}

/// The last `@` of `text`, if user and password may stand before it: `me:password@host/x`. Before a digest only a name
/// and a tag do.
fn end_of_credentials(text: &str) -> Option<usize> {
    let at = text.rfind('@')?;
    let (before, after) = (&text[..at], &text[at + 1..]);
    let is_digest = |text: &str| {
        let is_hex = |hex: &str| hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.starts_with("sha256:") || text.split_once(':').is_some_and(|(_, hex)| is_hex(hex))
    };
    if is_digest(after) {
        return end_of_credentials(before);
    }
    (!after.is_empty() && (after.contains('/') || before.contains(':'))).then_some(at)
}

type Located<T> = Result<T, (usize, ReferenceProblem)>;

/// Reads `text[start..]`; positions are of `text`.
fn parse(text: &str, start: usize) -> Located<Reference> {
    if let Some(position) = text[start..].find("://") {
        return Err((start + position, ReferenceProblem::Scheme));
    }
    let (name_end, digest) = match text[start..].find('@') {
        Some(at) => {
            let digest = text[start + at + 1..]
                .parse()
                .map_err(|error| (start + at + 1, ReferenceProblem::from(error)))?;
            (start + at, Some(digest))
        }
        None => (text.len(), None),
    };
    let host_end = text[start..name_end]
        .find('/')
        .map(|slash| start + slash)
        .filter(|&slash| is_host(&text[start..slash]));
    let (registry, path_start) = match host_end {
        Some(end) => (host(&text[start..end], start)?, end + 1),
        None => (DOCKER_HUB.to_owned(), start),
    };
    let tag_start = text[path_start..name_end].find(':').map(|colon| path_start + colon + 1);
    let path_end = tag_start.map_or(name_end, |tag| tag - 1);
    let path = &text[path_start..path_end];
    check_path(path, path_start)?;
    let tag = tag_start.map(|at| tag(&text[at..name_end], at)).transpose()?;
    if host_end.is_none() && looks_like_id(path) {
        return Err((path_start, ReferenceProblem::LooksLikeId));
    }
    let is_familiar = registry == DOCKER_HUB && !path.contains('/');
    let path = if is_familiar { format!("library/{path}") } else { path.to_owned() };
    if registry.len() + 1 + path.len() > MAX_NAME_LENGTH {
        return Err((path_start, ReferenceProblem::TooLong));
    }
    let tag = tag.or(if digest.is_none() { Some("latest") } else { None });
    Ok(Reference {
        repository: Repository { registry: Registry(registry.into()), path: path.into() },
        tag: tag.map(Into::into),
        digest,
    })
}

/// True where what stands before the first slash is a registry, not the start of a path.
fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':', '['])
        || first.contains(|c: char| c.is_ascii_uppercase())
}

fn looks_like_id(path: &str) -> bool {
    path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads a host and port; hosts are the same in any case (RFC 3986 section 3.2.2).
fn host(text: &str, start: usize) -> Located<String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let end = rest.find(']').ok_or((start, ReferenceProblem::BadHost))?;
        if rest[..end].parse::<std::net::Ipv6Addr>().is_err() {
            return Err((start + 1, ReferenceProblem::BadHost));
        }
        let after = &rest[end + 1..];
        let port = after.strip_prefix(':');
        if port.is_none() && !after.is_empty() {
            return Err((start + end + 2, ReferenceProblem::BadHost));
        }
        (&text[..end + 2], port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        check_host_name(host, start)?;
        (host, port)
    };
    if let Some(port) = port {
        let is_port =
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
        if !is_port {
            return Err((start + host.len() + 1, ReferenceProblem::BadPort));
        }
    }
    let lower = text.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "index.docker.io" => DOCKER_HUB.to_owned(),
        _ if is_host(&lower) => lower,
        _ => text.to_owned(),
    })
}

fn check_host_name(host: &str, start: usize) -> Located<()> {
    let mut position = start;
    for label in host.split('.') {
        if let Some(bad) = label.find(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
            return Err((position + bad, ReferenceProblem::BadHost));
        }
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return Err((position, ReferenceProblem::BadHost));
        }
        position += label.len() + 1;
    }
    Ok(())
}

/// A path is `component(/component)*`, a component `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn check_path(path: &str, start: usize) -> Located<()> {
    if path.is_empty() {
        return Err((start, ReferenceProblem::NoName));
    }
    if let Some((bad, character)) =
        path.char_indices().find(|(_, c)| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-' | '/'))
    {
        let upper = character.is_ascii_uppercase();
        return Err((
            start + bad,
            if upper { ReferenceProblem::UpperCase } else { ReferenceProblem::BadPathCharacter },
        ));
    }
    let mut position = start;
    for component in path.split('/') {
        if component.is_empty() {
            return Err((position, ReferenceProblem::EmptyComponent));
        }
        let is_separator = |c: char| matches!(c, '.' | '_' | '-');
        let mut rest = component;
        while let Some(at) = rest.find(is_separator) {
            let run = rest[at..].find(|c| !is_separator(c)).unwrap_or(rest.len() - at);
            let separator = &rest[at..at + run];
            let allowed = matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-');
            let offset = component.len() - rest.len() + at;
            if offset == 0 || at + run == rest.len() || !allowed {
                return Err((position + offset, ReferenceProblem::BadSeparator));
            }
            rest = &rest[at + run..];
        }
        position += component.len() + 1;
    }
    Ok(())
}

/// True for a repository's path in its registry, as the `/v2/` API names it (`library/busybox`).
pub(crate) fn is_repository_path(text: &str) -> bool {
    text.len() <= MAX_NAME_LENGTH && check_path(text, 0).is_ok()
}

/// True for a tag.
pub(crate) fn is_tag(text: &str) -> bool {
    tag(text, 0).is_ok()
}

fn tag(text: &str, start: usize) -> Located<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.starts_with(is_word) {
        return Err((start, ReferenceProblem::BadTag));
    }
    if let Some(bad) = text.find(|c| !is_word(c) && c != '.' && c != '-') {
        return Err((start + bad, ReferenceProblem::BadTag));
    }
    if text.len() > MAX_TAG_LENGTH {
        return Err((start + MAX_TAG_LENGTH, ReferenceProblem::BadTag));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
