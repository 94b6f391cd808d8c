//! Manifests (distribution-spec "Pulling manifests").
//!
//! Threats: the body is foreign and may be endless, another document than was asked for, or no manifest at all. It is
//! read up to a limit (the stated length first), hashed against the digest asked for or the one the registry states,
//! and kept as the bytes it is. What it means is [`crate::image::manifest`]'s business.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::foreign::shown;
use crate::image::manifest::{MAX_MANIFEST_BYTES, ManifestError};
use crate::image::{Digest, Document, MediaType, Repository};
use crate::secret::SafeUrl;
use crate::source::Selector;

use super::client::Client;
use super::error::RegistryError;
use super::object::Object;
use super::said::{is_html, looks_like_html, read_at_most};
use super::transport::Answer;

const CONTENT_DIGEST: &str = "Docker-Content-Digest";

/// Fetches a manifest or index.
pub(super) async fn fetch(
    client: &Client,
    repository: &Repository,
    selector: &Selector,
) -> Result<Document, RegistryError> {
    let object = Object::Manifest { repository: repository.clone(), selector: selector.clone() };
    let answer = client.fetch(&object, &path(repository, selector), &accept()).await?;
    client.tell_limits(repository.registry(), answer.response.headers());
    let (url, status) = (answer.url.clone(), answer.response.status().as_u16());
    let media_type = media_type(answer.response.headers());
    let declared_html = is_html(answer.response.headers());
    let expected = match selector {
        Selector::Digest(digest) => Some(digest.clone()),
        Selector::Tag(_) if declared_html => None,
        Selector::Tag(_) => stated_digest(&url, answer.response.headers())?,
    };
    let bytes = read(&object, answer).await?;
    if declared_html || looks_like_html(&bytes) {
        return Err(RegistryError::WebPage { url: Box::new(url), status });
    }
    let Some(expected) = expected else { return Ok(Document::of(bytes, media_type)) };
    let object = Box::new(object);
    Document::verified(bytes.clone(), media_type.clone(), &expected).map_err(|got| {
        // The digest of Docker's schema 1 is that of its payload without signatures: no matter, it is not taken.
        match Document::of(bytes, media_type).parse() {
            Err(problem @ ManifestError::Schema1) => RegistryError::Schema1 { object, problem },
            _ => RegistryError::DigestMismatch {
                object,
                url: Box::new(url),
                expected: Box::new(expected),
                got: Box::new(got),
            },
        }
    })
}

/// The digest that the registry states for a tag, by HEAD: Docker Hub counts that for no pull. None if it states none.
pub(super) async fn tag_digest(
    client: &Client,
    repository: &Repository,
    tag: &str,
) -> Result<Option<Digest>, RegistryError> {
    let selector = Selector::Tag(tag.to_owned());
    let path = path(repository, &selector);
    let object = Object::Manifest { repository: repository.clone(), selector };
    let answer = client.ask(Method::HEAD, &object, &path, &accept()).await?;
    client.tell_limits(repository.registry(), answer.response.headers());
    stated_digest(&answer.url, answer.response.headers())
}

/// Where a manifest is, below `/v2/`.
pub(super) fn path(repository: &Repository, selector: &Selector) -> String {
    match selector {
        Selector::Tag(tag) => format!("{}/manifests/{tag}", repository.path()),
        Selector::Digest(digest) => format!("{}/manifests/{digest}", repository.path()),
    }
}

/// One header with all of them: old registries look at the first only.
pub(super) fn accept() -> HeaderMap {
    HeaderValue::try_from(MediaType::ACCEPT_MANIFESTS.join(", "))
        .into_iter()
        .map(|all| (ACCEPT, all))
        .collect()
}

fn media_type(headers: &HeaderMap) -> MediaType {
    MediaType::of(headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default())
}

/// The digest the registry states for what a tag names; it may leave it out, but not state nonsense.
pub(super) fn stated_digest(url: &SafeUrl, headers: &HeaderMap) -> Result<Option<Digest>, RegistryError> {
    let Some(value) = headers.get(CONTENT_DIGEST) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    if text.trim().is_empty() {
        return Ok(None);
    }
    text.trim().parse().map(Some).map_err(|_| RegistryError::BadHeader {
        url: Box::new(url.clone()),
        header: CONTENT_DIGEST,
        value: shown(&text),
    })
}

/// The whole body, if it is within the limit; a longer one is dropped with its connection.
async fn read(object: &Object, answer: Answer) -> Result<Bytes, RegistryError> {
    let Answer { response, url, proxied, patience, .. } = answer;
    let object = || Box::new(object.clone());
    match read_at_most(response, patience, MAX_MANIFEST_BYTES).await {
        Ok(Some(bytes)) => Ok(bytes.into()),
        Ok(None) => {
            Err(RegistryError::ManifestTooLarge { object: object(), limit_bytes: MAX_MANIFEST_BYTES })
        }
        Err((broken, received_bytes)) => {
            let (failure, cause) = broken.told(proxied);
            Err(RegistryError::Interrupted {
                object: object(),
                url: Box::new(url),
                received_bytes,
                failure,
                cause,
            })
        }
    }
}
