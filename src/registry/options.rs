//! What a client is told: credentials, proxies, whom to trust, how long to wait.

use std::path::PathBuf;
use std::time::Duration;

use crate::event::SharedReporter;
use crate::image::Registry;

use super::certs_d::CertsFolders;
use super::client_certificate::ClientCertificate;
use super::credentials::Credentials;
use super::insecure::InsecureHost;
use super::proxy::ProxyRules;

/// The settings of a [`Client`](super::Client). The default has no credentials and no proxies, and trusts the
/// system's CA roots.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Where credentials come from.
    pub credentials: Credentials,
    /// Which hosts are reached through which proxy.
    pub proxies: ProxyRules,
    /// PEM files with further CA certificates to trust.
    pub ca_files: Vec<PathBuf>,
    /// The client certificates of registries; they go before those of `certs_folders`.
    pub client_certificates: Vec<(Registry, ClientCertificate)>,
    /// Where there are certificates by host.
    pub certs_folders: CertsFolders,
    /// Hosts whose certificates are not verified and that may speak plain HTTP.
    pub insecure_hosts: Vec<InsecureHost>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Who is told of limits that are near.
    pub reporter: SharedReporter,
}

/// How long to wait. There is no limit on a whole transfer.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For an answer, and between two chunks of its body.
    pub read: Duration,
    /// For a body that comes, but more slowly than 100 bytes a second.
    pub trickle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            read: Duration::from_mins(1),
            trickle: Duration::from_mins(2),
        }
    }
}
