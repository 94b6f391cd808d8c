//! How a command failed: heading, causes, hint and exit code, all in one place.
//!
//! | code | meaning | code | meaning |
//! |---|---|---|---|
//! | 0 | success | 5 | access |
//! | 1 | other | 6 | network |
//! | 2 | usage | 7 | local |
//! | 3 | integrity | 129 | hung up |
//! | 4 | not found | 130 | interrupted |
//! | | | 143 | terminated |

#[cfg(target_os = "linux")]
mod container_layer;
mod hint;

use std::error::Error as _;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use sealift::Error;
use sealift::archive::{PlanError, StreamError};
use sealift::archived::OpenError;
use sealift::config::ConfigError;
use sealift::containerd_store::{RebuildError, StoreError as ContainerdError};
use sealift::daemon::{DaemonError, EndpointError};
use sealift::fsio::FileError;
use sealift::grab::GrabError;
use sealift::image::platform::PlatformError;
use sealift::image::reference::ReferenceError;
use sealift::image_list::ListError;
use sealift::load::LoadError;
use sealift::pull::ResolveError;
use sealift::push::{DestinationError, RenameError};
use sealift::registry::login::StoreError;
use sealift::registry::{Kind, RegistryError};
use sealift::source::SourceError;
use sealift::verify::RepairError;
use sealift::verify::against::AgainstError;

use super::serve::ServeFailure;
use super::ui;
#[cfg(target_os = "linux")]
pub(super) use container_layer::NotPassed;

