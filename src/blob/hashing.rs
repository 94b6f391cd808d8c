//! Hashing on a thread of its own, beside whoever has the bytes.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use crate::image::{Algorithm, Digest, Hasher};

/// Bytes handed over at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks on their way.
const CHUNKS_WAITING: usize = 8;

/// A SHA-256 on its way. Dropped, it ends.
#[derive(Debug)]
pub struct HashThread {
    chunk: Vec<u8>,
    full: SyncSender<Vec<u8>>,
    /// Chunks to be filled anew.
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Digest>,
}

impl HashThread {
    /// Of no bytes yet.
    pub fn new() -> Self {
        let (full, chunks) = mpsc::sync_channel::<Vec<u8>>(CHUNKS_WAITING);
        let (spent, empty) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            for mut chunk in chunks {
                hasher.update(&chunk);
                chunk.clear();
                let _ = spent.send(chunk);
            }
            hasher.finish()
        });
        Self { chunk: Vec::with_capacity(CHUNK_BYTES), full, empty, thread }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = rest;
            if self.chunk.len() == CHUNK_BYTES {
                let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK_BYTES));
                // The thread takes all until this is dropped.
                let _ = self.full.send(std::mem::replace(&mut self.chunk, next));
            }
        }
    }

    /// The digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        let Self { chunk, full, thread, .. } = self;
        let _ = full.send(chunk);
        drop(full);
        match thread.join() {
            Ok(digest) => digest,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Default for HashThread {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_any_pieces_hash_to_their_digest() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
        for piece in [1000, CHUNK_BYTES, CHUNK_BYTES + 1, bytes.len()] {
            let mut hashing = HashThread::new();
            bytes.chunks(piece).for_each(|piece| hashing.update(piece));
            assert_eq!(hashing.finish(), Digest::of(&bytes));
        }
        assert_eq!(HashThread::new().finish(), Digest::of(b""));
    }
}
