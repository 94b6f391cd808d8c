//! Manifests and indexes (distribution-spec "Pulling manifests", "Pushing Manifests", "Deleting Manifests").
//!
//! Threats: bodies are foreign. They are read up to a limit, parsed strictly, and kept byte for byte. A manifest needs
//! its config and layers here first; foreign layers are had elsewhere. An index may name manifests that are not here
//! (a sparse index): a client may want one platform of it, and `skopeo copy --multi-arch index-only` pushes such.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::name::{ManifestReference, RepositoryName};
use super::store::StoredManifest;
use super::{CONTENT_DIGEST, Registry, ServerError};
use crate::image::manifest::{MAX_MANIFEST_BYTES, Parsed};
use crate::image::{Document, MediaType};

/// `/v2/<name>/manifests/<reference>`
pub(super) async fn serve(
    registry: &Registry,
    name: RepositoryName,
    reference: ManifestReference,
    request: &Parts,
    body: Body,
) -> Result<Response, ServerError> {
    let unknown = || ServerError::ManifestUnknown { repository: name.clone(), reference: reference.clone() };
    match request.method {
        Method::GET => {
            let found = registry.store.storage().manifest(&name, &reference).await?.ok_or_else(unknown)?;
            Ok((headers(&found), found.bytes).into_response())
        }
        Method::HEAD => {
            let found = registry.store.storage().manifest(&name, &reference).await?.ok_or_else(unknown)?;
            Ok(headers(&found).into_response())
        }
        Method::PUT => push(registry, &name, &reference, request, body).await,
        Method::DELETE => {
            let removed = registry.store.storage().remove_manifest(&name, &reference).await?;
            if removed { Ok(StatusCode::ACCEPTED.into_response()) } else { Err(unknown()) }
        }
        _ => Err(ServerError::MethodNotAllowed { allowed: "GET, HEAD, PUT, DELETE" }),
    }
}

fn headers(manifest: &StoredManifest) -> [(HeaderName, HeaderValue); 3] {
    let value =
        |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("application/json"));
    [
        (header::CONTENT_TYPE, value(manifest.media_type.as_str())),
        (header::CONTENT_LENGTH, manifest.bytes.len().into()),
        (CONTENT_DIGEST, value(&manifest.digest.to_string())),
    ]
}

async fn push(
    registry: &Registry,
    name: &RepositoryName,
    reference: &ManifestReference,
    request: &Parts,
    body: Body,
) -> Result<Response, ServerError> {
    let content_type = content_type(&request.headers);
    let bytes = read(body).await?;
    let document = Document::of(bytes.clone(), content_type.clone().unwrap_or_else(|| MediaType::of("")));
    let parsed = document.parse()?;
    let media_type = match &parsed {
        Parsed::Index(index) => index.media_type.clone(),
        Parsed::Manifest(manifest) => manifest.media_type.clone(),
    };
    if let Some(content_type) = content_type.filter(|content_type| *content_type != media_type) {
        return Err(ServerError::ManifestMislabelled { stated: media_type, content_type });
    }
    if let Parsed::Manifest(manifest) = parsed {
        let layers = manifest.layers.into_iter();
        let kept = layers.filter(|layer| !matches!(layer.media_type, MediaType::Layer(kind) if kind.foreign));
        for blob in kept.chain([manifest.config]) {
            if registry.store.storage().blob_size_bytes(&blob.digest).await?.is_none() {
                return Err(ServerError::ManifestBlobUnknown(blob.digest));
            }
        }
    }
    let digest = registry.store.keep_manifest(name, reference, media_type, bytes).await?;
    let headers =
        [(header::LOCATION, format!("/v2/{name}/manifests/{digest}")), (CONTENT_DIGEST, digest.to_string())];
    Ok((StatusCode::CREATED, headers).into_response())
}

fn content_type(headers: &HeaderMap) -> Option<MediaType> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok().map(MediaType::of)
}

async fn read(body: Body) -> Result<Bytes, ServerError> {
    let mut bytes = BytesMut::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(ServerError::BodyCut)?;
        if (bytes.len() + chunk.len()) as u64 > MAX_MANIFEST_BYTES {
            return Err(ServerError::ManifestTooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}
