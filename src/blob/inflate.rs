//! Layers inflated: gzip of any number of members (RFC 1952), zstd of any number of frames (RFC 8878), a bare tar.
//!
//! Threats: the bytes are what their digest says, but whoever made the image may mean harm. A layer that inflates
//! without end is stopped by [`Limits`]; a zstd window is held to what the format's own library takes unasked; what
//! comes out counts only with the diff ID of the config. What a layer is packed with is told by its first bytes, not by
//! its media type. The tar inside is not looked at.

use std::io::{self, Read};

use super::WrittenBlob;
use super::packing::{MAX_RATIO, Packing, is_bomb};
use super::region::BlobReader;
use crate::fsio::{FileError, FileHandle};
use crate::image::{DiffId, Digest, Hasher};

/// Bytes read and inflated at a time.
const CHUNK_BYTES: usize = 128 << 10;
/// The longest header of a zstd frame.
const ZSTD_HEADER_BYTES: usize = 18;

/// How far a layer may inflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest layer.
    pub layer_bytes: u64,
    /// Stop earlier at layers that grow as no honest one does.
    pub check_ratio: bool,
}

impl Default for Limits {
    /// 64 GiB, and the ratio.
    fn default() -> Self {
        Self { layer_bytes: 64 << 30, check_ratio: true }
    }
}

impl Limits {
    /// What is wrong with a blob of `size_bytes` that inflates so far.
    pub(super) fn excess(self, size_bytes: u64, inflated_bytes: u64) -> Option<Excess> {
        if inflated_bytes > self.layer_bytes {
            return Some(Excess::TooLarge { limit_bytes: self.layer_bytes });
        }
        (self.check_ratio && is_bomb(size_bytes, inflated_bytes)).then_some(Excess::Bomb { size_bytes })
    }
}

/// Which limit a layer went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// It is larger than was agreed.
    #[error("it inflates to more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// It grows as no honest one does.
    #[error("its {size_bytes} bytes inflate to more than {MAX_RATIO} times as much")]
    Bomb {
        /// How large it was until then.
        size_bytes: u64,
    },
}

/// What many contents inflate to, all together, is more than anything honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was inflated before it is more than {MAX_RATIO} times the archive")]
pub(super) struct ManyBombs;

impl Excess {
    /// The same of the layer with this blob.
    pub fn of(self, digest: &Digest) -> InflateError {
        let digest = digest.clone();
        match self {
            Self::TooLarge { limit_bytes } => InflateError::TooLarge { digest, limit_bytes },
            Self::Bomb { size_bytes } => InflateError::Bomb { digest, size_bytes },
        }
    }
}

/// A layer can't be inflated.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// What it is packed with is broken.
    #[error("layer {digest} can't be inflated")]
    Corrupt {
        /// The layer's blob.
        digest: Digest,
        /// What the decompressor, or the disk, said.
        source: io::Error,
    },
    /// It inflates to more than was agreed.
    #[error("layer {digest} inflates to more than {limit_bytes} bytes")]
    TooLarge {
        /// The layer's blob.
        digest: Digest,
        /// The limit.
        limit_bytes: u64,
    },
    /// It inflates to more than anything honest of its size.
    #[error("layer {digest} of {size_bytes} bytes inflates to more than {MAX_RATIO} times as much")]
    Bomb {
        /// The layer's blob.
        digest: Digest,
        /// Its size.
        size_bytes: u64,
    },
    /// It inflates to something else than the config says.
    #[error("layer {digest} inflates to {got}, its diff ID is {expected}")]
    WrongDiffId {
        /// The layer's blob.
        digest: Digest,
        /// What the config says.
        expected: DiffId,
        /// What came out.
        got: Digest,
    },
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl InflateError {
    /// True if the layer may be inflated after all, by a run with other limits.
    pub fn is_of_limits(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Bomb { .. })
    }
}

/// A layer that is to be inflated, from where its verified blob was written. All of this blocks.
pub struct Inflation<'a> {
    /// The compressed layer.
    pub blob: &'a WrittenBlob,
    /// How far it may go.
    pub limits: Limits,
    /// Is told how many bytes more of the blob were taken in; says false when nobody waits for the rest.
    pub progress: &'a (dyn Fn(u64) -> bool + Sync + 'a),
}

/// What a layer inflated to.
#[derive(Debug)]
pub struct Inflated {
    /// Its size.
    pub size_bytes: u64,
    /// Where it was written; none if there was not room for all of it.
    pub layer: Option<VerifiedLayer>,
}

/// Proof that a region of a file holds a layer with its diff ID. Only an [`Inflation`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedLayer {
    diff_id: DiffId,
    size_bytes: u64,
    file: FileHandle,
    offset_bytes: u64,
}

impl VerifiedLayer {
    /// The layer's diff ID.
    pub fn diff_id(&self) -> &DiffId {
        &self.diff_id
    }

    /// The inflated layer's size.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Where in `file` the layer is; none if it is elsewhere.
    pub fn offset_bytes_in(&self, file: &FileHandle) -> Option<u64> {
        self.file.is_same(file).then_some(self.offset_bytes)
    }
}

