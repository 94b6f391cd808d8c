//! Files that are needed for a while and have no name to come to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FileError;
use super::handle::FileHandle;
use super::partial::{Existing, PartialFile};
use super::space::check_room;

/// A file that goes away when it is dropped.
#[derive(Debug)]
pub struct ScratchFile {
    handle: FileHandle,
    /// Removes the file; one without a name goes by itself.
    _named: Option<PartialFile>,
}

impl ScratchFile {
    /// `<target>.layers.partial`, with `size_bytes` of disk set aside. Locked like any partial file.
    pub fn beside(target: &Path, size_bytes: u64) -> Result<Self, FileError> {
        let file = PartialFile::create(&scratch_path(target), size_bytes, Existing::Replace)?;
        Ok(Self { handle: file.handle(), _named: Some(file) })
    }

    /// A file without a name in the system's temporary folder (`$TMPDIR`), where there is room for `size_bytes`.
    pub fn temporary(size_bytes: u64) -> Result<Self, FileError> {
        let folder = std::env::temp_dir();
        check_room(&[(&folder.join("layers"), size_bytes)])?;
        let file = tempfile::tempfile_in(&folder).map_err(FileError::io("create a file in", &folder))?;
        Ok(Self { handle: FileHandle::new(Arc::new(file), &folder), _named: None })
    }

    /// The file.
    pub fn handle(&self) -> FileHandle {
        self.handle.clone()
    }
}

/// What a target's scratch file is called, before the `.partial`.
pub fn scratch_path(target: &Path) -> PathBuf {
    let mut path = target.as_os_str().to_owned();
    path.push(".layers");
    path.into()
}
