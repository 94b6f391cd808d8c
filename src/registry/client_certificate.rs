//! Client certificates: who we are, towards the one registry they are for.
//!
//! Threats: the key is a secret. Its bytes never reach an error or `Debug`; only the files' names do. A certificate
//! goes to the host it was given for and no other ([`super::clients`]).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::error::RegistryError;
use super::tls::provider;

/// The PEM files of a client certificate and its key; one file may hold both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and the ones between it and its CA.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1, without a passphrase.
    pub key: PathBuf,
}

/// What is wrong with a client certificate's file.
#[derive(Debug, thiserror::Error)]
pub enum ClientCertificateProblem {
    /// It can't be read.
    #[error("it can't be read")]
    Unreadable(#[source] std::io::Error),
    /// There is no certificate in it.
    #[error("it holds no PEM certificate")]
    NoCertificate,
    /// There is no private key in it, or of no kind that can be used.
    #[error("it holds no private key in PEM without a passphrase")]
    NoKey,
    /// The key is another's.
    #[error("certificate and key don't go together")]
    Mismatch,
    /// In `certs.d`: the file beside it is missing.
    #[error("{} is missing beside it", .0)]
    Alone(String),
}

/// A client certificate, read.
#[derive(Clone)]
pub(crate) struct Identity(Arc<SingleCertAndKey>);

impl Identity {
    /// Reads the files.
    pub(crate) fn read(files: &ClientCertificate) -> Result<Self, RegistryError> {
        use ClientCertificateProblem as Problem;
        let fail = |path: &Path, problem| RegistryError::ClientCertificate { path: path.to_owned(), problem };
        let pem = |path: &Path| std::fs::read(path).map_err(|error| fail(path, Problem::Unreadable(error)));
        let ClientCertificate { certificate, key } = files;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem(certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|_| fail(certificate, Problem::NoCertificate))?;
        if chain.is_empty() {
            return Err(fail(certificate, Problem::NoCertificate));
        }
        let private = PrivateKeyDer::from_pem_slice(&pem(key)?).map_err(|_| fail(key, Problem::NoKey))?;
        let private =
            provider().key_provider.load_private_key(private).map_err(|_| fail(key, Problem::NoKey))?;
        let certified = CertifiedKey::new(chain, private);
        // Whatever else it says: webpki reads no certificates of version 1, which `openssl x509 -req` makes (OpenSSL
        // 3.0), and which servers take.
        let matched = certified.keys_match();
        if let Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) = matched {
            return Err(fail(key, Problem::Mismatch));
        }
        Ok(Self(Arc::new(SingleCertAndKey::from(certified))))
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        self.0.clone()
    }

    /// The same for a server.
    pub(crate) fn of_server(&self) -> Arc<dyn ResolvesServerCert> {
        self.0.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_version_1_is_read() {
        let file = PathBuf::from("fixtures/tls/v1.pem");
        let read = Identity::read(&ClientCertificate { certificate: file.clone(), key: file });
        assert_eq!(format!("{:?}", read.unwrap()), "Identity(***)");
    }
}
