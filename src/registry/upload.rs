//! Pushing (distribution-spec "Pushing blobs", "Mounting a blob from another repository", "Pushing Manifests").
//!
//! What registries take differs, so the ways are few and common. A blob goes in one request (POST, then PUT of all of it), as
//! containerd sends them: Artifact Registry takes no chunks, GHCR none over 4 MiB. Or in pieces (PATCH), the last of which
//! is the PUT's: ECR fails at a PUT without a body, and proxies in front limit bodies. When a line broke, the registry is
//! asked how far it came; docker-registry 2.8 gives an upload up then.
//!
//! Threats: a registry says where an upload goes. It leads by the rule of [`super::hop`], and elsewhere than to the
//! registry itself no credentials go along. How far it came is believed only as far as was sent, and what it calls the
//! result has to be what was sent. Whoever has the bytes verifies them on their way.

use std::io;
use std::ops::Range;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, TryStreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Body, Method};
use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

use crate::image::{Digest, Document, MediaType, Repository};
use crate::source::Selector;

use super::client::{Call, Client};
use super::error::RegistryError;
use super::manifest;
use super::object::Object;
use super::reach::Reach;
use super::redirect;
use super::said::{Denial, Said};
use super::transport::{Answer, finish};

/// Chunks between whoever makes the body and the connection.
const QUEUED_CHUNKS: usize = 2;
/// Registries on object stores copy a blob when it is complete, at least so fast.
const STORED_BYTES_A_SECOND: u64 = 10 << 20;
/// A registry that wants pieces of more than this is set up wrongly.
const MAX_PIECE_BYTES: u64 = 1 << 30;
const MIN_CHUNK: &str = "OCI-Chunk-Min-Length";
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What became of an attempt to begin with a blob.
pub enum Begun {
    /// The registry has it in another repository, and so in this one now.
    Mounted,
    /// Its bytes can be sent.
    Upload(Upload),
}

/// A blob on its way to a registry, which knows it by a place of its own.
pub struct Upload {
    client: Client,
    object: Object,
    digest: Digest,
    place: Url,
    min_piece_bytes: u64,
}

/// Why bytes did not get to the registry.
#[derive(Debug)]
pub enum SendError<E> {
    /// They could not be had.
    Body(E),
    /// The registry or the line.
    Registry(RegistryError),
}

impl<E> From<RegistryError> for SendError<E> {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl Client {
    /// True if the registry has the blob in this repository.
    pub async fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError> {
        let object = Object::Blob { repository: repository.clone(), digest: digest.clone() };
        let path = format!("{}/blobs/{digest}", repository.path());
        let headers = HeaderMap::new();
        let call = call(Method::HEAD, Reach::Push(repository), &object, &headers);
        is_there(self.call(&call, &path).await).map(|answer| answer.is_some())
    }

    /// The digest of what the registry has by this name; none if it has nothing, or doesn't say.
    pub async fn manifest_digest(
        &self,
        repository: &Repository,
        selector: &Selector,
    ) -> Result<Option<Digest>, RegistryError> {
        let object = Object::Manifest { repository: repository.clone(), selector: selector.clone() };
        let headers = manifest::accept();
        let call = call(Method::HEAD, Reach::Push(repository), &object, &headers);
        let Some(answer) = is_there(self.call(&call, &manifest::path(repository, selector)).await)? else {
            return Ok(None);
        };
        let stated = manifest::stated_digest(&answer.url, answer.response.headers())?;
        Ok(match (stated, selector) {
            (None, Selector::Digest(digest)) => Some(digest.clone()),
            (stated, _) => stated,
        })
    }

    /// Lets the registry take a blob that it has in `from`; where it doesn't, the bytes can be sent.
    pub async fn mount_blob(
        &self,
        from: &Repository,
        to: &Repository,
        digest: &Digest,
    ) -> Result<Begun, RegistryError> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("mount", &digest.to_string())
            .append_pair("from", from.path())
            .finish();
        let object = Object::Repository { repository: to.clone() };
        match self.begin(Reach::Mount { from, to }, &object, digest, &format!("?{query}")).await {
            Ok(begun) => Ok(begun),
            // It may know no mounts, or our credentials may not read there.
            Err(
                RegistryError::AccessDenied { .. }
                | RegistryError::TokenRefused { .. }
                | RegistryError::NotFound { .. }
                | RegistryError::UnexpectedStatus { .. },
            ) => self.begin_upload(to, digest).await.map(Begun::Upload),
            Err(error) => Err(error),
        }
    }

