//! Bytes written to a file one after the other, on a thread of its own, and on their way to the disk at once.
//!
//! Whoever has the bytes goes on meanwhile, and what a disk has already need not be waited for at the end.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use super::error::FileError;
use super::handle::FileHandle;

/// Bytes written at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks on their way.
const CHUNKS_WAITING: usize = 8;
/// After so many bytes the disk is told to begin.
const BEGIN_BYTES: u64 = 16 << 20;

/// A file that is written from its first byte on. Dropped unfinished, it ends where it is.
#[derive(Debug)]
pub struct WriteBehind {
    chunk: Vec<u8>,
    /// None once the thread has ended.
    full: Option<SyncSender<Vec<u8>>>,
    /// Chunks to be filled anew.
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<Result<u64, FileError>>>,
}

impl WriteBehind {
    /// Of a file that is open for writing.
    pub fn new(file: FileHandle) -> Self {
        let (full, chunks) = mpsc::sync_channel::<Vec<u8>>(CHUNKS_WAITING);
        let (spent, empty) = mpsc::channel();
        let thread = thread::spawn(move || {
            let (mut position_bytes, mut begun_bytes) = (0, 0);
            for mut chunk in chunks {
                file.write_at(&chunk, position_bytes)?;
                position_bytes += chunk.len() as u64;
                chunk.clear();
                let _ = spent.send(chunk);
                if position_bytes - begun_bytes >= BEGIN_BYTES {
                    file.begin_to_sync(begun_bytes..position_bytes);
                    begun_bytes = position_bytes;
                }
            }
            Ok(position_bytes)
        });
        Self { chunk: Vec::with_capacity(CHUNK_BYTES), full: Some(full), empty, thread: Some(thread) }
    }

    /// Waits until all is written, and says how much that is.
    pub fn finish(mut self) -> Result<u64, FileError> {
        let last = std::mem::take(&mut self.chunk);
        // Why the thread ended, if it did, it says itself.
        let _ = self.full.as_ref().is_some_and(|full| full.send(last).is_ok());
        self.join()
    }

    fn join(&mut self) -> Result<u64, FileError> {
        self.full = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(0),
        }
    }
}

impl Write for WriteBehind {
    /// An error is the [`FileError`] of what was written before.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK_BYTES {
            let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK_BYTES));
            let chunk = std::mem::replace(&mut self.chunk, next);
            if self.full.as_ref().is_none_or(|full| full.send(chunk).is_err()) {
                let ended = self.join().err();
                return Err(ended.map_or_else(|| io::ErrorKind::BrokenPipe.into(), io::Error::other));
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::super::{Existing, Links, PartialFile};
    use super::*;

    #[test]
    fn what_is_written_behind_is_there_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = PartialFile::create(&folder.path().join("x"), 0, Existing::Replace).unwrap();
        let bytes: Vec<u8> = (0..20_000_000u32).map(|number| number.to_le_bytes()[1]).collect();
        let mut writing = WriteBehind::new(file.handle());
        for piece in bytes.chunks(70_001) {
            writing.write_all(piece).unwrap();
        }
        assert_eq!(writing.finish().unwrap(), bytes.len() as u64);
        let path = file.commit().unwrap();
        assert!(std::fs::read(path).unwrap() == bytes);
    }

    #[test]
    fn a_file_that_takes_nothing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "").unwrap();
        let read_only = || FileHandle::open_foreign(&path, Links::Follow).unwrap();
        let mut writing = WriteBehind::new(read_only());
        let failure = loop {
            if let Err(failure) = writing.write_all(&vec![0; CHUNK_BYTES]) {
                break failure;
            }
        };
        assert!(matches!(failure.downcast::<FileError>(), Ok(FileError::Io { action: "write", .. })));
        let mut writing = WriteBehind::new(read_only());
        writing.write_all(b"a little").unwrap();
        assert!(matches!(writing.finish(), Err(FileError::Io { action: "write", .. })));
    }
}
