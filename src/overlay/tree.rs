//! What a tree has in it, and the digest of everything but the contents of its files.
//!
//! An entry's digest is that of its header in a raw tar, which says all there is to say of it: path, kind, mode, owner, time to
//! the nanosecond, size, link, device, attributes, holes. The tree's is the digest of those, in order.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::MountedBy;
use super::attributes::{is_kept, overlay_word};
use super::header::{BLOCK_BYTES, Header, Kind};
use super::holes::Extent;
use crate::image::{Algorithm, Digest, Hasher};

/// More entries than any container has; they take 2.5 GB to remember.
const MAX_ENTRIES: usize = 1 << 25;

/// What nearly all file systems allocate at a time.
const DISK_BLOCK_BYTES: u64 = 4096;
/// What a folder keeps of each entry, but for its name.
const NAME_BYTES: u64 = 16;
/// Two blocks of zeros end a tar.
pub(crate) const END_BYTES: u64 = 2 * BLOCK_BYTES as u64;

/// What a tree has in it, and the digest of all its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The digest over a record of each entry, contents left out.
    pub sha256: Digest,
    /// The numbers.
    #[serde(flatten)]
    pub counts: Counts,
}

/// How much of what is in a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Everything, the root included.
    pub entries: u64,
    /// Regular files, each once.
    pub files: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Symlinks.
    pub symlinks: u64,
    /// Further names of what has a name already.
    pub hard_links: u64,
    /// FIFOs.
    pub fifos: u64,
    /// Character and block devices, whiteouts not counted.
    pub devices: u64,
    /// What stands for something removed: devices 0:0.
    pub whiteouts: u64,
    /// Directories that hide what is below them.
    pub opaque: u64,
    /// Directories that were renamed (`overlay.redirect`): the kernel must follow those.
    pub redirects: u64,
    /// What stands for something removed by an attribute (`overlay.whiteout`), and directories with such in them
    /// (`overlay.opaque` is `x`): newer kernels alone know them.
    #[serde(default)]
    pub marked_whiteouts: u64,
    /// Files with holes.
    pub sparse: u64,
    /// Extended attributes of all entries.
    pub attributes: u64,
    /// The contents of all files, holes left out.
    pub content_bytes: u64,
}

/// What an entry hashes to, its content left out.
pub(crate) type EntryDigest = [u8; 32];

/// A tree that is being added up.
#[derive(Default)]
pub(crate) struct TreeSum {
    counts: Counts,
    entries: Vec<EntryDigest>,
    /// The tar of it, its end not included.
    tar_bytes: u64,
    disk_bytes: u64,
    first_device: Option<Vec<u8>>,
    /// As they are if root mounts it, and if a user does.
    marks: [Marks; 2],
}

/// What overlayfs's attributes say.
#[derive(Default)]
struct Marks {
    opaque: u64,
    redirects: u64,
    marked_whiteouts: u64,
    /// The path of something with an attribute that should not be there.
    first_handle: Option<Vec<u8>>,
}

/// A tree that was added up.
#[derive(Clone, Debug)]
pub(crate) struct Summed {
    pub(crate) tree: Tree,
    /// Each entry's, in order.
    pub(crate) entries: Vec<EntryDigest>,
    /// The size of its raw tar.
    pub(crate) tar_bytes: u64,
    /// What it takes of a disk, about.
    pub(crate) disk_bytes: u64,
    /// The path of a device that is no whiteout.
    pub(crate) first_device: Option<Vec<u8>>,
    /// Who mounts it.
    pub(crate) mounted_by: MountedBy,
    /// The path of something with an attribute that means something on another disk only.
    pub(crate) first_handle: Option<Vec<u8>>,
}

