//! The embedded registry on a runtime of its own, with a fault script around it and a count of what was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use sealift::image::{Digest, MediaType};
use sealift::registry::server::{Server, Store, router};

/// What goes wrong with an answer.
#[derive(Clone)]
pub(crate) enum Fault {
    /// This status, with these headers and this body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// One more or another header.
    Header(&'static str, String),
    /// The byte in the middle of the body is another one.
    Flip,
    /// The body ends after so many bytes, as if that were all.
    Short(usize),
    /// The body goes on: with so many more bytes.
    Long(usize),
    /// The connection breaks after so many bytes of the body.
    Cut(usize),
    /// The body stops after so many bytes, and the connection stays.
    Stall(usize),
    /// The body pauses after so many bytes.
    Pause(usize, Duration),
}

#[derive(Default)]
struct Script {
    /// A fault for each request whose `METHOD path` contains the text.
    faults: Vec<(String, Fault)>,
    requests: Vec<(String, HeaderMap)>,
}

pub(crate) struct TestRegistry {
    pub(crate) store: Store,
    script: Arc<Mutex<Script>>,
    server: Server,
    runtime: tokio::runtime::Runtime,
}

impl TestRegistry {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = Store::memory();
        let script = Arc::<Mutex<Script>>::default();
        let faulty = router(store.clone()).layer(from_fn_with_state(script.clone(), misbehave));
        let server =
            runtime.block_on(Server::start(faulty, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).unwrap();
        Self { store, script, server, runtime }
    }

    /// `host:port`
    pub(crate) fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Lets each request whose `METHOD path` contains `request` go wrong.
    pub(crate) fn fault(&self, request: &str, fault: Fault) {
        self.script.lock().unwrap().faults.push((request.to_owned(), fault));
    }

    pub(crate) fn heal(&self) {
        self.script.lock().unwrap().faults.clear();
    }

    /// `METHOD path` of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.script.lock().unwrap().requests.iter().map(|(request, _)| request.clone()).collect()
    }

    pub(crate) fn blob(&self, bytes: impl Into<Bytes>) -> Digest {
        self.runtime.block_on(self.store.put_blob(bytes)).unwrap()
    }

    pub(crate) fn manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &MediaType,
        json: impl Into<Bytes>,
    ) -> Digest {
        self.runtime
            .block_on(self.store.put_manifest(repository, reference, media_type.clone(), json))
            .unwrap()
    }
}

impl TestRegistry {
    /// A manifest as it is stored.
    pub(crate) fn manifest_bytes(&self, repository: &str, reference: &str) -> Bytes {
        let (repository, reference) = (repository.parse().unwrap(), reference.parse().unwrap());
        self.runtime.block_on(self.store.storage().manifest(&repository, &reference)).unwrap().unwrap().bytes
    }
}

async fn misbehave(State(script): State<Arc<Mutex<Script>>>, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let fault = {
        let mut script = script.lock().unwrap();
        script.requests.push((line.clone(), request.headers().clone()));
        script.faults.iter().find(|(text, _)| line.contains(text)).map(|(_, fault)| fault.clone())
    };
    let Some(fault) = fault else { return next.run(request).await };
    let response = next.run(request).await;
    match fault {
        Fault::Answer(status, headers, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Fault::Header(name, value) => {
            let mut response = response;
            response.headers_mut().insert(name, value.parse().unwrap());
            response
        }
        Fault::Flip => {
            alter(response, |mut body| {
                let middle = body.len() / 2;
                body[middle] ^= 1;
                body
            })
            .await
        }
        Fault::Short(bytes) => {
            alter(response, |mut body| {
                body.truncate(bytes);
                body
            })
            .await
        }
        Fault::Long(bytes) => {
            alter(response, |mut body| {
                body.resize(body.len() + bytes, b'x');
                body
            })
            .await
        }
        Fault::Cut(bytes) => {
            let broken = futures::stream::once(async {
                // So that what came before is on the wire.
                tokio::time::sleep(Duration::from_millis(200)).await;
                Err(std::io::Error::other("cut"))
            });
            beginning(response, bytes, broken).await
        }
        Fault::Stall(bytes) => pause(response, bytes, Duration::from_hours(1)).await,
        Fault::Pause(bytes, duration) => pause(response, bytes, duration).await,
    }
}

/// The response with another body, sent in chunks, so that no length gives it away.
async fn alter(response: Response, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    parts.headers.remove(header::CONTENT_LENGTH);
    let chunks: Vec<_> =
        change(body.to_vec()).chunks(64 << 10).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    Response::from_parts(parts, Body::from_stream(futures::stream::iter(chunks)))
}

/// The response with a pause after `bytes`.
async fn pause(response: Response, bytes: usize, duration: Duration) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let first = futures::stream::iter([Ok::<_, std::io::Error>(body.slice(..bytes.min(body.len())))]);
    let rest = futures::stream::once(async move {
        tokio::time::sleep(duration).await;
        Ok(body.slice(bytes.min(body.len())..))
    });
    Response::from_parts(parts, Body::from_stream(first.chain(rest)))
}

/// The response's first `bytes`, then `rest`; the promised length stays.
async fn beginning(
    response: Response,
    bytes: usize,
    rest: impl futures::Stream<Item = std::io::Result<Bytes>> + Send + 'static,
) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let first = futures::stream::iter([Ok(body.slice(..bytes.min(body.len())))]);
    Response::from_parts(parts, Body::from_stream(first.chain(rest)))
}
