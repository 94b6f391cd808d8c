//! A small registry: the OCI distribution-spec's `/v2/` API over a [`Store`], on loopback.
//!
//! ```text
//! request ──name──▶ endpoint ──▶ blobs, push, manifests, listing ──▶ Store
//!                                  └─uploads─▶ receive (hashes) ─────▶ ┘
//! ```
//!
//! It serves the demo and the tests, and verbs that let Docker push to them. It knows no users, no TLS and no referrers
//! (clients fall back to tags), deletes no blobs, and does not garbage-collect. Middleware around [`router`] may add
//! what is missing, such as authentication or, in tests, faults. Nothing here speaks to other registries: that is the
//! client's part.
//!
//! Threats: any program of this machine can connect, so every part of a request is foreign. `name` parses what
//! becomes a file name, `receive` believes no digest, manifests have a size limit, blobs pass through in pieces,
//! uploads left open are limited and expire. A page in a browser can reach loopback as well: browsers send `Origin`
//! with every write of a page, registry clients never do, and such requests are refused.

mod blobs;
mod error;
mod listener;
mod listing;
mod manifests;
mod name;
mod push;
mod range;
mod receive;
mod store;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::any;

pub use error::ServerError;
pub use listener::{Server, StartError};
pub use name::{ManifestReference, RepositoryName, Tag};
pub(crate) use range::requested as requested_range;
pub use store::{Answer, BlobBytes, Storage, Store, StoredManifest, Upload};

use name::Endpoint;
use uploads::Uploads;

/// The digest of what a response carries or created.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// By its presence old clients know a registry of the second version.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// What all requests share.
struct Registry {
    store: Store,
    uploads: Uploads,
}

/// The `/v2/` API over `store`. Uploads under way belong to the router, and go with its last clone.
pub fn router(store: Store) -> Router {
    let registry = Arc::new(Registry { store, uploads: Uploads::default() });
    Router::new()
        .route("/v2", any(version))
        .route("/v2/", any(version))
        .route("/v2/{*path}", any(dispatch))
        .with_state(registry)
        .layer(map_response(|mut response: Response| async {
            response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
            response
        }))
}

/// `/v2/`: tells clients that they are right here.
async fn version(method: Method) -> Result<Response, ServerError> {
    match method {
        Method::GET | Method::HEAD => {
            Ok(([(header::CONTENT_TYPE, "application/json")], "{}").into_response())
        }
        _ => Err(ServerError::MethodNotAllowed { allowed: "GET, HEAD" }),
    }
}

async fn dispatch(
    State(registry): State<Arc<Registry>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ServerError> {
    if request.headers().contains_key(header::ORIGIN) {
        return Err(ServerError::WebPage);
    }
    let Path(path) = path.map_err(|_| ServerError::EndpointUnknown)?;
    let (request, body) = request.into_parts();
    match path.parse()? {
        Endpoint::Catalog => listing::repositories(&registry, &request).await,
        Endpoint::Tags(name) => listing::tags(&registry, name, &request).await,
        Endpoint::Manifest(name, reference) => {
            manifests::serve(&registry, name, reference, &request, body).await
        }
        Endpoint::Blob(_, digest) => blobs::serve(&registry, &digest, &request).await,
        Endpoint::Uploads(name) => push::begin(&registry, name, &request, body).await,
        Endpoint::Upload(name, id) => push::go_on(&registry, name, &id, &request, body).await,
    }
}
