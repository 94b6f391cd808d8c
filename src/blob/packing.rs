//! What bytes are packed with, told by their beginning, and the bytes unpacked.
//!
//! Threats: windows are held to what the formats' own tools take unasked. How much comes out is for the reader to bound.

use std::io::{self, BufRead, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// zstd windows up to 2²⁷ bytes: what `zstd -d` takes unasked. podman, buildah and `BuildKit` stay at 2²³ or below.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;
/// What `xz -9` needs is 65 MiB.
const MAX_XZ_KIB: u32 = 128 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The upper three bytes of the sixteen magic numbers of zstd's skippable frames.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
/// What is looked at to tell.
const HEAD_BYTES: u64 = 8;

/// What something is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Nothing that is known here.
    Plain,
    /// gzip of any number of members (RFC 1952).
    Gzip,
    /// zstd of any number of frames (RFC 8878).
    Zstd,
    /// xz of any number of streams.
    Xz,
    /// bzip2, which is told, but not unpacked.
    Bzip2,
}

impl Packing {
    /// Tells by the first bytes of `reader`, however few of them it gives at a time; and the reader, with those bytes.
    pub fn sniff(mut reader: impl Read + Send) -> io::Result<(Self, impl Read + Send)> {
        let mut head = Vec::new();
        reader.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok((Self::of(&head), Cursor::new(head).chain(reader)))
    }

    /// Tells by the first bytes; eight of them do.
    pub fn of(head: &[u8]) -> Self {
        let is_skippable = head.get(1..4) == Some(&ZSTD_SKIPPABLE) && head[0] >> 4 == 5;
        match head {
            _ if head.starts_with(&GZIP_MAGIC) => Self::Gzip,
            _ if head.starts_with(&ZSTD_MAGIC) || is_skippable => Self::Zstd,
            _ if head.starts_with(&XZ_MAGIC) => Self::Xz,
            _ if head.starts_with(b"BZh") => Self::Bzip2,
            _ => Self::Plain,
        }
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "nothing",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }

    /// True for what layers are packed with; else what stands there is taken for a bare tar.
    pub fn is_of_layers(self) -> bool {
        matches!(self, Self::Gzip | Self::Zstd)
    }

    /// What comes out of `packed`.
    pub fn unpack<'a>(self, packed: impl BufRead + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => {
                let mut plain = zstd::stream::read::Decoder::with_buffer(packed)?;
                plain.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
                Box::new(plain)
            }
            Self::Xz => Box::new(XzReader::new_mem_limit(packed, true, MAX_XZ_KIB)),
            Self::Bzip2 => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}
