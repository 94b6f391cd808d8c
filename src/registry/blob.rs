//! Blobs (distribution-spec "Pulling blobs"; RFC 9110 section 14 for ranges).
//!
//! Threats: the body is foreign: it may be shorter or longer than promised, or another part than was asked for.
//! Lengths are checked before a byte is handed out and again as they come, so a stream gives exactly the bytes that
//! the descriptor promises or ends with an error. Their content is unverified: whoever writes them hashes them.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};

use crate::image::{Descriptor, Repository};
use crate::secret::SafeUrl;
use crate::source::{BlobStream, SourceError};

use super::client::Client;
use super::error::RegistryError;
use super::failure::{Cause, Failure, classify};
use super::object::Object;
use super::said::{is_html, shown};
use super::transport::Answer;

/// Opens a blob at `from_bytes`.
pub(super) async fn open(
    client: &Client,
    repository: &Repository,
    blob: &Descriptor,
    from_bytes: u64,
) -> Result<BlobStream, RegistryError> {
    let wanted_bytes = blob.size_bytes.saturating_sub(from_bytes);
    if wanted_bytes == 0 && from_bytes > 0 {
        return Ok(stream::empty().boxed());
    }
    let object = Object::Blob { repository: repository.clone(), digest: blob.digest.clone() };
    let path = format!("{}/blobs/{}", repository.path(), blob.digest);
    let mut headers = HeaderMap::new();
    if from_bytes > 0 {
        headers.insert(RANGE, HeaderValue::from_str(&format!("bytes={from_bytes}-")).unwrap_or(ALL));
    }
    let answer = client.fetch(&object, &path, &headers).await?;
    check(&object, &answer, blob.size_bytes, from_bytes)?;
    Ok(body(object, answer, wanted_bytes))
}

/// Digits make a header value; this one is never used.
const ALL: HeaderValue = HeaderValue::from_static("bytes=0-");

/// Checks status and lengths before the body is touched.
fn check(object: &Object, answer: &Answer, size_bytes: u64, from_bytes: u64) -> Result<(), RegistryError> {
    let url = || Box::new(answer.url.clone());
    let headers = answer.response.headers();
    match (answer.response.status(), from_bytes) {
        (StatusCode::OK, 0) => {}
        (StatusCode::OK, _) => {
            return Err(RegistryError::RangeIgnored {
                object: Box::new(object.clone()),
                url: url(),
                from_bytes,
            });
        }
        (StatusCode::PARTIAL_CONTENT, 1..) => check_range(&answer.url, headers, size_bytes, from_bytes)?,
        (status, _) => {
            return Err(RegistryError::UnexpectedStatus { url: url(), status: status.as_u16(), said: None });
        }
    }
    let wanted_bytes = size_bytes - from_bytes;
    match answer.response.content_length() {
        Some(got_bytes) if got_bytes != wanted_bytes => {
            if is_html(headers) {
                let status = answer.response.status().as_u16();
                return Err(RegistryError::WebPage { url: url(), status });
            }
            Err(wrong_length(object, &answer.url, wanted_bytes, got_bytes))
        }
        _ => Ok(()),
    }
}

/// `Content-Range` must be from the byte asked for to the end.
fn check_range(
    url: &SafeUrl,
    headers: &HeaderMap,
    size_bytes: u64,
    from_bytes: u64,
) -> Result<(), RegistryError> {
    let value = headers.get(CONTENT_RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let value = value.as_deref().unwrap_or_default();
    if parse_range(value).is_some_and(|(first, last, total)| {
        first == from_bytes
            && last.checked_add(1) == Some(size_bytes)
            && total.is_none_or(|total| total == size_bytes)
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

/// The body as a stream of exactly `wanted_bytes`, without copies.
fn body(object: Object, answer: Answer, wanted_bytes: u64) -> BlobStream {
    let Answer { response, url, proxied, .. } = answer;
    let mut received_bytes: u64 = 0;
    let interrupted =
        |object: &Object, url: &SafeUrl, received_bytes, failure, cause| RegistryError::Interrupted {
            object: Box::new(object.clone()),
            url: Box::new(url.clone()),
            received_bytes,
            failure,
            cause,
        };
    // `None` marks the end, where the count is checked once more.
    let chunks = response.bytes_stream().map(Some).chain(stream::once(async { None }));
    let mut ended = false;
    chunks
        .filter_map(move |chunk| {
            let item = match chunk {
                _ if ended => None,
                Some(Ok(chunk)) => {
                    received_bytes += chunk.len() as u64;
                    if received_bytes <= wanted_bytes {
                        Some(Ok(chunk))
                    } else {
                        ended = true;
                        Some(Err(wrong_length(&object, &url, wanted_bytes, received_bytes)))
                    }
                }
                Some(Err(error)) => {
                    ended = true;
                    let failure = classify(&error, proxied);
                    Some(Err(interrupted(&object, &url, received_bytes, failure, Cause::from(error))))
                }
                None if received_bytes < wanted_bytes => {
                    let cause = Cause::new(format!("the body ended, {wanted_bytes} bytes were to come"));
                    Some(Err(interrupted(&object, &url, received_bytes, Failure::ClosedEarly, cause)))
                }
                None => None,
            };
            futures::future::ready(
                item.map(|item: Result<Bytes, RegistryError>| item.map_err(SourceError::from)),
            )
        })
        .boxed()
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
