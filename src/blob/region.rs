//! A blob's region of a file: the only way bytes get there.
//!
//! Several connections may fill one region at once, each a part of it. The digest needs the bytes in order, so hashing
//! follows the part that is whole from the start: what comes in order is hashed as it is written, what came out of
//! order, or in an earlier run, is read back when its turn comes. Only a region that was hashed from end to end is
//! proof of its blob.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BlobError, VerifiedBlob, Verifier};
use crate::fsio::{FileError, FileHandle, Ranges};
use crate::image::{Descriptor, Digest};

/// Bytes read back at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// A gap that is hashed by whoever writes behind it, on the way.
const SMALL_GAP_BYTES: u64 = 4 << 20;
/// A claim is written down after so many bytes.
const CLAIM_EVERY_BYTES: u64 = 256 << 10;

/// Fills the region of one blob and verifies it. Clones fill the same region.
#[derive(Clone)]
pub struct RegionWriter(Arc<Region>);

struct Region {
    file: FileHandle,
    offset_bytes: u64,
    descriptor: Descriptor,
    state: Mutex<State>,
}

struct State {
    /// What was hashed, from the start; none while somebody hashes.
    verifier: Option<Verifier>,
    written: Ranges,
    /// True if some of it was there before this run.
    has_old_bytes: bool,
}

