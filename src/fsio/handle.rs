//! An open file, written and read at offsets.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FileError;
use super::foreign::{Links, open_regular};
use super::journal::Journal;
use super::ranges::Ranges;

/// Bytes copied at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// An open file. Many may write at once, each to its own region.
#[derive(Clone, Debug)]
pub struct FileHandle {
    file: Arc<File>,
    journal: Option<Arc<Journal>>,
    path: PathBuf,
}

impl FileHandle {
    /// A handle of `file`, which errors call `path`.
    pub(super) fn new(file: Arc<File>, journal: Option<Arc<Journal>>, path: &Path) -> Self {
        Self { file, journal, path: path.to_owned() }
    }

    /// A handle of a file without a name, which errors call `path`.
    pub fn of_nameless(file: File, path: &Path) -> Self {
        Self::new(Arc::new(file), None, path)
    }

    /// Opens a file that somebody else made, for reading.
    pub fn open_foreign(path: &Path, links: Links) -> Result<Self, FileError> {
        Ok(Self::of_foreign(open_regular(path, links)?, path))
    }

    /// A handle of a file that somebody else made, opened for reading.
    pub fn of_foreign(file: File, path: &Path) -> Self {
        Self::new(Arc::new(file), None, path)
    }

    /// Reads the file from its first byte on; where it stands is its own.
    pub fn reader(&self) -> HandleReader {
        HandleReader { file: self.file.clone(), position_bytes: 0 }
    }

    /// Reads these bytes of the file, or what of them there is.
    pub fn reader_of(&self, range: Range<u64>) -> impl Read + Send + use<> {
        let reader = HandleReader { file: self.file.clone(), position_bytes: range.start };
        reader.take(range.end.saturating_sub(range.start))
    }

    /// How many bytes the file has.
    pub fn size_bytes(&self) -> Result<u64, FileError> {
        let found = self.file.metadata().map_err(FileError::io("read", &self.path))?;
        Ok(found.len())
    }

    /// What an earlier run claims to have written of `window`, counted from its start.
    pub fn claimed(&self, window: &Range<u64>) -> Ranges {
        self.journal.as_ref().map(|journal| journal.claims().within(window)).unwrap_or_default()
    }

    /// Writes down that these bytes are written, for a later run.
    pub fn claim(&self, range: Range<u64>) {
        if let Some(journal) = &self.journal {
            journal.claim(range);
        }
    }

    /// Writes down that these bytes are not to be believed.
    pub fn disclaim(&self, range: &Range<u64>) {
        if let Some(journal) = &self.journal {
            journal.throw_away(range);
        }
    }

    /// Writes down that the file will never be what it was to become: no earlier and no later claim counts.
    pub fn give_up(&self) {
        if let Some(journal) = &self.journal {
            journal.give_up();
        }
    }

    /// True if the file stays when it is left unfinished: there is enough in it to carry on from.
    pub fn is_worth_keeping(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.is_worth_keeping())
    }

    /// The file itself, for what the system does by itself.
    #[cfg(target_os = "linux")]
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// True if both are the same open file.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }

    /// Has the file system find room for these bytes at once, which makes writing them faster. Where it can't, they are
    /// written all the same.
    pub fn reserve(&self, offset_bytes: u64, bytes: u64) {
        #[cfg(target_os = "linux")]
        {
            let flags = rustix::fs::FallocateFlags::empty();
            let _ = rustix::fs::fallocate(&*self.file, flags, offset_bytes, bytes);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (offset_bytes, bytes);
    }

    /// Has the disk begin to take what was written there, which nobody waits for. Where it can't, it begins when it likes.
    pub fn begin_to_sync(&self, range: Range<u64>) {
        begin_to_sync(&self.file, range);
    }

    /// Writes all of `bytes` at `offset_bytes`.
    pub fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> Result<(), FileError> {
        write_all_at(&self.file, bytes, offset_bytes).map_err(FileError::io("write", &self.path))
    }

    /// Writes all that `reader` has, from `position_bytes` on; says where that ends, or what `reader` failed with.
    pub fn fill_from(
        &self,
        mut position_bytes: u64,
        reader: &mut impl Read,
    ) -> Result<io::Result<u64>, FileError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(Ok(position_bytes)),
                Ok(read) => {
                    self.write_at(&chunk[..read], position_bytes)?;
                    position_bytes += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Fills `buffer` from `offset_bytes` on.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset_bytes: u64) -> Result<(), FileError> {
        while !buffer.is_empty() {
            let read = match self.read_at(buffer, offset_bytes) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                other => other,
            };
            let read = match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                read => read.map_err(FileError::io("read", &self.path))?,
            };
            buffer = &mut buffer[read..];
            offset_bytes += read as u64;
        }
        Ok(())
    }

    /// Reads what the system has of it in memory, from `offset_bytes` on, and waits for no disk; 0 where nothing tells.
    pub fn read_cached(&self, buffer: &mut [u8], offset_bytes: u64) -> usize {
        #[cfg(target_os = "linux")]
        {
            use rustix::io::{ReadWriteFlags, preadv2};
            let mut buffers = [io::IoSliceMut::new(buffer)];
            preadv2(&*self.file, &mut buffers, offset_bytes, ReadWriteFlags::NOWAIT).unwrap_or(0)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (buffer, offset_bytes);
            0
        }
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

/// Reads a file that others read too.
#[derive(Debug)]
pub struct HandleReader {
    file: Arc<File>,
    position_bytes: u64,
}

impl Read for HandleReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = read_at(&self.file, buffer, self.position_bytes)?;
        self.position_bytes += read as u64;
        Ok(read)
    }
}

impl Seek for HandleReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let from_bytes = |start: u64, distance: i64| {
            start.checked_add_signed(distance).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
        };
        self.position_bytes = match to {
            SeekFrom::Start(position_bytes) => position_bytes,
            SeekFrom::Current(distance) => from_bytes(self.position_bytes, distance)?,
            SeekFrom::End(distance) => from_bytes(self.file.metadata()?.len(), distance)?,
        };
        Ok(self.position_bytes)
    }
}

/// The same of any file.
pub(crate) fn begin_to_sync(file: &File, range: Range<u64>) {
    #[cfg(target_os = "linux")]
    {
        // What is not needed is written first; only what is on the disk already is forgotten.
        let size_bytes = std::num::NonZeroU64::new(range.end.saturating_sub(range.start));
        let _ = rustix::fs::fadvise(file, range.start, size_bytes, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, range);
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
