//! The server's certificate.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use crate::registry::{ClientCertificate, ClientCertificateProblem, Identity, RegistryError};

/// PEM files; one may hold both.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, and the ones between it and its CA.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// A file can't be read, or holds something else.
    #[error("the certificate's file {} can't be used", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ClientCertificateProblem,
    },
    /// A fault of sealift's own.
    #[error("TLS can't be set up")]
    Setup(#[from] rustls::Error),
}

impl TlsFiles {
    /// Reads the files.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, TlsProblem> {
        let files = ClientCertificate { certificate: self.certificate.clone(), key: self.key.clone() };
        let identity = Identity::read(&files).map_err(|error| match error {
            RegistryError::ClientCertificate { path, problem } => TlsProblem::File { path, source: problem },
            _ => TlsProblem::Setup(rustls::Error::General("the certificate can't be read".to_owned())),
        })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(identity.of_server());
        Ok(TlsAcceptor::from(Arc::new(http1(config))))
    }
}

fn http1(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