    /// Begins to send a blob.
    pub async fn begin_upload(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Upload, RegistryError> {
        let object = Object::Repository { repository: repository.clone() };
        match self.begin(Reach::Push(repository), &object, digest, "").await? {
            Begun::Upload(upload) => Ok(upload),
            // Nobody asked for that, so nothing is there.
            Begun::Mounted => Err(RegistryError::UploadLost { object: Box::new(object), said: None }),
        }
    }

    async fn begin(
        &self,
        reach: Reach<'_>,
        object: &Object,
        digest: &Digest,
        query: &str,
    ) -> Result<Begun, RegistryError> {
        let repository = reach.repository();
        let path = format!("{}/blobs/uploads/{query}", repository.path());
        let headers = HeaderMap::new();
        let answer = self.call(&call(Method::POST, reach, object, &headers), &path).await?;
        if answer.response.status() == reqwest::StatusCode::CREATED {
            finish(answer.response).await;
            return Ok(Begun::Mounted);
        }
        let stated =
            answer.response.headers().get(MIN_CHUNK).and_then(|value| value.to_str().ok()?.parse().ok());
        let place = self.place(&answer)?;
        finish(answer.response).await;
        Ok(Begun::Upload(Upload {
            client: self.clone(),
            object: Object::Blob { repository: repository.clone(), digest: digest.clone() },
            digest: digest.clone(),
            place,
            min_piece_bytes: stated.unwrap_or(0).min(MAX_PIECE_BYTES),
        }))
    }

    /// Puts a manifest or index there, under a tag or its digest: these very bytes.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        selector: &Selector,
        document: &Document,
        media_type: &MediaType,
    ) -> Result<(), RegistryError> {
        let object = Object::Manifest { repository: repository.clone(), selector: selector.clone() };
        let kind = HeaderValue::from_str(media_type.as_str()).unwrap_or(OCTETS);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let body = document.bytes().clone();
        let call = Call { body, ..call(Method::PUT, Reach::Push(repository), &object, &headers) };
        let answer = self.call(&call, &manifest::path(repository, selector)).await?;
        kept_as(answer, &object, document.digest()).await
    }

    /// Where an answer says that an upload is.
    fn place(&self, answer: &Answer) -> Result<Url, RegistryError> {
        let from = answer.url.reveal();
        redirect::target(from, answer.response.headers())
            .and_then(|place| self.transport().check_hop(from, &place).map(|()| place))
            .map_err(|problem| RegistryError::BadUploadPlace { url: Box::new(answer.url.clone()), problem })
    }
}

impl Upload {
    /// The least the registry takes in a piece that isn't the last.
    pub fn min_piece_bytes(&self) -> u64 {
        self.min_piece_bytes
    }

