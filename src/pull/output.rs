//! Where archives go: a file, or a folder with a default name for each image.

use std::path::{Path, PathBuf};

use super::PlannedArchive;
use super::inflate::Spool;
use crate::archive::file_name::file_names;
use crate::event::Warning;
use crate::fsio::{self, Existing, FileError};
use crate::image::ResolvedImage;
use crate::sidecar::Sidecar;

/// Where a pull writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// One archive of all images, under this name.
    File(PathBuf),
    /// An archive an image, named after it, in this folder.
    Folder(PathBuf),
    /// One archive of all images, to standard output.
    Stdout,
}

impl Output {
    /// Reads `-o`: `-` is standard output, what ends in a slash or is a folder is a folder, all else a file.
    pub fn of(path: PathBuf) -> Self {
        if path == Path::new("-") {
            return Self::Stdout;
        }
        let ends_in_slash = path.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
        if ends_in_slash || path.is_dir() { Self::Folder(path) } else { Self::File(path) }
    }

    /// True where all images go into one archive.
    pub(super) fn is_of_all(&self) -> bool {
        !matches!(self, Self::Folder(_))
    }

    /// Can archives go there, as far as can be told before any is known?
    pub(super) fn check(&self) -> Result<(), FileError> {
        fsio::check_folder(match self {
            Self::File(path) => fsio::folder_of(path),
            Self::Folder(path) => path,
            Self::Stdout => return Ok(()),
        })
    }

    /// Is there room, and a free name, for all of `planned`? Told before the first layer byte of the first. What layers
    /// inflate to is only guessed at, so that it may be too much is but a warning.
    pub(super) fn check_all(
        planned: &[PlannedArchive],
        sidecars: &[Sidecar],
        existing: Existing,
    ) -> Result<Option<Warning>, FileError> {
        let beside: Vec<_> = planned
            .iter()
            .flat_map(|PlannedArchive { path, images, .. }| {
                sidecars.iter().map(|sidecar| (sidecar.path(path), sidecar.most_bytes(path, images)))
            })
            .collect();
        let paths = planned.iter().map(|archive| &archive.path).chain(beside.iter().map(|(path, _)| path));
        paths.into_iter().try_for_each(|path| fsio::check_target(path, existing))?;
        let Some(first) = planned.first() else { return Ok(None) };
        // One archive is written after the other, so one spool is there at a time.
        let spool_bytes = planned.iter().map(|archive| Spool::size_bytes(&archive.plan)).max().unwrap_or(0);
        let spool_path = fsio::scratch_path(&first.path);
        let mut files: Vec<_> =
            planned.iter().map(|archive| (&*archive.path, archive.plan.least_size_bytes())).collect();
        files.push((&*spool_path, spool_bytes));
        files.extend(beside.iter().map(|(path, bytes)| (&**path, *bytes)));
        fsio::check_room(&files)?;
        let estimated_bytes = planned.iter().map(|archive| archive.plan.size_bytes()).sum();
        let room = fsio::space(fsio::folder_of(&first.path)).filter(|_| spool_bytes > 0);
        let free_bytes = room.map_or(u64::MAX, |room| room.free_bytes);
        let path = first.path.clone();
        let may_not_fit = free_bytes < spool_bytes.saturating_add(estimated_bytes);
        Ok(may_not_fit.then_some(Warning::MayNotFit { path, estimated_bytes, spool_bytes, free_bytes }))
    }

    /// Which images go into which file.
    pub(super) fn archives(&self, images: Vec<ResolvedImage>) -> Vec<(PathBuf, Vec<ResolvedImage>)> {
        match self {
            Self::File(path) => vec![(path.clone(), images)],
            Self::Stdout => vec![("-".into(), images)],
            Self::Folder(folder) => {
                // `./name` is what nobody types.
                let folder = if folder == Path::new(".") { Path::new("") } else { folder };
                let paths: Vec<_> = file_names(&images).iter().map(|name| folder.join(name)).collect();
                paths.into_iter().zip(images.into_iter().map(|image| vec![image])).collect()
            }
        }
    }
}
