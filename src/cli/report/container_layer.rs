//! How `sealift container-layer` failed: headings of its own, and exit codes.

use std::path::PathBuf;

use sealift::container_layer::ContainerLayerError;
use sealift::layer_file::LayerFileError;
use sealift::overlay::OverlayError;

use super::Failure;

/// A layer file that did not pass its check, whose lines were told.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum NotPassed {
    /// It has problems.
    #[error("{} is damaged, or no layer file", .0.display())]
    Damaged(PathBuf),
    /// It is whole, but for another Docker.
    #[error("{} is whole, but not for this Docker", .0.display())]
    Unfit(PathBuf),
    /// It is whole; there was no Docker to hold it against.
    #[error("{} is whole, but was not held against a Docker", .0.display())]
    Unchecked(PathBuf),
}

impl NotPassed {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Damaged(_) => 3,
            Self::Unfit(_) => 4,
            Self::Unchecked(_) => 7,
        }
    }
}

impl From<ContainerLayerError> for Failure {
    fn from(error: ContainerLayerError) -> Self {
        Self::Sealift(error.into())
    }
}

/// The exit code.
pub(super) fn code(error: &ContainerLayerError) -> u8 {
    match error {
        error if error.file().is_some() => 7,
        ContainerLayerError::NotRoot
        | ContainerLayerError::Remote { .. }
        | ContainerLayerError::NotHere { .. }
        | ContainerLayerError::NoSnapshot { .. }
        | ContainerLayerError::Locked { .. }
        | ContainerLayerError::Unfinished { .. }
        | ContainerLayerError::NotUnpacked { .. }
        | ContainerLayerError::Unasked(_)
        | ContainerLayerError::Overlay(OverlayError::Output(_))
        | ContainerLayerError::LayerFile(LayerFileError::Packing(_) | LayerFileError::TooLarge { .. }) => 7,
        ContainerLayerError::NoSuchContainer { .. }
        | ContainerLayerError::NoBackup { .. }
        | ContainerLayerError::NoSuchBackup { .. }
        | ContainerLayerError::OtherImage { .. }
        | ContainerLayerError::OtherDriver { .. }
        | ContainerLayerError::OtherUsers { .. } => 4,
        ContainerLayerError::Broken { .. }
        | ContainerLayerError::Unclear { .. }
        | ContainerLayerError::Journal { .. }
        | ContainerLayerError::Note { .. }
        | ContainerLayerError::LayerFile(
            LayerFileError::Changed(_) | LayerFileError::Overlay(OverlayError::NotTheSame { .. }),
        ) => 3,
        _ => 1,
    }
}
