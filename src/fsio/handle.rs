//! An open file, written and read at offsets.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FileError;

/// An open file. Many may write at once, each to its own region.
#[derive(Clone, Debug)]
pub struct FileHandle {
    file: Arc<File>,
    path: PathBuf,
}

impl FileHandle {
    /// A handle of `file`, which errors call `path`.
    pub(super) fn new(file: Arc<File>, path: &Path) -> Self {
        Self { file, path: path.to_owned() }
    }

    /// The file itself, for what the system does by itself.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// True if both are the same open file.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }

    /// Writes all of `bytes` at `offset_bytes`.
    pub fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> Result<(), FileError> {
        write_all_at(&self.file, bytes, offset_bytes).map_err(FileError::io("write", &self.path))
    }

    /// Reads what there is at `offset_bytes`, at most what `buffer` holds; 0 at the end of the file.
    pub fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        read_at(&self.file, buffer, offset_bytes)
    }

    /// The error of a file that can't be read.
    pub fn cannot_read(&self, source: io::Error) -> FileError {
        FileError::io("read", &self.path)(source)
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset_bytes: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset_bytes)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset_bytes)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset_bytes: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset_bytes)?;
        bytes = &bytes[written..];
        offset_bytes += written as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset_bytes)
}
