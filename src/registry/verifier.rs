//! Is this the server? The certificate it shows, judged.
//!
//! Threats: somebody in between. A chain to a trusted root for the host's name, as everywhere (webpki), with two
//! exceptions, both asked for:
//!
//! - A certificate that was itself given is believed though it is marked as a CA's, as self-signed ones of registries
//!   are that were made as Docker's documentation says (`openssl req -x509`). Webpki refuses those
//!   (`CaUsedAsEndEntity`, rustls 0.23), after it has checked the dates; the host's name is checked here. No other
//!   refusal is overruled.
//! - A host that was declared insecure is believed whatever it shows, and only under its own name: a proxy on the way
//!   to it is verified. Signatures are checked all the same, so a server holds the key it shows.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::tls::Roots;

/// Verifies by [`Roots`], but for one name.
#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    exact: Vec<CertificateDer<'static>>,
    unverified: Option<ServerName<'static>>,
}

impl Verifier {
    /// Believes `roots`, and anyone who speaks for the name `unverified`.
    pub(super) fn new(
        roots: &Roots,
        unverified: Option<ServerName<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let store = Arc::new(roots.store.clone());
        let webpki = WebPkiServerVerifier::builder_with_provider(store, provider).build()?;
        Ok(Self { webpki, exact: roots.exact.clone(), unverified })
    }
}

/// True if the certificate was refused for being a CA's, and for nothing else.
fn is_ca_as_server(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.unverified.as_ref().is_some_and(|unverified| unverified == server_name) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(error)
                if is_ca_as_server(&error)
                    && self.exact.iter().any(|given| given.as_ref() == end_entity.as_ref()) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
