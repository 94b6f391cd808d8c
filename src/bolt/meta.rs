//! Meta pages: where a database's last state begins. There are two, written in turn, each with a checksum.

use super::BoltError;
use super::layout::{HEADER_BYTES, u32_at, u64_at};

pub(super) const MAGIC: u32 = 0xED0C_DAED;
pub(super) const VERSION: u32 = 2;
/// Where a meta's checksum is, behind the page's header; it is of all before it.
const CHECKSUM_AT: usize = 56;
/// Where a meta ends in its page.
pub(super) const META_END: usize = HEADER_BYTES + CHECKSUM_AT + 8;
/// Pages are as large as those of the machine that made the database.
const PAGE_BYTES: [usize; 8] = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131_072];

/// The state that one transaction left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_bytes: usize,
    /// The page the outermost bucket begins at.
    pub(super) root: u64,
    /// One more than the last page has.
    pub(super) end: u64,
    pub(super) transaction: u64,
}

impl Meta {
    /// The meta of the last transaction that was written to its end.
    pub(super) fn last_of(bytes: &[u8]) -> Result<Self, BoltError> {
        if bytes.is_empty() {
            return Err(BoltError::Empty);
        }
        let mut read = vec![Self::at(bytes, 0)];
        match read[0] {
            Ok(Self { page_bytes, .. }) => read.push(Self::at(bytes, page_bytes)),
            Err(_) => read.extend(PAGE_BYTES.map(|page_bytes| Self::second(bytes, page_bytes))),
        }
        if let Some(meta) = read.iter().flatten().max_by_key(|meta| meta.transaction) {
            return Ok(*meta);
        }
        let telling = |error: &BoltError| match error {
            BoltError::Metas => 3,
            BoltError::Version(_) => 2,
            BoltError::Cut { .. } => 1,
            _ => 0,
        };
        let most = read.into_iter().filter_map(Result::err).max_by_key(telling);
        Err(most.unwrap_or(BoltError::NotBolt))
    }

    /// The meta page behind the first one, if pages have that size.
    fn second(bytes: &[u8], page_bytes: usize) -> Result<Self, BoltError> {
        let meta = Self::at(bytes, page_bytes)?;
        if meta.page_bytes == page_bytes { Ok(meta) } else { Err(BoltError::Metas) }
    }

    fn at(bytes: &[u8], offset: usize) -> Result<Self, BoltError> {
        let meta = bytes.get(offset + HEADER_BYTES..).unwrap_or_default();
        if u32_at(meta, 0) != Some(MAGIC) {
            return Err(BoltError::NotBolt);
        }
        let fields = (|| {
            Some((
                u32_at(meta, 4)?,
                u32_at(meta, 8)?,
                u64_at(meta, 16)?,
                u64_at(meta, 40)?,
                u64_at(meta, 48)?,
            ))
        })();
        let (Some((version, page_bytes, root, end, transaction)), Some(checksum)) =
            (fields, u64_at(meta, CHECKSUM_AT))
        else {
            return Err(BoltError::Cut { bytes: bytes.len() });
        };
        if version != VERSION {
            return Err(BoltError::Version(version));
        }
        let page_bytes = PAGE_BYTES.into_iter().find(|known| *known as u64 == u64::from(page_bytes));
        match page_bytes {
            Some(page_bytes) if fnv1a(&meta[..CHECKSUM_AT]) == checksum => {
                Ok(Self { page_bytes, root, end, transaction })
            }
            _ => Err(BoltError::Metas),
        }
    }
}

/// FNV-1a of 64 bits, which bolt's checksums are.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}
