//! HTTP clients by host: one for hosts with nothing of their own, and one for each that has a TLS setup of its own.
//!
//! Threats: a client certificate, the CA of one host and the word `insecure` are for that host and no other. So a
//! host's setup is found by the URL of each request, after a redirect too, and never travels with a request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Proxy;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use rustls::pki_types::ServerName;
use url::Url;

use crate::image::Registry;

use super::certs_d::{CertsFolders, HostCertificates};
use super::client_certificate::{ClientCertificate, Identity};
use super::error::RegistryError;
use super::insecure::InsecureHost;
use super::options::ClientOptions;
use super::proxy::ProxyRules;
use super::tls::{self, Roots, RootsOrigin};

const USER_AGENT: &str = concat!("sealift/", env!("CARGO_PKG_VERSION"));

/// What `localhost` is, on any port.
const LOCALHOST: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

/// The clients, made when they are first needed.
pub(super) struct Clients {
    usual: reqwest::Client,
    own: Mutex<HashMap<String, Option<reqwest::Client>>>,
    roots: Roots,
    insecure_hosts: Vec<InsecureHost>,
    certificates: Vec<(Registry, ClientCertificate)>,
    folders: CertsFolders,
    proxies: Arc<ProxyRules>,
    connect: Duration,
}

/// How one host is verified, and what it is shown.
#[derive(Clone, Debug)]
pub struct TlsSetup {
    /// Whose CA roots are trusted.
    pub roots: RootsOrigin,
    /// True if the host's certificate is not verified.
    pub insecure: bool,
    /// The host's `certs.d` folder and what is in it.
    pub host: Option<HostCertificates>,
    /// The client certificate that is shown.
    pub client: Option<ClientCertificate>,
}

impl Clients {
    /// Reads the CA roots, has a look at the certificates that were given, and makes the usual client.
    pub(super) fn new(options: &ClientOptions, proxies: &Arc<ProxyRules>) -> Result<Self, RegistryError> {
        let roots = Roots::of_system().with(&options.ca_files)?;
        for (_, files) in &options.client_certificates {
            Identity::read(files)?;
        }
        Ok(Self {
            usual: client(tls::config(&roots, None, None)?, proxies, options.timeouts.connect)?,
            own: Mutex::default(),
            roots,
            insecure_hosts: options.insecure_hosts.clone(),
            certificates: options.client_certificates.clone(),
            folders: options.certs_folders.clone(),
            proxies: Arc::clone(proxies),
            connect: options.timeouts.connect,
        })
    }

    /// True if the host of `url` was declared insecure.
    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        self.insecure_hosts.iter().any(|insecure| insecure.covers(url))
    }

    /// The client for `url`. Files of its host are read when it is first asked for.
    pub(super) fn of(&self, url: &Url) -> Result<reqwest::Client, RegistryError> {
        let key =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(0));
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match own.get(&key) {
            Some(client) => client.clone(),
            None => own.entry(key).or_insert(self.make(url)?).clone(),
        };
        Ok(client.unwrap_or_else(|| self.usual.clone()))
    }

    /// What the host of `url` gets.
    pub(super) fn setup(&self, url: &Url) -> Result<TlsSetup, RegistryError> {
        let host = self.folders.find(url)?;
        let given = self.certificates.iter().find(|(registry, _)| is_of(registry, url));
        let client = given.map(|(_, files)| files).or(host.as_ref().and_then(|host| host.client.as_ref()));
        let client = client.cloned();
        Ok(TlsSetup { roots: self.roots.origin, insecure: self.is_insecure(url), host, client })
    }

    fn make(&self, url: &Url) -> Result<Option<reqwest::Client>, RegistryError> {
        let TlsSetup { insecure, host, client: files, .. } = self.setup(url)?;
        let ca_files = host.map(|host| host.ca_files).unwrap_or_default();
        if !insecure && ca_files.is_empty() && files.is_none() {
            return Ok(None);
        }
        let name = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
        let unverified = name.filter(|_| insecure).and_then(|name| ServerName::try_from(name).ok());
        let identity = files.as_ref().map(Identity::read).transpose()?;
        let config = tls::config(&self.roots.clone().with(&ca_files)?, identity.as_ref(), unverified)?;
        client(config, &self.proxies, self.connect).map(Some)
    }
}

/// True if `url` is of the registry's own host and port.
fn is_of(registry: &Registry, url: &Url) -> bool {
    let own = Url::parse(&format!("https://{}/", registry.api_authority()));
    own.is_ok_and(|own| {
        own.host() == url.host() && own.port_or_known_default() == url.port_or_known_default()
    })
}

fn client(
    tls: rustls::ClientConfig,
    proxies: &Arc<ProxyRules>,
    connect: Duration,
) -> Result<reqwest::Client, RegistryError> {
    let proxies = Arc::clone(proxies);
    // Proxies and stores that could compress are asked not to.
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        .default_headers(headers)
        // One HTTP/2 stream gave 34 MB/s at 50 ms, HTTP/1.1 523 (reqwest 0.13, default windows).
        .http1_only()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        // It may be asked in plain HTTP, so no DNS server says where it is (RFC 6761 section 6.3).
        .resolve_to_addrs("localhost", &LOCALHOST)
        .connect_timeout(connect)
        .no_proxy()
        .proxy(Proxy::custom(move |url| proxies.proxy_for(url).map(|proxy| proxy.reveal().clone())))
        .build()
        .map_err(|error| RegistryError::ClientSetup(error.into()))
}
