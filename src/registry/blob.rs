//! Blobs (distribution-spec "Pulling blobs"; RFC 9110 section 14 for ranges).
//!
//! Threats: the body is foreign: it may be shorter or longer than promised, or another part than was asked for. What
//! the headers say of it is checked before a byte is handed out, and its bytes are counted. What they are is for whoever
//! writes them to verify ([`crate::blob::Verifier`]).

use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};

use crate::foreign::shown;
use crate::image::{Descriptor, Repository};
use crate::secret::SafeUrl;
use crate::source::BlobStream;

use super::client::Client;
use super::error::RegistryError;
use super::failure::{Cause, Failure};
use super::layer_url;
use super::object::Object;
use super::said::is_html;
use super::transport::Answer;

/// Opens the bytes `range` of a blob.
pub(super) async fn open(
    client: &Client,
    repository: &Repository,
    blob: &Descriptor,
    range: Range<u64>,
) -> Result<BlobStream, RegistryError> {
    if range.is_empty() && blob.size_bytes > 0 {
        return Ok(stream::empty().boxed());
    }
    let object = Object::Blob { repository: repository.clone(), digest: blob.digest.clone() };
    let path = format!("{}/blobs/{}", repository.path(), blob.digest);
    let wanted = Wanted { size_bytes: blob.size_bytes, range };
    let headers = wanted.headers();
    let fetch = || client.fetch(&object, &path, &headers);
    if !layer_url::may_be_elsewhere(blob) {
        return body(object.clone(), fetch().await?, &wanted);
    }
    match client.lacking().ask(repository, &blob.digest, fetch).await? {
        Some(answer) => body(object, answer, &wanted),
        None => layer_url::open(client, &object, blob, &wanted, &headers).await,
    }
}

/// What of a blob is asked for.
pub(super) struct Wanted {
    size_bytes: u64,
    range: Range<u64>,
}

impl Wanted {
    /// True if it is all of the blob: that is asked for without a range, which some servers don't know.
    pub(super) fn is_whole(&self) -> bool {
        self.range == (0..self.size_bytes)
    }

    fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !self.is_whole() {
            let range = format!("bytes={}-{}", self.range.start, self.range.end.saturating_sub(1));
            headers.insert(RANGE, HeaderValue::from_str(&range).unwrap_or(ALL));
        }
        headers
    }
}

/// The body of an answer with a 2xx status, if its headers promise what was asked for.
pub(super) fn body(object: Object, answer: Answer, wanted: &Wanted) -> Result<BlobStream, RegistryError> {
    check(&object, &answer, wanted)?;
    Ok(Body { object, answer, wanted_bytes: wanted.bytes(), received_bytes: 0 }.into_stream())
}

/// Digits make a header value; this one is never used.
const ALL: HeaderValue = HeaderValue::from_static("bytes=0-");

/// Checks status and lengths before the body is touched.
fn check(object: &Object, answer: &Answer, wanted: &Wanted) -> Result<(), RegistryError> {
    let url = || Box::new(answer.url.clone());
    let headers = answer.response.headers();
    match (answer.response.status(), wanted.is_whole()) {
        (StatusCode::OK, true) => {}
        (StatusCode::OK, false) => {
            return Err(RegistryError::RangeIgnored {
                object: Box::new(object.clone()),
                url: url(),
                from_bytes: wanted.range.start,
            });
        }
        (StatusCode::PARTIAL_CONTENT, false) => check_range(&answer.url, headers, wanted)?,
        (status, _) => {
            return Err(RegistryError::UnexpectedStatus { url: url(), status: status.as_u16(), said: None });
        }
    }
    match answer.response.content_length() {
        Some(got_bytes) if got_bytes != wanted.bytes() => {
            if is_html(headers) {
                let status = answer.response.status().as_u16();
                return Err(RegistryError::WebPage { url: url(), status });
            }
            Err(wrong_length(object, &answer.url, wanted.bytes(), got_bytes))
        }
        _ => Ok(()),
    }
}

/// `Content-Range` must be the bytes asked for.
fn check_range(url: &SafeUrl, headers: &HeaderMap, wanted: &Wanted) -> Result<(), RegistryError> {
    let value = headers.get(CONTENT_RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let value = value.as_deref().unwrap_or_default();
    if parse_range(value).is_some_and(|(first, last, total)| {
        first == wanted.range.start
            && last.checked_add(1) == Some(wanted.range.end)
            && total.is_none_or(|total| total == wanted.size_bytes)
    }) {
        return Ok(());
    }
    Err(RegistryError::BadHeader { url: Box::new(url.clone()), header: "Content-Range", value: shown(value) })
}

/// `bytes 10-19/20` or `bytes 10-19/*`: first and last byte, and the total.
fn parse_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (unit, range) = value.trim().split_once(' ')?;
    let (range, total) = range.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let is_bytes = unit.eq_ignore_ascii_case("bytes");
    if is_bytes { Some((first.trim().parse().ok()?, last.parse().ok()?, total)) } else { None }
}

/// A body on its way, without copies: as many bytes as were asked for, or an error at its end.
struct Body {
    object: Object,
    answer: Answer,
    wanted_bytes: u64,
    received_bytes: u64,
}

impl Body {
    /// The stream ends with its first error.
    fn into_stream(self) -> BlobStream {
        let next = |mut body: Self| async {
            let chunk = body.next().await?;
            Ok(chunk.map(|chunk| (chunk, body)))
        };
        stream::try_unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let chunk = self.answer.next_chunk().await.map_err(|broken| {
            let (failure, cause) = broken.told(self.answer.proxied);
            self.interrupted(failure, cause)
        })?;
        self.received_bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        // Bodies without a length in front end where they end.
        if chunk.is_none() && self.received_bytes < self.wanted_bytes {
            return Err(self.interrupted(Failure::ClosedEarly, Cause::new("the body ended early")));
        }
        if self.received_bytes > self.wanted_bytes {
            let (object, url) = (&self.object, &self.answer.url);
            return Err(wrong_length(object, url, self.wanted_bytes, self.received_bytes));
        }
        Ok(chunk)
    }

    fn interrupted(&self, failure: Failure, cause: Cause) -> RegistryError {
        RegistryError::Interrupted {
            object: Box::new(self.object.clone()),
            url: Box::new(self.answer.url.clone()),
            received_bytes: self.received_bytes,
            failure,
            cause,
        }
    }
}

fn wrong_length(object: &Object, url: &SafeUrl, expected_bytes: u64, got_bytes: u64) -> RegistryError {
    RegistryError::WrongLength {
        object: Box::new(object.clone()),
        url: Box::new(url.clone()),
        expected_bytes,
        got_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        for (value, expected) in [
            ("bytes 10-19/20", Some((10, 19, Some(20)))),
            ("Bytes 10-19/*", Some((10, 19, None))),
            ("bytes */20", None),
            ("bytes 10-19", None),
            ("items 1-2/3", None),
            ("bytes -1-2/3", None),
            ("", None),
        ] {
            assert_eq!(parse_range(value), expected, "{value}");
        }
    }
}
