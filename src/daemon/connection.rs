//! HTTP to a daemon: over its socket, TCP, TLS or ssh.
//!
//! Threats: what listens there is believed to be the daemon (a socket by its path, TCP by TLS where it was asked for); its
//! answers are read up to a limit and made fit to show. Redirects are not followed.

use std::io;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, Proxy, RequestBuilder, Response};
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use url::Url;

use super::address::Address;
use super::endpoint::{Endpoint, TlsFiles};
#[cfg(unix)]
use super::error::SshSaid;
use super::error::{DaemonError, Why};
#[cfg(unix)]
use super::ssh::Bridge;
use crate::config::Environment;
use crate::registry::{
    Cause, ClientCertificate, Identity, Patience, ProxyRules, RegistryError, Roots, Said, classify, find,
    read_at_most, tls_config,
};

const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// How long a daemon may think about a question: one that is busy with another image takes its time.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);
/// Docker's `inspect` of an image of many layers has some 100 KiB.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// The way to a daemon.
pub(super) struct Connection {
    client: Client,
    base: Url,
    name: &'static str,
    address: Address,
    #[cfg(unix)]
    bridge: Option<Bridge>,
}

impl Connection {
    /// Makes the client; nothing is sent. `name` is what the daemon is called, `program` its client on other machines.
    pub(super) fn new(
        endpoint: &Endpoint,
        name: &'static str,
        program: &'static str,
        environment: &Environment,
    ) -> Result<Self, DaemonError> {
        let address = &endpoint.address;
        let setup = |source: Cause| DaemonError::Setup { address: address.to_string(), source };
        let builder = Client::builder()
            .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_LIMIT);
        #[cfg(unix)]
        let mut bridge = None;
        let builder = match address {
            #[cfg(unix)]
            Address::Unix(path) => builder.unix_socket(path.as_path()),
            #[cfg(unix)]
            Address::Ssh(to) => {
                let opened = Bridge::open(to, program, environment)
                    .map_err(|error| setup(Cause::new(error.to_string())))?;
                let builder = builder.unix_socket(opened.socket());
                bridge = Some(opened);
                builder
            }
            #[cfg(not(unix))]
            Address::Unix(_) | Address::Ssh(_) => {
                let _ = program;
                return Err(setup(Cause::new("this system has no such sockets: give `tcp://HOST:PORT`")));
            }
            Address::Tcp { .. } => over_tcp(builder, endpoint, environment)?,
        };
        Ok(Self {
            client: builder.build().map_err(|error| setup(error.into()))?,
            base: address.base(endpoint.tls.is_some()),
            name,
            address: address.clone(),
            #[cfg(unix)]
            bridge,
        })
    }

    /// Its address, as it is written.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// A request for the API's `path`; what a URL means by its characters is escaped.
    pub(super) fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        self.client.request(method, url).query(query)
    }

    /// Asks, and gives the answer unless it is an error's; none for what is not there. `action` is for the error: what
    /// can't be done.
    pub(super) async fn ask(
        &self,
        action: &str,
        request: RequestBuilder,
    ) -> Result<Option<Response>, DaemonError> {
        let response = request.timeout(ANSWER_LIMIT).send().await.map_err(|error| self.unreachable(error))?;
        self.checked(action, response).await
    }

    /// Tells an error's answer.
    pub(super) async fn checked(
        &self,
        action: &str,
        response: Response,
    ) -> Result<Option<Response>, DaemonError> {
        let status = response.status();
        if status.is_success() {
            return Ok(Some(response));
        }
        let said = Said::read(response, None).await;
        match said {
            // Docker has no pages, so something else answers.
            Some(Said::WebPage) => Err(self.stranger()),
            Some(Said::Error { .. }) if status == reqwest::StatusCode::NOT_FOUND => Ok(None),
            source => Err(DaemonError::Answered {
                daemon: self.name,
                action: action.to_owned(),
                status: status.as_u16(),
                source,
            }),
        }
    }

    /// Asks for JSON; none for what is not there.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        action: &str,
        request: RequestBuilder,
    ) -> Result<Option<T>, DaemonError> {
        let Some(response) = self.ask(action, request).await? else { return Ok(None) };
        let body = read_at_most(response, Patience::new(ANSWER_LIMIT, ANSWER_LIMIT), MAX_ANSWER_BYTES).await;
        match body {
            Ok(Some(body)) => serde_json::from_slice(&body).map(Some).map_err(|_| self.stranger()),
            Ok(None) => Err(self.stranger()),
            Err((broken, _)) => {
                let (failure, source) = broken.told(false);
                Err(DaemonError::Interrupted { daemon: self.name, failure, source })
            }
        }
    }

    /// What answers is no daemon.
    pub(super) fn stranger(&self) -> DaemonError {
        DaemonError::Stranger { daemon: self.name, address: self.address.to_string() }
    }

    /// The connection ended within an answer, or before it but within the request.
    pub(super) fn interrupted(&self, error: reqwest::Error) -> DaemonError {
        DaemonError::Interrupted { daemon: self.name, failure: classify(&error, false), source: error.into() }
    }

    /// No answer came.
    pub(super) fn unreachable(&self, error: reqwest::Error) -> DaemonError {
        let (daemon, address) = (self.name, self.address.to_string());
        #[cfg(unix)]
        if let Some(said) = self.bridge.as_ref().and_then(Bridge::said) {
            return DaemonError::NoWay { daemon, address, source: SshSaid(said) };
        }
        let why = match find::<io::Error>(&error).map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied) => Why::NotAllowed,
            Some(io::ErrorKind::NotFound) if matches!(self.address, Address::Unix(_)) => Why::NoSocket,
            Some(io::ErrorKind::ConnectionRefused) => Why::NobodyListens,
            _ => Why::Connection(classify(&error, false)),
        };
        DaemonError::Unreachable { daemon, address, why, source: error.into() }
    }
}

fn over_tcp(
    builder: ClientBuilder,
    endpoint: &Endpoint,
    environment: &Environment,
) -> Result<ClientBuilder, DaemonError> {
    let proxies = ProxyRules::from_environment(environment).map_err(DaemonError::TlsFiles)?;
    let builder =
        builder.proxy(Proxy::custom(move |url| proxies.proxy_for(url).map(|proxy| proxy.reveal().clone())));
    let Some(files) = &endpoint.tls else { return Ok(builder) };
    let tls = tls(files, &endpoint.address).map_err(DaemonError::TlsFiles)?;
    Ok(builder.tls_backend_preconfigured(tls))
}

/// The CA that is given is the only one, as docker has it.
fn tls(files: &TlsFiles, address: &Address) -> Result<rustls::ClientConfig, RegistryError> {
    let roots = match &files.ca {
        Some(ca) => Roots::none().with(std::slice::from_ref(ca))?,
        None => Roots::of_system(),
    };
    let identity = files.client.as_ref().map(|(certificate, key)| {
        Identity::read(&ClientCertificate { certificate: certificate.clone(), key: key.clone() })
    });
    let unverified = match address {
        Address::Tcp { host, .. } if files.is_unverified => {
            ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()
        }
        _ => None,
    };
    tls_config(&roots, identity.transpose()?.as_ref(), unverified)
}
