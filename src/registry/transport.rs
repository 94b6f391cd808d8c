//! HTTP: one request and its redirects, over the right TLS setup and proxy.
//!
//! Threats: every answer is foreign. Redirects are followed here, not by reqwest: at most [`MAX_REDIRECTS`], each by
//! the rule of [`super::hop`], and `Authorization` goes to the origin it was made for and nowhere else, not even back
//! there after a detour (S3 and Azure refuse it, and it would be a leak). Nothing is decompressed: blobs arrive as
//! they are. Statuses are the caller's business.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use url::Url;

use crate::secret::SafeUrl;

use super::clients::{Clients, TlsSetup};
use super::error::RegistryError;
use super::failure::{Cause, Failure, classify};
use super::hop::{self, is_loopback};
use super::options::{ClientOptions, Timeouts};
use super::patience::{Broken, Patience, timed_out};
use super::proxy::ProxyRules;
use super::redirect::{self, RedirectProblem};
use super::said::read_soon;

const MAX_REDIRECTS: usize = 10;
/// So often a connection may end between the handshake and the request.
const MAX_NOT_SENT: usize = 3;
const MAX_UNREAD_BYTES: u64 = 64 << 10;

/// The connections.
pub(super) struct Transport {
    clients: Clients,
    proxies: Arc<ProxyRules>,
    timeouts: Timeouts,
}

/// An answer, after redirects.
pub(super) struct Answer {
    /// The response, whatever its status.
    pub(super) response: Response,
    /// Where it came from.
    pub(super) url: SafeUrl,
    /// True if a redirect led to another origin, where the registry's word does not count.
    pub(super) from_elsewhere: bool,
    /// True if a proxy was on the way.
    pub(super) proxied: bool,
    /// With its body.
    pub(super) patience: Patience,
}

impl Answer {
    /// The next bytes of its body.
    pub(super) async fn next_chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        self.patience.next_chunk(&mut self.response).await
    }
}

impl Transport {
    /// Makes the clients; no connection is opened.
    pub(super) fn new(options: &ClientOptions) -> Result<Self, RegistryError> {
        let proxies = Arc::new(options.proxies.clone());
        Ok(Self { clients: Clients::new(options, &proxies)?, proxies, timeouts: options.timeouts })
    }

    /// True if plain HTTP will do for `url`'s host: it is loopback, or was declared insecure.
    pub(super) fn may_be_plain(&self, url: &Url) -> bool {
        is_loopback(url) || self.clients.is_insecure(url)
    }

