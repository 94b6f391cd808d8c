//! How a command failed: heading, causes, hint and exit code, all in one place.
//!
//! | code | meaning | code | meaning |
//! |---|---|---|---|
//! | 0 | success | 5 | access |
//! | 1 | other | 6 | network |
//! | 2 | usage | 7 | local |
//! | 3 | integrity | 130 | interrupted |
//! | 4 | not found | 143 | terminated |

mod hint;

use std::error::Error as _;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use sealift::Error;
use sealift::archive::{ArchiveError, PlanError, StreamError};
use sealift::config::ConfigError;
use sealift::fsio::FileError;
use sealift::image::platform::PlatformError;
use sealift::image::reference::ReferenceError;
use sealift::image_list::ListError;
use sealift::pull::ResolveError;
use sealift::push::{DestinationError, RenameError};
use sealift::registry::login::StoreError;
use sealift::registry::{Kind, RegistryError};
use sealift::source::SourceError;

use super::ui;

/// Why a command ends without success.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Sealift(#[from] sealift::Error),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Destination(DestinationError),
    #[error(transparent)]
    Rename(#[from] RenameError),
    /// The options don't go together.
    #[error("{0}")]
    Usage(&'static str),
    /// The same of `login`.
    #[error("{0}")]
    LoginUsage(&'static str),
    /// A path to reuse blobs from isn't there.
    #[error("{} does not exist", .0.display())]
    NothingToReuse(PathBuf),
    #[error("there is no folder for settings: neither HOME nor XDG_CONFIG_HOME is set")]
    NoConfigFolder,
    #[error("{}", StoreError::NoFolder)]
    NoCredentialsFolder,
    /// Some of several images; the first decides the exit code.
    #[error("{} of {of} images failed", .failures.len())]
    Several { of: usize, failures: Vec<Failure> },
    /// By Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// By SIGTERM.
    #[error("terminated")]
    Terminated,
    /// stdout was closed by its reader.
    #[error("the reader of stdout went away")]
    ReaderGone,
    #[error(transparent)]
    Other(anyhow::Error),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Sealift(SourceError::from(error).into())
    }
}

impl From<DestinationError> for Failure {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Reference(error) => error.into(),
            error => Self::Destination(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Registry(error) => error.into(),
            StoreError::File(error) => error.into(),
            StoreError::NoFolder => Self::NoCredentialsFolder,
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Sealift(error.into())
    }
}

impl Failure {
    /// Tells the person, and gives the exit code.
    pub(super) fn show(&self) -> ExitCode {
        if let Self::Several { failures, .. } = self {
            for failure in failures {
                ui::talk(&failure.text());
            }
        }
        if !self.is_a_closed_pipe() {
            ui::talk(&self.text());
        }
        ExitCode::from(self.code())
    }

    /// Whoever read stdout has gone, and knows why.
    fn is_a_closed_pipe(&self) -> bool {
        match self {
            Self::ReaderGone => true,
            Self::Sealift(Error::Stream(StreamError::Write(error))) => error.kind() == ErrorKind::BrokenPipe,
            _ => false,
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![format!("error: {self}")];
        if let Self::Reference(error) = self {
            lines.extend(pointed_at(error));
        }
        let mut cause = self.source();
        while let Some(error) = cause {
            lines.push(format!("  caused by: {error}"));
            cause = error.source();
        }
        if let Self::List(ListError::Reference { source, .. }) = self {
            lines.extend(pointed_at(source));
        }
        if let Some(hint) = self.hint() {
            lines.push(format!("hint: {hint}"));
        }
        lines.join("\n")
    }

    fn code(&self) -> u8 {
        match self {
            _ if self.is_a_closed_pipe() => 1,
            Self::Reference(_)
            | Self::List(_)
            | Self::Platform(_)
            | Self::Usage(_)
            | Self::LoginUsage(_)
            | Self::NothingToReuse(_)
            | Self::Destination(_)
            | Self::Rename(_)
            | Self::Config(_) => 2,
            Self::Archive(ArchiveError::File(_)) | Self::NoConfigFolder | Self::NoCredentialsFolder => 7,
            Self::Archive(_) => 3,
            Self::Several { failures, .. } => failures.first().map_or(1, Self::code),
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::ReaderGone | Self::Other(_) => 1,
            Self::Sealift(error) => code_of(error),
        }
    }
}

/// The text of a reference, and under it a mark at what is wrong.
fn pointed_at(error: &ReferenceError) -> [String; 2] {
    let column = error.text[..error.position].chars().count();
    [format!("    {}", error.text), format!("    {:column$}^", "")]
}

fn code_of(error: &sealift::Error) -> u8 {
    match error {
        Error::Blob { .. }
        | Error::Inflate(_)
        | Error::Reused { .. }
        | Error::Damaged { .. }
        | Error::Gather(_)
        | Error::Source(SourceError::NotInArchive { .. } | SourceError::WrongDocument { .. }) => 3,
        Error::GaveUp { source, .. } | Error::Stopped { source, .. } | Error::NotSent { source, .. } => {
            code_of(source)
        }
        Error::Source(SourceError::Registry(error)) => match error.kind() {
            Kind::Unsupported => 1,
            Kind::Integrity => 3,
            Kind::NotFound => 4,
            Kind::Access => 5,
            Kind::Network => 6,
            Kind::Setup => 2,
        },
        Error::Resolve(error) => match error {
            ResolveError::NoSuchPlatform { .. } => 4,
            ResolveError::NotAnImage { .. } => 1,
            ResolveError::Manifest { source, .. } if source.is_another_kind() => 1,
            _ => 3,
        },
        Error::Plan(error) => match error {
            PlanError::NotALayer { .. } => 1,
            PlanError::PlatformsOfInflated { .. } => 2,
            _ => 3,
        },
        Error::File(_) | Error::Stream(_) | Error::Source(SourceError::File(_)) => 7,
        _ => 1,
    }
}
