//! All that there is of a tree on a disk, by a walk of its own: `lstat`, attributes, contents, holes, groups of links.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};
use rustix::io::Errno;
use sealift::image::Digest;

/// By their paths from the root, which is the empty one.
pub(super) type Tree = BTreeMap<PathBuf, Entry>;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    /// Of directories it is the file system's matter.
    size_bytes: Option<u64>,
    device: u64,
    target: Option<PathBuf>,
    pub(super) attributes: BTreeMap<OsString, Vec<u8>>,
    /// Of the parts that are no holes.
    content: Option<Digest>,
    parts: Vec<(u64, u64)>,
    /// The first path of the same file, and how many it has.
    same_as: Option<(PathBuf, u64)>,
}

pub(super) const SOCKET: u32 = 0o140_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const KIND: u32 = 0o170_000;

/// What overlayfs notes of this host, and nobody else's kernel wants.
const OF_THE_HOST: [&str; 8] = [
    "trusted.overlay.origin",
    "trusted.overlay.impure",
    "trusted.overlay.uuid",
    "trusted.overlay.nlink",
    "user.overlay.origin",
    "user.overlay.impure",
    "user.overlay.uuid",
    "user.overlay.nlink",
];

/// Walks the tree at `root`.
pub(super) fn walk(root: &Path) -> Tree {
    let (mut tree, mut firsts) = (Tree::new(), BTreeMap::new());
    let mut paths = vec![PathBuf::new()];
    while let Some(path) = paths.pop() {
        let place = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let stat =
            fs::symlink_metadata(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        let mut entry = Entry {
            mode: stat.mode(),
            owner: (stat.uid(), stat.gid()),
            modified: (stat.mtime(), stat.mtime_nsec()),
            size_bytes: (!stat.is_dir()).then_some(stat.size()),
            device: stat.rdev(),
            target: stat.is_symlink().then(|| fs::read_link(&place).unwrap()),
            attributes: attributes(&place),
            content: None,
            parts: Vec::new(),
            same_as: None,
        };
        if stat.is_dir() {
            let names = fs::read_dir(&place).unwrap().map(|inner| inner.unwrap().file_name());
            paths.extend(names.map(|name| path.join(name)));
        }
        if stat.is_file() {
            (entry.parts, entry.content) = contents(&place, stat.size());
        }
        // What stands for something removed is nobody's file: the kernel makes them links of one another as it likes.
        let is_whiteout = stat.mode() & KIND == CHARACTER_DEVICE && stat.rdev() == 0;
        if !stat.is_dir() && !is_whiteout && stat.nlink() > 1 {
            // The walk has no order of its own, so the group is named by its first path in the end.
            firsts.entry((stat.dev(), stat.ino())).or_insert_with(Vec::new).push(path.clone());
        }
        tree.insert(path, entry);
    }
    for mut group in firsts.into_values() {
        group.sort();
        for path in &group {
            tree.get_mut(path).unwrap().same_as = Some((group[0].clone(), group.len() as u64));
        }
    }
    tree
}

/// The same without sockets, which no file can have.
pub(super) fn without_sockets(mut tree: Tree) -> Tree {
    tree.retain(|_, entry| entry.mode & KIND != SOCKET);
    tree
}

/// The same without the times of what is in `below` and not in `above`.
pub(super) fn without_times_of(mut tree: Tree, below: &Tree, above: &Tree) -> Tree {
    for path in below.keys().filter(|path| !above.contains_key(*path)) {
        if let Some(entry) = tree.get_mut(path) {
            entry.modified = (0, 0);
        }
    }
    tree
}

/// Fails where two trees differ, with the first few differences.
pub(super) fn are_equal(left: &Tree, right: &Tree, what: &str) {
    let paths: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let differ: Vec<_> = paths.into_iter().filter(|path| left.get(*path) != right.get(*path)).collect();
    let shown = differ
        .iter()
        .take(5)
        .map(|path| format!("{}:\n  {:?}\n  {:?}", path.display(), left.get(*path), right.get(*path)));
    let shown: Vec<_> = shown.collect();
    assert!(differ.is_empty(), "{what}: {} of {} differ\n{}", differ.len(), left.len(), shown.join("\n"));
}

fn attributes(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let length = match llistxattr(path, &mut names) {
        Err(Errno::NOTSUP) => 0,
        length => length.unwrap(),
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names = names.map(OsStr::from_bytes).filter(|name| !OF_THE_HOST.iter().any(|own| name == own));
    let value = |name: &OsStr| {
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, name, &mut value).unwrap();
        value.truncate(length);
        (OsString::from_vec(name.as_bytes().to_vec()), value)
    };
    names.map(value).collect()
}

fn contents(path: &Path, size_bytes: u64) -> (Vec<(u64, u64)>, Option<Digest>) {
    let file = fs::File::open(path).unwrap();
    let (mut parts, mut bytes, mut at) = (Vec::new(), Vec::new(), 0);
    while at < size_bytes {
        let start = match seek(&file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            start => start.unwrap(),
        };
        let end = seek(&file, SeekFrom::Hole(start)).unwrap();
        let mut part = vec![0; usize::try_from(end - start).unwrap()];
        file.read_exact_at(&mut part, start).unwrap();
        bytes.extend(part);
        parts.push((start, end));
        at = end;
    }
    (parts, Some(Digest::of(&bytes)))
}
