//! How a registry, or a mirror of it, is reached from here, step by step: what `sealift doctor` shows. Which mirrors there
//! are is [`Mirrored`](super::Mirrored)'s business.
//!
//! Threats: the answer is for a terminal, a ticket, a chat. It names files, helpers and hosts and never a secret, and what
//! the registry says is made fit to show. Nothing is stored.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use url::Url;

use crate::image::Registry;
use crate::secret::SafeUrl;

use super::challenge::Challenge;
use super::client::{Client, read_challenge};
use super::clients::TlsSetup;
use super::credentials::{CredentialSource, Scope};
use super::error::RegistryError;
use super::failure::{Cause, Failure};
use super::login::{Checked, accepted};

const CONNECT_TIME: Duration = Duration::from_secs(15);

/// What was found, up to the first step that failed.
#[derive(Debug)]
pub struct Diagnosis {
    /// The registry.
    pub registry: Registry,
    /// The part of it that credentials are looked up for; empty for all of it.
    namespace: Box<str>,
    /// Its API's URL, with the scheme that it speaks; before it answered, the one that is tried.
    pub base: SafeUrl,
    /// The proxy on the way.
    pub proxy: Option<SafeUrl>,
    /// How the registry is verified, and what it is shown.
    pub tls: Option<TlsSetup>,
    /// Where its credentials are from.
    pub credentials: Option<CredentialSource>,
    /// A credential helper that should have been asked and is not installed.
    pub missing_helper: Option<String>,
    /// What was tried, in order; the last one may have failed.
    pub steps: Vec<Step>,
}

/// One thing that was tried.
#[derive(Debug)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// What came of it, in words.
    pub outcome: Result<String, RegistryError>,
}

/// What is tried, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepName {
    /// Files: certificates of the host, credentials.
    Settings,
    /// The address of the proxy, or else of the registry.
    Name,
    /// A connection to it.
    Connection,
    /// The registry's certificate, and ours where it wants one.
    Tls,
    /// The registry's `/v2/`, over TLS or in plain HTTP.
    Api,
    /// The credentials that were found.
    Login,
}

impl Client {
    /// Tries everything a pull needs of `registry`, or of its `namespace`, but an image.
    pub(super) async fn diagnose(
        &self,
        registry: &Registry,
        namespace: &str,
    ) -> Result<Diagnosis, RegistryError> {
        let authority = registry.api_authority();
        let https = || Url::parse(&format!("https://{authority}/v2/"));
        let base = self.given_base().cloned().map_or_else(https, Ok);
        let base =
            base.map_err(|_| RegistryError::ClientSetup(Cause::new(format!("`{registry}` makes no URL"))))?;
        let mut diagnosis = Diagnosis {
            registry: registry.clone(),
            namespace: namespace.into(),
            proxy: self.transport().proxy_for(&base).cloned(),
            base: base.clone().into(),
            tls: None,
            credentials: None,
            missing_helper: None,
            steps: Vec::new(),
        };
        self.try_all(&mut diagnosis, &base).await;
        Ok(diagnosis)
    }

    /// Stops at the first step that fails.
    async fn try_all(&self, diagnosis: &mut Diagnosis, base: &Url) -> Option<()> {
        let settings = self.settings(diagnosis, base).await;
        diagnosis.note(StepName::Settings, settings)?;
        let target = diagnosis.proxy.as_ref().map_or(base, SafeUrl::reveal).clone();
        let addresses = match addresses(&target).await {
            Ok(addresses) => addresses,
            Err(cause) => {
                let error = diagnosis.failed(&target, Failure::Dns, cause);
                return diagnosis.note(StepName::Name, Err(error));
            }
        };
        let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        let shown = format!("{} is {}", target.host_str().unwrap_or_default(), shown.join(", "));
        diagnosis.note(StepName::Name, Ok(shown))?;
        let connected = connect(&addresses).await;
        let connected = connected.map_err(|cause| diagnosis.failed(&target, Failure::Connect, cause));
        diagnosis.note(StepName::Connection, connected)?;
        let answered = self.api(diagnosis).await;
        match &answered {
            Err(RegistryError::Unreachable { failure, .. }) if is_of_tls(*failure) => {
                return diagnosis.note(StepName::Tls, answered);
            }
            _ if diagnosis.base.reveal().scheme() == "http" => {
                diagnosis.note(StepName::Tls, Ok("none: the registry speaks plain HTTP".to_owned()))?;
            }
            Ok(_) => diagnosis.note(StepName::Tls, Ok("the certificate is accepted".to_owned()))?,
            Err(_) => {}
        }
        diagnosis.note(StepName::Api, answered)?;
        let login = self.login(diagnosis).await?;
        diagnosis.note(StepName::Login, login)
    }

