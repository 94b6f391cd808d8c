//! Files that are needed for a while and have no name to come to.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::FileError;
use super::handle::FileHandle;
use super::left_over::remove_left_over;
use super::partial::{PartialFile, partial_path};
use super::space::check_room;
use super::target::{Existing, check_folder, folder_of};

/// A file that goes away when it is dropped, unless there is something in it to carry on from.
#[derive(Debug)]
pub struct ScratchFile {
    handle: FileHandle,
    /// One without a name goes by itself.
    named: Option<PartialFile>,
}

impl ScratchFile {
    /// `<target>.layers.partial`, with `size_bytes` of disk set aside. Locked and carried on from like any partial file.
    pub fn beside(target: &Path, size_bytes: u64, identity: &str) -> Result<Self, FileError> {
        let path = scratch_path(target);
        let (file, _) = PartialFile::resume(&path, size_bytes, Existing::Replace, identity)?;
        Ok(Self { handle: file.handle(), named: Some(file) })
    }

    /// A file without a name in the system's temporary folder (`$TMPDIR`), where there is room for `room_bytes`.
    pub fn temporary(room_bytes: u64) -> Result<Self, FileError> {
        Self::nameless(&std::env::temp_dir(), room_bytes)
    }

    /// The same in `folder`.
    pub fn nameless(folder: &Path, room_bytes: u64) -> Result<Self, FileError> {
        check_room(&[(&folder.join("layers"), room_bytes)])?;
        let file = tempfile::tempfile_in(folder).map_err(FileError::io("create a file in", folder))?;
        Ok(Self { handle: FileHandle::of_nameless(file, folder), named: None })
    }

    /// Removes what a dead run left beside `target`, now that nobody needs one.
    pub fn remove_left_over(target: &Path) {
        let scratch = scratch_path(target);
        // What will not go, or is another run's, is in nobody's way.
        let _ = remove_left_over(&partial_path(&scratch), &scratch);
    }

    /// It is needed no more.
    pub fn remove(self) {
        if let Some(file) = self.named {
            file.remove();
        }
    }

    /// The file.
    pub fn handle(&self) -> FileHandle {
        self.handle.clone()
    }
}

/// A file without a name on the disk of `target`.
pub fn nameless_beside(target: &Path) -> Result<File, FileError> {
    let folder = folder_of(target);
    check_folder(folder)?;
    tempfile::tempfile_in(folder).map_err(FileError::io("write to", folder))
}

/// The longest that is put behind a target's name for what is there on the way to it: a journal that takes the place of
/// the scratch file's.
pub const LONGEST_SUFFIX: &str = ".layers.partial.journal.new";

/// What a target's scratch file is called, before the `.partial`.
pub fn scratch_path(target: &Path) -> PathBuf {
    let mut path = target.as_os_str().to_owned();
    path.push(".layers");
    path.into()
}

/// Removes what was left of a file that was to come to this name, unless somebody writes it. Blocks.
pub fn remove_unfinished(target: &Path) {
    ScratchFile::remove_left_over(target);
    // What is another run's is its own business.
    let _ = remove_left_over(&partial_path(target), target);
}
