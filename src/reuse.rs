//! Blobs that lie on this machine already: in archives, folders of archives and OCI layouts the person names.
//!
//! Threats: those files are foreign, and may change while they are used. Only regular files are opened (a FIFO would
//! wait, a device might act), links that a folder has are not followed, folders are not searched deeper, and numbers of
//! archives and blobs are bounded. What is found is a [`Claim`]: a digest read off a name, believed by nobody. Whoever
//! takes its bytes hashes them; one that lies costs the time to read it, and of those only [`MAX_TRIES`] are tried.
//!
//! Neighbours: [`crate::archive::Contents`] reads what archives claim, [`crate::pull`] asks here before it asks a source.

mod error;
mod folder;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::archive::{ClaimedBlob, Contents};
use crate::fsio::{self, CopyError, FileError, FileHandle, Links};
use crate::image::{Descriptor, Digest};

pub use error::ReuseError;
use folder::{Finding, look_into};

/// How many claims to one blob are believed enough to be read.
pub const MAX_TRIES: usize = 4;
/// Claims that are kept of all paths together.
const MAX_CLAIMS: usize = 200_000;
/// Copies under way at the same time: more would only make a disk seek.
const MAX_COPIES: usize = 4;
/// Bytes copied at a time: few enough to be in the page cache when they are hashed.
const COPY_BYTES: u64 = 8 << 20;

/// What may be copied instead of fetched.
#[derive(Debug)]
pub struct Pool {
    claims: Mutex<Claims>,
    turns: Semaphore,
}

#[derive(Debug, Default)]
struct Claims {
    by_digest: HashMap<Digest, Vec<Claim>>,
    count: usize,
}

impl Claims {
    fn forget(&mut self, origin: &Path) {
        for claims in self.by_digest.values_mut() {
            claims.retain(|claim| &*claim.origin != origin);
        }
        self.count = self.by_digest.values().map(Vec::len).sum();
    }
}

/// A blob that a file claims to hold.
#[derive(Clone, Debug)]
pub struct Claim {
    origin: Arc<Path>,
    place: Place,
    size_bytes: u64,
}

#[derive(Clone, Debug)]
enum Place {
    /// In an archive, from this byte.
    Archive { offset_bytes: u64 },
    /// A file of an OCI layout.
    Layout(Digest),
}

/// What became of a path that was to be looked into.
#[derive(Debug)]
pub enum Note {
    /// There are blobs.
    Found {
        /// The path.
        path: PathBuf,
        /// How many archives and layouts have some.
        archives: usize,
        /// How many different blobs they claim to hold.
        blobs: usize,
    },
    /// It, or some of it, is of no use.
    Skipped(ReuseError),
}

impl Pool {
    /// Looks into archives, folders of archives (`*.tar`) and OCI layouts, in this order. What can't be read is noted
    /// and left out. Blocks.
    pub fn open(paths: &[PathBuf]) -> (Self, Vec<Note>) {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let pool = Self { claims: Mutex::default(), turns: Semaphore::new(cores.min(MAX_COPIES)) };
        let mut notes = Vec::new();
        for path in paths {
            let Finding { holdings, problems } = look_into(path, Links::Follow);
            notes.extend(problems.into_iter().map(Note::Skipped));
            let archives = holdings.iter().filter(|holding| !holding.blobs.is_empty()).count();
            let mut digests = std::collections::HashSet::new();
            for holding in holdings {
                digests.extend(holding.blobs.iter().map(|blob| blob.digest.clone()));
                if !pool.learn(holding) {
                    notes.push(Note::Skipped(ReuseError::TooMany { path: path.clone() }));
                    break;
                }
            }
            if archives > 0 {
                notes.push(Note::Found { path: path.clone(), archives, blobs: digests.len() });
            }
        }
        (pool, notes)
    }

    /// Learns of an archive that was written since, and forgets what was under its name. Blocks for as long as its
    /// headers take.
    pub(crate) fn add(&self, archive: &Path) {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).forget(archive);
        for holding in look_into(archive, Links::Follow).holdings {
            self.learn(holding);
        }
    }

    /// Whoever copies waits for its turn.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// The claims to hold `blob` that are of its size, in the order of the paths, and only so many.
    pub fn candidates(&self, blob: &Descriptor) -> Vec<Claim> {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let of_digest = claims.by_digest.get(&blob.digest).into_iter().flatten();
        of_digest.filter(|claim| claim.size_bytes == blob.size_bytes).take(MAX_TRIES).cloned().collect()
    }

    /// False if there is no room for more.
    fn learn(&self, holding: Holding) -> bool {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        for blob in holding.blobs {
            if claims.count >= MAX_CLAIMS {
                return false;
            }
            let place = match holding.kind {
                HoldingKind::Archive => Place::Archive { offset_bytes: blob.offset_bytes },
                HoldingKind::Layout => Place::Layout(blob.digest.clone()),
            };
            let claim = Claim { origin: Arc::clone(&holding.origin), place, size_bytes: blob.size_bytes };
            claims.count += 1;
            claims.by_digest.entry(blob.digest).or_default().push(claim);
        }
        true
    }
}

/// A file or folder that claims to hold blobs.
#[derive(Debug)]
struct Holding {
    origin: Arc<Path>,
    kind: HoldingKind,
    blobs: Vec<ClaimedBlob>,
}

#[derive(Clone, Copy, Debug)]
enum HoldingKind {
    Archive,
    Layout,
}

impl Claim {
    /// The archive or layout that makes the claim.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// Opens what is claimed. It is opened for each use: of a folder of archives there may be more than a process may
    /// have open.
    pub fn open(&self) -> Result<ClaimedBytes, FileError> {
        let (path, links, offset_bytes) = match &self.place {
            Place::Archive { offset_bytes } => (self.origin.to_path_buf(), Links::Follow, *offset_bytes),
            Place::Layout(digest) => (folder::blob_path(&self.origin, digest), Links::Refuse, 0),
        };
        let mut file = fsio::open_regular(&path, links)?;
        file.seek(SeekFrom::Start(offset_bytes)).map_err(FileError::io("read", &path))?;
        Ok(ClaimedBytes(file.take(self.size_bytes)))
    }
}

/// The bytes of a claim: as many as it says, or fewer if the file has them no more. They are unverified.
#[derive(Debug)]
pub struct ClaimedBytes(Take<File>);

impl ClaimedBytes {
    /// Copies the next bytes to an offset of `target`, and says how many; 0 at the end.
    pub fn copy_next(&mut self, target: &FileHandle, to_bytes: u64) -> Result<u64, CopyError> {
        let left_bytes = self.0.limit();
        let size_bytes = left_bytes.min(COPY_BYTES);
        fsio::copy_range(self.0.get_mut(), size_bytes, target, to_bytes)?;
        self.0.set_limit(left_bytes - size_bytes);
        Ok(size_bytes)
    }
}

impl Read for ClaimedBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// The blobs that the archive in `file` claims to hold.
fn contents_of(file: File) -> Contents {
    Contents::read(BufReader::new(file))
}
