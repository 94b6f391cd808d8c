//! What a content hashes to, as it stands and inflated: measured once, to be compared with all that is claimed of it.
//!
//! Threats: the bytes are foreign. [`Bounds`] hold what they inflate to, each content and all of them together; what breaks
//! while inflating is told, and the content hashed to its end all the same.
//!
//! One thread reads and inflates, another hashes: a lone layer is measured a third faster so.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::Packing;
use super::inflate::{Limits, ManyBombs, decoder};
use super::packing::is_bomb;
use super::tee::Tee;
use crate::image::{Algorithm, Digest, Hasher};

/// Bytes read, inflated and handed on at a time.
const CHUNK_BYTES: usize = 128 << 10;
/// Chunks on their way to the hashing thread.
const CHUNKS_WAITING: usize = 16;

/// The digests of some bytes, by the algorithms that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes(Vec<Digest>);

impl Hashes {
    /// True if the bytes have this digest.
    pub fn are(&self, digest: &Digest) -> bool {
        self.0.contains(digest)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.0.iter()
    }

    /// The digest by `algorithm`, or else by the first that was asked for.
    pub fn by(&self, algorithm: Algorithm) -> &Digest {
        self.0.iter().find(|digest| digest.algorithm() == algorithm).unwrap_or(&self.0[0])
    }
}

/// What a content turned out to be.
#[derive(Debug)]
pub struct Measured {
    /// Its digests as it stands.
    pub hashes: Hashes,
    /// How long it is.
    pub size_bytes: u64,
    /// What it is packed with.
    pub packing: Packing,
    /// What comes out of it; none where it is packed with nothing.
    pub inflated: Option<InflatedContent>,
}

/// What comes out of a packed content.
#[derive(Debug)]
pub struct InflatedContent {
    /// The digests of what came out.
    pub hashes: Hashes,
    /// How much came out.
    pub size_bytes: u64,
    /// Why it did not come to its end.
    pub problem: Option<String>,
}

impl Measured {
    /// The digests of the tar in a layer; none if it can't be inflated.
    pub fn tar_hashes(&self) -> Option<&Hashes> {
        match &self.inflated {
            None => Some(&self.hashes),
            Some(inflated) => inflated.problem.is_none().then_some(&inflated.hashes),
        }
    }
}

/// How far the contents of an archive may inflate: each, and all together.
#[derive(Debug)]
pub struct Bounds {
    limits: Limits,
    /// How long the archive is, or how much of it was read.
    packed_bytes: Arc<AtomicU64>,
    /// What came out of all contents so far.
    inflated_bytes: AtomicU64,
}

impl Bounds {
    /// Of an archive of so many bytes, which may grow.
    pub fn new(limits: Limits, packed_bytes: Arc<AtomicU64>) -> Self {
        Self { limits, packed_bytes, inflated_bytes: AtomicU64::new(0) }
    }

    /// May one more content be inflated?
    fn check(&self) -> Result<(), ManyBombs> {
        let packed_bytes = self.packed_bytes.load(Ordering::Relaxed);
        let is_bomb = is_bomb(packed_bytes, self.inflated_bytes.load(Ordering::Relaxed));
        if self.limits.check_ratio && is_bomb { Err(ManyBombs) } else { Ok(()) }
    }
}

/// Reads `content` to its end. `size_bytes` is what it should have, `progress` is told of all bytes that were read.
/// Blocks.
pub fn measure(
    content: impl Read + Send,
    size_bytes: u64,
    bounds: &Bounds,
    algorithms: &[Algorithm],
    progress: &(dyn Fn(u64) + Sync),
) -> io::Result<Measured> {
    if size_bytes == 0 {
        let hashes = Hashing::new(algorithms).hashes();
        return Ok(Measured { hashes, size_bytes, packing: Packing::Plain, inflated: None });
    }
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(CHUNKS_WAITING);
        let hashing = scope.spawn(move || hash(&receiver, algorithms));
        let inflation = read(content, size_bytes, bounds, &sender, progress);
        drop(sender);
        let (content, inflated) = match hashing.join() {
            Ok(hashed) => hashed,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let Inflation { packing, problem } = inflation?;
        let inflated = (packing != Packing::Plain).then(|| {
            let size_bytes = inflated.size_bytes;
            InflatedContent { hashes: inflated.hashes(), size_bytes, problem }
        });
        let size_bytes = content.size_bytes;
        Ok(Measured { hashes: content.hashes(), size_bytes, packing, inflated })
    })
}

enum Chunk {
    Content(Vec<u8>),
    Inflated(Vec<u8>),
}

struct Hashing {
    hashers: Vec<Hasher>,
    size_bytes: u64,
}

