//! An upload of which nobody knows what it is: inflated by a thread of its own, as it comes.
//!
//! Uploads wait for each other at their first bytes, and the daemon with them: only one of them has the spool.

use std::io::{self, Read, Seek, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::FutureExt;
use tokio::sync::OwnedMutexGuard;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::{Asked, Form, KeptLayer, Shared, Spool, Step};
use crate::blob::{Limits, Unpacking, take_in};
use crate::image::config::MAX_CONFIG_BYTES;
use crate::image::{Algorithm, DiffId, Digest, Hasher};
use crate::registry::server::{Answer, ServerError, Upload};

/// Chunks on their way to the inflating thread.
const CHUNKS: usize = 4;

pub(super) struct ShimUpload {
    shared: Arc<Shared>,
    asked: Arc<Asked>,
    size_bytes: u64,
    second: Option<Hasher>,
    /// What came, while it may be a document.
    document: Option<Vec<u8>>,
    taking: Option<Taking>,
}

/// The thread that takes in an upload.
struct Taking {
    chunks: Sender<Bytes>,
    done: JoinHandle<io::Result<Taken>>,
}

struct Taken {
    layer: Option<Unpacking>,
    spool: OwnedMutexGuard<Spool>,
}

impl ShimUpload {
    pub(super) fn new(shared: Arc<Shared>, asked: Arc<Asked>) -> Self {
        let document = asked.document.as_ref().map(|_| Vec::new());
        let second = asked.second_algorithm().map(Hasher::new);
        Self { shared, asked, size_bytes: 0, second, document, taking: None }
    }

    async fn take(&mut self, bytes: Bytes) -> Result<(), ServerError> {
        self.size_bytes += bytes.len() as u64;
        self.shared.tell(Step::Received(bytes.len() as u64));
        if let Some(second) = &mut self.second {
            second.update(&bytes);
        }
        match &mut self.document {
            Some(document) if (document.len() + bytes.len()) as u64 <= MAX_CONFIG_BYTES => {
                document.extend_from_slice(&bytes);
            }
            _ => self.document = None,
        }
        let Some(layer) = &self.asked.layer else { return Ok(()) };
        if self.taking.is_none() {
            let spool = Arc::clone(&self.shared.spool).lock_owned().await;
            self.taking = Some(Taking::start(spool, layer.clone()));
        }
        let Some(taking) = &self.taking else { return Ok(()) };
        if taking.chunks.send(bytes).await.is_ok() {
            return Ok(());
        }
        Err(self.end().await.map_or_else(|failure| failure, |_| io::Error::other("it ended early").into()))
    }

    /// What the thread made of it. What it says of the disk ends the grab.
    async fn end(&mut self) -> Result<Option<Taken>, ServerError> {
        let Some(Taking { chunks, done }) = self.taking.take() else { return Ok(None) };
        drop(chunks);
        done.await.map_err(io::Error::other).and_then(|taken| taken).map(Some).map_err(|failure| {
            let kind = failure.kind();
            self.shared.tell(Step::Failed(failure));
            io::Error::from(kind).into()
        })
    }

    async fn keep(mut self: Box<Self>, digest: Digest) -> Result<(), ServerError> {
        let taken = self.end().await?;
        let size_bytes = self.size_bytes;
        if let (Some(Taken { layer: Some(layer), mut spool }), Some(wanted)) = (taken, &self.asked.layer)
            && layer.digest == *wanted.digest()
            && let Some(file) = spool.file.take()
        {
            self.shared.tell(Step::Kept(KeptLayer { digest, size_bytes, layer, file }));
            return Ok(());
        }
        let mut state = self.shared.state();
        state.received.insert(digest.clone(), size_bytes);
        match self.document.take() {
            Some(document) if self.asked.document.as_ref() == Some(&digest) => {
                state.documents.insert(digest, document.into());
            }
            _ => self.shared.tell(Step::ThrownAway(size_bytes)),
        }
        Ok(())
    }
}

impl Upload for ShimUpload {
    fn append(&mut self, bytes: Bytes) -> Answer<'_, ()> {
        self.take(bytes).boxed()
    }

    fn digest(&mut self, algorithm: Algorithm) -> Answer<'_, Digest> {
        let second = self.second.clone().map(Hasher::finish);
        let digest = second.filter(|digest| digest.algorithm() == algorithm);
        // Nothing is kept to be hashed again.
        async { digest.ok_or(ServerError::ReadOnly) }.boxed()
    }

    fn commit(self: Box<Self>, digest: Digest) -> Answer<'static, ()> {
        self.keep(digest).boxed()
    }
}

impl Taking {
    fn start(spool: OwnedMutexGuard<Spool>, wanted: DiffId) -> Self {
        let (chunks, receiver) = mpsc::channel(CHUNKS);
        let done = tokio::task::spawn_blocking(move || take(receiver, spool, &wanted));
        Self { chunks, done }
    }
}

/// Fills the spool with what comes, from its start.
fn take(chunks: Receiver<Bytes>, spool: OwnedMutexGuard<Spool>, wanted: &DiffId) -> io::Result<Taken> {
    let chunks = Chunks { chunks, current: Bytes::new() };
    let algorithm = wanted.digest().algorithm();
    let (mut nothing, mut none) = (io::sink(), io::sink());
    let mut file = spool.file.as_ref();
    if let Some(file) = &mut file {
        file.set_len(0)?;
        file.rewind()?;
    }
    let (packed, plain): (&mut (dyn Write + Send), &mut dyn Write) = match (&mut file, spool.form) {
        (Some(file), Form::Plain) => (&mut nothing, file),
        (Some(file), Form::AsPushed) => (file, &mut none),
        (None, _) => (&mut nothing, &mut none),
    };
    let layer = take_in(chunks, algorithm, Limits::default(), packed, plain)?;
    Ok(Taken { layer, spool })
}

/// What comes, as it is read. It ends when nothing more is sent.
struct Chunks {
    chunks: Receiver<Bytes>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let read = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
