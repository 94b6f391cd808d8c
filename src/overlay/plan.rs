//! What an upper directory is as it stands, before its contents are read.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::OverlayError;
use super::layer::LeftOut;
use crate::image::Digest;

/// Told of work that was done, in bytes; false: nobody waits for it any more, and it ends with `Stopped`.
pub type Watch<'a> = &'a (dyn Fn(u64) -> bool + Sync);

/// Whether devices may be made (whiteouts always may).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// They are made.
    Allow,
    /// They are an error, before anything is made.
    Refuse,
}

/// What a tree has in it, and the digest of all its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The digest over a record of each entry, contents left out.
    pub sha256: Digest,
    /// Everything, the root included.
    pub entries: u64,
    /// Regular files, each once.
    pub files: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Symlinks.
    pub symlinks: u64,
    /// Further names of what has a name already.
    pub hard_links: u64,
    /// FIFOs.
    pub fifos: u64,
    /// Character and block devices, whiteouts not counted.
    pub devices: u64,
    /// What stands for something removed.
    pub whiteouts: u64,
    /// Directories that hide what is below them.
    pub opaque: u64,
    /// Directories that were renamed (`overlay.redirect`): the kernel must follow those.
    pub redirects: u64,
    /// Files with holes.
    pub sparse: u64,
    /// Extended attributes of all entries.
    pub attributes: u64,
    /// The contents of all files, holes left out.
    pub content_bytes: u64,
}

/// An upper directory that was walked, as the raw tar it will be.
pub struct Plan {}

impl Plan {
    /// Walks the upper directory at `root`. Blocks. `watch` is told of an entry as of one byte.
    pub fn of(root: &Path, watch: Watch<'_>) -> Result<Self, OverlayError> {
        todo!()
    }

    /// The size of `layer.tar`.
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }

    /// What is in it.
    pub fn tree(&self) -> &Tree {
        todo!()
    }

    /// What is not in it: sockets.
    pub fn left_out(&self) -> &[LeftOut] {
        todo!()
    }
}
