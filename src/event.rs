//! What happens, told to whoever wants to show it. The library never draws or prints.

mod warning;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::image::{Digest, Platform, Reference, Registry};
use crate::reuse::Note;

pub use warning::{MAX_GRAPH_DRIVER_LAYERS, Warning, in_words, with_causes};

/// Something that happened during a verb.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A reference was followed to an image.
    Resolved {
        /// The reference.
        reference: &'a Reference,
        /// What it resolved to.
        digest: &'a Digest,
        /// The platform chosen.
        platform: &'a Platform,
    },
    /// An archive's blobs are about to be fetched.
    FillStarted {
        /// Where the archive will be.
        path: &'a Path,
        /// How many blobs.
        blobs: usize,
        /// Their sizes added up.
        blob_bytes: u64,
        /// Those of blobs that are to be inflated, added up.
        inflate_bytes: u64,
    },
    /// A blob's transfer began.
    BlobStarted {
        /// The blob.
        digest: &'a Digest,
        /// Its size.
        size_bytes: u64,
    },
    /// More of a blob has come in. It counts when the whole blob is verified.
    BlobProgressed {
        /// The blob.
        digest: &'a Digest,
        /// How many bytes more.
        bytes: u64,
    },
    /// What was there of a blob from an earlier run is not the blob's; it is fetched anew.
    BlobThrownAway {
        /// The blob.
        digest: &'a Digest,
    },
    /// Something failed in a way that may pass, and is tried again.
    Retrying {
        /// What: an image's name, a blob's digest or, where all that is asked of it waits, a registry.
        what: &'a str,
        /// How it failed.
        error: &'a (dyn std::error::Error + 'static),
        /// How long is waited before.
        delay: Duration,
    },
    /// An earlier run left part of the archive.
    Resumed {
        /// Where the archive will be.
        path: &'a Path,
        /// How many bytes of blobs are there, by that run's word.
        bytes: u64,
    },
    /// A blob is whole and has its digest.
    BlobVerified {
        /// The blob.
        digest: &'a Digest,
    },
    /// A blob was here already: it was copied, not fetched, and has its digest.
    BlobReused {
        /// The blob.
        digest: &'a Digest,
        /// Its size.
        size_bytes: u64,
        /// The archive or layout that had it.
        from: &'a Path,
    },
    /// A blob that came in is being inflated.
    InflateStarted {
        /// The blob.
        digest: &'a Digest,
        /// Its size, as it came.
        size_bytes: u64,
    },
    /// More of a blob is inflated.
    InflateProgressed {
        /// The blob.
        digest: &'a Digest,
        /// How many bytes more of it, as it came.
        bytes: u64,
    },
    /// A blob is inflated.
    Inflated {
        /// The blob.
        digest: &'a Digest,
        /// What it inflated to.
        inflated_bytes: u64,
    },
    /// All blobs are in; the file is being put on disk.
    CommitStarted {
        /// Its path.
        path: &'a Path,
    },
    /// The file has its name.
    Committed {
        /// Its path.
        path: &'a Path,
        /// Its size.
        size_bytes: u64,
    },
    /// A file is about to be read to its end.
    CheckStarted {
        /// Its path.
        path: &'a Path,
        /// How much there is to read; none where that shows only at its end.
        size_bytes: Option<u64>,
    },
    /// More of it was read.
    CheckProgressed {
        /// How many bytes more.
        bytes: u64,
    },
    /// It was read to its end.
    Checked {
        /// Its path.
        path: &'a Path,
    },
    /// An archive is about to be sent to a daemon.
    LoadStarted {
        /// Who and where it is.
        daemon: &'a str,
        /// The archive.
        path: &'a Path,
        /// Its size.
        size_bytes: u64,
    },
    /// The daemon took more of it.
    LoadProgressed {
        /// How many bytes more.
        bytes: u64,
    },
    /// The daemon has all of it, and unpacks.
    LoadSent,
    /// The daemon is done.
    LoadEnded,
    /// An archive was read back.
    Checksummed {
        /// Its path.
        path: &'a Path,
        /// The SHA-256 of its bytes.
        digest: &'a Digest,
        /// How long it took.
        took: Duration,
    },
    /// Blobs are about to be sent to a registry, where they are not there already.
    PushStarted {
        /// The registry.
        registry: &'a Registry,
        /// How many different blobs.
        blobs: usize,
        /// Their sizes added up.
        blob_bytes: u64,
    },
    /// A mirror's blobs are about to be copied, where they are not there already.
    MirrorStarted {
        /// The mirror.
        path: &'a Path,
        /// How many different blobs.
        blobs: usize,
        /// Their sizes added up.
        blob_bytes: u64,
    },
    /// Images are about to be pushed, each as far as needs be, to find a blob among theirs.
    BlobSearchStarted {
        /// Whose images.
        daemon: &'static str,
        /// How many there are.
        images: usize,
    },
    /// A daemon is about to push a layer.
    GrabStarted {
        /// Who and where it is.
        daemon: &'a str,
        /// The layer's diff ID.
        layer: &'a Digest,
    },
    /// More came from the daemon, wanted or not.
    GrabProgressed {
        /// How many bytes more.
        bytes: u64,
    },
    /// The daemon was answered.
    GrabAnswered {
        /// What it asked, and the status it got.
        request: &'a str,
    },
    /// The layer is there, and is what was wanted.
    Grabbed {
        /// Its diff ID.
        layer: &'a Digest,
        /// Its size as it was pushed.
        size_bytes: u64,
        /// What it inflates to.
        inflated_bytes: u64,
        /// How much came besides, and was thrown away.
        thrown_away_bytes: u64,
    },
    /// All that could be sent is.
    PushEnded,
    /// A blob need not be sent: the registry has it, in this repository or another.
    BlobSkipped {
        /// The blob.
        digest: &'a Digest,
        /// Its size.
        size_bytes: u64,
    },
    /// A container's layer is about to be worked on.
    LayerStarted {
        /// What is done.
        doing: LayerWork,
        /// The file or directory that comes of it.
        path: &'a Path,
        /// How much there is to do.
        size_bytes: u64,
    },
    /// More of it is done.
    LayerProgressed {
        /// How many bytes more.
        bytes: u64,
    },
    /// All of it is done, or will not be.
    LayerEnded,
    /// A path was looked into for blobs to reuse.
    Reusable(&'a Note),
    /// Something the person should know that stops nothing.
    Warning(&'a Warning),
}

/// What is done with a container's layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerWork {
    /// It is written to a file.
    Export,
    /// It is unpacked.
    Unpack,
    /// What was unpacked is read back.
    Compare,
}

/// Takes in events, from any thread, quickly.
pub trait Reporter: Send + Sync {
    /// Something happened.
    fn report(&self, event: Event<'_>);
}

/// A reporter that shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: Event<'_>) {}
}

/// A reporter that nouns keep, which live longer than a verb. The default shows nothing.
#[derive(Clone)]
pub struct SharedReporter(Arc<dyn Reporter>);

impl SharedReporter {
    /// Shares `reporter`.
    pub fn new(reporter: Arc<dyn Reporter>) -> Self {
        Self(reporter)
    }

    /// Reports a warning.
    pub(crate) fn warn(&self, warning: &Warning) {
        self.0.report(Event::Warning(warning));
    }
}

impl Default for SharedReporter {
    fn default() -> Self {
        Self(Arc::new(Silent))
    }
}

impl fmt::Debug for SharedReporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedReporter")
    }
}
