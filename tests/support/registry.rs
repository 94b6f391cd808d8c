//! The embedded registry on a runtime of its own, with a fault script around it and a count of what was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
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
    /// The body comes 16 KiB at a time, with a pause after each.
    Trickle(Duration),
    /// All of it is sent, whatever range was asked for.
    IgnoreRange,
    /// It is to be had under the same path at this `http://host:port`.
    Elsewhere(String),
    /// The connection breaks after so many bytes of the request's body, and nothing is answered.
    CutRequest(usize),
    /// This status, and the request, which is read to its end, is not looked at.
    Refuse(u16, String),
    /// The connection breaks before the answer.
    NoAnswer,
    /// After so many bytes nothing of the request's body is taken any more.
    StallRequest(usize),
    /// What stands behind the path is not read.
    WithoutQuery,
    /// This status, unless the request has this header with this value.
    Unless(&'static str, &'static str, u16),
}

/// Tokens that have to be shown.
struct Tokens {
    /// Each is good for so many requests.
    uses: usize,
    /// What is said of how long it is.
    lifetime_seconds: u64,
    given: usize,
    left: usize,
    refused: usize,
}

impl Tokens {
    /// The answer to a request for a token, or to one that shows no good one.
    fn answer(&mut self, request: &Request) -> Option<Response> {
        let json = |text: String| ([(header::CONTENT_TYPE, "application/json")], text);
        if request.uri().path() == "/token" {
            self.given += 1;
            self.left = self.uses;
            let (number, seconds) = (self.given, self.lifetime_seconds);
            let token = format!(r#"{{"token":"token-{number}","expires_in":{seconds}}}"#);
            return Some(json(token).into_response());
        }
        let expected = format!("Bearer token-{}", self.given);
        if self.left > 0 && request.headers().get("authorization").is_some_and(|given| *given == *expected) {
            self.left -= 1;
            return None;
        }
        self.refused += 1;
        let challenge = [(header::WWW_AUTHENTICATE, r#"Bearer realm="/token",service="test""#)];
        let denied = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        Some((StatusCode::UNAUTHORIZED, challenge, json(denied.to_owned())).into_response())
    }
}

struct Scripted {
    request: String,
    fault: Fault,
    times: usize,
}

#[derive(Default)]
struct Script {
    /// A fault for each request whose `METHOD path?query` contains the text.
    faults: Vec<Scripted>,
    requests: Vec<(String, HeaderMap)>,
    /// What went out for each request.
    sent: Vec<(String, Arc<AtomicU64>)>,
    tokens: Option<Tokens>,
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

    pub(crate) fn port(&self) -> String {
        self.server.address().port().to_string()
    }

    /// Gives tokens from now on, each good for so many requests, and serves nobody without. They are said to live so
    /// long.
    pub(crate) fn want_tokens(&self, uses: usize, lifetime_seconds: u64) {
        let tokens = Tokens { uses, lifetime_seconds, given: 0, left: 0, refused: 0 };
        self.script.lock().unwrap().tokens = Some(tokens);
    }

    /// How many tokens were given, and how many requests refused for lack of a good one.
    pub(crate) fn tokens(&self) -> (usize, usize) {
        self.script.lock().unwrap().tokens.as_ref().map_or((0, 0), |tokens| (tokens.given, tokens.refused))
    }

    /// Lets each request whose `METHOD path?query` contains `request` go wrong.
    pub(crate) fn fault(&self, request: &str, fault: Fault) {
        self.fault_times(usize::MAX, request, fault);
    }

    /// The same for the first so many of them; faults that were told before go first.
    pub(crate) fn fault_times(&self, times: usize, request: &str, fault: Fault) {
        let request = request.to_owned();
        self.script.lock().unwrap().faults.push(Scripted { request, fault, times });
    }

    /// How many bytes of bodies went out so far for requests whose `METHOD path` contains the text.
    pub(crate) fn sent_bytes(&self, request: &str) -> u64 {
        let script = self.script.lock().unwrap();
        script
            .sent
            .iter()
            .filter(|(line, _)| line.contains(request))
            .map(|(_, bytes)| bytes.load(Relaxed))
            .sum()
    }

    /// The headers of each request so far whose `METHOD path` contains the text.
    pub(crate) fn headers(&self, request: &str) -> Vec<HeaderMap> {
        let script = self.script.lock().unwrap();
        script
            .requests
            .iter()
            .filter(|(line, _)| line.contains(request))
            .map(|(_, headers)| headers.clone())
            .collect()
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
    let (fault, sent) = {
        let mut script = script.lock().unwrap();
        script.requests.push((line.clone(), request.headers().clone()));
        if let Some(answer) = script.tokens.as_mut().and_then(|tokens| tokens.answer(&request)) {
            return answer;
        }
        let sent = Arc::<AtomicU64>::default();
        script.sent.push((line.clone(), sent.clone()));
        let full = request.uri().query().map_or(line.clone(), |query| format!("{line}?{query}"));
        let scripted = script.faults.iter_mut().find(|one| one.times > 0 && full.contains(&one.request));
        let fault = scripted.map(|one| {
            one.times -= usize::from(one.times < usize::MAX);
            one.fault.clone()
        });
        (fault, sent)
    };
    let mut request = request;
    let fault = match fault {
        Some(Fault::IgnoreRange) => {
            request.headers_mut().remove(header::RANGE);
            None
        }
        Some(Fault::Elsewhere(host)) => {
            let location = format!("{host}{}", request.uri().path());
            Some(Fault::Answer(307, vec![("location", location)], String::new()))
        }
        Some(Fault::WithoutQuery) => {
            *request.uri_mut() = request.uri().path().parse().unwrap();
            None
        }
        Some(Fault::Refuse(status, body)) => {
            let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
            return (StatusCode::from_u16(status).unwrap(), body).into_response();
        }
        Some(Fault::CutRequest(bytes)) => {
            request = with_body_of(request, bytes, true);
            Some(Fault::NoAnswer)
        }
        Some(Fault::StallRequest(bytes)) => {
            request = with_body_of(request, bytes, false);
            None
        }
        Some(Fault::Unless(name, value, status)) => {
            let is_there = request.headers().get(name).is_some_and(|given| given == value);
            (!is_there).then(|| Fault::Answer(status, vec![], String::new()))
        }
        fault => fault,
    };
    let response = next.run(request).await;
    let response = match fault {
        Some(fault) => gone_wrong(response, fault).await,
        None => response,
    };
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    let counted = body.into_data_stream().inspect_ok(move |chunk| {
        sent.fetch_add(chunk.len() as u64, Relaxed);
    });
    Response::from_parts(parts, Body::from_stream(counted))
}

/// The request with the first `bytes` of its body, then an error, or nothing for ever.
fn with_body_of(request: Request, bytes: usize, ends: bool) -> Request {
    let (parts, body) = request.into_parts();
    let begin = (body.into_data_stream(), bytes);
    let chunks = futures::stream::unfold(begin, move |(mut body, left)| async move {
        if left == 0 && !ends {
            std::future::pending::<()>().await; // and the rest is not read
        }
        if left == 0 {
            return Some((Err(std::io::Error::other("cut")), (body, 0)));
        }
        let mut chunk = body.next().await?.ok()?;
        chunk.truncate(left);
        let left = left - chunk.len();
        Some((Ok(chunk), (body, left)))
    });
    Request::from_parts(parts, Body::from_stream(chunks))
}

async fn gone_wrong(response: Response, fault: Fault) -> Response {
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
                // hyper flushes what came before while it waits.
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            beginning(response, bytes, broken).await
        }
        Fault::NoAnswer => {
            let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
            Response::from_parts(response.into_parts().0, Body::from_stream(broken))
        }
        Fault::Stall(bytes) => pause(response, bytes, Duration::from_hours(1)).await,
        Fault::Pause(bytes, duration) => pause(response, bytes, duration).await,
        Fault::Trickle(pause) => {
            let (mut parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            let chunks = futures::stream::unfold(body, move |mut rest| async move {
                let chunk = rest.split_to(rest.len().min(16 << 10));
                tokio::time::sleep(pause).await;
                (!chunk.is_empty()).then_some((Ok::<_, std::io::Error>(chunk), rest))
            });
            Response::from_parts(parts, Body::from_stream(chunks))
        }
        // Of the request.
        Fault::IgnoreRange
        | Fault::Elsewhere(_)
        | Fault::CutRequest(_)
        | Fault::StallRequest(_)
        | Fault::WithoutQuery
        | Fault::Refuse(..)
        | Fault::Unless(..) => response,
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
