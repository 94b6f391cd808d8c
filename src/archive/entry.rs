//! One tar entry: its header bytes, where it stands and what follows the header.
//!
//! Headers are the same on every machine: mtime 0, owner 0, 0644 or 0755, no user names. Names over 100 bytes (sha512
//! digests) get GNU's `././@LongLink` entry, sizes over 8 GiB GNU's base-256 number; every loader reads both.

use bytes::Bytes;
use tar::{EntryType, Header};

use super::plan::{InflatedLayer, PlannedBlob};

/// The size tar counts in.
pub(crate) const BLOCK_BYTES: u64 = 512;
const MAX_SHORT_NAME: usize = 100;

/// A tar entry of a plan.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The entry's path in the archive, with `/`, and at the end of a directory's.
    pub path: String,
    /// Where its header starts in the archive.
    pub offset_bytes: u64,
    /// The header blocks.
    pub header: Bytes,
    /// What follows the header.
    pub content: Content,
}

/// What follows an entry's header.
#[derive(Clone, Debug)]
pub enum Content {
    /// Nothing: directories and symlinks.
    Nothing,
    /// A small file, known when planning.
    Literal(Bytes),
    /// A blob to be fetched.
    Blob(Box<PlannedBlob>),
    /// A layer to be fetched and inflated.
    Inflated(Box<InflatedLayer>),
}

impl Entry {
    /// The header of the same entry, were its content of `size_bytes`.
    pub(super) fn header_for(&self, size_bytes: u64) -> Bytes {
        file_header(&self.path, size_bytes)
    }

    /// Where the content starts in the archive.
    pub fn content_offset_bytes(&self) -> u64 {
        self.offset_bytes + self.header.len() as u64
    }

    /// How long the content is, without padding; an estimate for a layer that wasn't inflated yet.
    pub fn content_size_bytes(&self) -> u64 {
        match &self.content {
            Content::Nothing => 0,
            Content::Literal(bytes) => bytes.len() as u64,
            Content::Blob(blob) => blob.descriptor.size_bytes,
            Content::Inflated(layer) => layer.size_bytes(),
        }
    }
}

/// The header blocks of a file of `size_bytes`.
pub(crate) fn file_header(path: &str, size_bytes: u64) -> Bytes {
    header(EntryType::Regular, path, None, size_bytes, 0o644)
}

/// The header block of a directory; `path` ends in `/`.
pub(super) fn directory_header(path: &str) -> Bytes {
    header(EntryType::Directory, path, None, 0, 0o755)
}

/// The header blocks of a symlink.
pub(super) fn symlink_header(path: &str, target: &str) -> Bytes {
    header(EntryType::Symlink, path, Some(target), 0, 0o777)
}

fn header(kind: EntryType, path: &str, target: Option<&str>, size_bytes: u64, mode: u32) -> Bytes {
    let mut blocks = Vec::with_capacity(512);
    let mut header = blank(kind, size_bytes, mode);
    if let Some(target) = target {
        long_name(&mut blocks, EntryType::GNULongLink, target);
        if let Some(gnu) = header.as_gnu_mut() {
            put(&mut gnu.linkname, target);
        }
    }
    long_name(&mut blocks, EntryType::GNULongName, path);
    if let Some(gnu) = header.as_gnu_mut() {
        put(&mut gnu.name, path);
    }
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    blocks.into()
}

fn blank(kind: EntryType, size_bytes: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size_bytes);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Writes GNU's entry for a name that has no room in a header.
fn long_name(blocks: &mut Vec<u8>, kind: EntryType, name: &str) {
    if name.len() <= MAX_SHORT_NAME {
        return;
    }
    let mut header = blank(kind, name.len() as u64 + 1, 0o644);
    if let Some(gnu) = header.as_gnu_mut() {
        put(&mut gnu.name, "././@LongLink");
    }
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    blocks.extend_from_slice(name.as_bytes());
    blocks.resize(blocks.len() + padding(name.len() as u64), 0);
}

/// Copies as much of `text` as the field holds; the rest stands in the long-name entry before.
fn put(field: &mut [u8; 100], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

/// How many zero bytes follow a name or content of `size_bytes`, for names at least one.
#[allow(clippy::cast_possible_truncation, reason = "less than 513")]
fn padding(name_bytes: u64) -> usize {
    (BLOCK_BYTES - name_bytes % BLOCK_BYTES) as usize
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use proptest::prelude::*;

    fn read_back(header: &[u8], content: &[u8]) -> (String, Option<String>, u64) {
        let mut archive = tar::Archive::new(header.chain(content).chain(std::io::repeat(0).take(1024)));
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let link = entry.link_name().unwrap().map(|link| link.to_str().unwrap().to_owned());
        (entry.path().unwrap().to_str().unwrap().to_owned(), link, entry.header().size().unwrap())
    }

    proptest! {
        #[test]
        fn names_and_targets_of_any_length_read_back(path in "[a-z0-9]{1,300}", target in "[a-z0-9/]{1,300}") {
            let symlink = symlink_header(&path, &target);
            prop_assert_eq!(symlink.len() % 512, 0);
            prop_assert_eq!(read_back(&symlink, b""), (path.clone(), Some(target), 0));
            prop_assert_eq!(read_back(&file_header(&path, 0), b""), (path, None, 0));
        }

        #[test]
        fn sizes_of_any_kind_read_back(size_bytes in prop::num::u64::ANY) {
            let mut header = Header::new_gnu();
            header.as_mut_bytes().copy_from_slice(&file_header("x", size_bytes));
            prop_assert_eq!(header.size().unwrap(), size_bytes);
        }
    }

    #[test]
    fn headers_carry_nothing_of_the_machine() {
        let header = file_header("manifest.json", 3);
        let header = Header::from_byte_slice(&header);
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        assert_eq!(
            (header.mode().unwrap(), header.username(), header.groupname()),
            (0o644, Ok(Some("")), Ok(Some("")))
        );
    }
}
