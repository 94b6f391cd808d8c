//! Blobs on their way from one content store to another.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::blob::{RegionError, RegionWriter, Verifier};
use crate::containerd_store::{Content, StoreError};
use crate::error::{Error, Result};
use crate::fsio::{CopyError, Existing, FileError, Links, PartialFile, copy_range, open_regular};
use crate::image::{Descriptor, Digest};

/// Bytes copied at a time: few enough to be in the page cache when they are hashed.
const COPY_BYTES: u64 = 8 << 20;
/// Bytes read at a time of a blob that is there already.
const CHUNK_BYTES: usize = 256 << 10;
/// A blob that is to be copied, opened.
pub(super) struct Blob {
    descriptor: Descriptor,
    source: PathBuf,
    file: File,
    target: PathBuf,
}

/// How far a blob is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Started,
    Progressed(u64),
    Verified,
}

/// Is told which blob is how far.
type Tell<'a> = &'a (dyn Fn((usize, Step)) + Sync);

impl Blob {
    pub(super) fn open(descriptor: Descriptor, content: &Content, folder: &Path) -> Result<Self> {
        let source = content.path(&descriptor.digest);
        let file = content.file(&descriptor.digest)?;
        let got = file.metadata().map_err(FileError::io("read", &source))?.len();
        if got != descriptor.size_bytes {
            let expected = descriptor.size_bytes;
            return Err(StoreError::WrongSize { path: source, expected, got }.into());
        }
        let target = Content::of(folder).path(&descriptor.digest);
        Ok(Self { descriptor, source, file, target })
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.descriptor.size_bytes
    }

    /// Where it goes.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// True if it is where it goes already, whole.
    fn is_there(&self, is_awaited: &dyn Fn() -> bool, tell: &dyn Fn(Step)) -> Result<bool> {
        let Ok(mut file) = open_regular(&self.target, Links::Refuse) else { return Ok(false) };
        let size_bytes = file.metadata().map_err(FileError::io("read", &self.target))?.len();
        if size_bytes != self.size_bytes() {
            return Ok(false);
        }
        let mut verifier = Verifier::new(&self.descriptor);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            if !is_awaited() {
                return Err(self.interrupted());
            }
            match file.read(&mut chunk).map_err(FileError::io("read", &self.target))? {
                0 => return Ok(verifier.finish().is_ok()),
                read if verifier.update(&chunk[..read]).is_ok() => tell(Step::Progressed(read as u64)),
                _ => return Ok(false),
            }
        }
    }

    /// Copies it piece by piece, each hashed when it is in its place.
    fn copy(&self, is_awaited: &dyn Fn() -> bool, tell: &dyn Fn(Step)) -> Result<()> {
        let mut file = self.file.try_clone().map_err(FileError::io("read", &self.source))?;
        remove_link(&self.target)?;
        let partial = PartialFile::create(&self.target, self.size_bytes(), Existing::Replace)?;
        let region = RegionWriter::new(partial.handle(), 0, &self.descriptor);
        let mut part = region.part(0);
        while part.position_bytes() < self.size_bytes() {
            if !is_awaited() {
                return Err(self.interrupted());
            }
            let bytes = (self.size_bytes() - part.position_bytes()).min(COPY_BYTES);
            let (target, offset_bytes) = part.next();
            match copy_range(&mut file, bytes, target, offset_bytes) {
                Err(CopyError::Source(error)) => {
                    return Err(FileError::io("read", &self.source)(error).into());
                }
                Err(CopyError::Target(error)) => return Err(error.into()),
                Ok(()) => part.adopt(bytes).map_err(|error| self.wrong(error))?,
            }
            tell(Step::Progressed(bytes));
        }
        drop(part);
        region.finish().map_err(|error| self.wrong(error))?;
        partial.sync()?;
        partial.commit()?;
        Ok(())
    }

    /// What nobody waits to hear.
    fn interrupted(&self) -> Error {
        FileError::io("copy", &self.source)(ErrorKind::Interrupted.into()).into()
    }

    fn wrong(&self, error: RegionError) -> Error {
        match error {
            RegionError::Blob(source) => Error::DamagedFile { path: self.source.clone(), source },
            RegionError::File(error) => error.into(),
        }
    }
}

/// Copies all blobs that are not there yet, in order; how many were. The first error ends it.
pub(super) fn copy_all(
    blobs: &[Blob],
    is_awaited: &(dyn Fn() -> bool + Sync),
    tell: Tell<'_>,
) -> Result<usize> {
    let (next, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(None);
    let fails = || failed.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(blob) = blobs.get(index) else { return };
            let goes_on = || is_awaited() && fails().is_none();
            match copy_one(blob, &goes_on, &|step| tell((index, step))) {
                Ok(was_there) => _ = kept.fetch_add(usize::from(was_there), Ordering::Relaxed),
                Err(error) => {
                    fails().get_or_insert(error);
                    return;
                }
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(blobs.len());
    thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(kept.into_inner()),
    }
}

/// True if the blob was there.
fn copy_one(blob: &Blob, is_awaited: &dyn Fn() -> bool, tell: &dyn Fn(Step)) -> Result<bool> {
    tell(Step::Started);
    let was_there = blob.is_there(is_awaited, tell)?;
    if !was_there {
        blob.copy(is_awaited, tell)?;
    }
    tell(Step::Verified);
    Ok(was_there)
}

/// Takes away a link that stands where a file goes: what it leads to is nobody's business here.
pub(super) fn remove_link(path: &Path) -> std::result::Result<(), FileError> {
    if path.is_symlink() { fs::remove_file(path).map_err(FileError::io("remove", path)) } else { Ok(()) }
}

/// Makes a folder and those above it.
pub(super) fn make_folder(folder: &Path) -> std::result::Result<(), FileError> {
    fs::create_dir_all(folder).map_err(FileError::io("create", folder))
}
