//! What stands in a foreign header: its numbers, its checksum, and the names that pax and GNU put before it.

use tar::{EntryType, Header};

use super::MemberKind;

/// Where a block of an old GNU sparse file says whether another follows.
pub(super) const SPARSE_IS_EXTENDED: usize = 504;
const SIZE_FIELD: std::ops::Range<usize> = 124..136;
const CHECKSUM_FIELD: std::ops::Range<usize> = 148..156;
/// Pax keys of files with holes.
const PAX_SPARSE: &[u8] = b"GNU.sparse.";

/// The size a header states: octal, or GNU's base-256 if its first bit is set. None if it is negative or no number.
pub(super) fn size_bytes(header: &Header) -> Option<u64> {
    number(&header.as_bytes()[SIZE_FIELD])
}

/// Both sums are around: of bytes, and of signed bytes as some old tars made it.
pub(super) fn has_its_checksum(block: &[u8; 512]) -> bool {
    let Some(stated) = number(&block[CHECKSUM_FIELD]) else { return false };
    let spaced =
        block.iter().enumerate().map(|(at, byte)| if CHECKSUM_FIELD.contains(&at) { b' ' } else { *byte });
    let (unsigned, signed) = spaced.fold((0u64, 0i64), |(unsigned, signed), byte| {
        (unsigned + u64::from(byte), signed + i64::from(byte.cast_signed()))
    });
    stated == unsigned || i64::try_from(stated) == Ok(signed)
}

/// True for kinds that have no content, whatever their size says.
pub(super) fn has_no_content(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The sign, and what a file can't have.
        let (high, low) = rest.split_at(rest.len().checked_sub(8)?);
        let is_small = *first == 0x80 && high.iter().all(|byte| *byte == 0);
        let value = u64::from_be_bytes(low.try_into().ok()?);
        return (is_small && i64::try_from(value).is_ok()).then_some(value);
    }
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let digits = std::str::from_utf8(&field[..end]).ok()?.trim_matches(' ');
    if digits.is_empty() {
        return Some(0);
    }
    let is_octal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    is_octal.then(|| u64::from_str_radix(digits, 8).ok()).flatten()
}

/// What the entries before a header say in its place.
#[derive(Default)]
pub(super) struct Overrides {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size_bytes: Option<u64>,
    is_sparse: bool,
}

impl Overrides {
    /// Takes in the records of a pax header (`<length> <key>=<value>\n`); none if they are broken.
    pub(super) fn read_pax(&mut self, mut records: &[u8]) -> Option<()> {
        while !records.is_empty() {
            let space = records.iter().take(20).position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
            let (record, rest) = records.split_at_checked(length)?;
            let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=').filter(|equals| *equals > 0)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let size_bytes: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
                    self.size_bytes = Some(i64::try_from(size_bytes).ok()?.cast_unsigned());
                }
                key if key.starts_with(PAX_SPARSE) => self.is_sparse = true,
                _ => {}
            }
            records = rest;
        }
        Some(())
    }

    /// The path and kind of the entry that `header` begins.
    pub(super) fn name(self, header: &Header) -> (String, MemberKind) {
        let path = text(&self.path.unwrap_or_else(|| header.path_bytes().into_owned()));
        let link = self.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let link = text(&link.unwrap_or_default());
        let kind = match header.entry_type() {
            _ if self.is_sparse => MemberKind::Other,
            // Before there was a kind for them, directories were files with a slash.
            EntryType::Regular | EntryType::Continuous if path.ends_with('/') => MemberKind::Directory,
            EntryType::Regular | EntryType::Continuous => MemberKind::File,
            EntryType::Directory => MemberKind::Directory,
            EntryType::Symlink => MemberKind::Symlink(link),
            EntryType::Link => MemberKind::HardLink(link),
            _ => MemberKind::Other,
        };
        (path, kind)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
