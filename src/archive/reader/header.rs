//! What stands in a foreign header: its numbers, its checksum, and the names that pax and GNU put before it. Read as Go's
//! `archive/tar` reads it, field by field: what it would refuse is refused.

use std::ops::Range;

use tar::EntryType;

use super::{BLOCK, MemberKind};

/// Where an old GNU sparse file's header, and each block behind it, says whether another block follows.
pub(super) const SPARSE_IS_EXTENDED: [usize; 2] = [482, 504];
const NAME: Range<usize> = 0..100;
const SIZE: Range<usize> = 124..136;
const CHECKSUM: Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const PREFIX: Range<usize> = 345..500;
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_TRAILER: Range<usize> = 508..512;
/// Mode, owner, group and time of change.
const NUMBERS: [Range<usize>; 4] = [100..108, 108..116, 116..124, 136..148];
/// The numbers of a device.
const DEVICE_NUMBERS: [Range<usize>; 2] = [329..337, 337..345];
const STAR_TIMES: [Range<usize>; 2] = [476..488, 488..500];
/// Where old GNU has times, and Go before 1.8 by mistake wrote a prefix.
const GNU_TIMES: [Range<usize>; 2] = [345..357, 357..369];
/// Pax keys of files with holes.
const PAX_SPARSE: &[u8] = b"GNU.sparse.";

/// A header: its checksum and its numbers are right.
pub(super) struct Header(Box<[u8; BLOCK]>);

/// The dialects of headers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

impl Header {
    /// Of a block; none if it is no header.
    pub(super) fn of(block: Box<[u8; BLOCK]>) -> Option<Self> {
        let header = Self(block);
        let is_number = |field: &Range<usize>| number(&header.0[field.clone()]).is_some();
        let has_numbers = NUMBERS.iter().all(is_number)
            && match header.format() {
                Format::V7 => true,
                Format::Ustar | Format::Gnu => DEVICE_NUMBERS.iter().all(is_number),
                Format::Star => DEVICE_NUMBERS.iter().chain(&STAR_TIMES).all(is_number),
            };
        (has_its_checksum(&header.0) && has_numbers).then_some(header)
    }

    /// What it says it begins.
    pub(super) fn kind(&self) -> EntryType {
        EntryType::new(self.0[KIND])
    }

    /// The size it states: octal, or GNU's base-256 if its first bit is set. None if it is negative or no number.
    pub(super) fn size_bytes(&self) -> Option<u64> {
        u64::try_from(number(&self.0[SIZE])?).ok()
    }

    /// Whether blocks of a sparse file's map follow; none if this dialect has no such files.
    pub(super) fn is_extended(&self) -> Option<bool> {
        (self.format() == Format::Gnu).then(|| self.0[SPARSE_IS_EXTENDED[0]] != 0)
    }

    fn format(&self) -> Format {
        let magic = &self.0[MAGIC];
        if magic.starts_with(b"ustar\0") {
            // Whatever version it says.
            if self.0[STAR_TRAILER] == *b"tar\0" { Format::Star } else { Format::Ustar }
        } else if magic == b"ustar  \0" {
            Format::Gnu
        } else {
            Format::V7
        }
    }

    fn path(&self) -> Vec<u8> {
        let name = c_string(&self.0[NAME]);
        let prefix = match self.format() {
            Format::V7 => &[],
            Format::Ustar => c_string(&self.0[PREFIX]),
            Format::Star => c_string(&self.0[STAR_PREFIX]),
            Format::Gnu => self.mistaken_prefix(),
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    /// What stands where old GNU has times, and is none.
    fn mistaken_prefix(&self) -> &[u8] {
        let is_time =
            |field: &Range<usize>| self.0[field.start] == 0 || number(&self.0[field.clone()]).is_some();
        let prefix = c_string(&self.0[PREFIX]);
        if GNU_TIMES.iter().all(is_time) || !prefix.is_ascii() { &[] } else { prefix }
    }

    fn link(&self) -> Vec<u8> {
        c_string(&self.0[LINK]).to_vec()
    }

    /// Before there was a kind for them, directories were files of this kind with a slash.
    fn is_of_old_kind(&self) -> bool {
        self.0[KIND] == 0
    }
}

/// Both sums are around: of bytes, and of signed bytes as some old tars made it.
fn has_its_checksum(block: &[u8; BLOCK]) -> bool {
    let Some(stated) = octal(&block[CHECKSUM]) else { return false };
    let spaced = block.iter().enumerate().map(|(at, byte)| if CHECKSUM.contains(&at) { b' ' } else { *byte });
    let (unsigned, signed) = spaced.fold((0i64, 0i64), |(unsigned, signed), byte| {
        (unsigned + i64::from(byte), signed + i64::from(byte.cast_signed()))
    });
    stated == unsigned || stated == signed
}

/// A number: octal, or base-256, which may be negative, if its first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    // The second bit is the sign, and all bits of a negative number are turned.
    let turned = if first & 0x40 == 0 { 0 } else { 0xff };
    let digits =
        field.iter().enumerate().map(|(at, byte)| (byte ^ turned) & if at == 0 { 0x7f } else { 0xff });
    let mut value = 0i64;
    for digit in digits {
        value = value.checked_mul(256)?.checked_add(i64::from(digit))?;
    }
    Some(if turned == 0 { value } else { !value })
}

/// Octal digits between zeros and spaces; none of them are a 0.
fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| matches!(byte, 0 | b' ');
    let Some(start) = field.iter().position(|byte| !is_padding(byte)) else { return Some(0) };
    let end = field.iter().rposition(|byte| !is_padding(byte))?;
    let digits = c_string(&field[start..=end]);
    let is_octal = digits.iter().all(|byte| matches!(byte, b'0'..=b'7'));
    i64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| is_octal)?, 8).ok()
}

