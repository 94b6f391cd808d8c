//! A blob of which nobody knows what it is until it ends: inflated as it comes, and told by what it inflates to.
//!
//! Threats: the bytes are foreign. What inflates too far, or not at all, is read to its end without being handed on.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::inflate::{Excess, Limits, decoder};
use super::packing::Packing;
use super::tee::Tee;
use crate::image::{Algorithm, Digest, Hasher};

/// Bytes inflated at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// What a blob turned out to be as a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacking {
    /// What it is packed with.
    pub packing: Packing,
    /// The digest of what comes out.
    pub digest: Digest,
    /// How much that is.
    pub size_bytes: u64,
}

/// What a blob turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenIn {
    /// A layer, or what may be one.
    Layer(Unpacking),
    /// It inflates too far.
    Excess(Excess),
    /// It can't be inflated.
    Broken,
}

/// Reads `blob` to its end. Its bytes go to `packed` as they come, and to `plain` as they
/// inflate: what is there counts only if in the end it is the layer that was wanted. Blocks.
pub fn take_in(
    blob: impl Read + Send,
    algorithm: Algorithm,
    limits: Limits,
    packed: &mut (dyn Write + Send),
    plain: &mut dyn Write,
) -> io::Result<TakenIn> {
    let taken_bytes = AtomicU64::new(0);
    let mut blob = Tee::new(blob, |bytes: &[u8]| {
        taken_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        packed.write_all(bytes)
    });
    let (mut hasher, mut size_bytes, mut excess) = (Hasher::new(algorithm), 0, None);
    let packing = each_chunk(&mut blob, |packing, chunk| {
        size_bytes += chunk.len() as u64;
        hasher.update(chunk);
        if packing != Packing::Plain {
            excess = limits.excess(taken_bytes.load(Ordering::Relaxed), size_bytes);
            if excess.is_some() {
                return Ok(false);
            }
        }
        plain.write_all(chunk).map(|()| true)
    })?;
    blob.finish()?;
    Ok(match (packing, excess) {
        (Some(packing), _) => TakenIn::Layer(Unpacking { packing, digest: hasher.finish(), size_bytes }),
        (None, Some(excess)) => TakenIn::Excess(excess),
        (None, None) => TakenIn::Broken,
    })
}

/// Hands on what a blob inflates to, as long as it is wanted; what it is packed with, if that was to its end.
fn each_chunk(
    blob: &mut (impl Read + Send),
    mut hand_on: impl FnMut(Packing, &[u8]) -> io::Result<bool>,
) -> io::Result<Option<Packing>> {
    let Ok((packing, mut layer)) = decoder(blob) else { return Ok(None) };
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match layer.read(&mut chunk) {
            Ok(0) => return Ok(Some(packing)),
            Ok(read) if !hand_on(packing, &chunk[..read])? => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(blob: &[u8], limits: Limits) -> (TakenIn, Vec<u8>, Vec<u8>) {
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        let taken = take_in(blob, Algorithm::Sha256, limits, &mut packed, &mut plain).unwrap();
        (taken, packed, plain)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_blob_is_told_by_what_it_inflates_to() {
        let content = vec![7; 1 << 20];
        let zstd = zstd::encode_all(&content[..], 3).unwrap();
        for (blob, packing) in
            [(gzip(&content), Packing::Gzip), (zstd, Packing::Zstd), (content.clone(), Packing::Plain)]
        {
            let (layer, packed, plain) = taken(&blob, Limits::default());
            let digest = Digest::of(&content);
            assert_eq!(layer, TakenIn::Layer(Unpacking { packing, digest, size_bytes: 1 << 20 }));
            assert!(packed == blob && plain == content);
        }
    }

    #[test]
    fn what_can_not_be_inflated_is_read_to_its_end_and_is_no_layer() {
        let content: Vec<u8> = (0..500_000u32).flat_map(u32::to_le_bytes).collect();
        let mut broken = gzip(&content);
        let middle = broken.len() / 2;
        broken[middle] ^= 1;
        let small = Limits { layer_bytes: 1000, check_ratio: true };
        let excess = TakenIn::Excess(Excess::TooLarge { limit_bytes: 1000 });
        for (blob, limits, expected) in
            [(broken, Limits::default(), TakenIn::Broken), (gzip(&content), small, excess)]
        {
            let (layer, packed, _) = taken(&blob, limits);
            assert_eq!(layer, expected);
            assert!(packed == blob);
        }
    }

    #[test]
    fn a_disk_that_is_full_is_no_fault_of_the_blob() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let blob = gzip(&[7; 1000]);
        let take = |packed: &mut (dyn Write + Send), plain: &mut dyn Write| {
            take_in(&blob[..], Algorithm::Sha256, Limits::default(), packed, plain).unwrap_err().kind()
        };
        assert_eq!(take(&mut Full, &mut io::sink()), ErrorKind::StorageFull);
        assert_eq!(take(&mut io::sink(), &mut Full), ErrorKind::StorageFull);
    }
}
