//! Bytes of an open file on their way to a socket: read in chunks, with the next one under way.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::blocking;
use super::handle::FileHandle;

/// How much is read at a time: large enough that the trip to a blocking thread doesn't show, and small enough for
/// hundreds of readers.
const CHUNK_BYTES: u64 = 128 << 10;

/// Chunks of a stream in memory: one is read while the other is sent.
const CHUNKS: usize = 2;

/// The bytes of `range`. Whoever holds two chunks gets no third: what a slow reader's connection keeps is bounded here, as HTTP
/// servers take in much more than they send.
pub fn stream_range(file: FileHandle, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
    let chunks = range.end.saturating_sub(range.start).div_ceil(CHUNK_BYTES);
    let places = Arc::new(Semaphore::new(CHUNKS));
    stream::iter(0..chunks)
        .then(move |index| {
            let start = range.start + index * CHUNK_BYTES;
            chunk(file.clone(), start..range.end.min(start + CHUNK_BYTES), Arc::clone(&places))
        })
        .boxed()
}

/// Bytes that give their place back when they are sent.
struct Chunk {
    bytes: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What the system has in memory is read at once; the rest where it may wait for the disk.
async fn chunk(file: FileHandle, range: Range<u64>, places: Arc<Semaphore>) -> io::Result<Bytes> {
    let place = places.acquire_owned().await.map_err(io::Error::other)?;
    let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
    let read = file.read_cached(&mut bytes, range.start);
    if read < bytes.len() {
        let rest = blocking(move || {
            file.read_exact_at(&mut bytes[read..], range.start + read as u64).map_err(io::Error::other)?;
            io::Result::Ok(bytes)
        });
        bytes = rest.await?;
    }
    Ok(Bytes::from_owner(Chunk { bytes, _place: place }))
}
