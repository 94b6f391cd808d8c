//! `meta.db`: containerd's metadata, read while containerd may write it.
//!
//! containerd holds bolt's lock for as long as it runs; nobody waits for it here. A transaction never touches the pages of
//! the one before it, writes its own, and its meta page last. So a copy whose meta pages are the same after it was read as
//! before is of one transaction; else another one ended meanwhile, and the copy is made again.

use std::io::{self, Read};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::error::StoreError;
use crate::bolt::{BoltError, Database};
use crate::fsio::{FileError, FileHandle, Links};

/// For how long a copy is tried again while containerd writes.
const PATIENCE: Duration = Duration::from_secs(20);
/// A copy is held in memory; databases of real nodes have some tens of megabytes.
const MAX_BYTES: u64 = 1 << 30;
/// What it is worth to start a thread for.
const SHARE_BYTES: usize = 1 << 20;
/// Both meta pages are in here, however large pages are.
const HEAD_BYTES: u64 = 256 << 10;

/// What a root's metadata is at this moment.
pub(super) fn read(path: &Path) -> Result<Database, StoreError> {
    let file = FileHandle::open_foreign(path, Links::Follow)?;
    let started = Instant::now();
    loop {
        // What is damaged stays so: it is no use to look again.
        let copy = copy_of(&file, path)?;
        if is_still(&file, &copy).map_err(FileError::io("read", path))? {
            return Ok(copy);
        }
        if started.elapsed() > PATIENCE {
            return Err(StoreError::Restless { path: path.to_owned(), seconds: PATIENCE.as_secs() });
        }
    }
}

/// A copy of what is in use, the meta pages first: files are longer than that. How much it is, is known before it is read,
/// and no more is read should the file grow.
fn copy_of(file: &FileHandle, path: &Path) -> Result<Database, StoreError> {
    let cannot = |source| StoreError::from(FileError::io("read", path)(source));
    let mut head = Vec::new();
    file.reader_of(0..HEAD_BYTES).read_to_end(&mut head).map_err(cannot)?;
    let used_bytes = Database::used_bytes(&head).map_err(damaged(path))?.min(file.size_bytes()?);
    if used_bytes >= MAX_BYTES {
        return Err(StoreError::TooLarge { path: path.to_owned(), limit_bytes: MAX_BYTES });
    }
    let mut filled = head.len();
    let mut copy = vec![0; usize::try_from(used_bytes).unwrap_or_default().max(filled)];
    let (first, rest) = copy.split_at_mut(filled);
    first.copy_from_slice(&head);
    filled += fill(file, rest, filled as u64).map_err(cannot)?;
    copy.truncate(filled);
    Database::of(copy).map_err(damaged(path))
}

/// Reads what there is from an offset on, by several threads: most of the time goes into the memory's first use. Says how
/// much it was.
fn fill(file: &FileHandle, copy: &mut [u8], from_bytes: u64) -> io::Result<usize> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = copy.len().div_ceil(threads).max(SHARE_BYTES);
    let starts = (from_bytes..).step_by(share);
    let read: Vec<_> = thread::scope(|scope| {
        let parts: Vec<_> = copy.chunks_mut(share).zip(starts).collect();
        let work: Vec<_> = parts
            .into_iter()
            .map(|(part, from_bytes)| (part.len(), scope.spawn(move || fill_part(file, part, from_bytes))))
            .collect();
        let ended = work.into_iter().map(|(wanted, work)| (wanted, work.join()));
        ended.map(|(wanted, read)| (wanted, read.unwrap_or_else(|panic| resume_unwind(panic)))).collect()
    });
    let mut filled = 0;
    for (wanted, read) in read {
        let read = read?;
        filled += read;
        // The file ends there.
        if read < wanted {
            break;
        }
    }
    Ok(filled)
}

fn fill_part(file: &FileHandle, part: &mut [u8], from_bytes: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < part.len() {
        match file.read_at(&mut part[filled..], from_bytes + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
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
