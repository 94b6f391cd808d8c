//! The bytes of a layer file on their way: counted, hashed for the seal, unpacked.

use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::LayerFileError;
use crate::blob::{HashThread, Packing};
use crate::fsio::FileHandle;
use crate::overlay::Watch;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// What is learnt of the file while others read what comes out of it.
#[derive(Clone)]
pub(super) struct Tap(Arc<Mutex<Tapped>>);

struct Tapped {
    hash: Option<HashThread>,
    /// Why the file could not be read, which is not what is wrong with it.
    failure: Option<LayerFileError>,
}

impl Tap {
    /// Opens the first `packed_bytes` of a file, and gives what comes out of them. `is_hashed` where there is a seal to compare.
    pub(super) fn open<'a>(
        file: &FileHandle,
        packing: Packing,
        packed_bytes: u64,
        is_hashed: bool,
        watch: Watch<'a>,
    ) -> io::Result<(Self, Box<dyn Read + Send + 'a>)> {
        let hash = is_hashed.then(HashThread::new);
        let tap = Self(Arc::new(Mutex::new(Tapped { hash, failure: None })));
        let reader = file.reader_of(0..packed_bytes);
        let tapped = TappedReader { reader, file: file.clone(), tap: tap.clone(), watch };
        let stream = packing.unpack(BufReader::with_capacity(CHUNK_BYTES, tapped))?;
        Ok((tap, stream))
    }

    /// What kept from reading the file.
    pub(super) fn failure(&self) -> Option<LayerFileError> {
        self.locked(|tapped| tapped.failure.take())
    }

    /// The digest of the stream, once all of it was read.
    pub(super) fn hash(&self) -> Option<HashThread> {
        self.locked(|tapped| tapped.hash.take())
    }

    fn locked<T>(&self, use_it: impl FnOnce(&mut Tapped) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct TappedReader<'a, R> {
    reader: R,
    file: FileHandle,
    tap: Tap,
    watch: Watch<'a>,
}

impl<R: Read> Read for TappedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let failed = |failure| {
            self.tap.locked(|tapped| tapped.failure = Some(failure));
            Err(io::ErrorKind::Other.into())
        };
        let read = match self.reader.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return failed(self.file.cannot_read(error).into());
            }
            read => read?,
        };
        self.tap.locked(|tapped| {
            if let Some(hash) = &mut tapped.hash {
                hash.update(&buffer[..read]);
            }
        });
        if (self.watch)(read as u64) { Ok(read) } else { failed(LayerFileError::Stopped) }
    }
}
