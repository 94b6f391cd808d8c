//! Why an archive can't be had: for people with its causes, and by a word that stays the same.

use std::io::ErrorKind;

use super::budget::OverBudget;
use crate::archive::PlanError;
use crate::blob::InflateError;
use crate::error::Error;
use crate::fsio::FileError;
use crate::pull::ResolveError;
use crate::registry::{Denial, Failure, Kind, RegistryError, UrlProblem};
use crate::source::SourceError;

/// An archive can't be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error(transparent)]
    Pull(#[from] Error),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    #[error("the name `{0}` can't be read any more")]
    Name(String),
}

impl ExportError {
    /// For programs, and for the page's other language.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Pull(error) => code_of(error),
            Self::File(error) => code_of_file(error),
            Self::OverBudget(_) => "over_budget",
            Self::Name(_) => "bad_image",
        }
    }
}

fn code_of(error: &Error) -> &'static str {
    match error {
        Error::GaveUp { source, .. } | Error::Stopped { source, .. } => code_of(source),
        Error::Source(SourceError::Registry(error)) => code_of_registry(error),
        Error::Source(SourceError::File(error))
        | Error::File(error)
        | Error::Sidecar { source: error, .. }
        | Error::Inflate(InflateError::File(error)) => code_of_file(error),
        Error::Resolve(ResolveError::NoSuchPlatform { .. }) => "no_platform",
        Error::Resolve(ResolveError::NotAnImage { .. }) | Error::Plan(PlanError::NotALayer { .. }) => {
            "not_an_image"
        }
        Error::Resolve(ResolveError::Manifest { source, .. }) if source.is_another_kind() => "unsupported",
        Error::Plan(PlanError::PlatformsOfInflated { .. }) => "several_platforms",
        Error::Resolve(_) | Error::Plan(_) | Error::Blob { .. } | Error::Inflate(_) => "damaged",
        _ => "other",
    }
}

/// Finer than its kind, by which the command line has its exit codes.
fn code_of_registry(error: &RegistryError) -> &'static str {
    match error {
        RegistryError::AccessDenied { denial, .. } | RegistryError::TokenRefused { denial, .. } => {
            match denial {
                Denial::NoCredentials | Denial::NoHelper(_) => "unauthorized",
                Denial::CredentialsRefused | Denial::Expired => "wrong_credentials",
                Denial::Forbidden => "denied",
            }
        }
        RegistryError::Unreachable { failure, .. } | RegistryError::Interrupted { failure, .. } => {
            match failure {
                Failure::Dns => "unknown_host",
                Failure::Connect | Failure::HungUp | Failure::ClosedEarly => "unreachable",
                Failure::TimedOut | Failure::TooSlow => "timed_out",
                Failure::Certificate | Failure::CertificateName | Failure::CertificateTime => "certificate",
                Failure::ClientCertificate => "client_certificate",
                Failure::PlainHttp => "plain_http",
                Failure::Proxy => "proxy",
                Failure::Tls | Failure::NotHttp => "bad_answer",
            }
        }
        RegistryError::RateLimited { .. } => "too_many_requests",
        RegistryError::ServerError { .. } | RegistryError::StoreRefused { .. } => "server_error",
        RegistryError::NoPlace { problems, .. } => problems.decisive().map_or("damaged", code_of_registry),
        RegistryError::LayerNowhere { problems, .. } => {
            let decisive = problems.problems().iter().find_map(|problem| match problem {
                UrlProblem::Failed(failed) if failed.kind() == error.kind() => Some(failed),
                _ => None,
            });
            decisive.map_or("not_found", code_of_registry)
        }
        error => match error.kind() {
            Kind::NotFound => "not_found",
            Kind::Access => "login_failed",
            Kind::Network => "bad_answer",
            Kind::Integrity => "damaged",
            Kind::Unsupported => "unsupported",
            Kind::Setup => "settings",
        },
    }
}

fn code_of_file(error: &FileError) -> &'static str {
    match error {
        FileError::NoSpace { .. } | FileError::NoFiles { .. } => "disk_full",
        FileError::Io { source, .. }
            if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            "disk_full"
        }
        _ => "disk",
    }
}