/// Why a command ends without success.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Sealift(#[from] sealift::Error),
    /// The same of a mirror that was to be written, for which other advice is right.
    #[error(transparent)]
    Mirror(sealift::Error),
    /// The same of images that were to be imported from one.
    #[error(transparent)]
    Import(sealift::Error),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// The same of `load`.
    #[error("{0}")]
    LoadUsage(&'static str),
    /// The same of `grab`.
    #[error("{0}")]
    GrabUsage(&'static str),
    /// No daemon was found.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The same of `verify`.
    #[error("{0}")]
    VerifyUsage(&'static str),
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
    /// An archive has no image of a name.
    #[error("{} has no image `{name}`", .path.display())]
    NotInArchive { name: String, path: PathBuf },
    /// One image was to be told, and there are more, or none.
    #[error("{} holds {count} images", .path.display())]
    SeveralInArchive { path: PathBuf, count: usize },
    /// An archive came without what was asked for.
    #[error("{} has no {document} of the image", .path.display())]
    NotKept { document: &'static str, path: PathBuf },
    /// A path that was meant as an archive.
    #[error("{} does not exist", .0.display())]
    NoSuchArchive(PathBuf),
    /// Archives with problems, which were told, and archives that can't be read.
    #[error("{}", wrong_words(*.wrong, *.of, .unread.len()))]
    Wrong { wrong: usize, of: usize, unread: Vec<Failure> },
    /// An archive was mended, and not every image of it could be.
    #[error("{} has not all images of {}", .mended.display(), .path.display())]
    NotAllMended { path: PathBuf, mended: PathBuf },
    /// A layer file that did not pass its check.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    LayerFile(#[from] NotPassed),
    /// A server does not start.
    #[error(transparent)]
    Serve(#[from] ServeFailure),
    /// By Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// By SIGTERM.
    #[error("terminated")]
    Terminated,
    /// By SIGHUP.
    #[error("the terminal went away")]
    HungUp,
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

impl From<AgainstError> for Failure {
    fn from(error: AgainstError) -> Self {
        Self::Sealift(error.into())
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        Self::Sealift(error.into())
    }
}

impl From<ContainerdError> for Failure {
    fn from(error: ContainerdError) -> Self {
        Self::Sealift(error.into())
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Sealift(error.into())
    }
}

impl Failure {
    /// The failure of a mirror.
    pub(super) fn of_mirror(self) -> Self {
        if let Self::Sealift(error) = self { Self::Mirror(error) } else { self }
    }

    /// The failure of an import.
    pub(super) fn of_import(self) -> Self {
        if let Self::Sealift(error) = self { Self::Import(error) } else { self }
    }

    /// Tells the person, and gives the exit code.
    pub(super) fn show(&self) -> ExitCode {
        if let Self::Several { failures, .. } | Self::Wrong { unread: failures, .. } = self {
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

    /// What a person reads of it.
    pub(super) fn text(&self) -> String {
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
            | Self::LoadUsage(_)
            | Self::GrabUsage(_)
            | Self::Endpoint(
                EndpointError::Address { .. }
                | EndpointError::NoContext { .. }
                | EndpointError::NoDaemon { .. },
            )
            | Self::VerifyUsage(_)
            | Self::NothingToReuse(_)
            | Self::SeveralInArchive { .. }
            | Self::Destination(_)
            | Self::Rename(_)
            | Self::Config(_) => 2,
            Self::NotInArchive { .. } | Self::NotKept { .. } => 4,
            Self::Wrong { wrong: 0, unread, .. } => unread.first().map_or(3, Self::code),
            Self::Wrong { .. } | Self::NotAllMended { .. } => 3,
            Self::NoSuchArchive(_)
            | Self::NoConfigFolder
            | Self::NoCredentialsFolder
            | Self::Endpoint(EndpointError::File { .. } | EndpointError::NoFolder) => 7,
            Self::Serve(failure) => failure.code(),
            Self::Several { failures, .. } => failures.first().map_or(1, Self::code),
            #[cfg(target_os = "linux")]
            Self::LayerFile(not_passed) => not_passed.code(),
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            // Of an import the person named the folder, not the image.
            Self::ReaderGone
            | Self::Other(_)
            | Self::Import(Error::Source(SourceError::Store(ContainerdError::NoReference { .. }))) => 1,
            Self::Sealift(error) | Self::Mirror(error) | Self::Import(error) => code_of(error),
        }
    }
}

fn wrong_words(wrong: usize, of: usize, unread: usize) -> String {
    match (of, wrong, unread) {
        (1, ..) => "the archive is not as it should be".to_owned(),
        (_, _, 0) => format!("{wrong} of {of} archives are not as they should be"),
        (_, 0, _) => format!("{unread} of {of} archives can't be read"),
        _ => format!("{wrong} of {of} archives are not as they should be, {unread} can't be read"),
    }
}

/// The text of a reference, and under it a mark at what is wrong.
fn pointed_at(error: &ReferenceError) -> [String; 2] {
    let column = error.text[..error.position].chars().count();
    [format!("    {}", error.text), format!("    {:column$}^", "")]
}

fn code_of(error: &sealift::Error) -> u8 {
    match error {
        Error::File(_)
        | Error::Sidecar { .. }
        | Error::Stream(_)
        | Error::Source(SourceError::File(_))
        | Error::Rebuild(RebuildError::NotRoot | RebuildError::NotLinux)
        | Error::Against(AgainstError::File(_))
        | Error::Open(OpenError::File(_))
        | Error::Repair(RepairError::Open(OpenError::File(_))) => 7,
        Error::Source(SourceError::Store(error)) => match error {
            ContainerdError::SeveralRoots { .. }
            | ContainerdError::Ambiguous { .. }
            | ContainerdError::NoReference { .. } => 2,
            ContainerdError::NoSuchImage { .. }
            | ContainerdError::NoSuchNamespace { .. }
            | ContainerdError::NoNamespace { .. }
            | ContainerdError::NoSuchPlatform { .. } => 4,
            ContainerdError::File(_)
            | ContainerdError::NotARoot { .. }
            | ContainerdError::NotAMirror { .. }
            | ContainerdError::NoRoot
            | ContainerdError::TooLarge { .. }
            | ContainerdError::Restless { .. } => 7,
            _ => 3,
        },
        #[cfg(target_os = "linux")]
        Error::Rebuild(RebuildError::Overlay(sealift::overlay::OverlayError::Output(_))) => 7,
        Error::Against(_) | Error::Repair(RepairError::SeveralImages(_) | RepairError::Pipe) => 2,
        Error::Blob { .. }
        | Error::Inflate(_)
        | Error::Rebuild(_)
        | Error::Reused { .. }
        | Error::Damaged { .. }
        | Error::DamagedFile { .. }
        | Error::Gather(_)
        | Error::Source(SourceError::NotInArchive { .. })
        | Error::Open(_)
        | Error::Unsound(_)
        | Error::Unresolved(_)
        | Error::Repair(_) => 3,
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
        Error::Load(error) => match error {
            LoadError::OtherPlatform { .. } => 4,
            LoadError::OneImageOnly(_) => 2,
            LoadError::NoRoom { .. } => 7,
            LoadError::Nameless { .. } => 1,
            _ => 3,
        },
        Error::Grab(error) => match error {
            GrabError::Ambiguous { .. } | GrabError::Remote { .. } | GrabError::SeveralPlatforms { .. } => 2,
            GrabError::TooLarge { .. } => 3,
            GrabError::Nothing { .. } | GrabError::NoSuchLayer { .. } | GrabError::NoLayers { .. } => 4,
            GrabError::Start(_) | GrabError::NoRandomness => 7,
            _ => 1,
        },
        #[cfg(target_os = "linux")]
        Error::ContainerLayer(error) => container_layer::code(error),
        Error::Daemon(error) if !error.is_of_full_disk() => match error {
            DaemonError::Answered { .. }
            | DaemonError::Refused { .. }
            | DaemonError::NotPushed { .. }
            | DaemonError::NotMade { .. }
            | DaemonError::CtrFailed { .. } => 1,
            _ => 7,
        },
        Error::Daemon(_) => 7,
        _ => 1,
    }
}
