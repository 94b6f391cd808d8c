//! Blobs as files: read in chunks with the next one under way, written as they come.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};

use super::super::{Answer, BlobBytes, Upload};
use super::blocking;
use super::layout::Layout;
use super::temporary::Temporary;
use crate::fsio::FileHandle;
use crate::image::{Algorithm, Digest, Hasher};

/// How much is read at a time: large enough that the trip to a blocking thread doesn't show.
const CHUNK_BYTES: u64 = 256 << 10;

/// The bytes of `range`. Two chunks at most are in memory beside the one being sent.
pub(super) fn read(file: FileHandle, range: Range<u64>) -> BlobBytes {
    let chunks = range.end.saturating_sub(range.start).div_ceil(CHUNK_BYTES);
    stream::iter(0..chunks)
        .map(move |index| {
            let file = file.clone();
            let start = range.start + index * CHUNK_BYTES;
            let length = (range.end - start).min(CHUNK_BYTES);
            async move {
                tokio::task::spawn_blocking(move || {
                    let mut chunk = vec![0; usize::try_from(length).map_err(io::Error::other)?];
                    file.read_exact_at(&mut chunk, start).map_err(io::Error::other)?;
                    Ok(Bytes::from(chunk))
                })
                .await
                .map_err(io::Error::other)?
            }
        })
        .buffered(2)
        .boxed()
}

/// A blob on its way in.
pub(super) struct FileUpload {
    /// Shared with a blocking thread while it works on it.
    file: Arc<Temporary>,
    layout: Arc<Layout>,
}

impl FileUpload {
    pub(super) fn new(file: Temporary, layout: Arc<Layout>) -> Self {
        Self { file: Arc::new(file), layout }
    }
}

impl Upload for FileUpload {
    fn append(&mut self, bytes: Bytes) -> Answer<'_, ()> {
        let file = Arc::clone(&self.file);
        Box::pin(blocking(move || file.file().write_all(&bytes)))
    }

    fn digest(&mut self, algorithm: Algorithm) -> Answer<'_, Digest> {
        let file = Arc::clone(&self.file);
        Box::pin(blocking(move || {
            let mut file = file.file();
            file.seek(SeekFrom::Start(0))?;
            let mut hasher = Hasher::new(algorithm);
            let mut chunk = vec![0; 64 << 10];
            loop {
                match file.read(&mut chunk)? {
                    0 => return Ok(hasher.finish()),
                    length => hasher.update(&chunk[..length]),
                }
            }
        }))
    }

    fn commit(self: Box<Self>, digest: Digest) -> Answer<'static, ()> {
        let Self { file, layout } = *self;
        Box::pin(blocking(move || {
            // The only other holder is a write that was given up on, and after that nothing is committed.
            let file = Arc::into_inner(file).ok_or(io::ErrorKind::ResourceBusy)?;
            file.rename(&layout.blob(&digest))
        }))
    }
}
