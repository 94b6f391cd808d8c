//! The client: manifests and blobs of any registry, as a [`Source`].
//!
//! One request is: the registry's scheme (decided once), what it is asked with ([`super::auth`]), the wire
//! ([`super::transport`]), one replay with what the registry's challenge asks for, and a status that is an answer or an error. Other
//! places are [`super::mirrors`]' business, tries again are the caller's; nothing here loops over failures.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use reqwest::{Body, Method, StatusCode};
use url::Url;

use crate::event::SharedReporter;
use crate::image::{Descriptor, Digest, Document, Registry, Repository};
use crate::source::{BlobStream, Selector, Source, SourceError};

use super::auth::{Access, Permit};
use super::challenge::{self, Challenge, Unanswerable};
use super::credentials::Credentials;
use super::error::RegistryError;
use super::failure::{Cause, Failure};
use super::lacking::Lacking;
use super::layer_url::UrlProblem;
use super::object::Object;
use super::options::ClientOptions;
use super::rate_limit::RateLimit;
use super::reach::Reach;
use super::redirect::same_origin;
use super::refusal::{self, Asked};
use super::transport::{Answer, Transport, finish};
use super::{blob, manifest};

/// How long a host that may be plain has to answer over HTTPS before it is asked in plain HTTP as well.
const PROBE_TIME: Duration = Duration::from_secs(3);

/// A client of registries. Cheap to clone; clones share connections and tokens.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

/// A request, but for where it goes.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) reach: Reach<'a>,
    pub(super) object: &'a Object,
    pub(super) headers: &'a HeaderMap,
    /// Of methods that write.
    pub(super) body: Bytes,
}

struct Shared {
    transport: Arc<Transport>,
    credentials: Credentials,
    registries: Mutex<HashMap<Registry, Arc<Access>>>,
    /// Where the API is, whatever a registry's name says.
    base: Option<Url>,
    reporter: SharedReporter,
    /// Registries whose limits were told.
    limits_told: Mutex<HashSet<Registry>>,
    lacking: Lacking,
}

impl Client {
    /// Makes a client: reads the CA roots, opens no connection and looks up no credentials.
    pub fn new(options: ClientOptions) -> Result<Self, RegistryError> {
        Ok(Self(Arc::new(Shared {
            transport: Arc::new(Transport::new(&options)?),
            credentials: options.credentials,
            registries: Mutex::default(),
            base: None,
            reporter: options.reporter,
            limits_told: Mutex::default(),
            lacking: Lacking::default(),
        })))
    }

    /// Another client over the same connections, for one registry whose API is at `base`, or else where its name says.
    /// Plain HTTP has to be allowed for that host: none otherwise.
    pub(super) fn at(&self, base: Option<Url>) -> Option<Self> {
        let Shared { transport, credentials, reporter, .. } = &*self.0;
        if base.as_ref().is_some_and(|base| base.scheme() == "http" && !transport.may_be_plain(base)) {
            return None;
        }
        Some(Self(Arc::new(Shared {
            transport: Arc::clone(transport),
            credentials: credentials.clone(),
            registries: Mutex::default(),
            base,
            reporter: reporter.clone(),
            limits_told: Mutex::default(),
            lacking: Lacking::default(),
        })))
    }

    /// What a tag names, as the registry states it, without counting as a pull; none if it doesn't state it.
    pub(super) async fn tag_digest(
        &self,
        repository: &Repository,
        tag: &str,
    ) -> Result<Option<Digest>, RegistryError> {
        manifest::tag_digest(self, repository, tag).await
    }

    /// How long the registry takes to answer at all.
    pub(super) async fn ping(&self, registry: &Registry) -> Result<Duration, RegistryError> {
        let access = self.access(registry);
        let base = access.base(|| self.find_base(registry)).await?;
        let started = Instant::now();
        let answer = self.0.transport.get(base, &HeaderMap::new(), None).await?;
        finish(answer.response).await;
        Ok(started.elapsed())
    }

    /// Tells, once for each registry, what the answer to a request for a manifest says of a limit that is near.
    pub(super) fn tell_limits(&self, registry: &Registry, headers: &HeaderMap) {
        let Some(limit) = RateLimit::of(headers).filter(RateLimit::is_near) else { return };
        let mut told = self.0.limits_told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(registry.clone()) {
            self.0.reporter.warn(&limit.warning(registry));
        }
    }

    /// Where the API is, if that was said.
    pub(super) fn given_base(&self) -> Option<&Url> {
        self.0.base.as_ref()
    }

    pub(super) async fn find_base(&self, registry: &Registry) -> Result<Url, RegistryError> {
        match &self.0.base {
            Some(base) => Ok(base.clone()),
            None => find_base(&self.0.transport, registry).await,
        }
    }

