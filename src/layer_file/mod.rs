//! The file of a container's own layer, out and in.

mod error;
mod metadata;
mod problem;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::fsio::Existing;
use crate::overlay::{Devices, Plan, Watch};

pub use error::LayerFileError;
pub use metadata::{About, ContainerMetadata, DockerInfo, LayerTar, LeftOutOfFile, Metadata, Mount, VERSION};
pub use problem::{Part, Problem};

/// What a layer file is packed with as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// gzip, sealed by a last, empty member.
    Gzip,
    /// zstd, sealed by a skippable frame.
    Zstd,
}

/// A file that was written, on disk under its name.
#[derive(Clone, Debug)]
pub struct WrittenFile {
    /// Its size.
    pub size_bytes: u64,
    /// What it says of itself.
    pub metadata: Metadata,
}

/// Writes the directory of `plan` as a layer file. Blocks. `watch` is told of the bytes of `layer.tar`
/// ([`Plan::size_bytes`] in all). Uncommitted on any error: nothing stays.
pub fn write(
    target: &Path,
    existing: Existing,
    plan: &Plan,
    packing: Option<Seal>,
    about: About,
    watch: Watch<'_>,
) -> Result<WrittenFile, LayerFileError> {
    todo!()
}

/// A layer file that was opened; nothing of it is believed yet.
pub struct LayerFile {}

impl LayerFile {
    /// Opens a file that somebody gave.
    pub fn open(path: &Path) -> Result<Self, LayerFileError> {
        todo!()
    }

    /// How large the file is, which is what [`verify`](Self::verify) reads and tells `watch` of.
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }

    /// Reads all of it, and compares. Blocks. An error is what keeps from reading (the disk, [`LayerFileError::Stopped`]);
    /// what is wrong with the file itself is a list of problems. `most_bytes` is what its layer may come to on a disk
    /// (the room there is), `u64::MAX` where nothing is to be unpacked.
    pub fn verify(self, most_bytes: u64, watch: Watch<'_>) -> Result<Verdict, LayerFileError> {
        todo!()
    }
}

/// What verification came to.
pub enum Verdict {
    /// Every byte is as it has to be.
    Whole(Box<VerifiedLayerFile>),
    /// It is not to be used.
    Broken {
        /// What is wrong, at least one thing.
        problems: Vec<Problem>,
        /// What it says of itself, where that could be read; unverified.
        metadata: Option<Box<Metadata>>,
    },
}

/// A layer file all of whose bytes were verified.
pub struct VerifiedLayerFile {}

impl VerifiedLayerFile {
    /// What it says of itself.
    pub fn metadata(&self) -> &Metadata {
        todo!()
    }

    /// What was lost already when the file was made: lines to tell, of files of version 1.0 only.
    pub fn lost(&self) -> &[String] {
        todo!()
    }

    /// What is in it; of files of version 1.0 too.
    pub fn tree(&self) -> &crate::overlay::Tree {
        todo!()
    }

    /// How much unpacking writes (and tells `watch` of), and how much room it takes.
    pub fn room_bytes(&self) -> u64 {
        todo!()
    }

    /// Unpacks into a new folder `name` (mode 0700 until [`VerifiedTree`]) within `beside`, which must be open for
    /// reading. Blocks. Where that fails, or what it gives is dropped, the new folder is removed.
    pub fn unpack(
        &self,
        beside: BorrowedFd<'_>,
        name: &str,
        devices: Devices,
        watch: Watch<'_>,
    ) -> Result<Unpacked, LayerFileError> {
        todo!()
    }
}

/// A tree that was unpacked and not looked at yet. Dropped, it is removed.
pub struct Unpacked {}

impl Unpacked {
    /// Reads it back and compares it with the file's tree digest and layer checksum. Blocks. `watch` is told of the same
    /// bytes as when it was unpacked. The root gets its own mode, owner and time as the last thing.
    pub fn verify(self, watch: Watch<'_>) -> Result<VerifiedTree, LayerFileError> {
        todo!()
    }
}

/// A tree on disk that is the file's, to the bit, and synced. Dropped, it is removed: [`keep`](Self::keep) says otherwise.
pub struct VerifiedTree {}

impl VerifiedTree {
    /// The tree's root, open.
    pub fn folder(&self) -> BorrowedFd<'_> {
        todo!()
    }

    /// The folder it is in, open.
    pub fn beside(&self) -> BorrowedFd<'_> {
        todo!()
    }

    /// Its name there.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// From here on it is the caller's (call it just before the rename): nothing is removed any more.
    pub fn keep(self) -> OwnedFd {
        todo!()
    }
}
