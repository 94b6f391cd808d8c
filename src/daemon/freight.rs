//! An archive on its way into a daemon: read beside the runtime's own threads.

use std::io::Read;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::event::{Event, Reporter};
use crate::fsio::FileError;

/// What is read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How many chunks wait for a slow daemon.
const CHUNKS: usize = 4;

/// Bytes of an archive, from the first to the last.
pub struct Freight {
    /// What they are read from; errors name the file.
    pub reader: Box<dyn Read + Send>,
    /// The file's path.
    pub path: std::path::PathBuf,
    /// How many there are.
    pub size_bytes: u64,
}

/// How much of it is still to be sent.
pub(super) struct Progress<'a> {
    reporter: &'a dyn Reporter,
    left_bytes: u64,
}

impl Progress<'_> {
    /// The daemon takes so many bytes more. What it says to the last of them comes after this.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.reporter.report(Event::LoadProgressed { bytes });
        self.left_bytes -= bytes;
        if self.left_bytes == 0 {
            self.reporter.report(Event::LoadSent);
        }
    }
}

/// The reading end of it. What can't be read ends it with an error.
pub(super) type Chunks = mpsc::Receiver<Result<Bytes, FileError>>;

impl Freight {
    /// Tells how much of it is sent.
    pub(super) fn progress<'a>(&self, reporter: &'a dyn Reporter) -> Progress<'a> {
        Progress { reporter, left_bytes: self.size_bytes }
    }

    /// Reads on, as long as somebody takes it.
    pub(super) fn chunks(mut self) -> Chunks {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        tokio::task::spawn_blocking(move || {
            let mut left_bytes = self.size_bytes;
            while left_bytes > 0 {
                let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left_bytes).unwrap_or(CHUNK_BYTES))];
                let read = self.reader.read_exact(&mut chunk);
                left_bytes -= chunk.len() as u64;
                let failed = read.is_err();
                let sent = read.map(|()| Bytes::from(chunk)).map_err(FileError::io("read", &self.path));
                if sender.blocking_send(sent).is_err() || failed {
                    return;
                }
            }
        });
        chunks
    }
}
