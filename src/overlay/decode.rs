//! Headers of raw tars read back. There is one way to write an entry ([`Header::to_blocks`]): what is read is written again, and has
//! to be the same to the byte. So reading may be simple, and nothing in a header is without meaning.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::header::{BLOCK_BYTES, Header, Kind, Time};
use super::holes::{self, MapReader};

/// All attributes of an entry together. Linux keeps 64 KiB of names, and ext4, which has most, little more.
const MAX_RECORD_BYTES: u64 = 16 << 20;
/// What nearly all headers have room in.
const USUAL_BYTES: usize = 1 << 20;
const XATTR: &[u8] = b"SCHILY.xattr.";

/// Why there is no header to be read.
#[derive(Debug)]
pub(crate) enum HeaderError {
    /// The bytes can't be had.
    Read(io::Error),
    /// They are no header, or not written as they have to be.
    Wrong(&'static str),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Wrong("it ends too early"),
            _ => Self::Read(error),
        }
    }
}

const NO_HEADER: HeaderError = HeaderError::Wrong("what stands there is no header");
const NOT_CANONICAL: HeaderError = HeaderError::Wrong("a header is not written as it has to be");

/// The next header with its blocks; none at the end's first zero block.
pub(crate) fn read_header(input: &mut impl Read) -> Result<Option<(Header, Vec<u8>)>, HeaderError> {
    let mut blocks = vec![0; BLOCK_BYTES];
    input.read_exact(&mut blocks)?;
    if blocks.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let mut records = BTreeMap::new();
    let mut at = 0;
    if blocks[156] == b'x' {
        let size_bytes =
            octal(&blocks[124..136]).filter(|size| *size <= MAX_RECORD_BYTES).ok_or(NO_HEADER)?;
        let size_bytes = usize::try_from(size_bytes).map_err(|_| NO_HEADER)?;
        at = BLOCK_BYTES + size_bytes.next_multiple_of(BLOCK_BYTES);
        blocks.resize(at + BLOCK_BYTES, 0);
        input.read_exact(&mut blocks[BLOCK_BYTES..])?;
        records = records_of(&blocks[BLOCK_BYTES..][..size_bytes]).ok_or(NO_HEADER)?;
    }
    let (mut header, stored_bytes) = header_of(&blocks[at..], &mut records).ok_or(NO_HEADER)?;
    if records.remove(&b"GNU.sparse.major"[..]).is_some() {
        let mut map = MapReader::default();
        let before = blocks.len();
        let mut block = [0; BLOCK_BYTES];
        loop {
            input.read_exact(&mut block)?;
            blocks.extend(block);
            if map.feed(&block).map_err(HeaderError::Wrong)? {
                break;
            }
        }
        let extents = map.finish(header.size_bytes);
        if let Some(flaw) = holes::flaw(&extents, header.size_bytes) {
            return Err(HeaderError::Wrong(flaw));
        }
        let data_bytes = stored_bytes.checked_sub((blocks.len() - before) as u64);
        header.extents = Some(extents);
        if data_bytes != Some(header.data_bytes()) {
            return Err(NOT_CANONICAL);
        }
    }
    if header.to_blocks() == blocks { Ok(Some((header, blocks))) } else { Err(NOT_CANONICAL) }
}

/// Would these blocks of a header be read? All are but those that are too large.
pub(super) fn check_readable(blocks: &[u8]) -> Result<(), &'static str> {
    if blocks.len() < USUAL_BYTES || read_header(&mut &blocks[..]).is_ok() {
        return Ok(());
    }
    Err("its name and attributes have more than 16 MiB")
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a block and the records before it say, and how much of the tar belongs to it. Takes what is not a record of holes.
fn header_of(block: &[u8], records: &mut Records) -> Option<(Header, u64)> {
    let mut taken = |key: &[u8]| records.remove(key);
    let number = |record: Option<Vec<u8>>, field: &[u8]| match record {
        Some(record) => decimal(&record),
        None => octal(field),
    };
    let (prefix, name) = (text(&block[345..500]), text(&block[..100]));
    let name = match taken(b"GNU.sparse.name").or_else(|| taken(b"path")) {
        Some(name) => name,
        None if prefix.is_empty() => name.to_vec(),
        None => [prefix, b"/", name].concat(),
    };
    let target = taken(b"linkpath").unwrap_or_else(|| text(&block[157..257]).to_vec());
    let stored_bytes = number(taken(b"size"), &block[124..136])?;
    let size_bytes = match taken(b"GNU.sparse.realsize") {
        Some(size) => decimal(&size)?,
        None => stored_bytes,
    };
    // No file is larger, and sums of parts of it don't overflow.
    let size_bytes = u64::try_from(i64::try_from(size_bytes).ok()?).ok()?;
    let uid = number(taken(b"uid"), &block[108..116])?;
    let gid = number(taken(b"gid"), &block[116..124])?;
    let modified = match taken(b"mtime") {
        Some(time) => time_of(&time)?,
        None => Time { seconds: octal(&block[136..148])?.try_into().ok()?, nanoseconds: 0 },
    };
    let mut attributes = BTreeMap::new();
    records.retain(|key, value| match key.strip_prefix(XATTR) {
        Some(name) => {
            attributes.insert(name.to_vec(), std::mem::take(value));
            false
        }
        None => true,
    });
    let header = Header {
        name,
        kind: Kind::of(block[156])?,
        mode: u32::try_from(octal(&block[100..108])?).ok()?,
        uid: u32::try_from(uid).ok()?,
        gid: u32::try_from(gid).ok()?,
        size_bytes,
        modified,
        target,
        device: (octal(&block[329..337])?.try_into().ok()?, octal(&block[337..345])?.try_into().ok()?),
        attributes,
        extents: None,
    };
    Some((header, stored_bytes))
}

