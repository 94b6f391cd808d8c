//! Byte ranges in headers: `Range` of a blob request (RFC 9110 §14.2), `Content-Range` and `Range` of uploads, which
//! the distribution-spec writes without a unit (`0-1023`).

use std::ops::Range;

use axum::http::{HeaderMap, header};

use super::ServerError;

/// The one byte range asked for. `None` if there is none, several, or one in words that HTTP says to ignore.
pub(crate) fn requested(headers: &HeaderMap, size_bytes: u64) -> Result<Option<Range<u64>>, ServerError> {
    let Some(range) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ok(None);
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => return Ok(None),
        (Some(first), Some(last)) => first..last.saturating_add(1).min(size_bytes),
        (Some(first), None) if last.is_empty() => first..size_bytes,
        (None, Some(length)) if first.is_empty() => size_bytes.saturating_sub(length)..size_bytes,
        _ => return Ok(None),
    };
    if range.start < range.end {
        Ok(Some(range))
    } else {
        Err(ServerError::RangeNotSatisfiable { size_bytes })
    }
}

/// The `Content-Range` of a chunk, if it has one. `bytes` in front and `/<total>` behind are tolerated.
pub(super) fn of_chunk(headers: &HeaderMap) -> Result<Option<Range<u64>>, ServerError> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let range = value.to_str().map_err(|_| ServerError::ContentRangeInvalid)?;
    let range = range.strip_prefix("bytes").map_or(range, |range| range.trim_start_matches(['=', ' ']));
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.split_once('-').ok_or(ServerError::ContentRangeInvalid)?;
    match (number(first), number(last).and_then(|last| last.checked_add(1))) {
        (Some(first), Some(end)) if first < end => Ok(Some(first..end)),
        _ => Err(ServerError::ContentRangeInvalid),
    }
}

/// The `Range` header that tells how much of an upload is here. Nothing and one byte look the same: `0-0`.
pub(super) fn received(size_bytes: u64) -> String {
    format!("0-{}", size_bytes.saturating_sub(1))
}

/// Only digits: `str::parse` would take a `+`.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn single_ranges_are_cut_to_the_blob() {
        let range = |text: &str, size| requested(&headers(header::RANGE, text), size).unwrap();
        assert_eq!(range("bytes=2-5", 10), Some(2..6));
        assert_eq!(range("bytes=2-", 10), Some(2..10));
        assert_eq!(range("bytes=2-99999999999999999999", 10), None);
        assert_eq!(range("bytes=2-18446744073709551615", 10), Some(2..10));
        assert_eq!(range("bytes=-3", 10), Some(7..10));
        assert_eq!(range("bytes=-30", 10), Some(0..10));
        for ignored in ["bytes=1-2,4-5", "bytes=5-2", "bytes=-", "bytes=+1-2", "items=1-2", "bytes=a-b", ""] {
            assert_eq!(range(ignored, 10), None, "{ignored}");
        }
    }

    #[test]
    fn ranges_past_the_end_cannot_be_satisfied() {
        for (text, size) in [("bytes=10-", 10), ("bytes=10-11", 10), ("bytes=-0", 10), ("bytes=0-", 0)] {
            assert!(requested(&headers(header::RANGE, text), size).is_err(), "{text}");
        }
    }

    #[test]
    fn chunks_say_where_they_belong() {
        let range = |text: &str| of_chunk(&headers(header::CONTENT_RANGE, text)).ok().flatten();
        assert_eq!(range("0-9"), Some(0..10));
        assert_eq!(range("bytes 5-9/*"), Some(5..10));
        for bad in ["", "5", "9-5", "-", "a-b", "0-18446744073709551615"] {
            assert!(of_chunk(&headers(header::CONTENT_RANGE, bad)).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_requested_range_lies_inside_the_blob(text in "bytes=[0-9-]{0,24}", size: u64) {
            if let Ok(Some(range)) = requested(&headers(header::RANGE, &text), size) {
                assert!(range.start < range.end && range.end <= size, "{text} of {size}");
            }
        }
    }
}
