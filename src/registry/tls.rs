//! TLS: whom to believe, and who we are. The system's CA roots, the bundled ones where the system has none, `--ca`
//! files; for one host the certificates of its `certs.d` folder and a client certificate.
//!
//! The provider (aws-lc-rs) is passed explicitly, so nothing here depends on what a process installs globally.
//! [`super::verifier`] decides on a server's certificate, [`super::clients`] which setup a host gets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::client_certificate::Identity;
use super::error::RegistryError;
use super::failure::Cause;
use super::verifier::Verifier;

/// What is wrong with a CA file.
#[derive(Debug, thiserror::Error)]
pub enum CaProblem {
    /// It can't be read.
    #[error("it can't be read")]
    Unreadable(#[source] std::io::Error),
    /// There is no certificate in it.
    #[error("it holds no PEM certificate")]
    NoCertificate,
    /// A section that is no certificate.
    #[error("its certificate {number} is broken")]
    Broken {
        /// Which one, from 1.
        number: usize,
    },
}

/// Where the CA roots are from that go beside the given ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootsOrigin {
    /// The system's.
    System,
    /// Mozilla's, which are in the binary: the system has none.
    Bundled,
}

/// Whom to believe.
#[derive(Clone)]
pub(crate) struct Roots {
    pub(super) store: RootCertStore,
    /// The same certificates whole: one that a server shows itself is believed, too.
    pub(super) exact: Vec<CertificateDer<'static>>,
    pub(super) origin: RootsOrigin,
}

impl Roots {
    /// The system's roots as far as they can be read; where there are none (a container from scratch), Mozilla's.
    pub(crate) fn of_system() -> Self {
        let certificates = rustls_native_certs::load_native_certs().certs;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.iter().cloned());
        if !store.is_empty() {
            return Self { store, exact: certificates, origin: RootsOrigin::System };
        }
        store.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        Self { store, exact: Vec::new(), origin: RootsOrigin::Bundled }
    }

    /// Nobody, so far.
    pub(crate) fn none() -> Self {
        Self { store: RootCertStore::empty(), exact: Vec::new(), origin: RootsOrigin::System }
    }

    /// These and the certificates in `files`.
    pub(crate) fn with(mut self, files: &[PathBuf]) -> Result<Self, RegistryError> {
        for path in files {
            self.add_file(path).map_err(|problem| RegistryError::CaFile { path: path.clone(), problem })?;
        }
        Ok(self)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), CaProblem> {
        let pem = std::fs::read(path).map_err(CaProblem::Unreadable)?;
        let mut number = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            number += 1;
            let certificate = certificate.map_err(|_| CaProblem::Broken { number })?;
            self.store.add(certificate.clone()).map_err(|_| CaProblem::Broken { number })?;
            self.exact.push(certificate);
        }
        if number == 0 { Err(CaProblem::NoCertificate) } else { Ok(()) }
    }
}

/// The configuration for one host: servers are verified against `roots`, but for the one called `unverified`.
pub(crate) fn config(
    roots: &Roots,
    identity: Option<&Identity>,
    unverified: Option<ServerName<'static>>,
) -> Result<ClientConfig, RegistryError> {
    let failed = |error: &dyn std::error::Error| RegistryError::ClientSetup(Cause::new(error.to_string()));
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let verifier = Verifier::new(roots, unverified, provider()).map_err(|error| failed(&error))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn refused(content: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let error = Roots::of_system().with(&[file.path().to_owned()]).err().unwrap();
        assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
        std::error::Error::source(&error).unwrap().to_string()
    }

    #[test]
    fn a_bad_ca_file_is_named() {
        assert_eq!(refused("not PEM at all"), "it holds no PEM certificate");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(refused(broken), "its certificate 1 is broken");
        assert_eq!(refused("-----BEGIN CERTIFICATE-----\n!!\n"), "its certificate 1 is broken");
        assert!(matches!(
            Roots::of_system().with(&["/nowhere/ca.pem".into()]),
            Err(RegistryError::CaFile { problem: CaProblem::Unreadable(_), .. })
        ));
    }
}