/// What stands before the first zero.
pub(super) fn c_string(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// What the entries before a header say in its place. What is empty says nothing.
#[derive(Default)]
pub(super) struct Overrides {
    /// GNU's, which goes before pax's.
    pub(super) path: Vec<u8>,
    /// The same.
    pub(super) link: Vec<u8>,
    pax: Pax,
}

/// What a pax header says of the next entry.
#[derive(Default)]
struct Pax {
    path: Vec<u8>,
    link: Vec<u8>,
    size_bytes: Option<u64>,
    sparse_name: Vec<u8>,
    is_sparse: bool,
}

impl Overrides {
    /// Takes in the records of a pax header in place of those before; none if they are broken.
    pub(super) fn read_pax(&mut self, records: &[u8]) -> Option<()> {
        self.pax = Pax::read(records)?;
        Some(())
    }

    /// How long the content is, where it is not as the header says.
    pub(super) fn size_bytes(&self) -> Option<u64> {
        self.pax.size_bytes
    }

    /// The path and kind of the entry that `header` begins.
    pub(super) fn name(self, header: &Header) -> (String, MemberKind) {
        let given = |gnu: Vec<u8>, pax: Vec<u8>| [gnu, pax].into_iter().find(|name| !name.is_empty());
        let path = text(&given(self.path, self.pax.path).unwrap_or_else(|| header.path()));
        let link = text(&given(self.link, self.pax.link).unwrap_or_else(|| header.link()));
        if self.pax.is_sparse {
            let name = if self.pax.sparse_name.is_empty() { path } else { text(&self.pax.sparse_name) };
            return (name, MemberKind::Ambiguous);
        }
        let kind = match header.kind() {
            EntryType::Regular if header.is_of_old_kind() && path.ends_with('/') => MemberKind::Directory,
            EntryType::Regular => MemberKind::File,
            EntryType::Directory => MemberKind::Directory,
            EntryType::Symlink => MemberKind::Symlink(link),
            EntryType::Link => MemberKind::HardLink(link),
            EntryType::Char | EntryType::Block | EntryType::Fifo => MemberKind::Device,
            _ => MemberKind::Ambiguous,
        };
        (path, kind)
    }
}

impl Pax {
    /// Of records `<length> <key>=<value>\n`, of which the last of a key counts; none if they are broken.
    fn read(mut records: &[u8]) -> Option<Self> {
        let mut pax = Self::default();
        while !records.is_empty() {
            let space = records.iter().take(20).position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
            let (record, rest) = records.split_at_checked(length)?;
            let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=').filter(|equals| *equals > 0)?;
            pax.take(&record[..equals], &record[equals + 1..])?;
            records = rest;
        }
        Some(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let is_name = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
        if (if is_name { value } else { key }).contains(&0) {
            return None;
        }
        match key {
            b"path" => self.path = value.to_vec(),
            b"linkpath" => self.link = value.to_vec(),
            b"size" => self.size_bytes = given_number(value)?.map(u64::try_from).transpose().ok()?,
            b"uid" | b"gid" => _ = given_number(value)?,
            b"atime" | b"mtime" | b"ctime" => {
                let point = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
                let (seconds, rest) = value.split_at(point);
                let is_time = value.is_empty() || given_number(seconds)?.is_some();
                (is_time && rest.iter().skip(1).all(u8::is_ascii_digit)).then_some(())?;
            }
            b"GNU.sparse.name" => (self.sparse_name, self.is_sparse) = (value.to_vec(), true),
            key if key.starts_with(PAX_SPARSE) => self.is_sparse = true,
            _ => {}
        }
        Some(())
    }
}

/// A decimal number, or nothing; none of both are an error.
#[allow(clippy::option_option, reason = "nothing and no number are two things")]
fn given_number(value: &[u8]) -> Option<Option<i64>> {
    if value.is_empty() {
        return Some(None);
    }
    std::str::from_utf8(value).ok()?.parse().ok().map(Some)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