/// A region could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The bytes are not the blob's.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl RegionWriter {
    /// The region of `blob` that starts at `offset_bytes` of the file, with what the file's journal claims of it.
    pub fn new(file: FileHandle, offset_bytes: u64, blob: &Descriptor) -> Self {
        let written = file.claimed(&(offset_bytes..offset_bytes.saturating_add(blob.size_bytes)));
        let state =
            State { verifier: Some(Verifier::new(blob)), has_old_bytes: !written.is_empty(), written };
        Self(Arc::new(Region { file, offset_bytes, descriptor: blob.clone(), state: Mutex::new(state) }))
    }

    /// The blob that belongs here.
    pub fn descriptor(&self) -> &Descriptor {
        &self.0.descriptor
    }

    /// What is not written yet.
    pub fn missing(&self) -> Ranges {
        self.state().written.missing_in(0..self.0.descriptor.size_bytes)
    }

    /// True if what is written stays for a later run, should this one fail.
    pub fn is_kept(&self) -> bool {
        self.0.file.is_worth_keeping()
    }

    /// A writer of the part that starts at `from_bytes` of the blob.
    pub fn part(&self, from_bytes: u64) -> PartWriter {
        PartWriter { region: self.clone(), position_bytes: from_bytes, claimed_bytes: from_bytes }
    }

    /// Hashes what was not hashed yet; the proof, if all is there and right. Blocks.
    pub fn finish(&self) -> Result<WrittenBlob, RegionError> {
        self.hash_what_follows(u64::MAX)?;
        let Region { file, offset_bytes, descriptor, .. } = &*self.0;
        let verifier = self.state().verifier.clone().unwrap_or_else(|| Verifier::new(descriptor));
        Ok(WrittenBlob { blob: verifier.finish()?, file: file.clone(), offset_bytes: *offset_bytes })
    }

    /// Forgets all of the region. True if some of it was there before this run, so that nobody asked now is to blame.
    pub fn throw_away(&self) -> bool {
        let Region { file, offset_bytes, descriptor, .. } = &*self.0;
        let mut state = self.state();
        file.disclaim(&(*offset_bytes..offset_bytes + descriptor.size_bytes));
        state.written = Ranges::default();
        state.verifier = Some(Verifier::new(descriptor));
        std::mem::take(&mut state.has_old_bytes)
    }

    /// Reads back and hashes what is written beyond what was hashed, at most `limit_bytes` of it, unless somebody does
    /// that already.
    fn hash_what_follows(&self, limit_bytes: u64) -> Result<(), FileError> {
        let mut state = self.state();
        let Some(mut verifier) = state.verifier.take() else { return Ok(()) };
        let mut chunk = Vec::new();
        let mut left_bytes = limit_bytes;
        loop {
            let position = verifier.seen_bytes();
            let follow_bytes = (state.written.end_from(position) - position).min(left_bytes);
            if follow_bytes == 0 {
                state.verifier = Some(verifier);
                return Ok(());
            }
            drop(state);
            chunk.resize(CHUNK_BYTES, 0);
            let wanted = usize::try_from(follow_bytes).unwrap_or(usize::MAX).min(chunk.len());
            let Region { file, offset_bytes, .. } = &*self.0;
            let read = file.read_exact_at(&mut chunk[..wanted], offset_bytes + position);
            let hashed = read.map(|()| verifier.update(&chunk[..wanted]));
            left_bytes -= wanted as u64;
            state = self.state();
            if let Err(error) = hashed {
                state.verifier = Some(verifier);
                return Err(error);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes one part of a region, in order. What it wrote is claimed for a later run, at the latest when it is dropped.
pub struct PartWriter {
    region: RegionWriter,
    position_bytes: u64,
    claimed_bytes: u64,
}

impl PartWriter {
    /// Writes the next bytes, and hashes them if all before them is hashed. Bytes beyond the blob's size are refused, so
    /// no region runs into the next. Blocks.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), RegionError> {
        let Region { file, offset_bytes, descriptor, .. } = &*self.region.0;
        let range = self.position_bytes..self.position_bytes + bytes.len() as u64;
        if range.end > descriptor.size_bytes {
            let (digest, size_bytes) = (descriptor.digest.clone(), descriptor.size_bytes);
            return Err(BlobError::TooLong { digest, size_bytes }.into());
        }
        // What is there may be hashed already: it is never written again.
        let missing = self.region.state().written.missing_in(range.clone());
        for part in missing.iter() {
            let [from, to] = [part.start, part.end].map(|position| position - range.start);
            let part_bytes = usize::try_from(from).ok().zip(usize::try_from(to).ok());
            let part_bytes = part_bytes.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default();
            file.write_at(part_bytes, offset_bytes + part.start)?;
        }
        let is_all_new = missing.bytes() == bytes.len() as u64;
        let hashed_bytes = {
            let mut state = self.region.state();
            state.written.insert(range.clone());
            state.verifier.as_ref().map(Verifier::seen_bytes)
        };
        self.position_bytes = range.end;
        match hashed_bytes {
            Some(hashed_bytes) if is_all_new && hashed_bytes == range.start => self.hash(bytes),
            Some(hashed_bytes)
                if hashed_bytes < range.start && range.end - hashed_bytes <= SMALL_GAP_BYTES =>
            {
                self.region.hash_what_follows(SMALL_GAP_BYTES)?;
            }
            _ => {}
        }
        if self.position_bytes - self.claimed_bytes >= CLAIM_EVERY_BYTES {
            self.claim();
        }
        Ok(())
    }

    /// Hashes bytes that were just written, without reading them back.
    fn hash(&self, bytes: &[u8]) {
        let start = self.position_bytes - bytes.len() as u64;
        let Some(mut verifier) = self.region.state().verifier.take() else { return };
        if verifier.seen_bytes() == start {
            // No more than the blob has, by the check in `write`.
            let _ = verifier.update(bytes);
        }
        self.region.state().verifier = Some(verifier);
    }

    /// The file, and where in it the next bytes go: for bytes that are put there by other means than
    /// [`write`](Self::write) and count when they are [`adopt`](Self::adopt)ed.
    pub fn next(&self) -> (&FileHandle, u64) {
        let Region { file, offset_bytes, .. } = &*self.region.0;
        (file, offset_bytes + self.position_bytes)
    }

    /// Takes in the next bytes, which are in their place already: they are read back and hashed. Blocks.
    pub fn adopt(&mut self, size_bytes: u64) -> Result<(), RegionError> {
        let descriptor = &self.region.0.descriptor;
        let range = self.position_bytes..self.position_bytes.saturating_add(size_bytes);
        if range.end > descriptor.size_bytes {
            let (digest, size_bytes) = (descriptor.digest.clone(), descriptor.size_bytes);
            return Err(BlobError::TooLong { digest, size_bytes }.into());
        }
        self.position_bytes = range.end;
        self.region.state().written.insert(range);
        Ok(self.region.hash_what_follows(u64::MAX)?)
    }

    /// How far it is.
    pub fn position_bytes(&self) -> u64 {
        self.position_bytes
    }

    fn claim(&mut self) {
        let Region { file, offset_bytes, .. } = &*self.region.0;
        if self.claimed_bytes < self.position_bytes {
            file.claim(offset_bytes + self.claimed_bytes..offset_bytes + self.position_bytes);
            self.claimed_bytes = self.position_bytes;
        }
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        self.claim();
    }
}

/// Proof that a region of a file holds a blob. Only a [`RegionWriter`] makes one.
#[derive(Clone, Debug)]
pub struct WrittenBlob {
    blob: VerifiedBlob,
    file: FileHandle,
    offset_bytes: u64,
}

impl WrittenBlob {
    /// The blob's digest.
    pub fn digest(&self) -> &Digest {
        self.blob.digest()
    }

    /// The blob's size.
    pub fn size_bytes(&self) -> u64 {
        self.blob.size_bytes()
    }

    /// Where in `file` the blob is; none if it is elsewhere.
    pub fn offset_bytes_in(&self, file: &FileHandle) -> Option<u64> {
        self.file.is_same(file).then_some(self.offset_bytes)
    }

    /// The blob's last bytes; an error if it has fewer.
    pub(super) fn last_bytes<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut last = [0; N];
        let position = self.size_bytes().checked_sub(N as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut reader = self.reader();
        reader.position_bytes += position;
        reader.read_exact(&mut last)?;
        Ok(last)
    }

    /// Reads the blob back.
    pub(super) fn reader(&self) -> BlobReader {
        let end_bytes = self.offset_bytes + self.size_bytes();
        BlobReader { file: self.file.clone(), position_bytes: self.offset_bytes, end_bytes }
    }
}

/// Reads a blob that was written.
pub(super) struct BlobReader {
    file: FileHandle,
    position_bytes: u64,
    end_bytes: u64,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end_bytes - self.position_bytes).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.position_bytes)?;
        self.position_bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsio::{Existing, PartialFile, ScratchFile};
    use crate::image::MediaType;
    use proptest::prelude::*;
    use std::ops::Range;

    fn descriptor(bytes: &[u8]) -> Descriptor {
        Descriptor::new(MediaType::of("x"), Digest::of(bytes), bytes.len() as u64)
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|number| u8::try_from(number * 7 % 251).unwrap()).collect()
    }

    fn write(region: &RegionWriter, blob: &[u8], range: Range<usize>, chunk: usize) {
        let mut part = region.part(range.start as u64);
        for chunk in blob[range].chunks(chunk.max(1)) {
            part.write(chunk).unwrap();
        }
    }

    proptest! {
        /// In whatever order the parts come, twice or once: all of them make the blob, and one less does not.
        #[test]
        fn parts_in_any_order_make_the_blob(
            cuts in prop::collection::btree_set(1usize..4999, 0..8),
            order in any::<u64>(),
            chunk in 1usize..2000,
            left_out in any::<prop::sample::Index>(),
        ) {
            let blob = bytes(5000);
            let ends: Vec<usize> = cuts.into_iter().chain([5000]).collect();
            let mut parts: Vec<Range<usize>> = std::iter::once(0).chain(ends.iter().copied()).zip(ends.iter().copied())
                .map(|(start, end)| start..end).collect();
            let last = left_out.index(parts.len());
            parts.sort_by_key(|part| (part.start as u64).wrapping_mul(order | 1));
            let region = RegionWriter::new(ScratchFile::temporary(0).unwrap().handle(), 100, &descriptor(&blob));
            let left = parts.remove(last);
            for part in parts {
                write(&region, &blob, part, chunk);
            }
            prop_assert_eq!(region.missing().iter().cloned().collect::<Vec<_>>(), vec![left.start as u64..left.end as u64]);
            let too_short = matches!(region.finish(), Err(RegionError::Blob(BlobError::TooShort { .. })));
            prop_assert!(too_short);
            write(&region, &blob, left, chunk);
            prop_assert_eq!(region.finish().unwrap().size_bytes(), 5000);
        }
    }

    #[test]
    fn many_threads_fill_one_region() {
        let blob = bytes(3_000_000);
        let region = RegionWriter::new(ScratchFile::temporary(0).unwrap().handle(), 0, &descriptor(&blob));
        std::thread::scope(|scope| {
            for part in 0..6 {
                let (region, blob) = (&region, &blob);
                scope.spawn(move || write(region, blob, part * 500_000..(part + 1) * 500_000, 10_000));
            }
        });
        assert!(region.finish().is_ok());
    }

    /// A server without ranges sends all that follows a gap: what is there and hashed is not written over.
    #[test]
    fn what_was_hashed_is_never_written_again() {
        let blob = bytes(300_000);
        let file = ScratchFile::temporary(0).unwrap().handle();
        let region = RegionWriter::new(file.clone(), 0, &descriptor(&blob));
        write(&region, &blob, 0..100_000, 10_000);
        write(&region, &blob, 110_000..300_000, 10_000);
        let mut other = blob.clone();
        other[110_000..].fill(0);
        write(&region, &other, 100_000..300_000, 7_000);
        assert!(region.finish().is_ok());
        let mut found = vec![0; blob.len()];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found == blob);
    }

    #[test]
    fn what_is_not_the_blob_is_thrown_away() {
        let blob = bytes(1000);
        let region = RegionWriter::new(ScratchFile::temporary(0).unwrap().handle(), 0, &descriptor(&blob));
        assert!(matches!(region.part(999).write(b"xy"), Err(RegionError::Blob(BlobError::TooLong { .. }))));
        region.part(0).write(&[0; 1000]).unwrap();
        assert!(matches!(region.finish(), Err(RegionError::Blob(BlobError::WrongDigest { .. }))));
        assert!(!region.throw_away());
        assert_eq!(region.missing().bytes(), 1000);
        write(&region, &blob, 0..1000, 100);
        assert!(region.finish().is_ok());
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
    fn what_an_earlier_run_wrote_is_read_back_and_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        let blob = bytes(3_000_000);
        let open = || PartialFile::resume(&target, 3_000_100, Existing::Replace, "id").unwrap().0;
        let file = open();
        write(&RegionWriter::new(file.handle(), 100, &descriptor(&blob)), &blob, 0..2_000_000, 70_000);
        drop(file);
        let file = open();
        let region = RegionWriter::new(file.handle(), 100, &descriptor(&blob));
        assert_eq!(region.missing().iter().cloned().collect::<Vec<_>>(), vec![2_000_000..3_000_000]);
        write(&region, &blob, 2_000_000..3_000_000, 70_000);
        assert!(region.finish().is_ok());
        drop((file, region));
        // Somebody else wrote there meanwhile.
        let mut found = std::fs::read(folder.path().join("x.tar.partial")).unwrap();
        found[300] ^= 1;
        std::fs::write(folder.path().join("x.tar.partial"), found).unwrap();
        let file = open();
        let region = RegionWriter::new(file.handle(), 100, &descriptor(&blob));
        assert!(region.missing().is_empty());
        assert!(matches!(region.finish(), Err(RegionError::Blob(BlobError::WrongDigest { .. }))));
        assert!(region.throw_away(), "what was found is to blame");
        assert_eq!(region.missing().bytes(), 3_000_000);
    }
}