    /// What this machine has for the registry.
    async fn settings(&self, diagnosis: &mut Diagnosis, base: &Url) -> Result<String, RegistryError> {
        diagnosis.tls = Some(self.transport().tls_setup(base)?);
        let found = self.credentials().of(diagnosis.scope()).await?;
        diagnosis.credentials = found.source;
        diagnosis.missing_helper = found.missing_helper;
        Ok("certificates and credentials were looked up".to_owned())
    }

    async fn api(&self, diagnosis: &mut Diagnosis) -> Result<String, RegistryError> {
        let transport = self.transport();
        let base = self.find_base(&diagnosis.registry).await?;
        diagnosis.base = base.clone().into();
        let answer = transport.get(&base, &HeaderMap::new(), None).await?;
        match answer.response.status() {
            StatusCode::UNAUTHORIZED => {
                let asks = match read_challenge(&diagnosis.registry, &answer)? {
                    Some(Challenge::Bearer(bearer)) => {
                        format!("tokens of {}", SafeUrl::from(bearer.realm))
                    }
                    Some(Challenge::Basic) => "user and password".to_owned(),
                    None => "something it does not name".to_owned(),
                };
                Ok(format!("{base} answers, and asks for {asks}"))
            }
            // Some hide their front door; a web page is another matter.
            status @ (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => match accepted(answer, None).await {
                Err(error @ RegistryError::WebPage { .. }) => Err(error),
                _ => Ok(format!("{base} answers with status {}", status.as_u16())),
            },
            _ => {
                accepted(answer, None).await?;
                Ok(format!("{base} answers, and asks for no credentials"))
            }
        }
    }

    /// None where there is nothing to log in with.
    async fn login(&self, diagnosis: &Diagnosis) -> Option<Result<String, RegistryError>> {
        let credential = self.credentials().of(diagnosis.scope()).await.ok()?.credential?;
        let checked = self.check_credential(&diagnosis.registry, &credential).await;
        Some(checked.map(|checked| match checked {
            Checked::Accepted => "the credentials are accepted".to_owned(),
            Checked::NotAsked => "the registry did not ask for the credentials".to_owned(),
        }))
    }
}

impl Diagnosis {
    fn scope(&self) -> Scope<'_> {
        Scope { registry: &self.registry, path: &self.namespace }
    }

    fn note(&mut self, name: StepName, outcome: Result<String, RegistryError>) -> Option<()> {
        let went_on = outcome.is_ok().then_some(());
        self.steps.push(Step { name, outcome });
        went_on
    }

    fn failed(&self, target: &Url, failure: Failure, cause: Cause) -> RegistryError {
        let (url, failure) = match &self.proxy {
            Some(_) => (self.base.clone(), Failure::Proxy),
            None => (target.clone().into(), failure),
        };
        let url = Box::new(url);
        RegistryError::Unreachable { url, proxy: self.proxy.clone().map(Box::new), failure, cause }
    }
}

fn is_of_tls(failure: Failure) -> bool {
    use Failure::{Certificate, CertificateName, CertificateTime, ClientCertificate, PlainHttp, Tls};
    matches!(failure, Certificate | CertificateName | CertificateTime | ClientCertificate | Tls | PlainHttp)
}

async fn addresses(target: &Url) -> Result<Vec<std::net::SocketAddr>, Cause> {
    let host = target.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let socks = if target.scheme().starts_with("socks") { Some(1080) } else { None };
    let port = target.port_or_known_default().or(socks).unwrap_or(443);
    let found = tokio::net::lookup_host((host, port)).await;
    let mut addresses: Vec<_> = found.map_err(|error| Cause::new(error.to_string()))?.collect();
    addresses.dedup();
    Ok(addresses)
}

/// A connection to the first address that takes one.
async fn connect(addresses: &[std::net::SocketAddr]) -> Result<String, Cause> {
    let mut cause = Cause::new("it has no address");
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIME, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(format!("{address} takes connections")),
            Ok(Err(error)) => cause = Cause::new(format!("{address}: {error}")),
            Err(_) => {
                cause = Cause::new(format!("{address}: nothing came within {} s", CONNECT_TIME.as_secs()));
            }
        }
    }
    Err(cause)
}
