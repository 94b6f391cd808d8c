//! Which failures are worth another try.

use std::time::Duration;

use super::error::RegistryError;
use super::failure::Failure;

/// Whether asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would be the same again.
    Never,
    /// Soon, but not at once.
    Soon,
    /// The server said when.
    After(Duration),
}

impl RegistryError {
    /// Whether asking again may help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { failure, .. } => match failure {
                Failure::Connect
                | Failure::TimedOut
                | Failure::ClosedEarly
                | Failure::Dns
                | Failure::Proxy => Retry::Soon,
                Failure::Certificate | Failure::PlainHttp | Failure::Tls | Failure::NotHttp => Retry::Never,
            },
            Self::Interrupted { .. }
            | Self::RateLimited { .. }
            | Self::ServerError { status: 500 | 502 | 503 | 504, .. } => Retry::Soon,
            _ => Retry::Never,
        }
    }
}
