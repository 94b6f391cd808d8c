//! Which errors are worth another try, and when: the table, in one place. Who tries again, how often and how long
//! between is for the loops of the verbs.
//!
//! What another try can't change is told at once: a certificate, a wrong password (a second try may lock the account),
//! a name that does not exist. What the line or an overloaded server did may pass. Bytes that do not have their digest
//! are not decided here: only who put them together knows where they are from.

use std::time::Duration;

use super::error::RegistryError;
use super::failure::Failure;
use super::layer_url::{UrlProblem, UrlProblems};
use super::retry_after::RetryAfter;

/// Whether the same request is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again.
    Never,
    /// After a moment, as long as the caller likes.
    Soon,
    /// Not before the server said; at most a day.
    After(Duration),
}

impl Retry {
    fn when(asked: Option<RetryAfter>) -> Self {
        asked.map_or(Self::Soon, |asked| Self::After(asked.wait()))
    }
}

impl RegistryError {
    /// True if the server answered a range with something else: the whole may be had all the same.
    pub fn is_of_ranges(&self) -> bool {
        matches!(self, Self::RangeIgnored { .. } | Self::BadHeader { header: "Content-Range", .. })
    }

    /// Whether the request that failed is worth another try.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { failure: Failure::Proxy, cause, .. } if cause.is_proxy_login() => {
                Retry::Never
            }
            Self::Unreachable { failure, .. } => of_failure(*failure),
            // The line was there a moment ago. A store's links expire: the registry gives another. A wrong length is a
            // truncated copy in some cache. An upload can be begun anew. 408: the server had no patience; 425: RFC 8470 asks to come again.
            Self::Interrupted { .. }
            | Self::StoreRefused { .. }
            | Self::WrongLength { .. }
            | Self::NewToken { .. }
            | Self::UploadLost { .. }
            | Self::Altered { .. }
            | Self::UnexpectedStatus { status: 408 | 425, .. } => Retry::Soon,
            Self::RateLimited { retry_after, .. } => Retry::when(*retry_after),
            Self::ServerError { status, retry_after, .. } => of_server_error(*status, *retry_after),
            Self::LayerNowhere { problems, .. } => of_urls(problems),
            Self::NoPlace { problems, .. } => problems.retry(),
            Self::NotFound { .. }
            | Self::AccessDenied { .. }
            | Self::TokenRefused { .. }
            | Self::UnknownChallenge { .. }
            | Self::BadChallenge { .. }
            | Self::BadRealm { .. }
            | Self::CredentialFile { .. }
            | Self::CredentialHelper { .. }
            | Self::LoginRefused { .. }
            | Self::ClientCertificate { .. }
            | Self::WebPage { .. }
            | Self::UnexpectedStatus { .. }
            | Self::BadRedirect { .. }
            | Self::BadUploadPlace { .. }
            | Self::BodyTooLarge { .. }
            | Self::BadPage { .. }
            | Self::NoList { .. }
            | Self::RedirectLoop { .. }
            | Self::BadHeader { .. }
            | Self::RangeIgnored { .. }
            | Self::NoToken { .. }
            | Self::DigestMismatch { .. }
            | Self::WrongLayer { .. }
            | Self::ManifestTooLarge { .. }
            | Self::Schema1 { .. }
            | Self::CaFile { .. }
            | Self::BadProxy { .. }
            | Self::PlainMirror { .. }
            | Self::BadInsecureHost { .. }
            | Self::ClientSetup(_) => Retry::Never,
        }
    }
}

fn of_failure(failure: Failure) -> Retry {
    match failure {
        // Resolvers fail for moments; a handshake breaks when its line does.
        Failure::Dns
        | Failure::Connect
        | Failure::TimedOut
        | Failure::TooSlow
        | Failure::HungUp
        | Failure::ClosedEarly
        | Failure::Proxy
        | Failure::Tls => Retry::Soon,
        Failure::Certificate
        | Failure::CertificateName
        | Failure::CertificateTime
        | Failure::ClientCertificate
        | Failure::PlainHttp
        | Failure::NotHttp => Retry::Never,
    }
}

/// 520 to 524, 527 and 530 are a CDN's words for an origin that it does not reach (Cloudflare), 529 for one that is
/// overloaded. 501, 505 and the like are decisions.
fn of_server_error(status: u16, retry_after: Option<RetryAfter>) -> Retry {
    match status {
        500 | 502..=504 | 520..=524 | 527 | 529 | 530 => Retry::when(retry_after),
        _ => retry_after.map_or(Retry::Never, |asked| Retry::After(asked.wait())),
    }
}

/// Worth it if it is for one of the URLs. A layer's own URL is no link of a registry, so it does not change.
fn of_urls(problems: &UrlProblems) -> Retry {
    let worth = problems.problems().iter().filter_map(|problem| match problem {
        UrlProblem::Failed(RegistryError::StoreRefused { .. })
        | UrlProblem::NotAsked(_)
        | UrlProblem::Missing(_) => None,
        UrlProblem::Failed(error) => Some(error.retry()).filter(|retry| *retry != Retry::Never),
    });
    worth
        .min_by_key(|retry| if let Retry::After(wait) = retry { *wait } else { Duration::ZERO })
        .unwrap_or(Retry::Never)
}

#[cfg(test)]
mod tests;
