//! Pushing blobs (distribution-spec "Pushing blobs"): in one request, in chunks, or mounted.
//!
//! Memory holds one piece of a body at a time. Where a chunk breaks off, what came stays and the client may go on from
//! there; a storage error, a wrong digest and a cancel leave nothing.

use axum::body::Body;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;

use super::name::RepositoryName;
use super::receive::Receiving;
use super::uploads::Held;
use super::{CONTENT_DIGEST, Registry, ServerError, range};
use crate::image::{Algorithm, Digest};

/// What Docker calls the upload's ID.
const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Parameters {
    digest: Option<String>,
    digest_algorithm: Option<String>,
    mount: Option<String>,
}

impl Parameters {
    fn of(request: &Parts) -> Result<Self, ServerError> {
        Query::try_from_uri(&request.uri)
            .map(|Query(parameters)| parameters)
            .map_err(|_| ServerError::QueryInvalid)
    }

    fn digest(&self) -> Result<Option<Digest>, ServerError> {
        Ok(self.digest.as_deref().map(str::parse).transpose()?)
    }
}

/// `/v2/<name>/blobs/uploads/`: begins an upload, or ends it at once.
pub(super) async fn begin(
    registry: &Registry,
    name: RepositoryName,
    request: &Parts,
    body: Body,
) -> Result<Response, ServerError> {
    if request.method != Method::POST {
        return Err(ServerError::MethodNotAllowed { allowed: "POST" });
    }
    let parameters = Parameters::of(request)?;
    if let Some(digest) = &parameters.mount {
        // `from` does not matter: blobs are one pool. What is not in it the client sends.
        let digest = digest.parse()?;
        if registry.store.storage().blob_size_bytes(&digest).await?.is_some() {
            return Ok(created(&name, &digest));
        }
    }
    if let Some(digest) = parameters.digest()? {
        let mut receiving = Receiving::start(&registry.store, digest.algorithm()).await?;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            receiving.append(chunk.map_err(ServerError::BodyCut)?).await?;
        }
        return Ok(created(&name, &receiving.finish(digest).await?));
    }
    let algorithm = match parameters.digest_algorithm.as_deref() {
        Some("sha512") => Algorithm::Sha512,
        _ => Algorithm::Sha256,
    };
    let receiving = Receiving::start(&registry.store, algorithm).await?;
    let id = registry.uploads.add(name.clone(), receiving)?;
    Ok((StatusCode::ACCEPTED, progress(&name, &id, 0)).into_response())
}

/// `/v2/<name>/blobs/uploads/<id>`: goes on with an upload, ends it, tells about it.
pub(super) async fn go_on(
    registry: &Registry,
    name: RepositoryName,
    id: &str,
    request: &Parts,
    body: Body,
) -> Result<Response, ServerError> {
    let allowed = [Method::GET, Method::HEAD, Method::PATCH, Method::PUT, Method::DELETE];
    if !allowed.contains(&request.method) {
        return Err(ServerError::MethodNotAllowed { allowed: "GET, HEAD, PATCH, PUT, DELETE" });
    }
    let mut held = registry.uploads.hold(&name, id).await?;
    match request.method {
        Method::PATCH => {
            check_place(&request.headers, held.receiving()?.size_bytes(), &name, id)?;
            held = take_in(registry, held, body).await?;
            Ok((StatusCode::ACCEPTED, progress(&name, id, held.receiving()?.size_bytes())).into_response())
        }
        Method::PUT => {
            let digest = Parameters::of(request)?.digest()?.ok_or(ServerError::DigestMissing)?;
            check_place(&request.headers, held.receiving()?.size_bytes(), &name, id)?;
            let receiving = take_in(registry, held, body).await?.take()?;
            registry.uploads.remove(id);
            Ok(created(&name, &receiving.finish(digest).await?))
        }
        Method::DELETE => {
            drop(held.take()?);
            registry.uploads.remove(id);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => {
            let size_bytes = held.receiving()?.size_bytes();
            Ok((StatusCode::NO_CONTENT, progress(&name, id, size_bytes)).into_response())
        }
    }
}

/// Appends a body. In a task of its own, so that a request that is dropped cannot leave half a write behind: the body
/// ends with an error then, between two writes.
async fn take_in(registry: &Registry, mut held: Held, body: Body) -> Result<Held, ServerError> {
    let keeps_cut_uploads = registry.store.storage().keeps_cut_uploads();
    let task = tokio::spawn(async move {
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let is_spoilt = chunk.is_ok() || !keeps_cut_uploads;
            let taken = match chunk {
                Ok(chunk) => held.receiving()?.append(chunk).await,
                Err(cut) => Err(ServerError::BodyCut(cut)),
            };
            if let Err(error) = taken {
                if is_spoilt {
                    drop(held.take());
                }
                return Err(error);
            }
        }
        Ok(held)
    });
    task.await.map_err(std::io::Error::other)?
}

/// Refuses a chunk that says it belongs elsewhere. One that says nothing belongs at the end.
fn check_place(
    headers: &HeaderMap,
    expected: u64,
    name: &RepositoryName,
    id: &str,
) -> Result<(), ServerError> {
    let Some(range) = range::of_chunk(headers)? else { return Ok(()) };
    if range.start != expected {
        return Err(ServerError::UploadOutOfOrder { expected, location: location(name, id) });
    }
    let length: Option<u64> =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match length {
        Some(length) if range.end - range.start != length => Err(ServerError::SizeInvalid),
        _ => Ok(()),
    }
}

fn location(name: &RepositoryName, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

fn progress(name: &RepositoryName, id: &str, size_bytes: u64) -> [(HeaderName, String); 3] {
    [
        (header::LOCATION, location(name, id)),
        (header::RANGE, range::received(size_bytes)),
        (UPLOAD_UUID, id.to_owned()),
    ]
}

fn created(name: &RepositoryName, digest: &Digest) -> Response {
    let headers =
        [(header::LOCATION, format!("/v2/{name}/blobs/{digest}")), (CONTENT_DIGEST, digest.to_string())];
    (StatusCode::CREATED, headers).into_response()
}
