//! What bytes are packed with, told by their beginning, and the bytes unpacked.
//!
//! Threats: windows are held to what the formats' own tools take unasked. How much comes out is for the reader to bound,
//! or for [`Packing::unpack_no_bomb`].

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// zstd windows up to 2²⁷ bytes: what `zstd -d` takes unasked. podman, buildah and `BuildKit` stay at 2²³ or below.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;
/// What `xz -9` needs is 65 MiB.
const MAX_XZ_KIB: u32 = 128 << 10;
/// How many times its size something may unpack to, from [`RATIO_FROM_BYTES`] on.
pub(super) const MAX_RATIO: u64 = 1100;
const RATIO_FROM_BYTES: u64 = 1 << 30;
/// What tells all packings apart.
const HEAD_BYTES: u64 = 8;
/// Bytes read at a time.
const BUFFER_BYTES: usize = 128 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The upper three bytes of the sixteen magic numbers of zstd's skippable frames.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

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

    /// Tells by what comes first out of `packed`, however little of it comes at a time, and gives all of it back.
    pub fn peek<'a>(mut packed: impl Read + Send + 'a) -> io::Result<(Self, impl BufRead + Send + 'a)> {
        let mut head = Vec::new();
        packed.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
        let packing = Self::of(&head);
        Ok((packing, BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(packed))))
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
        self.unpack_boxed(Box::new(packed))
    }

    /// The same; unpackers are large, and so there is one of each in the binary, not one for each thing that is packed.
    fn unpack_boxed<'a>(self, packed: Box<dyn BufRead + Send + 'a>) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Plain => packed,
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

    /// The same, as long as it does not grow as nothing honest does.
    pub fn unpack_no_bomb<'a>(self, packed: impl BufRead + Send + 'a) -> io::Result<Unpacked<'a>> {
        let taken_bytes = Arc::new(AtomicU64::new(0));
        let packed = Counted { packed, taken_bytes: taken_bytes.clone() };
        let is_packed = self != Self::Plain;
        Ok(Unpacked { plain: self.unpack(packed)?, is_packed, out_bytes: 0, taken_bytes })
    }
}

/// Something packed, of which it is counted how much was taken.
struct Counted<R> {
    packed: R,
    taken_bytes: Arc<AtomicU64>,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.packed.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.taken_bytes.fetch_add(amount as u64, Ordering::Relaxed);
        self.packed.consume(amount);
    }
}

/// What comes out of something packed, as long as that is no bomb.
pub struct Unpacked<'a> {
    plain: Box<dyn Read + Send + 'a>,
    is_packed: bool,
    out_bytes: u64,
    taken_bytes: Arc<AtomicU64>,
}

impl Unpacked<'_> {
    /// How much was taken of what is packed, so far.
    pub fn taken_bytes(&self) -> Arc<AtomicU64> {
        self.taken_bytes.clone()
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.plain.read(buffer)?;
        self.out_bytes += read as u64;
        if self.is_packed && is_bomb(self.taken_bytes.load(Ordering::Relaxed), self.out_bytes) {
            let problem = format!("it unpacks to more than {MAX_RATIO} times as much");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(read)
    }
}

/// True for what grows as nothing honest does: gzip packs at most 1032 bytes into one. What goes beyond, from a GiB on, was
/// made to fill disks.
pub(super) fn is_bomb(packed_bytes: u64, unpacked_bytes: u64) -> bool {
    unpacked_bytes > RATIO_FROM_BYTES && unpacked_bytes / MAX_RATIO > packed_bytes
}