/// Records as they stand one after the other.
fn records_of(mut data: &[u8]) -> Option<Records> {
    let mut records = Records::new();
    while !data.is_empty() {
        let space = data.iter().take(9).position(|byte| *byte == b' ')?;
        let length = usize::try_from(decimal(&data[..space])?).ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
        data = &data[length..];
    }
    Some(records)
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field.strip_suffix(b"\0")?).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| u64::from_str_radix(text, 8).ok())?
}

fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn time_of(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = i128::from(decimal(seconds.as_bytes())?);
    let digits = fraction.len();
    if digits > 9 || (digits > 0 && decimal(fraction.as_bytes()).is_none()) {
        return None;
    }
    let fraction: u32 = format!("{fraction:0<9}").parse().ok()?;
    let (seconds, nanoseconds) = match (is_negative, fraction) {
        (false, _) => (seconds, fraction),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - fraction),
    };
    Some(Time { seconds: seconds.try_into().ok()?, nanoseconds })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::holes::Extent;
    use super::*;

    fn any_kind() -> impl Strategy<Value = Kind> {
        prop::sample::select(b"0123456".to_vec()).prop_map(|byte| Kind::of(byte).unwrap())
    }

    prop_compose! {
        fn any_header()(
            name in prop::collection::vec(1u8.., 1..300), target in prop::collection::vec(1u8.., 0..300),
            kind in any_kind(), mode in 0u32..0o10_000, uid in any::<u32>(), gid in any::<u32>(),
            size_bytes in any::<u64>().prop_map(|size| (size >> 1) >> (size % 63)), seconds in any::<i64>(),
            nanoseconds in 0u32..1_000_000_000, device in (0u32..1 << 21, 0u32..1 << 21),
            attributes in prop::collection::btree_map(
                prop::collection::vec(prop::sample::select(b"user.\xff%\n".to_vec()), 1..9),
                prop::collection::vec(any::<u8>(), 0..700), 0..3,
            ),
        ) -> Header {
            let modified = Time { seconds, nanoseconds };
            Header { name, kind, mode, uid, gid, size_bytes, modified, target, device, attributes, extents: None }
        }
    }

    fn read_back(blocks: &[u8]) -> Option<Header> {
        let mut input = blocks;
        let (header, read) = read_header(&mut input).ok()??;
        (input.is_empty() && read == blocks).then_some(header)
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(header in any_header()) {
            let blocks = header.to_blocks();
            let back = read_back(&blocks).unwrap();
            let (back, header) = (format!("{back:?}"), format!("{header:?}"));
            prop_assert_eq!(back, header);
        }

        #[test]
        fn a_header_with_another_byte_is_refused_or_says_something_else(
            header in any_header(), at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let mut blocks = header.to_blocks();
            let at = at.index(blocks.len());
            blocks[at] ^= flip;
            let is_another = |back: Header| format!("{back:?}") != format!("{header:?}");
            prop_assert!(read_back(&blocks).is_none_or(is_another));
        }
    }

    #[test]
    fn what_is_too_large_to_be_read_is_known_before() {
        let with = |count: u32| {
            let attribute = |number: u32| (format!("user.{number}").into_bytes(), vec![1; 64 << 10]);
            let attributes = (0..count).map(attribute).collect();
            check_readable(&Header { attributes, ..plain() }.to_blocks())
        };
        assert_eq!((with(1), with(40)), (Ok(()), Ok(())));
        assert!(with(257).is_err());
    }

    fn plain() -> Header {
        Header::new(b"a/holes", Kind::File, 0o644)
    }

    #[test]
    fn holes_read_back_and_can_not_be_said_in_two_ways() {
        let extent = |start_bytes, size_bytes| Extent { start_bytes, size_bytes };
        let sparse = |size_bytes, extents: &[Extent]| Header {
            size_bytes,
            extents: Some(extents.to_vec()),
            ..plain()
        };
        let many: Vec<Extent> = (0..500).map(|one| extent(one * 8192, 4096)).collect();
        for good in [
            sparse(1 << 40, &[]),
            sparse(100, &[]),
            sparse(10_000, &[extent(4096, 4096)]),
            sparse(10_000, &[extent(0, 512), extent(8192, 1808)]),
            sparse(1 << 40, &many),
        ] {
            let back = read_back(&good.to_blocks()).unwrap();
            assert_eq!((back.extents, back.size_bytes), (good.extents, good.size_bytes));
        }
        for bad in [
            sparse(10_000, &[extent(0, 10_000)]),
            sparse(10_000, &[extent(0, 0)]),
            sparse(10_000, &[extent(0, 100)]),
            sparse(10_000, &[extent(100, 512)]),
            sparse(10_000, &[extent(4096, 512), extent(0, 512)]),
            sparse(10_000, &[extent(0, 512), extent(512, 512)]),
            sparse(10_000, &[extent(8192, 4096)]),
            sparse(0, &[]),
        ] {
            assert!(read_back(&bad.to_blocks()).is_none(), "{:?}", bad.extents);
        }
    }
}