impl Inflation<'_> {
    /// How large the layer will be, by what stands in its blob: right for most, a lie for some, none for others. gzip
    /// has the last member's size modulo 2³², zstd frames may have theirs.
    pub fn size_hint(&self) -> Option<u64> {
        let size_bytes = self.blob.size_bytes();
        let mut head = [0; ZSTD_HEADER_BYTES];
        let mut reader = self.blob.reader();
        let read = reader.read(&mut head).ok()?;
        let hint = match Packing::of(&head[..read]) {
            Packing::Gzip => u64::from(u32::from_le_bytes(self.blob.last_bytes().ok()?)),
            Packing::Zstd => zstd::zstd_safe::get_frame_content_size(&head[..read]).ok()??,
            _ => return Some(size_bytes),
        };
        // What can't be packed grows a little; what stands beyond these bounds is another member's size.
        let is_plausible = hint <= self.limits.layer_bytes
            && hint.saturating_add(hint / 64 + 64) >= size_bytes
            && hint / MAX_RATIO <= size_bytes;
        is_plausible.then_some(hint)
    }

    /// The size the layer inflates to. What comes out is not looked at.
    pub fn measure(&self) -> Result<u64, InflateError> {
        self.each_chunk(|_, _| Ok(()))
    }

    /// Inflates into `file` at `offset_bytes`, but writes no more than `room_bytes`; the size is told in any case.
    pub fn write(
        &self,
        diff_id: &DiffId,
        file: &FileHandle,
        offset_bytes: u64,
        room_bytes: Option<u64>,
    ) -> Result<Inflated, InflateError> {
        if let Some(room_bytes) = room_bytes {
            file.reserve(offset_bytes, room_bytes);
        }
        let room_bytes = room_bytes.unwrap_or(u64::MAX);
        let size_bytes = self.verified(diff_id, |chunk, position_bytes| {
            let left = usize::try_from(room_bytes.saturating_sub(position_bytes)).unwrap_or(usize::MAX);
            let chunk = &chunk[..chunk.len().min(left)];
            Ok::<_, InflateError>(file.write_at(chunk, offset_bytes + position_bytes)?)
        })?;
        let layer = (size_bytes <= room_bytes).then(|| VerifiedLayer {
            diff_id: diff_id.clone(),
            size_bytes,
            file: file.clone(),
            offset_bytes,
        });
        Ok(Inflated { size_bytes, layer })
    }

    /// Hands the layer to `sink`, chunk by chunk, each with its position. What was handed on counts only if this ends
    /// well.
    pub fn verified<E: From<InflateError>>(
        &self,
        diff_id: &DiffId,
        mut sink: impl FnMut(&[u8], u64) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut hasher = Hasher::new(diff_id.digest().algorithm());
        let size_bytes = self.each_chunk(|chunk, position_bytes| {
            hasher.update(chunk);
            sink(chunk, position_bytes)
        })?;
        let got = hasher.finish();
        if got != *diff_id.digest() {
            let (digest, expected) = (self.blob.digest().clone(), diff_id.clone());
            return Err(InflateError::WrongDiffId { digest, expected, got }.into());
        }
        Ok(size_bytes)
    }

    fn each_chunk<E: From<InflateError>>(
        &self,
        mut sink: impl FnMut(&[u8], u64) -> Result<(), E>,
    ) -> Result<u64, E> {
        let corrupt = |source| InflateError::Corrupt { digest: self.blob.digest().clone(), source };
        let blob = Counted { blob: self.blob.reader(), progress: self.progress };
        let (_, mut layer) = decoder(blob).map_err(corrupt)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut position_bytes = 0;
        loop {
            let read = layer.read(&mut chunk).map_err(corrupt)?;
            if read == 0 {
                return Ok(position_bytes);
            }
            let inflated_bytes = position_bytes + read as u64;
            if let Some(excess) = self.limits.excess(self.blob.size_bytes(), inflated_bytes) {
                return Err(excess.of(self.blob.digest()).into());
            }
            sink(&chunk[..read], position_bytes)?;
            position_bytes += read as u64;
        }
    }
}

/// Reads a blob and tells how far it is.
struct Counted<'a> {
    blob: BlobReader,
    progress: &'a (dyn Fn(u64) -> bool + Sync + 'a),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.blob.read(buffer)?;
        if (self.progress)(read as u64) { Ok(read) } else { Err(io::Error::other("nobody waits for it")) }
    }
}

/// The layer in `blob`, inflated as it is read, and what it is packed with.
pub(super) fn decoder<'a>(blob: impl Read + Send + 'a) -> io::Result<(Packing, Box<dyn Read + Send + 'a>)> {
    let (packing, blob) = Packing::peek(blob)?;
    let packing = if packing.is_of_layers() { packing } else { Packing::Plain };
    Ok((packing, packing.unpack(blob)?))
}

#[cfg(test)]
mod tests;
