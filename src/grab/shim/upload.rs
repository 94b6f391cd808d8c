//! An upload of which nobody knows what it is: inflated by a thread of its own, as it comes.
//!
//! Uploads wait for each other at their first bytes, and the daemon with them: only one of them has the spool.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::FutureExt;
use tokio::sync::OwnedMutexGuard;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::{Asked, Form, KeptLayer, Shared, Spool, Step};
use crate::blob::{TakenIn, take_in};
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
    blob: TakenIn,
    /// What the disk said, which counts only of the layer that is wanted.
    refusal: Option<io::Error>,
    spool: OwnedMutexGuard<Spool>,
}

impl ShimUpload {
    pub(super) fn new(shared: Arc<Shared>, asked: Arc<Asked>) -> Self {
        let document = (!asked.documents.is_empty()).then(Vec::new);
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
        let taken = done.await.map_err(io::Error::other).and_then(|taken| taken);
        taken.map(Some).map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: io::Error) -> ServerError {
        let kind = failure.kind();
        self.shared.tell(Step::Failed(failure));
        io::Error::from(kind).into()
    }

    async fn keep(mut self: Box<Self>, digest: Digest) -> Result<(), ServerError> {
        let taken = self.end().await?;
        let size_bytes = self.size_bytes;
        if let (Some(Taken { blob, refusal, mut spool }), Some(wanted)) = (taken, &self.asked.layer) {
            match blob {
                TakenIn::Layer(layer) if layer.digest == *wanted.digest() => {
                    if let Some(refusal) = refusal {
                        return Err(self.failed(refusal));
                    }
                    if let Some(file) = spool.file.take() {
                        self.shared.tell(Step::Kept(KeptLayer { digest, size_bytes, layer, file }));
                        return Ok(());
                    }
                }
                TakenIn::Excess(excess) => self.shared.tell(Step::TooLarge(excess.of(&digest))),
                TakenIn::Layer(_) | TakenIn::Broken => {}
            }
        }
        let mut state = self.shared.state();
        state.received.insert(digest.clone(), size_bytes);
        match self.document.take() {
            Some(document) if self.asked.documents.contains(&digest) => {
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
    let mut disk = None;
    if let Some(mut file) = spool.file.as_ref() {
        file.set_len(0)?;
        file.rewind()?;
        disk = Some(Disk { file, refusal: None });
    }
    let (packed, plain): (&mut (dyn Write + Send), &mut dyn Write) = match (&mut disk, spool.form) {
        (Some(disk), Form::Plain) => (&mut nothing, disk),
        (Some(disk), Form::AsPushed) => (disk, &mut none),
        (None, _) => (&mut nothing, &mut none),
    };
    let blob = take_in(chunks, algorithm, spool.limits, packed, plain)?;
    let refusal = disk.and_then(|disk| disk.refusal);
    Ok(Taken { blob, refusal, spool })
}

/// The spool's file. What it has no room for is let go: it may be a layer that nobody wants.
struct Disk<'a> {
    file: &'a File,
    refusal: Option<io::Error>,
}

impl Write for Disk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.refusal.is_none()
            && let Err(refusal) = self.file.write_all(bytes)
        {
            self.refusal = Some(refusal);
            self.file.set_len(0)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
