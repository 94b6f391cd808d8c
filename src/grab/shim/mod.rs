//! The shim: a registry for one push of one daemon. It says "have it" of what nobody wants, throws away what comes all the
//! same, and keeps the one layer that is wanted, by what it inflates to.
//!
//! ```text
//! daemon ──HEAD──▶ answers: have it, unless it may be the layer
//!        ──POST, PATCH, PUT──▶ upload ──inflated, hashed──▶ the spool, if it is the layer
//!        ──PUT manifest──▶ which blob is which layer, for the next push
//! ```
//!
//! It is a [`Storage`] for the registry's server, which hashes what comes and speaks the protocol. Docker asks only for
//! blobs that it has pushed or pulled before, and uploads all others; which of them is which layer shows at their ends, or
//! in the manifest. So uploads are taken one at a time: the disk never holds more than one layer.
//!
//! Threats: anybody on this machine can connect. Only requests for one repository with a random name are answered
//! ([`guard`]), and nothing is ever handed out.

mod answers;
mod guard;
mod upload;

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::mpsc::UnboundedSender;

use crate::blob::{InflateError, Limits, Unpacking};
use crate::image::Digest;
use crate::registry::server::{
    Answer, BlobBytes, ManifestReference, RepositoryName, ServerError, Storage, StoredManifest, Tag, Upload,
};

pub(super) use answers::Asked;
pub(super) use guard::{Guard, PRESENCE, guarded};
use upload::ShimUpload;

/// The size of blobs that are not sent, which nobody needs; with 0 Docker leaves it out of its manifest.
const UNSENT_BYTES: u64 = 1;

/// What happened at the shim.
#[derive(Debug)]
pub(super) enum Step {
    /// A request was answered: its method and path, and the status.
    Answered(String),
    /// So many bytes came.
    Received(u64),
    /// An upload was none that is wanted; so many bytes of it came.
    ThrownAway(u64),
    /// The wanted layer is there, whole and verified.
    Kept(KeptLayer),
    /// All that is wanted but layers is there.
    Documented,
    /// An upload that may be the layer inflates too far.
    TooLarge(InflateError),
    /// The layer came, and could not be kept.
    Failed(std::io::Error),
}

/// The wanted layer, as it came.
#[derive(Debug)]
pub(super) struct KeptLayer {
    /// The digest of the blob.
    pub(super) digest: Digest,
    /// Its size.
    pub(super) size_bytes: u64,
    /// What it inflates to.
    pub(super) layer: Unpacking,
    /// The file it is in.
    pub(super) file: File,
}

/// How a layer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Inflated, as `layer.tar`.
    Plain,
    /// As it came.
    AsPushed,
}

/// Where the one upload that may be the layer goes. Whoever holds the lock fills it.
pub(super) struct Spool {
    /// None once the layer is in it, and was handed on.
    pub(super) file: Option<File>,
    pub(super) form: Form,
    /// How far it may inflate.
    pub(super) limits: Limits,
}

/// A registry for one push after the other, until the layer is there. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shim(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    spool: Arc<tokio::sync::Mutex<Spool>>,
    steps: UnboundedSender<Step>,
}

#[derive(Default)]
struct State {
    asked: Arc<Asked>,
    manifests: Vec<StoredManifest>,
    /// Small blobs that were wanted.
    documents: HashMap<Digest, Bytes>,
    /// What the daemon asked for.
    seen: Vec<Digest>,
    /// What came and was thrown away.
    received: HashMap<Digest, u64>,
}

impl Shim {
    pub(super) fn new(spool: Spool, steps: UnboundedSender<Step>) -> Self {
        let spool = Arc::new(tokio::sync::Mutex::new(spool));
        Self(Arc::new(Shared { state: Mutex::default(), spool, steps }))
    }

    /// What the next push is for. What came with the last one is forgotten.
    pub(super) fn ask(&self, asked: Asked) {
        let mut state = self.0.state();
        *state = State {
            asked: Arc::new(asked),
            documents: std::mem::take(&mut state.documents),
            ..State::default()
        };
    }

    /// The manifests that came since.
    pub(super) fn manifests(&self) -> Vec<StoredManifest> {
        self.0.state().manifests.clone()
    }

    /// A small blob that was wanted.
    pub(super) fn document(&self, digest: &Digest) -> Option<Bytes> {
        self.0.state().documents.get(digest).cloned()
    }

    /// The blobs that the daemon asked for since.
    pub(super) fn seen(&self) -> Vec<Digest> {
        self.0.state().seen.clone()
    }
}

impl Shared {
    /// Nothing under the lock can panic, so poison is none.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody listens any more once the push is over.
    fn tell(&self, step: Step) {
        let _ = self.steps.send(step);
    }
}

impl Storage for Shim {
    fn blob_size_bytes<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<u64>> {
        let mut state = self.0.state();
        if !state.seen.contains(digest) {
            state.seen.push(digest.clone());
        }
        let size_bytes = match state.received.get(digest) {
            Some(size_bytes) => Some(*size_bytes),
            None => state.asked.has(digest).then_some(UNSENT_BYTES),
        };
        async move { Ok(size_bytes) }.boxed()
    }

    fn open_blob<'a>(&'a self, digest: &'a Digest, _range: Range<u64>) -> Answer<'a, BlobBytes> {
        async { Err(ServerError::BlobUnknown(digest.clone())) }.boxed()
    }

    fn manifest<'a>(
        &'a self,
        _repository: &'a RepositoryName,
        _reference: &'a ManifestReference,
    ) -> Answer<'a, Option<StoredManifest>> {
        async { Ok(None) }.boxed()
    }

    fn tags<'a>(&'a self, _repository: &'a RepositoryName) -> Answer<'a, Option<Vec<Tag>>> {
        async { Ok(Some(Vec::new())) }.boxed()
    }

    fn repositories(&self) -> Answer<'_, Vec<RepositoryName>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn start_upload(&self) -> Answer<'_, Box<dyn Upload>> {
        let upload = {
            let asked = Arc::clone(&self.0.state().asked);
            if asked.takes_uploads {
                Ok(ShimUpload::new(Arc::clone(&self.0), asked))
            } else {
                Err(ServerError::ReadOnly)
            }
        };
        async move { Ok(Box::new(upload?) as Box<dyn Upload>) }.boxed()
    }

    fn keeps_cut_uploads(&self) -> bool {
        false
    }

    fn put_manifest<'a>(
        &'a self,
        _repository: &'a RepositoryName,
        tag: Option<&'a Tag>,
        manifest: StoredManifest,
    ) -> Answer<'a, ()> {
        self.0.state().manifests.push(manifest);
        let is_last = tag.is_some();
        if is_last {
            self.0.tell(Step::Documented);
        }
        // With a push that ends well daemons write down where to.
        async move { if is_last { Err(ServerError::ReadOnly) } else { Ok(()) } }.boxed()
    }
}
