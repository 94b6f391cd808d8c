//! TLS: whom to believe. The system's CA roots, the bundled ones where the system has none, and `--ca` files.
//!
//! The provider (aws-lc-rs) is passed explicitly, so nothing here depends on what a process installs globally.
//! Later: client certificates and `certs.d` make further configurations of the same kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::RegistryError;
use super::failure::Cause;

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

/// A configuration that verifies servers against the system's roots and `ca_files`.
pub(super) fn verified(ca_files: &[PathBuf]) -> Result<ClientConfig, RegistryError> {
    let mut roots = system_roots();
    for path in ca_files {
        add_file(&mut roots, path)
            .map_err(|problem| RegistryError::CaFile { path: path.clone(), problem })?;
    }
    let config = builder()?.with_root_certificates(roots).with_no_client_auth();
    Ok(http1(config))
}

/// A configuration that believes any server: for hosts that were declared insecure, and no other.
pub(super) fn unverified() -> Result<ClientConfig, RegistryError> {
    let verifier = Arc::new(BelieveAnyone(provider()));
    let config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(http1(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, RegistryError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| RegistryError::ClientSetup(Cause::new(error.to_string())))
}

fn http1(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// The system's roots as far as they can be read; where there are none (a container from scratch), Mozilla's.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    roots
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), CaProblem> {
    let pem = std::fs::read(path).map_err(CaProblem::Unreadable)?;
    let mut number = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        number += 1;
        let certificate = certificate.map_err(|_| CaProblem::Broken { number })?;
        roots.add(certificate).map_err(|_| CaProblem::Broken { number })?;
    }
    if number == 0 { Err(CaProblem::NoCertificate) } else { Ok(()) }
}

/// Accepts every certificate; signatures are still checked, so the server holds the key it shows.
#[derive(Debug)]
struct BelieveAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn refused(content: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let error = verified(&[file.path().to_owned()]).unwrap_err();
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
            verified(&["/nowhere/ca.pem".into()]),
            Err(RegistryError::CaFile { problem: CaProblem::Unreadable(_), .. })
        ));
    }
}
