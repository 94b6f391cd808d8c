//! Why a container's layer can't be had, or not be put in the place of another.

use std::fmt;
use std::path::PathBuf;

use crate::containerd_store::StoreError;
use crate::daemon::DaemonError;
use crate::foreign::shown;
use crate::fsio::FileError;
use crate::layer_file::{LayerFileError, Problem};
use crate::overlay::OverlayError;

/// A container's layer can't be had, or not be put in the place of another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerLayerError {
    /// Others than root see neither all files nor which directories are opaque.
    #[error("a container's layer is for root only, with all its rights and outside of user namespaces")]
    NotRoot,
    /// There is no such container.
    #[error("{daemon} has no container `{}`", shown(.name))]
    NoSuchContainer {
        /// Who was asked.
        daemon: String,
        /// What it was asked for.
        name: String,
    },
    /// The container is not stopped.
    #[error("the container `{}` is {}", shown(.name), shown(.status))]
    NotStopped {
        /// The container.
        name: String,
        /// What it does, in Docker's word.
        status: String,
        /// True if it may be frozen for as long as it takes.
        may_be_frozen: bool,
    },
    /// Somebody started the container meanwhile.
    #[error("the container `{}` was started meanwhile", shown(.name))]
    Started {
        /// The container.
        name: String,
    },
    /// Something has the layer mounted.
    #[error("the layer of the container `{}` is mounted at {}", shown(.name), .at.display())]
    Mounted {
        /// The container.
        name: String,
        /// Where.
        at: PathBuf,
    },
    /// The daemon is on another machine, as far as its address tells.
    #[error("{daemon} is not on this machine, where its containers' directories would be")]
    Remote {
        /// Who and where it is.
        daemon: String,
    },
    /// podman's containers are elsewhere.
    #[error("{daemon} is podman, whose containers are kept in another way than Docker's")]
    Podman {
        /// Who and where it is.
        daemon: String,
    },
    /// Something else than overlayfs keeps the container's layer.
    #[error("the container `{}` is kept by the storage driver `{}`", shown(.name), shown(.driver))]
    Driver {
        /// The container.
        name: String,
        /// The driver.
        driver: String,
    },
    /// What Docker tells of is not there.
    #[error("{} is not here, or not the container's: Docker sees other files than this machine has", .path.display())]
    NotHere {
        /// Where Docker has the layer.
        path: PathBuf,
    },
    /// No containerd root has a snapshot for the container.
    #[error("no containerd root has a snapshot of the container `{}`; looked in {}", shown(.name), listed(.looked))]
    NoSnapshot {
        /// The container.
        name: String,
        /// The roots.
        looked: Vec<PathBuf>,
    },
    /// The container is of another image than the layer.
    #[error("the layer is of the image {of_layer}; the container `{}` is of {of_container}", shown(.name))]
    OtherImage {
        /// The container.
        name: String,
        /// The layer's image.
        of_layer: Box<NamedImage>,
        /// The container's.
        of_container: Box<NamedImage>,
    },
    /// The layer was kept by a driver that keeps layers in another way.
    #[error("the layer was kept by `{}`, the container `{}` is by `{}`", shown(.of_layer), shown(.name), shown(.of_container))]
    OtherDriver {
        /// The container.
        name: String,
        /// The layer's driver.
        of_layer: String,
        /// The container's.
        of_container: String,
    },
    /// The numbers of owners mean other users.
    #[error("owners in the layer are those of {}, this Docker's are those of {}",
        users(.of_layer.as_deref()), users(.here.as_deref()))]
    OtherUsers {
        /// The user namespace of the Docker that the layer is from.
        of_layer: Option<String>,
        /// That of this one.
        here: Option<String>,
    },
    /// The file is not whole.
    #[error("{} is damaged: {}", .path.display(), first(.problems))]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
    /// Another sealift works on this container.
    #[error("another sealift works in {}", .folder.display())]
    Locked {
        /// The folder the container's layer is in.
        folder: PathBuf,
    },
    /// A journal that fits nothing that is there.
    #[error("{} was left by an import that did not end, and {} is neither what it found nor what it brought",
        .journal.display(), .layer.display())]
    Unclear {
        /// The journal.
        journal: PathBuf,
        /// The layer's directory.
        layer: PathBuf,
    },
    /// A journal that can't be read.
    #[error("{} is damaged: it says which directory is the container's layer", .path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The new layer is in its place, and something after that failed.
    #[error("the new layer is in the place of the old one, but not all is done in {}", .folder.display())]
    Unfinished {
        /// The folder the container's layer is in.
        folder: PathBuf,
        /// What failed.
        source: Box<Self>,
    },
    /// Somebody took the container up just when the new layer took the old one's place.
    #[error("in the moment of the exchange somebody took the container up: what it writes now may go into the new layer, or into {}",
        .backup.display())]
    TakenUp {
        /// The old layer.
        backup: PathBuf,
        /// What was found.
        source: Box<Self>,
    },
    /// The layer can't be unpacked beside the container's.
    #[error("cannot unpack the layer in {}", .folder.display())]
    NotUnpacked {
        /// The folder the container's layer is in.
        folder: PathBuf,
        /// Why.
        source: Box<Self>,
    },
    /// A note of ours that can't be read.
    #[error("{} is damaged", .path.display())]
    Note {
        /// What stands beside a backup.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is no backup at all.
    #[error("the container `{}` has no backup", shown(.name))]
    NoBackup {
        /// The container.
        name: String,
    },
    /// There is no backup of that name.
    #[error("the container `{}` has no backup `{}`", shown(.name), shown(.backup))]
    NoSuchBackup {
        /// The container.
        name: String,
        /// What was asked for.
        backup: String,
    },
    /// A frozen container was not let go on.
    #[error("the container `{}` is still paused", shown(.name))]
    StillPaused {
        /// The container.
        name: String,
        /// Why.
        source: Box<DaemonError>,
    },
    /// Docker could not be asked.
    #[error("cannot ask Docker about the container: {0}")]
    Unasked(String),
    /// The daemon could not be reached, or refused.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// containerd's metadata can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer's file can't be written or read.
    #[error(transparent)]
    LayerFile(#[from] LayerFileError),
    /// A layer can't be read or unpacked.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// This machine stands in the way.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ContainerLayerError {
    /// What this machine says of a file, where that alone is in the way.
    pub fn file(&self) -> Option<&FileError> {
        match self {
            Self::File(error)
            | Self::Overlay(OverlayError::File(error))
            | Self::LayerFile(
                LayerFileError::File(error)
                | LayerFileError::Scratch(error)
                | LayerFileError::Overlay(OverlayError::File(error)),
            ) => Some(error),
            _ => None,
        }
    }
}

/// An image, as it was named, and its ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedImage {
    /// The name.
    pub name: String,
    /// The ID.
    pub id: String,
}

impl fmt::Display for NamedImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`, {}", shown(&self.name), shown(&self.id))
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn first(problems: &[Problem]) -> String {
    let first = problems.first().map(ToString::to_string).unwrap_or_default();
    match problems.len() {
        0 | 1 => first,
        count => format!("{first} (and {} more)", count - 1),
    }
}

fn users(namespace: Option<&str>) -> String {
    match namespace {
        None => "the system's users".to_owned(),
        Some(range) => format!("the user namespace `{}`", shown(range)),
    }
}
