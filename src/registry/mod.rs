//! The wire: a client of the OCI distribution-spec and Docker's Registry HTTP API V2, and a small server of the same.
//!
//! [`Client`] is a [`Source`](crate::source::Source), and so is [`Mirrored`], which asks mirrors in a registry's stead. It believes nothing it is sent beyond what the types of
//! [`crate::image`] accept, sends credentials only where they belong, and writes nothing to disk.

mod auth;
mod blob;
mod certs_d;
mod challenge;
mod client;
mod client_certificate;
mod clients;
mod credential_helper;
mod credentials;
mod docker_config;
mod docker_config_edit;
pub mod doctor;
mod error;
mod failure;
mod hop;
mod insecure;
mod kind;
mod lacking;
mod layer_url;
pub mod login;
mod manifest;
mod mirrors;
mod netrc;
mod no_proxy;
mod object;
mod options;
mod parameters;
mod patience;
mod proxy;
mod rate_limit;
mod reach;
mod redirect;
mod refusal;
mod retry;
mod retry_after;
mod said;
pub mod server;
mod tags;
mod tls;
mod token;
mod transport;
mod upload;
mod verifier;

pub use certs_d::{CertsFolders, HostCertificates};
pub use client::Client;
pub(crate) use client_certificate::Identity;
pub use client_certificate::{ClientCertificate, ClientCertificateProblem};
pub use clients::TlsSetup;
pub use credential_helper::HelperProblem;
pub use credentials::{Credential, CredentialSource, Credentials, docker_config_path};
pub use docker_config::CredentialFileProblem;
pub use error::RegistryError;
pub use failure::{Cause, Failure};
pub(crate) use failure::{classify, find};
pub use insecure::InsecureHost;
pub use kind::Kind;
pub use layer_url::{UrlProblem, UrlProblems};
pub use mirrors::{
    MirrorAddress, MirrorAddressError, MirrorAddressProblem, Mirrored, PlaceDiagnoses, PlaceProblems,
};
pub use object::{Missing, Object};
pub use options::{ClientOptions, Timeouts};
pub(crate) use patience::Patience;
pub use proxy::ProxyRules;
pub use redirect::RedirectProblem;
pub use retry::Retry;
pub use retry_after::RetryAfter;
pub(crate) use said::read_at_most;
pub use said::{Denial, Said};
pub use tags::PageProblem;
pub use tls::{CaProblem, RootsOrigin};
pub(crate) use tls::{Roots, config as tls_config};
pub use upload::{Begun, SendError, Upload};
