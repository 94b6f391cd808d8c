//! Files that stand beside an archive and go where it goes: its [`Checksum`], and a [script](Sidecar::LoadScript) that
//! loads it where no new program may go.
//!
//! They are made of the images in the archive and of its bytes, as the disk gives them back. Each appears whole or not
//! at all. Nothing here fetches, or loads.

mod checksum;
mod load_script;

use std::path::{Path, PathBuf};

use crate::fsio::{Existing, FileError, write_program, write_whole};
use crate::image::ResolvedImage;

pub use checksum::{Checksum, Reading};

/// The script that checks, loads and verifies the archive of this file name, for who gives it another name than
/// [`Sidecar::LoadScript`] has.
pub fn script_named(archive: &str, checksum: &Checksum, images: &[ResolvedImage]) -> Vec<u8> {
    load_script::of(archive.as_bytes(), checksum, images)
}

/// A file beside an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sidecar {
    /// `<archive>.sha256`, which `sha256sum -c` takes.
    Checksum,
    /// `<archive>.load.sh`, which checks, loads and verifies the archive with what a site has.
    LoadScript,
}

impl Sidecar {
    /// Its path.
    pub fn path(self, archive: &Path) -> PathBuf {
        let mut path = archive.as_os_str().to_owned();
        path.push(match self {
            Self::Checksum => ".sha256",
            Self::LoadScript => ".load.sh",
        });
        path.into()
    }

    /// The most that it takes, known before the archive is there.
    pub fn most_bytes(self, archive: &Path, images: &[ResolvedImage]) -> u64 {
        self.content(archive, &Checksum::longest(), images).len() as u64
    }

    /// Puts it beside the archive, under its name by one rename. Blocks.
    pub fn write(
        self,
        archive: &Path,
        checksum: &Checksum,
        images: &[ResolvedImage],
        existing: Existing,
    ) -> Result<PathBuf, FileError> {
        let (path, content) = (self.path(archive), self.content(archive, checksum, images));
        match self {
            Self::Checksum => write_whole(&path, &content, existing),
            Self::LoadScript => write_program(&path, &content, existing),
        }
    }

    fn content(self, archive: &Path, checksum: &Checksum, images: &[ResolvedImage]) -> Vec<u8> {
        let name = archive.file_name().unwrap_or_default().as_encoded_bytes();
        match self {
            Self::Checksum => checksum.line(name),
            Self::LoadScript => load_script::of(name, checksum, images),
        }
    }
}
