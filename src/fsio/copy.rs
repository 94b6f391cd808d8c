//! Bytes from one file to another, inside the system where it can: some file systems then share them.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use super::error::FileError;
use super::handle::FileHandle;

/// Bytes copied at a time where the system can't.
const CHUNK_BYTES: usize = 256 << 10;

/// A copy that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source can't be read, or is shorter than it was.
    #[error("cannot read the source")]
    Source(#[source] io::Error),
    /// The target can't be written.
    #[error(transparent)]
    Target(#[from] FileError),
}

/// Copies the next `size_bytes` of `source`, from where it stands, to an offset of `target`.
pub fn copy_range(
    source: &mut File,
    size_bytes: u64,
    target: &FileHandle,
    to_bytes: u64,
) -> Result<(), CopyError> {
    let mut done_bytes = copy_in_the_system(source, size_bytes, target, to_bytes);
    let mut chunk = vec![0; if done_bytes < size_bytes { CHUNK_BYTES } else { 0 }];
    while done_bytes < size_bytes {
        let wanted = usize::try_from(size_bytes - done_bytes).unwrap_or(usize::MAX).min(chunk.len());
        let read = match source.read(&mut chunk[..wanted]) {
            Ok(0) => return Err(CopyError::Source(ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.map_err(CopyError::Source)?,
        };
        target.write_at(&chunk[..read], to_bytes + done_bytes)?;
        done_bytes += read as u64;
    }
    Ok(())
}

/// How much `copy_file_range` brought over. Whatever stops it (another file system, none that can, a disk that fails),
/// reading and writing tells.
#[cfg(target_os = "linux")]
fn copy_in_the_system(source: &File, size_bytes: u64, target: &FileHandle, to_bytes: u64) -> u64 {
    let mut done_bytes = 0;
    while done_bytes < size_bytes {
        let mut to = to_bytes + done_bytes;
        let wanted = usize::try_from(size_bytes - done_bytes).unwrap_or(CHUNK_BYTES);
        match rustix::fs::copy_file_range(source, None, target.file(), Some(&mut to), wanted) {
            Ok(0) => break,
            Ok(copied) => done_bytes += copied as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    done_bytes
}

#[cfg(not(target_os = "linux"))]
fn copy_in_the_system(_: &File, _: u64, _: &FileHandle, _: u64) -> u64 {
    0
}
