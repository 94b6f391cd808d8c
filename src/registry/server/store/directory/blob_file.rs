//! Blobs on their way into files, written as they come.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Answer, Upload};
use super::blocking;
use super::layout::Layout;
use super::temporary::Temporary;
use crate::image::{Algorithm, Digest, Hasher};

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
