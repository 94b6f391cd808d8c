//! `meta.db`: containerd's metadata, read while containerd may write it.
//!
//! containerd holds bolt's lock for as long as it runs; nobody waits for it here. A transaction never touches the pages of
//! the one before it, writes its own, and its meta page last. So a copy whose meta pages are the same after it was read as
//! before is of one transaction; else another one ended meanwhile, and the copy is made again.

use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::StoreError;
use crate::bolt::{BoltError, Database};
use crate::fsio::{FileError, FileHandle, Links};

/// For how long a copy is tried again while containerd writes.
const PATIENCE: Duration = Duration::from_secs(20);
/// A copy is held in memory; databases of real nodes have some tens of megabytes.
const MAX_BYTES: u64 = 1 << 30;
/// Both meta pages are in here, however large pages are.
const HEAD_BYTES: u64 = 256 << 10;

/// What a root's metadata is at this moment.
pub(super) fn read(path: &Path) -> Result<Database, StoreError> {
    let file = FileHandle::open_foreign(path, Links::Follow)?;
    let started = Instant::now();
    loop {
        let read = copy_of(&file).map_err(FileError::io("read", path))?;
        let is_one_state = match &read {
            Ok(database) if database.bytes().len() as u64 >= MAX_BYTES => {
                return Err(StoreError::TooLarge { path: path.to_owned(), limit_bytes: MAX_BYTES });
            }
            Ok(database) => is_still(&file, database).map_err(FileError::io("read", path))?,
            // What is damaged stays so.
            Err(_) => true,
        };
        if is_one_state {
            return read.map_err(damaged(path));
        }
        if started.elapsed() > PATIENCE {
            return Err(StoreError::Restless { path: path.to_owned(), seconds: PATIENCE.as_secs() });
        }
    }
}

/// A copy of what is in use, the meta pages first: files are longer than that.
fn copy_of(file: &FileHandle) -> io::Result<Result<Database, BoltError>> {
    let mut copy = Vec::new();
    file.reader_of(0..HEAD_BYTES).read_to_end(&mut copy)?;
    let used_bytes = match Database::used_bytes(&copy) {
        Ok(used_bytes) => used_bytes.min(MAX_BYTES),
        Err(error) => return Ok(Err(error)),
    };
    if used_bytes > HEAD_BYTES && copy.len() as u64 == HEAD_BYTES {
        let rest = HEAD_BYTES..used_bytes.min(file.size_bytes().map_err(io::Error::other)?);
        copy.reserve_exact(usize::try_from(rest.end.saturating_sub(rest.start)).unwrap_or_default() + 1);
        file.reader_of(rest).read_to_end(&mut copy)?;
    }
    Ok(Database::of(copy))
}

/// True if the file's meta pages are those of the copy.
fn is_still(file: &FileHandle, copy: &Database) -> io::Result<bool> {
    let metas = copy.metas();
    let mut now = Vec::with_capacity(metas.len());
    file.reader().take(metas.len() as u64).read_to_end(&mut now)?;
    Ok(now == metas)
}

/// For `map_err`: a page of the database at `path` is not what it should be.
pub(super) fn damaged(path: &Path) -> impl Fn(BoltError) -> StoreError {
    move |source| StoreError::Damaged { path: path.to_owned(), source }
}
