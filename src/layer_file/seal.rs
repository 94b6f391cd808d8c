//! Packed layer files and their seals.
//!
//! Inflaters ignore some of what they read (gzip's header, zstd's unused bits), so the stream is followed by a digest of all its
//! bytes, in a form that `gzip -d` and `zstd -d` pass over: an empty last member with an extra field, or a skippable frame. All
//! other bytes of a seal are always the same.

use std::io::{self, Write};

use flate2::write::GzEncoder;

use crate::blob::{HashThread, Packing};
use crate::fsio::{FileHandle, WriteBehind};
use crate::image::Digest;

/// What a layer file is packed with as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// gzip, sealed by a last, empty member.
    Gzip,
    /// zstd, sealed by a skippable frame.
    Zstd,
}

/// A member's header with an extra field `SL` of 64 bytes.
const GZIP_BEFORE: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 68, 0, b'S', b'L', 64, 0];
/// No data, its CRC and size.
const GZIP_AFTER: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// A skippable frame of 64 bytes.
const ZSTD_BEFORE: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 64, 0, 0, 0];
/// `zstd`'s own default.
const ZSTD_LEVEL: i32 = 3;

impl Seal {
    /// That of what is packed so; none where layer files aren't.
    pub(super) fn of(packing: Packing) -> Option<Self> {
        match packing {
            Packing::Gzip => Some(Self::Gzip),
            Packing::Zstd => Some(Self::Zstd),
            Packing::Plain | Packing::Xz | Packing::Bzip2 => None,
        }
    }

    /// What it seals.
    pub fn packing(self) -> Packing {
        match self {
            Self::Gzip => Packing::Gzip,
            Self::Zstd => Packing::Zstd,
        }
    }

    /// The seal of a stream with this digest.
    pub(super) fn to_bytes(self, digest: &Digest) -> Vec<u8> {
        let (before, after) = self.around();
        [before, digest.hex().as_bytes(), after].concat()
    }

    /// How long it is.
    pub(super) fn size_bytes(self) -> u64 {
        let (before, after) = self.around();
        (before.len() + 64 + after.len()) as u64
    }

    /// True for bytes that are a seal, of whatever.
    pub(super) fn is_one(self, bytes: &[u8]) -> bool {
        let (before, after) = self.around();
        let digest = bytes.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        digest.is_some_and(|hex| hex.len() == 64 && hex.iter().all(u8::is_ascii_hexdigit))
    }

    fn around(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Gzip => (&GZIP_BEFORE, &GZIP_AFTER),
            Self::Zstd => (&ZSTD_BEFORE, &[]),
        }
    }
}

/// Where the bytes of a file go.
pub(super) struct Sink {
    file: WriteBehind,
    /// For the seal.
    hash: Option<HashThread>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is being packed, or not.
pub(super) enum Packer {
    Plain(Sink),
    Gzip(Box<GzEncoder<Sink>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Sink>>),
}

impl Packer {
    pub(super) fn new(seal: Option<Seal>, file: FileHandle) -> io::Result<Self> {
        let hash = seal.map(|_| HashThread::new());
        let sink = Sink { file: WriteBehind::new(file), hash };
        Ok(match seal {
            None => Self::Plain(sink),
            Some(Seal::Gzip) => Self::Gzip(Box::new(GzEncoder::new(sink, flate2::Compression::default()))),
            Some(Seal::Zstd) => {
                let mut encoder = zstd::stream::write::Encoder::new(sink, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// Ends the stream and seals it; says how long the file is.
    pub(super) fn finish(self) -> io::Result<u64> {
        let (seal, mut sink) = match self {
            Self::Plain(sink) => (None, sink),
            Self::Gzip(encoder) => (Some(Seal::Gzip), encoder.finish()?),
            Self::Zstd(encoder) => (Some(Seal::Zstd), encoder.finish()?),
        };
        if let (Some(seal), Some(hash)) = (seal, sink.hash.take()) {
            sink.write_all(&seal.to_bytes(&hash.finish()))?;
        }
        sink.file.finish().map_err(io::Error::other)
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(sink) => sink.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn inflaters_pass_over_seals() {
        let digest = Digest::of(b"packed");
        let gzip = {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(b"content").unwrap();
            encoder.finish().unwrap()
        };
        for (seal, packed) in
            [(Seal::Gzip, gzip), (Seal::Zstd, zstd::encode_all(&b"content"[..], 3).unwrap())]
        {
            let bytes = seal.to_bytes(&digest);
            assert_eq!(bytes.len() as u64, seal.size_bytes());
            assert!(seal.is_one(&bytes));
            let sealed = [packed, bytes].concat();
            assert_eq!(Seal::of(Packing::of(&sealed)), Some(seal));
            let mut plain = Vec::new();
            seal.packing().unpack(&sealed[..]).unwrap().read_to_end(&mut plain).unwrap();
            assert_eq!(plain, b"content");
        }
    }
}