impl Hashing {
    fn new(algorithms: &[Algorithm]) -> Self {
        Self { hashers: algorithms.iter().map(|algorithm| Hasher::new(*algorithm)).collect(), size_bytes: 0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.hashers.iter_mut().for_each(|hasher| hasher.update(bytes));
        self.size_bytes += bytes.len() as u64;
    }

    fn hashes(self) -> Hashes {
        Hashes(self.hashers.into_iter().map(Hasher::finish).collect())
    }
}

fn hash(chunks: &Receiver<Chunk>, algorithms: &[Algorithm]) -> (Hashing, Hashing) {
    let (mut content, mut inflated) = (Hashing::new(algorithms), Hashing::new(algorithms));
    for chunk in chunks {
        match chunk {
            Chunk::Content(bytes) => content.update(&bytes),
            Chunk::Inflated(bytes) => inflated.update(&bytes),
        }
    }
    (content, inflated)
}

/// How inflating went.
struct Inflation {
    packing: Packing,
    problem: Option<String>,
}

/// Reads all of `content` and inflates it.
fn read(
    content: impl Read + Send,
    size_bytes: u64,
    bounds: &Bounds,
    sender: &SyncSender<Chunk>,
    progress: &(dyn Fn(u64) + Sync),
) -> io::Result<Inflation> {
    let mut content = Tee::new(content, |bytes: &[u8]| {
        progress(bytes.len() as u64);
        let _ = sender.send(Chunk::Content(bytes.to_vec()));
        Ok(())
    });
    let inflated = inflate(&mut content, size_bytes, bounds, sender);
    content.finish().and(inflated)
}

fn inflate(
    content: &mut (impl Read + Send),
    size_bytes: u64,
    bounds: &Bounds,
    sender: &SyncSender<Chunk>,
) -> io::Result<Inflation> {
    let (packing, mut layer) = decoder(content)?;
    if packing == Packing::Plain {
        return Ok(Inflation { packing, problem: None });
    }
    let broken = |problem: String| Ok(Inflation { packing, problem: Some(problem) });
    if let Err(excess) = bounds.check() {
        return broken(excess.to_string());
    }
    let mut inflated_bytes = 0;
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        match layer.read(&mut chunk) {
            Ok(0) => return Ok(Inflation { packing, problem: None }),
            Ok(read) => {
                inflated_bytes += read as u64;
                bounds.inflated_bytes.fetch_add(read as u64, Ordering::Relaxed);
                if let Some(excess) = bounds.limits.excess(size_bytes, inflated_bytes) {
                    return broken(excess.to_string());
                }
                chunk.truncate(read);
                let _ = sender.send(Chunk::Inflated(chunk));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return broken(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn measured(content: &[u8], limits: Limits) -> Measured {
        measured_of(content, &bounds(limits, content.len() as u64))
    }

    fn measured_of(content: &[u8], bounds: &Bounds) -> Measured {
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
        measure(content, content.len() as u64, bounds, &algorithms, &|_| {}).unwrap()
    }

    fn bounds(limits: Limits, packed_bytes: u64) -> Bounds {
        Bounds::new(limits, Arc::new(packed_bytes.into()))
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_content_is_hashed_as_it_stands_and_inflated() {
        let plain = vec![7; 1 << 20];
        for packed in [gzip(&plain), zstd::encode_all(&plain[..], 3).unwrap(), plain.clone()] {
            let measured = measured(&packed, Limits::default());
            assert_eq!(measured.size_bytes, packed.len() as u64);
            assert!(measured.hashes.are(&Digest::of(&packed)));
            assert!(measured.hashes.are(&Digest::by(Algorithm::Sha512, &packed)));
            assert!(measured.tar_hashes().unwrap().are(&Digest::of(&plain)));
        }
    }

    #[test]
    fn a_content_that_comes_in_drops_is_still_inflated() {
        let plain = vec![7; 1 << 16];
        for packed in [gzip(&plain), zstd::encode_all(&plain[..], 3).unwrap()] {
            let (head, rest) = packed.split_at(1);
            let size_bytes = packed.len() as u64;
            let bounds = bounds(Limits::default(), size_bytes);
            let measured = measure(head.chain(rest), size_bytes, &bounds, &[Algorithm::Sha256], &|_| {});
            let measured = measured.unwrap();
            assert!(measured.hashes.are(&Digest::of(&packed)));
            assert!(measured.tar_hashes().unwrap().are(&Digest::of(&plain)));
        }
    }

    #[test]
    fn what_can_not_be_inflated_is_hashed_to_its_end() {
        let plain: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
        let mut packed = gzip(&plain);
        let middle = packed.len() / 2;
        packed[middle] ^= 1;
        let measured_broken = measured(&packed, Limits::default());
        assert!(measured_broken.hashes.are(&Digest::of(&packed)));
        assert!(measured_broken.tar_hashes().is_none());
        let limits = Limits { layer_bytes: 1000, check_ratio: true };
        let too_large = measured(&gzip(&plain), limits);
        let problem = too_large.inflated.unwrap().problem.unwrap();
        assert_eq!(problem, "it inflates to more than 1000 bytes");
        assert!(too_large.hashes.are(&Digest::of(&gzip(&plain))));
    }

    #[test]
    fn contents_that_inflate_too_far_together_are_inflated_no_more() {
        let packed = gzip(&vec![7; 1 << 20]);
        let bounds = bounds(Limits::default(), 1 << 20);
        assert!(measured_of(&packed, &bounds).tar_hashes().is_some());
        assert_eq!(bounds.inflated_bytes.load(Ordering::Relaxed), 1 << 20);
        bounds.inflated_bytes.store(1101 << 20, Ordering::Relaxed);
        let refused = measured_of(&packed, &bounds);
        assert!(refused.hashes.are(&Digest::of(&packed)));
        let problem = refused.inflated.unwrap().problem.unwrap();
        assert_eq!(problem, "what was inflated before it is more than 1100 times the archive");
        assert!(measured_of(b"plain", &bounds).tar_hashes().is_some());
        // Of a pipe more may have come in the meantime.
        bounds.packed_bytes.store(2 << 20, Ordering::Relaxed);
        assert!(measured_of(&packed, &bounds).tar_hashes().is_some());
    }

    #[test]
    fn a_disk_that_fails_is_not_the_contents_fault() {
        struct Failing(usize);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 3 {
                    return Err(io::Error::other("the disk"));
                }
                buffer.fill(1);
                Ok(buffer.len())
            }
        }
        let bounds = bounds(Limits::default(), 1 << 30);
        let failed = measure(Failing(0), 1 << 30, &bounds, &[Algorithm::Sha256], &|_| {});
        assert_eq!(failed.unwrap_err().to_string(), "the disk");
    }
}
