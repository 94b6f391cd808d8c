//! The verbs' error: a variant for each noun that can fail, each with fields that name the object.
//!
//! Nouns have errors of their own and don't know this one.
//!
//! Texts are lower-case fragments that never repeat their source. Headings, hints and exit codes belong to the
//! binary (`cli/report.rs`).

use std::path::PathBuf;

use crate::archive::writer::Incomplete;
use crate::archive::{PlanError, StreamError};
use crate::archived::{OpenError, Unresolved, Unsound};
use crate::blob::{BlobError, InflateError, RegionError};
#[cfg(target_os = "linux")]
use crate::container_layer::ContainerLayerError;
use crate::containerd_store::{RebuildError, StoreError};
use crate::daemon::DaemonError;
use crate::fsio::FileError;
use crate::grab::GrabError;
use crate::image::{Descriptor, Digest, Registry};
use crate::load::LoadError;
use crate::pull::ResolveError;
use crate::push::GatherError;
use crate::registry::{RegistryError, Retry};
use crate::source::{Source, SourceError};
use crate::verify::RepairError;
use crate::verify::against::AgainstError;

/// Whatever can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Where an image comes from could not be reached, refused or answered nonsense.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What a reference leads to is no image that can be pulled.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// An image can't be put into an archive.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A blob's bytes aren't what its digest says.
    #[error("a blob of `{registry}` failed verification")]
    Blob {
        /// Whose it is; a mirror may have sent it.
        registry: Registry,
        /// What is wrong with it.
        source: BlobError,
    },
    /// A file that should hold a blob holds something else.
    #[error("{} is damaged", .path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BlobError,
    },
    /// A file that a blob was reused from is not what it was when the blob was verified.
    #[error("{} changed while it was read", .path.display())]
    Reused {
        /// The archive or layout.
        path: PathBuf,
        /// What is wrong with the blob now.
        source: BlobError,
    },
    /// A layer can't be inflated, or isn't what the config says.
    #[error(transparent)]
    Inflate(InflateError),
    /// The layers of an archive inflate to more than it may have.
    #[error("the archive would have {size_bytes} bytes, more than it may")]
    MayNotGrow {
        /// The archive's true size.
        size_bytes: u64,
    },
    /// Something failed too often in a row.
    #[error("it failed {tries} times in {seconds:.1} s")]
    GaveUp {
        /// How often it was tried.
        tries: u32,
        /// For how long.
        seconds: f64,
        /// How the last try failed.
        source: Box<Error>,
    },
    /// A blob's transfer failed for good.
    #[error("{digest} stopped at {written_bytes} of {size_bytes} bytes")]
    Stopped {
        /// The blob.
        digest: Digest,
        /// How much of it came.
        written_bytes: u64,
        /// Its size.
        size_bytes: u64,
        /// Whether that stays for the next run to carry on from.
        is_kept: bool,
        /// Why.
        source: Box<Error>,
    },
    /// A blob's bytes aren't what its digest says; nothing of it stays at the registry it was on its way to.
    #[error("a blob of {origin} failed verification")]
    Damaged {
        /// What it was read from.
        origin: String,
        /// What is wrong with it.
        source: BlobError,
    },
    /// A blob did not get to its registry.
    #[error("{digest} did not get to `{registry}`: it has {has_bytes} of {size_bytes} bytes")]
    NotSent {
        /// The blob.
        digest: Digest,
        /// Where it was to go.
        registry: Registry,
        /// How much of it is there, by the registry's word.
        has_bytes: u64,
        /// Its size.
        size_bytes: u64,
        /// Why.
        source: Box<Error>,
    },
    /// What a name stands for can't be pushed.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// The archive can't be written to its pipe.
    #[error(transparent)]
    Stream(StreamError),
    /// This machine stands in the way.
    #[error(transparent)]
    File(#[from] FileError),
    /// An archive can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An archive is not whole.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// An image of an archive can't be told of as a whole.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// What a file should hash to can't be told.
    #[error(transparent)]
    Against(#[from] AgainstError),
    /// An archive can't be mended.
    #[error(transparent)]
    Repair(#[from] RepairError),
    /// A daemon could not be reached, or refused.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// An archive and a daemon don't go together.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A layer can't be grabbed.
    #[error(transparent)]
    Grab(#[from] GrabError),
    /// A container's layer can't be had, or not be put in the place of another.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    ContainerLayer(ContainerLayerError),
    /// A layer can't be made anew of its snapshot.
    #[error(transparent)]
    Rebuild(RebuildError),
    /// An archive is there, but what was to stand beside it is not.
    #[error("{} is written, and whole; what was to stand beside it is not", .archive.display())]
    Sidecar {
        /// The archive.
        archive: PathBuf,
        /// What is in the way.
        source: FileError,
    },
    /// A fault of sealift's own.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
}

impl Error {
    /// Whether doing the same again may help: only what a registry's line or server did may pass.
    pub(crate) fn retry(&self) -> Retry {
        match self {
            Self::Source(SourceError::Registry(error)) => error.retry(),
            _ => Retry::Never,
        }
    }

    /// True if a server answered a range with something else: the whole may be had all the same.
    pub(crate) fn is_of_ranges(&self) -> bool {
        matches!(self, Self::Source(SourceError::Registry(error)) if error.is_of_ranges())
    }

    /// What gave up was the transfer of this blob, of which so much had come.
    pub(crate) fn stopped(self, blob: &Descriptor, written_bytes: u64, is_kept: bool) -> Self {
        match self {
            Self::GaveUp { .. } => {
                let (digest, size_bytes) = (blob.digest.clone(), blob.size_bytes);
                Self::Stopped { digest, written_bytes, size_bytes, is_kept, source: Box::new(self) }
            }
            other => other,
        }
    }

    /// For `map_err`: the bytes that `source` gave for a blob of `registry` are not the blob's.
    pub(crate) fn in_blob(source: &dyn Source, registry: &Registry) -> impl FnOnce(BlobError) -> Self {
        move |error| match source.path_of(error.digest()) {
            Some(path) => Self::DamagedFile { path, source: error },
            None => Self::Blob { registry: registry.clone(), source: error },
        }
    }

    /// The same, where they were to fill a region.
    pub(crate) fn in_region(source: &dyn Source, registry: &Registry) -> impl FnOnce(RegionError) -> Self {
        move |error| match error {
            RegionError::Blob(error) => Self::in_blob(source, registry)(error),
            RegionError::File(error) => Self::File(error),
        }
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        SourceError::from(error).into()
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        SourceError::from(error).into()
    }
}

impl From<RebuildError> for Error {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Store(error) => error.into(),
            RebuildError::File(error) => Self::File(error),
            #[cfg(target_os = "linux")]
            RebuildError::Overlay(crate::overlay::OverlayError::File(error)) => Self::File(error),
            error => Self::Rebuild(error),
        }
    }
}

#[cfg(target_os = "linux")]
impl From<ContainerLayerError> for Error {
    fn from(error: ContainerLayerError) -> Self {
        match error {
            ContainerLayerError::Daemon(error) => error.into(),
            ContainerLayerError::Store(error) => error.into(),
            error => Self::ContainerLayer(error),
        }
    }
}

impl From<InflateError> for Error {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::File(error) => Self::File(error),
            error => Self::Inflate(error),
        }
    }
}

/// `std::result::Result` with sealift's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
