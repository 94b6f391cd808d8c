//! Blobs on their way from one content store to another.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::blob::{RegionError, RegionWriter, Verifier};
use crate::containerd_store::{Content, StoreError};
use crate::error::{Error, Result};
use crate::fsio::{CopyError, Existing, FileError, Links, PartialFile, copy_range, of_each, open_regular};
use crate::image::{Descriptor, Digest};

/// Bytes copied at a time: few enough to be in the page cache when they are hashed.
const COPY_BYTES: u64 = 8 << 20;
/// Bytes read at a time of a blob that is there already.
const CHUNK_BYTES: usize = 256 << 10;

/// A blob that a mirror is to have.
pub(super) struct Blob {
    descriptor: Descriptor,
    /// Where it is copied from, opened; none of one that an earlier run brought.
    source: Option<Opened>,
    target: PathBuf,
}

/// A blob's file in the store.
struct Opened {
    path: PathBuf,
    file: File,
}

/// What became of the blobs.
#[derive(Default)]
pub(super) struct Copied {
    /// Those that were there already.
    pub(super) kept: HashSet<Digest>,
    /// Those that should have been there, and aren't, or are damaged.
    pub(super) lost: HashSet<Digest>,
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
        let path = content.path(&descriptor.digest);
        let (file, got) = content.file(&descriptor.digest)?;
        if got != descriptor.size_bytes {
            let expected = descriptor.size_bytes;
            return Err(StoreError::WrongSize { path, expected, got }.into());
        }
        let target = Content::of(folder).path(&descriptor.digest);
        Ok(Self { descriptor, source: Some(Opened { path, file }), target })
    }

    /// One that an earlier run brought into the mirror at `folder`.
    pub(super) fn of_earlier(descriptor: Descriptor, folder: &Path) -> Self {
        let target = Content::of(folder).path(&descriptor.digest);
        Self { descriptor, source: None, target }
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
    fn copy(&self, source: &Opened, is_awaited: &dyn Fn() -> bool, tell: &dyn Fn(Step)) -> Result<()> {
        let mut file = source.file.try_clone().map_err(FileError::io("read", &source.path))?;
        let wrong = |error: RegionError| match error {
            RegionError::Blob(error) => Error::DamagedFile { path: source.path.clone(), source: error },
            RegionError::File(error) => error.into(),
        };
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
                    return Err(FileError::io("read", &source.path)(error).into());
                }
                Err(CopyError::Target(error)) => return Err(error.into()),
                Ok(()) => part.adopt(bytes).map_err(wrong)?,
            }
            tell(Step::Progressed(bytes));
        }
        drop(part);
        region.finish().map_err(wrong)?;
        partial.sync()?;
        partial.commit()?;
        Ok(())
    }

    /// What nobody waits to hear.
    fn interrupted(&self) -> Error {
        FileError::io("copy", &self.target)(ErrorKind::Interrupted.into()).into()
    }
}

/// Copies all blobs that are not there yet, in order. The first error ends it.
pub(super) fn copy_all(
    blobs: &[Blob],
    is_awaited: &(dyn Fn() -> bool + Sync),
    tell: Tell<'_>,
) -> Result<Copied> {
    let copied = Mutex::new(Copied::default());
    let ended = || copied.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = Mutex::new(None);
    let fails = || failed.lock().unwrap_or_else(PoisonError::into_inner);
    let numbered: Vec<_> = blobs.iter().enumerate().collect();
    of_each(&numbered, |(index, blob)| {
        if fails().is_some() {
            return;
        }
        let goes_on = || is_awaited() && fails().is_none();
        match copy_one(blob, &goes_on, &|step| tell((*index, step))) {
            Ok(Ended::Copied) => {}
            Ok(Ended::Kept) => _ = ended().kept.insert(blob.digest().clone()),
            Ok(Ended::Lost) => _ = ended().lost.insert(blob.digest().clone()),
            Err(error) => _ = fails().get_or_insert(error),
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(copied.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// What became of a blob.
enum Ended {
    Copied,
    Kept,
    Lost,
}

fn copy_one(blob: &Blob, is_awaited: &dyn Fn() -> bool, tell: &dyn Fn(Step)) -> Result<Ended> {
    tell(Step::Started);
    let ended = match (blob.is_there(is_awaited, tell)?, &blob.source) {
        (true, _) => Ended::Kept,
        (false, Some(source)) => {
            blob.copy(source, is_awaited, tell)?;
            Ended::Copied
        }
        (false, None) => Ended::Lost,
    };
    tell(Step::Verified);
    Ok(ended)
}

/// Takes away a link that stands where a file goes: what it leads to is nobody's business here.
pub(super) fn remove_link(path: &Path) -> std::result::Result<(), FileError> {
    if path.is_symlink() { fs::remove_file(path).map_err(FileError::io("remove", path)) } else { Ok(()) }
}

/// Makes a folder and those above it.
pub(super) fn make_folder(folder: &Path) -> std::result::Result<(), FileError> {
    fs::create_dir_all(folder).map_err(FileError::io("create", folder))
}
