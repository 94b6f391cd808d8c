//! The tar header of a layer's entry, to the byte as Go's `archive/tar` writes it for containerd and `BuildKit`: USTAR where
//! all of it has room there, else PAX records before it. Files with holes, which Go does not write, are in GNU tar's sparse
//! format 1.0.

use std::collections::BTreeMap;

use super::holes::{self, Extent};

/// The size tar counts in.
pub(crate) const BLOCK_BYTES: usize = 512;
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
/// What seven and eleven octal digits hold.
const MAX_OWNER: u64 = (1 << 21) - 1;
const MAX_SIZE: u64 = (1 << 33) - 1;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    File = b'0',
    Link = b'1',
    Symlink = b'2',
    CharacterDevice = b'3',
    BlockDevice = b'4',
    Directory = b'5',
    Fifo = b'6',
}

impl Kind {
    /// The kind that a header has this byte for.
    pub(crate) fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'0' => Self::File,
            b'1' => Self::Link,
            b'2' => Self::Symlink,
            b'3' => Self::CharacterDevice,
            b'4' => Self::BlockDevice,
            b'5' => Self::Directory,
            b'6' => Self::Fifo,
            _ => return None,
        })
    }

    /// What a mode has for it.
    pub(crate) fn mode(self) -> u32 {
        match self {
            Self::File | Self::Link => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::CharacterDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
            Self::Directory => 0o040_000,
            Self::Fifo => 0o010_000,
        }
    }
}

/// When something was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// An entry.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Its path from the layer's root; that of a directory ends in `/`.
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permissions, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size_bytes: u64,
    pub(crate) modified: Time,
    /// What a link leads to.
    pub(crate) target: Vec<u8>,
    /// Major and minor number.
    pub(crate) device: (u32, u32),
    /// Extended attributes by their names, as these stand in a tar.
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where a file with holes has data; none where there is no hole.
    pub(crate) extents: Option<Vec<Extent>>,
}

impl Header {
    /// Something of root's that nothing more is known of.
    pub(crate) fn new(name: impl Into<Vec<u8>>, kind: Kind, mode: u32) -> Self {
        Self {
            name: name.into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            size_bytes: 0,
            modified: Time::default(),
            target: Vec::new(),
            device: (0, 0),
            attributes: BTreeMap::new(),
            extents: None,
        }
    }

    /// How much data its file has.
    pub(crate) fn data_bytes(&self) -> u64 {
        match &self.extents {
            None => self.size_bytes,
            Some(extents) => extents.iter().map(|extent| extent.size_bytes).sum(),
        }
    }

    /// A character device with the numbers 0, 0 stands for the absence of a file.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.kind == Kind::CharacterDevice && self.device == (0, 0)
    }

    /// The header's blocks, and those of the map of its holes.
    pub(crate) fn to_blocks(&self) -> Vec<u8> {
        let map = self.extents.as_ref().map(|extents| holes::map_of(extents, self.size_bytes));
        let stored_bytes = self.data_bytes() + map.as_ref().map_or(0, |map| map.len() as u64);
        let mut blocks = self.to_header_blocks(stored_bytes);
        blocks.extend(map.into_iter().flatten());
        blocks
    }

    fn to_header_blocks(&self, stored_bytes: u64) -> Vec<u8> {
        let (records, needs_pax) = self.records(stored_bytes);
        if !needs_pax {
            let (prefix, name) = split(&self.name).unwrap_or((b"", &self.name));
            return self.block(name, &self.target, prefix, stored_bytes).to_vec();
        }
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        let mut blocks = records_header(&self.name, data.len()).to_vec();
        blocks.extend(data);
        blocks.resize(blocks.len().next_multiple_of(BLOCK_BYTES), 0);
        let name = match self.extents {
            None => ascii(&self.name),
            Some(_) => beside(&self.name, b"GNUSparseFile.0"),
        };
        blocks.extend(self.block(&name, &ascii(&self.target), b"", stored_bytes));
        blocks
    }

    /// The PAX records, and whether the header can't do without. With records, a long name is one even if it could be split.
    fn records(&self, stored_bytes: u64) -> (BTreeMap<Vec<u8>, Vec<u8>>, bool) {
        let mut records = BTreeMap::new();
        let mut needs_pax = false;
        let mut put = |key: &[u8], value: Vec<u8>, is_needed: bool| {
            needs_pax |= is_needed;
            records.insert(key.to_vec(), value);
        };
        if self.extents.is_some() {
            put(b"GNU.sparse.major", b"1".to_vec(), true);
            put(b"GNU.sparse.minor", b"0".to_vec(), true);
            put(b"GNU.sparse.name", self.name.clone(), true);
            put(b"GNU.sparse.realsize", self.size_bytes.to_string().into_bytes(), true);
        } else if self.name.len() > NAME_BYTES || !self.name.is_ascii() {
            put(b"path", self.name.clone(), split(&self.name).is_none());
        }
        if self.target.len() > NAME_BYTES || !self.target.is_ascii() {
            put(b"linkpath", self.target.clone(), true);
        }
        for (key, number, most) in [
            (&b"uid"[..], self.uid.into(), MAX_OWNER),
            (b"gid", self.gid.into(), MAX_OWNER),
            (b"size", stored_bytes, MAX_SIZE),
        ] {
            if number > most {
                put(key, number.to_string().into_bytes(), true);
            }
        }
        let Time { seconds, nanoseconds } = self.modified;
        if nanoseconds != 0 || !u64::try_from(seconds).is_ok_and(|seconds| seconds <= MAX_SIZE) {
            put(b"mtime", decimal(self.modified).into_bytes(), true);
        }
        for (name, value) in &self.attributes {
            put(&[b"SCHILY.xattr.", name.as_slice()].concat(), value.clone(), true);
        }
        (records, needs_pax)
    }

    fn block(&self, name: &[u8], target: &[u8], prefix: &[u8], stored_bytes: u64) -> [u8; BLOCK_BYTES] {
        let mut block = Block::new(self.kind as u8);
        block.text(0, NAME_BYTES, name);
        block.octal(100, 8, self.mode.into());
        block.octal(108, 8, fitting(self.uid.into(), MAX_OWNER));
        block.octal(116, 8, fitting(self.gid.into(), MAX_OWNER));
        block.octal(124, 12, fitting(stored_bytes, MAX_SIZE));
        block.octal(136, 12, fitting(self.modified.seconds.try_into().unwrap_or(0), MAX_SIZE));
        block.text(157, NAME_BYTES, target);
        block.octal(329, 8, self.device.0.into());
        block.octal(337, 8, self.device.1.into());
        block.text(345, PREFIX_BYTES, prefix);
        block.checked()
    }
}

