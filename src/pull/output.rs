//! Where archives go: a file, or a folder with a default name for each image.

use std::path::PathBuf;

use super::PlannedArchive;
use crate::archive::file_name::file_names;
use crate::fsio::{self, FileError};
use crate::image::ResolvedImage;

/// Where a pull writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// One archive, under this name.
    File(PathBuf),
    /// An archive an image, named after it, in this folder.
    Folder(PathBuf),
}

impl Output {
    /// Reads `-o`: what ends in a slash or is a folder is a folder, all else a file.
    pub fn of(path: PathBuf) -> Self {
        let ends_in_slash = path.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
        if ends_in_slash || path.is_dir() { Self::Folder(path) } else { Self::File(path) }
    }

    /// Can archives go there, as far as can be told before any is known?
    pub(super) fn check(&self) -> Result<(), FileError> {
        fsio::check_folder(match self {
            Self::File(path) => fsio::folder_of(path),
            Self::Folder(path) => path,
        })
    }

    /// Is there room, and a free name, for all of `planned`? Told before the first layer byte of the first.
    pub(super) fn check_all(planned: &[PlannedArchive]) -> Result<(), FileError> {
        planned.iter().try_for_each(|archive| fsio::check_target(&archive.path))?;
        let files: Vec<_> =
            planned.iter().map(|archive| (archive.path.as_path(), archive.plan.size_bytes())).collect();
        fsio::check_room(&files)
    }

    /// A path for each image.
    pub(super) fn paths(&self, images: &[ResolvedImage]) -> Vec<PathBuf> {
        match self {
            Self::File(path) => vec![path.clone()],
            Self::Folder(folder) if folder == std::path::Path::new(".") => {
                file_names(images).into_iter().map(PathBuf::from).collect()
            }
            Self::Folder(folder) => file_names(images).iter().map(|name| folder.join(name)).collect(),
        }
    }
}