    /// Gets `path` (below `/v2/`) for `object`; an answer has a 2xx status.
    pub(super) async fn fetch(
        &self,
        object: &Object,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Answer, RegistryError> {
        self.ask(Method::GET, object, path, headers).await
    }

    /// Asks for `path` as [`fetch`](Self::fetch) does, by another method that reads.
    pub(super) async fn ask(
        &self,
        method: Method,
        object: &Object,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Answer, RegistryError> {
        let reach = Reach::Pull(object.repository());
        self.call(&Call { method, reach, object, headers, body: Bytes::new() }, path).await
    }

    /// Asks for `to`: a path below `/v2/`, or a URL that the registry may lead to. An answer has a 2xx status.
    pub(super) async fn call(&self, call: &Call<'_>, to: &str) -> Result<Answer, RegistryError> {
        let Shared { transport, credentials, .. } = &*self.0;
        let Call { method, reach, object, headers, body } = call;
        let access = self.access(reach.repository().registry());
        let base = access.base(|| self.find_base(access.registry())).await?;
        let url = base.join(to).map_err(|_| invalid(base))?;
        if !same_origin(base, &url) {
            let answer = transport.ask(method, &url, headers, body, None).await?;
            return succeeded_elsewhere(answer, object).await;
        }
        let mut permit = access.permit(transport, credentials, *reach).await?;
        let mut answer = transport.ask(method, &url, headers, body, permit.header.as_ref()).await?;
        if let Some(challenge) = self.challenge(&access, *reach, base, &permit, &answer).await?
            && let Some(renewed) = access.renew(transport, credentials, *reach, challenge, &permit).await?
        {
            finish(answer.response).await;
            permit = renewed;
            answer = transport.ask(method, &url, headers, body, permit.header.as_ref()).await?;
        }
        if answer.response.status().is_success() {
            return Ok(answer);
        }
        let asked = Asked { stranger: access.stranger(*reach).await, permit };
        Err(refusal::of(answer, object, asked).await)
    }

    /// Sends a body to a URL that the registry may lead to, as [`call`](Self::call) does, but once: whoever is told to ask
    /// again makes another body.
    pub(super) async fn send(&self, call: &Call<'_>, url: &Url, body: Body) -> Result<Answer, RegistryError> {
        let Shared { transport, credentials, .. } = &*self.0;
        let Call { method, reach, object, headers, .. } = call;
        let access = self.access(reach.repository().registry());
        let base = access.base(|| self.find_base(access.registry())).await?;
        if !same_origin(base, url) {
            let answer = transport.send_body(method, url, headers, body, None).await?;
            return succeeded_elsewhere(answer, object).await;
        }
        let permit = access.permit(transport, credentials, *reach).await?;
        let answer = transport.send_body(method, url, headers, body, permit.header.as_ref()).await?;
        if let Some(challenge) = self.challenge(&access, *reach, base, &permit, &answer).await?
            && access.renew(transport, credentials, *reach, challenge, &permit).await?.is_some()
        {
            finish(answer.response).await;
            return Err(RegistryError::NewToken { object: Box::new((*object).clone()) });
        }
        if answer.response.status().is_success() {
            return Ok(answer);
        }
        let asked = Asked { stranger: access.stranger(*reach).await, permit };
        Err(refusal::of(answer, object, asked).await)
    }

    /// Gets a URL that a manifest in `registry` names, as a stranger: with no credentials. Any status is an answer.
    pub(super) async fn fetch_named(
        &self,
        registry: &Registry,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Answer, UrlProblem> {
        let transport = &self.0.transport;
        let access = self.access(registry);
        let base = access.base(|| self.find_base(registry)).await?;
        transport.check_hop(base, url).map_err(UrlProblem::NotAsked)?;
        Ok(transport.get(url, headers, None).await?)
    }

    /// The challenge that could turn the answer for the better: its own, or that of `/v2/` where the registry may only
    /// hide from strangers what it has.
    async fn challenge(
        &self,
        access: &Access,
        reach: Reach<'_>,
        base: &Url,
        permit: &Permit,
        answer: &Answer,
    ) -> Result<Option<Challenge>, RegistryError> {
        let Shared { transport, credentials, .. } = &*self.0;
        match answer.response.status() {
            _ if answer.from_elsewhere => Ok(None),
            StatusCode::UNAUTHORIZED => read_challenge(access.registry(), answer),
            status @ (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
                // Who writes looks for what is not there, and is asked for credentials when it writes.
                if permit.header.is_none()
                    && (reach.is_pull() || status == StatusCode::FORBIDDEN)
                    && access.can_find_credential(credentials, reach).await =>
            {
                let Ok(ping) = transport.get(base, &HeaderMap::new(), None).await else { return Ok(None) };
                let asks = ping.response.status() == StatusCode::UNAUTHORIZED && !ping.from_elsewhere;
                let challenge = asks.then(|| read_challenge(access.registry(), &ping).ok().flatten());
                finish(ping.response).await;
                Ok(challenge.flatten().map(Challenge::without_scope))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// Which layers the registry has not.
    pub(super) fn lacking(&self) -> &Lacking {
        &self.0.lacking
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    fn access(&self, registry: &Registry) -> Arc<Access> {
        let mut registries = self.0.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(access) = registries.get(registry) {
            return Arc::clone(access);
        }
        let access = Arc::new(Access::new(registry.clone()));
        registries.insert(registry.clone(), Arc::clone(&access));
        access
    }
}

/// The answer of a host that the registry led to, and that got no credentials, if its status is a 2xx.
async fn succeeded_elsewhere(mut answer: Answer, object: &Object) -> Result<Answer, RegistryError> {
    answer.from_elsewhere = true;
    if answer.response.status().is_success() {
        return Ok(answer);
    }
    Err(refusal::of(answer, object, Asked::as_nobody()).await)
}

impl Source for Client {
    fn fetch_manifest<'a>(
        &'a self,
        repository: &'a Repository,
        selector: &'a Selector,
    ) -> BoxFuture<'a, Result<Document, SourceError>> {
        async move { Ok(manifest::fetch(self, repository, selector).await?) }.boxed()
    }

    fn open_blob<'a>(
        &'a self,
        repository: &'a Repository,
        blob: &'a Descriptor,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<BlobStream, SourceError>> {
        async move { Ok(blob::open(self, repository, blob, range).await?) }.boxed()
    }
}

/// The challenge of an answer with status 401.
pub(super) fn read_challenge(
    registry: &Registry,
    answer: &Answer,
) -> Result<Option<Challenge>, RegistryError> {
    let registry = || registry.clone();
    challenge::of(answer.response.headers(), answer.url.reveal()).map_err(|unanswerable| match unanswerable {
        Unanswerable::Offered(offered) => RegistryError::UnknownChallenge { registry: registry(), offered },
        Unanswerable::Unreadable(header) => RegistryError::BadChallenge { registry: registry(), header },
    })
}

/// Where the registry's API is: HTTPS, but for loopback and insecure hosts that turn out to speak plain HTTP.
async fn find_base(transport: &Transport, registry: &Registry) -> Result<Url, RegistryError> {
    let base = |scheme: &str| Url::parse(&format!("{scheme}://{}/v2/", registry.api_authority()));
    let https = base("https").map_err(|_| unreadable(registry))?;
    let http = base("http").map_err(|_| unreadable(registry))?;
    if !transport.may_be_plain(&https) && !transport.may_be_plain(&http) {
        return Ok(https);
    }
    let headers = HeaderMap::new();
    match tokio::time::timeout(PROBE_TIME, transport.get(&https, &headers, None)).await {
        Err(_) | Ok(Err(RegistryError::Unreachable { failure: Failure::TimedOut, .. })) => {
            Ok(if answers_plain(transport, &http).await { http } else { https })
        }
        Ok(Err(RegistryError::Unreachable { failure, .. }))
            if might_be_plain(transport, failure, &https, &http) =>
        {
            Ok(http)
        }
        // It took the TLS handshake, or even answered, if badly: that is for the real request to say.
        Ok(Ok(_) | Err(RegistryError::Unreachable { failure: Failure::ClosedEarly, .. })) => Ok(https),
        Ok(Err(error @ RegistryError::Unreachable { .. })) => Err(error),
        Ok(Err(_)) => Ok(https),
    }
}

/// True if a server that was silent towards HTTPS speaks plain HTTP: it may also be slow. Servers of HTTPS hang up on
/// plain requests, or answer 400 (Go, nginx, Apache).
async fn answers_plain(transport: &Transport, http: &Url) -> bool {
    let answer = transport.get(http, &HeaderMap::new(), None).await;
    answer.is_ok_and(|answer| answer.response.status() != StatusCode::BAD_REQUEST)
}

/// True for failures that a server of plain HTTP causes, or that say nothing about it. Without a port, HTTP has another
/// one to refuse a connection; a proxy for HTTP alone (`http_proxy`) is another way there, and looks names up itself;
/// proxies, too, often allow CONNECT to port 443 only.
fn might_be_plain(transport: &Transport, failure: Failure, https: &Url, http: &Url) -> bool {
    let other_port = https.port_or_known_default() != http.port_or_known_default();
    let other_way = transport.proxy_for(https) != transport.proxy_for(http);
    match failure {
        Failure::PlainHttp | Failure::HungUp | Failure::Proxy => true,
        Failure::Connect => other_port || other_way,
        Failure::Dns => other_way,
        Failure::TimedOut
        | Failure::TooSlow
        | Failure::ClosedEarly
        | Failure::Certificate
        | Failure::CertificateName
        | Failure::CertificateTime
        | Failure::ClientCertificate
        | Failure::Tls
        | Failure::NotHttp => false,
    }
}

fn unreadable(registry: &Registry) -> RegistryError {
    RegistryError::ClientSetup(Cause::new(format!("`{registry}` makes no URL")))
}

fn invalid(base: &Url) -> RegistryError {
    RegistryError::ClientSetup(Cause::new(format!("{base} makes no URL")))
}
