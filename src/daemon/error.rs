//! How it went wrong with a daemon.

use std::path::PathBuf;

use crate::fsio::FileError;
use crate::registry::{Cause, Failure, RegistryError, Said};

/// A daemon could not be reached, or refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// Nobody answers there.
    #[error("cannot reach {daemon} at {address}: {why}")]
    Unreachable {
        /// What it is called (`Docker`).
        daemon: &'static str,
        /// Its address.
        address: String,
        /// Why, in general.
        why: Why,
        /// What the system said.
        source: Cause,
    },
    /// ssh could not lead there.
    #[error("cannot reach {daemon} at {address}")]
    NoWay {
        /// What it is called.
        daemon: &'static str,
        /// Its address.
        address: String,
        /// What ssh said.
        source: SshSaid,
    },
    /// The TLS files that docker's settings name can't be used.
    #[error("docker's TLS files can't be used")]
    TlsFiles(#[source] RegistryError),
    /// No client could be made.
    #[error("cannot speak to {address}")]
    Setup {
        /// The daemon's address.
        address: String,
        /// Why.
        source: Cause,
    },
    /// What answers is something else.
    #[error("what answers at {address} is no {daemon}")]
    Stranger {
        /// What was expected.
        daemon: &'static str,
        /// The address.
        address: String,
    },
    /// The daemon answered with an error.
    #[error("{daemon} can't {action}: status {status}")]
    Answered {
        /// What it is called.
        daemon: &'static str,
        /// What was asked of it.
        action: String,
        /// The status.
        status: u16,
        /// What it said.
        source: Option<Said>,
    },
    /// The daemon took the archive and found fault with it, or with its own disk.
    #[error("{daemon} did not load the archive: {said}")]
    Refused {
        /// What it is called.
        daemon: &'static str,
        /// Its own words, fit to show.
        said: String,
    },
    /// The daemon did not push an image, or not to its end.
    #[error("{daemon} did not push {image}: {said}")]
    NotPushed {
        /// What it is called.
        daemon: &'static str,
        /// The image.
        image: String,
        /// Its own words, fit to show.
        said: String,
    },
    /// The daemon began to do something, and gave up.
    #[error("{daemon} can't {action}: {said}")]
    NotMade {
        /// What it is called.
        daemon: &'static str,
        /// What was asked of it.
        action: String,
        /// Its own words, fit to show.
        said: String,
    },
    /// The connection ended before the daemon said how it went.
    #[error("{daemon} stopped answering: {failure}")]
    Interrupted {
        /// What it is called.
        daemon: &'static str,
        /// How.
        failure: Failure,
        /// The innermost reason.
        source: Cause,
    },
    /// The client that speaks to containerd is not there.
    #[error("there is no `ctr` on the PATH")]
    NoCtr,
    /// The client that speaks to containerd could not be run.
    #[error("cannot run `ctr`")]
    Ctr(#[source] std::io::Error),
    /// containerd's socket is not there.
    #[error("cannot reach containerd at {}: there is no such socket", .0.display())]
    NoContainerd(PathBuf),
    /// containerd's client could not reach it.
    #[error("cannot reach containerd at {}: {said}", .address.display())]
    ContainerdUnreachable {
        /// Its socket.
        address: PathBuf,
        /// The end of what the client said, fit to show.
        said: String,
    },
    /// containerd's client ended with an error.
    #[error("containerd can't {action}: {said}")]
    CtrFailed {
        /// What was asked of it.
        action: String,
        /// The end of what it said, fit to show.
        said: String,
    },
    /// The archive can't be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why nobody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no such socket.
    NoSocket,
    /// Nobody listens.
    NobodyListens,
    /// The socket is for others.
    NotAllowed,
    /// Whatever happens to connections.
    Connection(Failure),
}

impl std::fmt::Display for Why {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSocket => formatter.write_str("there is no such socket"),
            Self::NobodyListens => formatter.write_str("nobody listens there"),
            Self::NotAllowed => formatter.write_str("the socket is not for this user"),
            Self::Connection(failure) => failure.fmt(formatter),
        }
    }
}

/// What ssh said, fit to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ssh said: {0}")]
pub struct SshSaid(pub String);

impl DaemonError {
    /// True if the daemon began to push, and gave up.
    pub fn is_of_push(&self) -> bool {
        matches!(self, Self::NotPushed { .. } | Self::CtrFailed { .. } | Self::Answered { status: 400.., .. })
    }

    /// True if the daemon's own disk is full.
    pub fn is_of_full_disk(&self) -> bool {
        let said = match self {
            Self::Refused { said, .. } | Self::CtrFailed { said, .. } => said,
            Self::Answered { source: Some(Said::Error { message, .. }), .. } => message,
            _ => return false,
        };
        ["no space left on device", "disk quota exceeded"].iter().any(|words| said.contains(words))
    }
}
