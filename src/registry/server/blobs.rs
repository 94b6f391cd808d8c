//! Pulling blobs (distribution-spec "Pulling blobs"), whole or in part.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{CONTENT_DIGEST, Registry, ServerError, range};
use crate::image::Digest;

/// `/v2/<name>/blobs/<digest>`
pub(super) async fn serve(
    registry: &Registry,
    digest: &Digest,
    request: &Parts,
) -> Result<Response, ServerError> {
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        return Err(ServerError::MethodNotAllowed { allowed: "GET, HEAD" });
    }
    let size_bytes = registry.store.storage().blob_size_bytes(digest).await?;
    let size_bytes = size_bytes.ok_or_else(|| ServerError::BlobUnknown(digest.clone()))?;
    let part = if is_current(&request.headers, digest) {
        range::requested(&request.headers, size_bytes)?
    } else {
        None
    };
    let range = part.clone().unwrap_or(0..size_bytes);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, (range.end - range.start).to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, entity_tag(digest)),
        (CONTENT_DIGEST, digest.to_string()),
    ];
    let mut response = headers.into_response();
    if let Some(part) = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let shown = format!("bytes {}-{}/{size_bytes}", part.start, part.end - 1);
        response.headers_mut().extend(shown.parse().map(|value| (header::CONTENT_RANGE, value)));
    }
    if request.method == Method::GET {
        *response.body_mut() = Body::from_stream(registry.store.storage().open_blob(digest, range).await?);
    }
    Ok(response)
}

/// `If-Range` with another entity tag asks for the whole blob.
fn is_current(headers: &HeaderMap, digest: &Digest) -> bool {
    headers.get(header::IF_RANGE).is_none_or(|tag| tag.as_bytes() == entity_tag(digest).as_bytes())
}

fn entity_tag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}
