//! Small files that are known whole: written in one go, and there by one rename.

use std::path::{Path, PathBuf};

use super::error::FileError;
use super::partial::PartialFile;
use super::target::Existing;

/// Puts a file with these bytes under the name, on disk when this returns. Blocks.
pub fn write_whole(path: &Path, bytes: &[u8], existing: Existing) -> Result<PathBuf, FileError> {
    begin(path, bytes, existing)?.commit()
}

/// The same of a program: whoever may read the file may run it.
pub fn write_program(path: &Path, bytes: &[u8], existing: Existing) -> Result<PathBuf, FileError> {
    let file = begin(path, bytes, existing)?;
    file.make_executable();
    file.commit()
}

fn begin(path: &Path, bytes: &[u8], existing: Existing) -> Result<PartialFile, FileError> {
    let file = PartialFile::create(path, bytes.len() as u64, existing)?;
    file.handle().write_at(bytes, 0)?;
    file.sync()?;
    Ok(file)
}