impl TreeSum {
    /// Takes in the next entry; false if there are too many.
    pub(crate) fn add(&mut self, header: &Header, blocks: &[u8]) -> bool {
        let counts = &mut self.counts;
        counts.entries += 1;
        *match header.kind {
            Kind::File => &mut counts.files,
            Kind::Directory => &mut counts.directories,
            Kind::Symlink => &mut counts.symlinks,
            Kind::Link => &mut counts.hard_links,
            Kind::Fifo => &mut counts.fifos,
            Kind::CharacterDevice if header.is_whiteout() => &mut counts.whiteouts,
            Kind::CharacterDevice | Kind::BlockDevice => &mut counts.devices,
        } += 1;
        for (name, value) in &header.attributes {
            for (marks, mounted_by) in self.marks.iter_mut().zip([MountedBy::Root, MountedBy::User]) {
                let word = overlay_word(name, mounted_by);
                marks.opaque += u64::from(word == Some(b"opaque") && value == b"y");
                marks.redirects += u64::from(word == Some(b"redirect"));
                let is_marked = word == Some(b"whiteout") || (word == Some(b"opaque") && value == b"x");
                marks.marked_whiteouts += u64::from(is_marked);
                if marks.first_handle.is_none() && !is_kept(name, mounted_by) {
                    marks.first_handle = Some(header.name.clone());
                }
            }
        }
        counts.sparse += u64::from(header.extents.is_some());
        counts.attributes += header.attributes.len() as u64;
        if header.kind == Kind::File {
            counts.content_bytes = counts.content_bytes.saturating_add(header.data_bytes());
        }
        let is_device = matches!(header.kind, Kind::CharacterDevice | Kind::BlockDevice);
        if is_device && !header.is_whiteout() && self.first_device.is_none() {
            self.first_device = Some(header.name.clone());
        }
        self.tar_bytes = self.tar_bytes.saturating_add(tar_bytes(header, blocks));
        self.disk_bytes = self.disk_bytes.saturating_add(disk_bytes(header));
        self.entries.push(digest_of(blocks));
        self.entries.len() <= MAX_ENTRIES
    }

    /// The tree, for who mounts it.
    pub(crate) fn finish(mut self, mounted_by: MountedBy) -> Summed {
        let [of_root, of_user] = self.marks;
        let marks = if mounted_by == MountedBy::Root { of_root } else { of_user };
        (self.counts.opaque, self.counts.redirects) = (marks.opaque, marks.redirects);
        self.counts.marked_whiteouts = marks.marked_whiteouts;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        self.entries.iter().for_each(|entry| hasher.update(entry));
        Summed {
            tree: Tree { sha256: hasher.finish(), counts: self.counts },
            entries: self.entries,
            tar_bytes: self.tar_bytes.saturating_add(END_BYTES),
            disk_bytes: self.disk_bytes,
            first_device: self.first_device,
            mounted_by,
            first_handle: marks.first_handle,
        }
    }
}

/// How much of a raw tar an entry is.
fn tar_bytes(header: &Header, blocks: &[u8]) -> u64 {
    blocks.len() as u64 + data_bytes(header) + padding_bytes(header)
}

/// How much of a disk an entry is: whole blocks of data and of attributes, a folder's own, and its name in the folder above.
fn disk_bytes(header: &Header) -> u64 {
    let blocks = |bytes: u64| bytes.next_multiple_of(DISK_BLOCK_BYTES);
    let content_bytes = match (header.kind, &header.extents) {
        (Kind::File, None) => blocks(header.size_bytes),
        (Kind::File, Some(extents)) => {
            let around = |extent: &Extent| blocks(extent.start_bytes % DISK_BLOCK_BYTES + extent.size_bytes);
            extents.iter().map(around).sum()
        }
        (Kind::Directory, _) => DISK_BLOCK_BYTES,
        _ => blocks(header.target.len() as u64),
    };
    let attributes = header.attributes.iter().map(|(name, value)| (name.len() + value.len()) as u64);
    content_bytes + blocks(attributes.sum()) + NAME_BYTES + header.name.len() as u64
}

fn data_bytes(header: &Header) -> u64 {
    if header.kind == Kind::File { header.data_bytes() } else { 0 }
}

/// How much stands behind an entry's data until the next block.
pub(crate) fn padding_bytes(header: &Header) -> u64 {
    let data_bytes = data_bytes(header);
    data_bytes.next_multiple_of(BLOCK_BYTES as u64) - data_bytes
}

/// The digest of an entry whose blocks these are.
pub(crate) fn digest_of(blocks: &[u8]) -> EntryDigest {
    Sha256::digest(blocks).into()
}
