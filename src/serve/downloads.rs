//! Files on their way to whoever asked: whole or in part, with an entity tag, under their right names.
//!
//! Threats: names are foreign (see [`super::folder`]). A browser is told to save a file, never to show it.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;

use super::App;
use super::answer::{Named, Refusal, failed};
use super::files::url_encoded;
use super::folder::{FileKind, FileName, Identity};
use super::log::Asker;
use crate::fsio::{FileHandle, blocking, stream_range};
use crate::registry::server::requested_range;

pub(super) const SCRIPT_TYPE: &str = "text/x-shellscript";
pub(super) const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// `/downloads/<filename>`
pub(super) async fn download(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Named(name): Named,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let name: FileName = name.parse().map_err(|()| Refusal::NO_FILE)?;
    let opened = {
        let (app, name) = (Arc::clone(&app), name.clone());
        blocking(move || app.files.folder.open_file(&name)).await.map_err(failed)?
    };
    let (file, identity) = opened.ok_or(Refusal::NO_FILE)?;
    let tag = identity.entity_tag();
    if is_one_of(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let is_current = headers.get(header::IF_RANGE).is_none_or(|stated| stated.as_bytes() == tag.as_bytes());
    let part = if is_current { part(&headers, &identity)? } else { None };
    let range = part.clone().unwrap_or(0..identity.size_bytes);
    let content_type = match name.kind() {
        FileKind::Archive => "application/x-tar",
        FileKind::Checksum => TEXT_TYPE,
        FileKind::Script => SCRIPT_TYPE,
    };
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_LENGTH, (range.end - range.start).to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, tag),
        (header::CONTENT_DISPOSITION, disposition(name.as_str())),
        // An archive may be deleted, and its name taken again.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    let mut response = headers.into_response();
    if let Some(part) = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let shown = format!("bytes {}-{}/{}", part.start, part.end - 1, identity.size_bytes);
        response.headers_mut().extend(shown.parse().map(|value| (header::CONTENT_RANGE, value)));
    }
    if method == Method::GET {
        *response.body_mut() = Body::from_stream(Download::new(app, asker, name, file, range));
    }
    Ok(response)
}

fn part(headers: &HeaderMap, identity: &Identity) -> Result<Option<Range<u64>>, Refusal> {
    requested_range(headers, identity.size_bytes).map_err(|_| Refusal::OutOfRange(identity.size_bytes))
}

/// Is the file one that the asker has?
fn is_one_of(headers: &HeaderMap, tag: &str) -> bool {
    let stated = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let mut tags = stated.flat_map(|stated| stated.split(',')).map(str::trim);
    tags.any(|stated| stated == "*" || stated.strip_prefix("W/").unwrap_or(stated) == tag)
}

/// RFC 6266, with a name in ASCII for those that read no other.
pub(super) fn disposition(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-+ ".contains(c) { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", url_encoded(name))
}

/// A file that is being sent, told in the log when that ends.
struct Download {
    app: Arc<App>,
    asker: Asker,
    name: FileName,
    bytes: BoxStream<'static, std::io::Result<Bytes>>,
    left_bytes: u64,
}

impl Download {
    fn new(app: Arc<App>, asker: Asker, name: FileName, file: File, range: Range<u64>) -> Self {
        app.metrics.downloads.fetch_add(1, Ordering::Relaxed);
        let left_bytes = range.end - range.start;
        let file = FileHandle::of_foreign(file, Path::new(name.as_str()));
        Self { app, asker, name, bytes: stream_range(file, range), left_bytes }
    }
}

impl Stream for Download {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.bytes.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(chunk))) = &next {
            let bytes = chunk.len() as u64;
            self.left_bytes = self.left_bytes.saturating_sub(bytes);
            self.app.metrics.download_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        next
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.app.metrics.downloads.fetch_sub(1, Ordering::Relaxed);
        let outcome = match self.left_bytes {
            0 => "ok".to_owned(),
            left => format!("stopped, {left} bytes before its end"),
        };
        self.app.log.add(&self.asker, "download", self.name.as_str(), &outcome);
    }
}