    /// Sends the bytes `range` of a blob of `size_bytes`, and says how many the registry has then. With the last of them
    /// the blob is complete, and has its digest by the registry's word. The body has to be as long as `range`.
    pub async fn send<E>(
        &mut self,
        range: Range<u64>,
        size_bytes: u64,
        body: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<u64, SendError<E>> {
        let is_last = range.end == size_bytes;
        let answer = self.transmit(&range, size_bytes, body).await?;
        if is_last {
            kept_as(answer, &self.object, &self.digest).await?;
            return Ok(size_bytes);
        }
        self.moved(&answer)?;
        let has_bytes = received_bytes(answer.response.headers()).unwrap_or(range.end);
        finish(answer.response).await;
        // Neither more than was sent nor nothing of it.
        if range.start < has_bytes && has_bytes <= range.end {
            Ok(has_bytes)
        } else {
            Err(self.lost(None).into())
        }
    }

    async fn transmit<E>(
        &self,
        range: &Range<u64>,
        size_bytes: u64,
        body: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Answer, SendError<E>> {
        let is_last = range.end == size_bytes;
        let mut place = self.place.clone();
        if is_last {
            place.query_pairs_mut().append_pair("digest", &self.digest.to_string());
        }
        let mut headers = HeaderMap::from_iter([
            (CONTENT_TYPE, OCTETS),
            (CONTENT_LENGTH, HeaderValue::from(range.end - range.start)),
        ]);
        if *range != (0..size_bytes) && !range.is_empty() {
            let text = format!("{}-{}", range.start, range.end - 1);
            headers.extend(HeaderValue::from_str(&text).map(|value| (CONTENT_RANGE, value)));
        }
        let method = if is_last { Method::PUT } else { Method::PATCH };
        let transport = self.client.transport();
        let call = call(method, Reach::Push(self.object.repository()), &self.object, &headers);
        let (chunks, mut queue) = mpsc::channel::<io::Result<Bytes>>(QUEUED_CHUNKS);
        let feeding = async {
            let chunks = chunks; // dropped with the last one, which ends the request's body
            let mut body = pin!(body);
            while let Some(chunk) = body.try_next().await.map_err(SendError::Body)? {
                match timeout(transport.idle(), chunks.send(Ok(chunk))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => break, // the request is over, and says why
                    Err(_) => return Err(SendError::Registry(transport.stalled(&place))),
                }
            }
            Ok(())
        };
        let sent_body = Body::wrap_stream(stream::poll_fn(move |context| queue.poll_recv(context)));
        let mut sending = pin!(self.client.send(&call, &place, sent_body));
        let answer = tokio::select! {
            biased;
            answer = &mut sending => answer,
            fed = feeding => {
                fed?;
                let to_store = if is_last { size_bytes / STORED_BYTES_A_SECOND } else { 0 };
                let limit = transport.idle() + Duration::from_secs(to_store);
                timeout(limit, sending).await.unwrap_or_else(|_| Err(transport.stalled(&place)))
            }
        };
        answer.map_err(|error| self.refused(error).into())
    }

    /// How many bytes the registry has, by its own word.
    pub async fn received_bytes(&mut self) -> Result<u64, RegistryError> {
        let headers = HeaderMap::new();
        let call = call(Method::GET, Reach::Push(self.object.repository()), &self.object, &headers);
        let answer =
            self.client.call(&call, self.place.as_str()).await.map_err(|error| self.refused(error))?;
        self.moved(&answer)?;
        let has_bytes = received_bytes(answer.response.headers());
        finish(answer.response).await;
        has_bytes.ok_or_else(|| self.lost(None))
    }

    /// Tells the registry that nothing more comes. It forgets uploads by itself, some day.
    pub async fn cancel(self) {
        let headers = HeaderMap::new();
        let call = call(Method::DELETE, Reach::Push(self.object.repository()), &self.object, &headers);
        if let Ok(answer) = self.client.call(&call, self.place.as_str()).await {
            finish(answer.response).await;
        }
    }

    /// Takes note of where the upload is now.
    fn moved(&mut self, answer: &Answer) -> Result<(), RegistryError> {
        if answer.response.headers().contains_key(LOCATION) {
            self.place = self.client.place(answer)?;
        }
        Ok(())
    }

    fn lost(&self, said: Option<Said>) -> RegistryError {
        RegistryError::UploadLost { object: Box::new(self.object.clone()), said }
    }

    /// What a refusal means of an upload that was begun.
    fn refused(&self, error: RegistryError) -> RegistryError {
        let has_code = |said: &Option<Said>, codes: &[&str]| {
            said.as_ref().is_some_and(|said| codes.iter().any(|code| said.has_code(code)))
        };
        match error {
            RegistryError::NotFound { said, .. }
            | RegistryError::UnexpectedStatus { status: 409 | 416, said, .. } => self.lost(said),
            RegistryError::UnexpectedStatus { status: 400, said, .. }
                if has_code(&said, &["BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "RANGE_INVALID"]) =>
            {
                self.lost(said)
            }
            RegistryError::UnexpectedStatus { status: 400, said, url }
                if has_code(&said, &["DIGEST_INVALID"]) =>
            {
                RegistryError::Altered { object: Box::new(self.object.clone()), url, said }
            }
            error => error,
        }
    }
}

fn call<'a>(method: Method, reach: Reach<'a>, object: &'a Object, headers: &'a HeaderMap) -> Call<'a> {
    Call { method, reach, object, headers, body: Bytes::new() }
}

/// The answer to a look; none if nothing is there, or it may not be looked at by credentials that are right.
fn is_there(answer: Result<Answer, RegistryError>) -> Result<Option<Answer>, RegistryError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(
            RegistryError::NotFound { .. } | RegistryError::AccessDenied { denial: Denial::Forbidden, .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How much the registry has by the header `Range: 0-N`. Registries say `0-0` of nothing, too.
fn received_bytes(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?.trim();
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    match text.strip_prefix("0-")?.parse().ok()? {
        0 => Some(0),
        last => u64::checked_add(last, 1),
    }
}

/// Is what the registry keeps what was sent? It may say nothing, but nothing else.
async fn kept_as(answer: Answer, object: &Object, digest: &Digest) -> Result<(), RegistryError> {
    let stated = manifest::stated_digest(&answer.url, answer.response.headers())?;
    let url = Box::new(answer.url);
    finish(answer.response).await;
    match stated {
        // By another algorithm it may be the same.
        Some(stated) if stated.algorithm() == digest.algorithm() && stated != *digest => {
            Err(RegistryError::Altered { object: Box::new(object.clone()), url, said: None })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_an_upload_is_is_read_strictly() {
        for (text, expected) in [
            ("0-0", Some(0)),
            ("0-999999", Some(1_000_000)),
            ("bytes=0-9", Some(10)),
            ("1-9", None),
            ("0-18446744073709551615", None),
            ("0--1", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(text))]);
            assert_eq!(received_bytes(&headers), expected, "{text}");
        }
    }
}