/// The header of an entry's PAX records.
fn records_header(name: &[u8], size_bytes: usize) -> [u8; BLOCK_BYTES] {
    let mut block = Block::new(b'x');
    block.text(0, NAME_BYTES, &beside(name, b"PaxHeaders.0"));
    for (offset, width) in [(100, 8), (108, 8), (116, 8), (136, 12)] {
        block.octal(offset, width, 0);
    }
    block.octal(124, 12, size_bytes as u64);
    block.checked()
}

/// The name, in a folder beside it; it is only to be seen by who knows no better.
fn beside(name: &[u8], inner: &[u8]) -> Vec<u8> {
    let (folder, base) = name.iter().rposition(|byte| *byte == b'/').map_or((&b""[..], name), |slash| {
        let (folder, base) = name.split_at(slash);
        (folder, &base[1..])
    });
    let parts = [folder, inner, base].into_iter().filter(|part| !part.is_empty());
    let mut shown = ascii(&parts.collect::<Vec<_>>().join(&b'/'));
    shown.truncate(NAME_BYTES);
    while shown.last() == Some(&b'/') {
        shown.pop();
    }
    shown
}

struct Block([u8; BLOCK_BYTES]);

impl Block {
    fn new(kind: u8) -> Self {
        let mut block = [0; BLOCK_BYTES];
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        Self(block)
    }

    /// As much as there is room for; of what is cut no slash is left at the end, which some readers take for a directory's.
    fn text(&mut self, offset: usize, width: usize, text: &[u8]) {
        let mut end = text.len().min(width);
        while end < text.len() && end > 0 && text[end - 1] == b'/' {
            end -= 1;
        }
        self.0[offset..][..end].copy_from_slice(&text[..end]);
    }

    /// As many digits as there is room for, but for the last place, which stays as it is.
    fn octal(&mut self, offset: usize, width: usize, mut number: u64) {
        for digit in self.0[offset..][..width - 1].iter_mut().rev() {
            *digit = b'0' + (number.to_le_bytes()[0] & 7);
            number >>= 3;
        }
    }

    fn checked(mut self) -> [u8; BLOCK_BYTES] {
        self.0[148..156].fill(b' ');
        let sum = self.0.iter().map(|byte| u64::from(*byte)).sum();
        self.octal(148, 7, sum);
        self.0[154] = 0;
        self.0
    }
}

/// Zero where a number has no room: then it is a record.
fn fitting(number: u64, most: u64) -> u64 {
    if number > most { 0 } else { number }
}

/// A long name in two, where USTAR has room for both parts.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME_BYTES || !name.is_ascii() {
        return None;
    }
    // A directory's last slash divides nothing.
    let searched = if name.len() > PREFIX_BYTES + 1 {
        PREFIX_BYTES + 1
    } else {
        name.len() - usize::from(name.ends_with(b"/"))
    };
    let slash = name[..searched].iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0)?;
    let (prefix, base) = (&name[..slash], &name[slash + 1..]);
    (!base.is_empty() && base.len() <= NAME_BYTES).then_some((prefix, base))
}

fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii).collect()
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    length = rest + length.to_string().len();
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

/// A time in seconds, with as many digits after the point as it takes.
fn decimal(Time { seconds, nanoseconds }: Time) -> String {
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    let (sign, seconds, nanoseconds) = if seconds < 0 {
        ("-", -(seconds + 1), 1_000_000_000 - nanoseconds)
    } else {
        ("", seconds, nanoseconds)
    };
    format!("{sign}{seconds}.{nanoseconds:09}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(name: &[u8]) -> Header {
        let modified = Time { seconds: 1_700_000_000, nanoseconds: 0 };
        Header { modified, ..Header::new(name, Kind::File, 0o644) }
    }

    type Records = BTreeMap<Vec<u8>, Vec<u8>>;

    /// The entry of these blocks, as the `tar` crate reads it: name, target, owner, time, records.
    fn read_back(blocks: &[u8]) -> (Vec<u8>, Option<Vec<u8>>, u64, u64, Records) {
        let mut archive = tar::Archive::new(blocks);
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        let records = entry.pax_extensions().unwrap().into_iter().flatten().map(Result::unwrap);
        let records = records.map(|one| (one.key_bytes().to_vec(), one.value_bytes().to_vec())).collect();
        let (name, target) = (entry.path_bytes().into_owned(), entry.link_name_bytes().map(Vec::from));
        let header = entry.header();
        (name, target, header.uid().unwrap(), header.mtime().unwrap(), records)
    }

    #[test]
    fn a_plain_header_is_one_block_of_ustar() {
        let blocks = file(b"etc/hosts").to_blocks();
        assert_eq!(blocks.len(), BLOCK_BYTES);
        assert_eq!(&blocks[100..136], b"0000644\x000000000\x000000000\x0000000000000\0");
        assert_eq!(&blocks[136..148], b"14524770400\0");
        assert_eq!(&blocks[154..157], b"\0 0");
        assert_eq!(&blocks[257..265], b"ustar\x0000");
        assert_eq!(&blocks[329..345], b"0000000\x000000000\0");
    }

    #[test]
    fn long_names_are_split_where_they_can_be() {
        let (folder, base) = ("d".repeat(100), "b".repeat(100));
        assert_eq!(file(format!("{folder}/{base}").as_bytes()).to_blocks().len(), BLOCK_BYTES);
        let whole = [base.as_bytes(), b"b"].concat();
        let blocks = file(&whole).to_blocks();
        assert_eq!(blocks.len(), 3 * BLOCK_BYTES);
        assert!(blocks.starts_with(format!("PaxHeaders.0/{}", "b".repeat(87)).as_bytes()));
        assert_eq!(&blocks[512..][..111], format!("111 path={}\n", "b".repeat(101)).as_bytes());
        let mut directory = file(format!("{}/", "d".repeat(99)).as_bytes());
        directory.kind = Kind::Directory;
        assert_eq!(directory.to_blocks().len(), BLOCK_BYTES);
    }

    #[test]
    fn numbers_without_room_are_records() {
        let mut header = file(b"x");
        header.uid = 3_000_000;
        header.size_bytes = 9 << 30;
        header.modified = Time { seconds: -2, nanoseconds: 500_000_000 };
        let blocks = header.to_blocks();
        let (_, _, uid, mtime, records) = read_back(&blocks);
        assert_eq!((uid, mtime), (3_000_000, 0));
        let text: Vec<_> = records.values().map(|value| String::from_utf8_lossy(value)).collect();
        assert_eq!(text, ["-1.5", "9663676416", "3000000"], "mtime, size, uid");
        header.uid = 2_097_151;
        header.size_bytes = (8 << 30) - 1;
        header.modified = Time { seconds: 8_589_934_591, nanoseconds: 0 };
        assert_eq!(header.to_blocks().len(), BLOCK_BYTES);
    }

    proptest! {
        #[test]
        fn names_targets_and_attributes_of_any_length_read_back(
            name in "[a-zé/]{1,300}", target in "[a-zé/]{1,300}", value in prop::collection::vec(11u8.., 0..1200),
        ) {
            let mut header = file(name.as_bytes());
            header.kind = Kind::Symlink;
            header.target = target.clone().into_bytes();
            header.attributes.insert(b"user.x".to_vec(), value.clone());
            let (name_back, target_back, .., records) = read_back(&header.to_blocks());
            prop_assert_eq!(name_back, name.clone().into_bytes());
            prop_assert_eq!(target_back, Some(target.into_bytes()));
            // Without ends of lines, for which the crate has no room.
            prop_assert_eq!(records.get(&b"SCHILY.xattr.user.x"[..]), Some(&value));
            header.attributes.clear();
            prop_assert_eq!(read_back(&header.to_blocks()).0, name.into_bytes());
        }
    }
}