    /// The proxy on the way to `url`.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<&SafeUrl> {
        self.proxies.proxy_for(url)
    }

    /// How the host of `url` is verified, and what it is shown; all files of that were read.
    pub(super) fn tls_setup(&self, url: &Url) -> Result<TlsSetup, RegistryError> {
        self.clients.of(url)?;
        self.clients.setup(url)
    }

    /// Says whether the server at `from` may lead to `to`.
    pub(super) fn check_hop(&self, from: &Url, to: &Url) -> Result<(), RedirectProblem> {
        hop::check(from, to, self.clients.is_insecure(to))
    }

    /// Gets `url`, following redirects.
    pub(super) async fn get(
        &self,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        self.ask(&Method::GET, url, headers, &Bytes::new(), authorization).await
    }

    /// Asks for `url`, following redirects; a method that writes goes on only where it stays the same.
    pub(super) async fn ask(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: &Bytes,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let mut next = url.clone();
        let mut from_elsewhere = false;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        for _ in 0..=MAX_REDIRECTS {
            let mut request =
                self.clients.of(&next)?.request(method.clone(), next.clone()).headers(headers.clone());
            if let Some(authorization) = authorization.filter(|_| !from_elsewhere) {
                request = request.header(AUTHORIZATION, authorization);
            }
            if !reads {
                // Some servers want to know even of a POST that it has no body (411).
                request = request.header(CONTENT_LENGTH, body.len()).body(body.clone());
            }
            let response = self.send(&next, request).await?;
            let status = response.status();
            if !is_redirect(status) || !(reads || keeps_the_method(status)) {
                return Ok(self.answer(response, &next, from_elsewhere));
            }
            let to = redirect::target(&next, response.headers())
                .and_then(|to| self.check_hop(&next, &to).map(|()| to))
                .map_err(|problem| RegistryError::BadRedirect {
                    url: Box::new(SafeUrl::from(next.clone())),
                    problem,
                })?;
            finish(response).await;
            next = to;
            from_elsewhere |= !redirect::same_origin(url, &next);
        }
        Err(RegistryError::RedirectLoop { url: Box::new(SafeUrl::from(url.clone())), hops: MAX_REDIRECTS })
    }

    /// Sends a body, once: redirects are answers here. It may take as long as it likes: whoever makes the body watches how
    /// it is taken.
    pub(super) async fn send_body(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Body,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let mut request = self.clients.of(url)?.request(method.clone(), url.clone()).headers(headers.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = self.send_unwatched(url, request.body(body)).await?;
        Ok(self.answer(response, url, false))
    }

    /// How long nothing may come or go.
    pub(super) fn idle(&self) -> Duration {
        self.timeouts.read
    }

    /// Posts a form. Redirects are answers here: a form with a token in it is sent once.
    pub(super) async fn post_form(&self, url: &Url, form: &[(&str, &str)]) -> Result<Answer, RegistryError> {
        let request = self.clients.of(url)?.post(url.clone()).form(form);
        let response = self.send(url, request).await?;
        Ok(self.answer(response, url, false))
    }

    fn answer(&self, response: Response, url: &Url, from_elsewhere: bool) -> Answer {
        let proxied = self.proxies.proxy_for(url).is_some();
        let patience = Patience::new(self.timeouts.read, self.timeouts.trickle);
        Answer { response, url: url.clone().into(), from_elsewhere, proxied, patience }
    }

    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Response, RegistryError> {
        let sent = tokio::time::timeout(self.timeouts.read, self.send_until_it_leaves(url, request)).await;
        sent.unwrap_or_else(|_| Err(self.stalled(url)))
    }

    /// A server of TLS 1.3 that wants another client certificate says so after the handshake, and its words are lost where
    /// the request was just then to be sent. It was not, so it is sent again.
    async fn send_until_it_leaves(
        &self,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<Response, RegistryError> {
        for _ in 0..MAX_NOT_SENT {
            let Some(again) = request.try_clone() else { break };
            match self.send_unwatched(url, again).await {
                Err(RegistryError::Unreachable { cause, .. }) if cause.is_of_no_request() => {}
                sent => return sent,
            }
        }
        self.send_unwatched(url, request).await
    }

    async fn send_unwatched(&self, url: &Url, request: RequestBuilder) -> Result<Response, RegistryError> {
        let response = request.send().await.map_err(|error| {
            let failure = classify(&error, self.proxies.proxy_for(url).is_some());
            self.unreachable(url, failure, error.into())
        })?;
        if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            let cause = Cause::new("the proxy asks for credentials (status 407)");
            return Err(self.unreachable(url, Failure::Proxy, cause));
        }
        Ok(response)
    }

    /// The error of an answer from `url` whose body did not come.
    pub(super) fn no_body(&self, url: &Url, broken: Broken) -> RegistryError {
        let (failure, cause) = broken.told(self.proxies.proxy_for(url).is_some());
        self.unreachable(url, failure, cause)
    }

    /// The error of a request that nothing came of, or that was not taken, for too long.
    pub(super) fn stalled(&self, url: &Url) -> RegistryError {
        let (failure, cause) = timed_out();
        self.unreachable(url, failure, cause)
    }

    fn unreachable(&self, url: &Url, failure: Failure, cause: Cause) -> RegistryError {
        let proxy = self.proxies.proxy_for(url).cloned().map(Box::new);
        RegistryError::Unreachable { url: Box::new(SafeUrl::from(url.clone())), proxy, failure, cause }
    }
}

/// Reads a body that nobody needs, so that its connection can be used again; a long or slow one is dropped with it.
pub(super) async fn finish(response: Response) {
    read_soon(response, MAX_UNREAD_BYTES).await;
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn keeps_the_method(status: StatusCode) -> bool {
    matches!(status.as_u16(), 307 | 308)
}
