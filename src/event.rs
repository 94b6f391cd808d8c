//! What happens, told to whoever wants to show it. The library never draws or prints.

use std::path::{Path, PathBuf};

use crate::image::{Digest, Platform, Reference};
use crate::reuse::Note;

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
    /// A path was looked into for blobs to reuse.
    Reusable(&'a Note),
    /// Something the person should know that stops nothing.
    Warning(&'a Warning),
}

/// What is worth a word but no error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The only image there is was built for another platform, and none was asked for.
    #[error("`{reference}` is an image for {found} only")]
    OtherPlatform {
        /// What was asked for.
        reference: Box<Reference>,
        /// What the image is for.
        found: Box<Platform>,
    },
    /// The disk may be too small for what layers inflate to.
    #[error(
        "{} takes about {estimated_bytes} bytes once its layers are inflated, and {spool_bytes} more on the way; \
         its disk has {free_bytes} free",
        .path.display()
    )]
    MayNotFit {
        /// The output.
        path: PathBuf,
        /// Its size, estimated.
        estimated_bytes: u64,
        /// What the compressed layers take until then.
        spool_bytes: u64,
        /// What the file system has left for us.
        free_bytes: u64,
    },
    /// An index and the config of its image don't agree on the architecture.
    #[error("the index of `{reference}` says {index}, the image's config says {config}")]
    PlatformsDiffer {
        /// What was asked for.
        reference: Box<Reference>,
        /// What the index says; this is believed.
        index: Box<Platform>,
        /// What the config says.
        config: Box<Platform>,
    },
    /// Images for several versions of an os fit, and none was asked for.
    #[error("`{reference}` is there for several os versions: {taken} is taken, the highest; there is also {}",
        listed(.others))]
    OsVersions {
        /// What was asked for.
        reference: Box<Reference>,
        /// The highest.
        taken: Box<Platform>,
        /// The others, in the index's order.
        others: Vec<Platform>,
    },
    /// More layers than some loaders take.
    #[error(
        "`{reference}` has {layers} layers: Docker's graph driver takes at most {MAX_GRAPH_DRIVER_LAYERS}"
    )]
    ManyLayers {
        /// What was asked for.
        reference: Box<Reference>,
        /// How many layers it has.
        layers: usize,
    },
}

/// Docker refuses images with more (`max depth exceeded`), unless it has the containerd image store.
pub const MAX_GRAPH_DRIVER_LAYERS: usize = 125;

fn listed(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
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
