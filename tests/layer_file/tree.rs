//! Trees: one with everything in it, and a walk of them that has nothing to do with sealift's.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, SeekFrom, Timespec, Timestamps, UTIME_OMIT, XattrFlags, lgetxattr,
    llistxattr, lsetxattr, makedev, mknodat, seek, utimensat,
};
use sealift::fsio::Existing;
use sealift::image::Digest;
use sealift::layer_file::{
    About, DockerInfo, LayerFile, LayerFileError, Seal, Unpacked, Verdict, VerifiedLayerFile, WrittenFile,
    write,
};
use sealift::overlay::{Devices, MountedBy, Plan};
use tempfile::TempDir;

/// Whoever is root can give files away, and has `trusted` attributes.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Who mounts what the tests make.
pub(crate) fn mounted_by() -> MountedBy {
    if is_root() { MountedBy::Root } else { MountedBy::User }
}

/// What a file says of the Docker that these are of.
pub(crate) fn about() -> About {
    let user_namespace = (!is_root()).then(|| "rootless".to_owned());
    About { docker: DockerInfo { user_namespace, ..DockerInfo::default() }, ..About::default() }
}

/// A folder with an upper directory, the file it becomes, and what is unpacked.
pub(crate) struct Site(pub(crate) TempDir);

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("upper")).unwrap();
        Self(folder)
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.0.path().join("upper")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.upper().join(name)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("layer.sealift")
    }

    pub(crate) fn folder(&self) -> OwnedFd {
        File::open(self.0.path()).unwrap().into()
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan::of(&self.upper(), Vec::new(), mounted_by(), &|_| true).unwrap()
    }

    pub(crate) fn written(&self, seal: Option<Seal>) -> WrittenFile {
        write(&self.file(), Existing::Replace, &self.plan(), seal, about(), &|_| true).unwrap()
    }

    pub(crate) fn verdict(&self) -> Verdict {
        LayerFile::open(&self.file()).unwrap().verify(u64::MAX, &|_| true).unwrap()
    }

    pub(crate) fn verified(&self) -> Box<VerifiedLayerFile> {
        match self.verdict() {
            Verdict::Whole(file) => file,
            Verdict::Broken { problems, .. } => panic!("{problems:#?}"),
        }
    }

    pub(crate) fn unpacked(&self) -> Result<Unpacked, LayerFileError> {
        self.verified().unpack(self.folder().as_fd(), OsStr::new("staged"), Devices::Allow, &|_| true)
    }

    /// Where it is unpacked to.
    pub(crate) fn staged(&self) -> PathBuf {
        self.0.path().join("staged")
    }

    /// All the way, and says what stands there then.
    pub(crate) fn out_and_in(&self) -> BTreeMap<Vec<u8>, String> {
        let tree = self.unpacked().unwrap().verify(&|_| true).unwrap();
        tree.keep().unwrap();
        let walked = walked(&self.staged());
        fs::remove_dir_all(self.staged()).unwrap();
        walked
    }
}

pub(crate) fn attribute(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

pub(crate) fn aged(path: &Path, seconds: i64, nanoseconds: i64) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub(crate) fn special(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from(0o640), device).unwrap();
}

/// One of everything, and two of some.
pub(crate) fn fill(site: &Site) {
    let path = |name: &str| site.path(name);
    let overlay = if is_root() { "trusted.overlay" } else { "user.overlay" };
    for folder in ["a", "a/b", "a/b/c", "a.d", "empty", "opaque", "renamed", "sticky"] {
        fs::create_dir(path(folder)).unwrap();
    }
    fs::set_permissions(path("sticky"), fs::Permissions::from_mode(0o3777)).unwrap();
    fs::set_permissions(path("empty"), fs::Permissions::from_mode(0o500)).unwrap();
    attribute(&path("opaque"), &format!("{overlay}.opaque"), b"y");
    attribute(&path("opaque"), &format!("{overlay}.origin"), b"a handle of this disk");
    attribute(&path("renamed"), &format!("{overlay}.redirect"), b"/before");
    fs::write(path("a/file"), "content").unwrap();
    fs::write(path("a-file"), vec![7; 300_000]).unwrap();
    fs::write(path("nothing"), "").unwrap();
    fs::write(path("block"), vec![1; 512]).unwrap();
    fs::write(path("tool"), "runs").unwrap();
    fs::set_permissions(path("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(path("tool"), path("a/b/tool")).unwrap();
    fs::hard_link(path("tool"), path("a/b/c/tool")).unwrap();
    fs::write(path("unreadable"), "for root").unwrap();
    fs::write(path(".wh.nothing-special"), "a name like any other").unwrap();
    fs::write(path("attributed"), "x").unwrap();
    attribute(&path("attributed"), "user.note", b"a\0b\n");
    attribute(&path("attributed"), "user.a=b%c", b"1");
    attribute(&path("attributed"), "user.empty", b"");
    attribute(&path("attributed"), "user.large", &[9; 3000]);
    // An ACL: user::rw-, user:1234:r--, group::r--, mask::r--, other::---
    let acl: Vec<u8> =
        [(1u16, 6u16, u32::MAX), (2, 4, 1234), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
            .iter()
            .flat_map(|(tag, permissions, id)| {
                [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
            })
            .collect();
    let acl = [&2u32.to_le_bytes()[..], &acl].concat();
    attribute(&path("attributed"), "system.posix_acl_access", &acl);
    attribute(&path("a.d"), "system.posix_acl_default", &acl);
    fs::write(path("a.d/made-before-the-acl"), "").unwrap();
    symlink("/etc/../nowhere", path("dangling")).unwrap();
    symlink("/", path("a/outside")).unwrap();
    symlink("t".repeat(150), path("far")).unwrap();
    fs::hard_link(path("dangling"), path("z-dangling")).unwrap();
    special(&path("gone"), FileType::CharacterDevice, makedev(0, 0));
    special(&path("a/gone"), FileType::CharacterDevice, makedev(0, 0));
    special(&path("pipe"), FileType::Fifo, 0);
    fs::hard_link(path("pipe"), path("z-pipe")).unwrap();
    // The name stays.
    drop(UnixListener::bind(path("socket")).unwrap());
    for name in [&b"raw\xff"[..], b"line\nend", "grüße".as_bytes(), b"-rf", &[b'n'; 255]] {
        fs::write(site.upper().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let long = ["f".repeat(200), "g".repeat(200), "h".repeat(200)].join("/");
    fs::create_dir_all(path(&long)).unwrap();
    fs::write(path(&format!("{long}/deep")), "deep").unwrap();
    sparse(&path("holes"), 10 << 30, &[(0, 10), (1 << 20, 5000), ((5 << 30) + 4096, 4096)]);
    sparse(&path("hole-at-end"), 1 << 20, &[(4096, 4096)]);
    sparse(&path("hole-at-start"), 8193, &[(4096, 4097)]);
    sparse(&path("hole"), 1 << 40, &[]);
    if is_root() {
        lchown(path("a/file"), Some(1234), Some(4_000_000_000)).unwrap();
        lchown(path("dangling"), Some(77), Some(78)).unwrap();
        lchown(path("a/gone"), Some(5), Some(6)).unwrap();
        lchown(path("empty"), Some(3_000_000), Some(2)).unwrap();
        attribute(&path("dangling"), "trusted.on.a.link", b"held");
        attribute(&path("gone"), "trusted.on.a.device", b"held");
        attribute(&path("tool"), "security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        special(&path("null"), FileType::CharacterDevice, makedev(1, 3));
        special(&path("disk"), FileType::BlockDevice, makedev(259, 1_000_000));
        fs::set_permissions(path("unreadable"), fs::Permissions::from_mode(0o0)).unwrap();
    }
    for (name, seconds, nanoseconds) in [
        ("a-file", 1_700_000_000, 123_456_789),
        ("nothing", -1, 500_000_000),
        ("block", -2_000_000_000, 0),
        ("holes", 10_000_000_000, 1),
        ("dangling", 1, 2),
        ("gone", 3, 4),
        ("a/b", 1_600_000_000, 999_999_999),
        ("opaque", 0, 0),
    ] {
        aged(&path(name), seconds, nanoseconds);
    }
    fs::set_permissions(site.upper(), fs::Permissions::from_mode(0o751)).unwrap();
    attribute(&site.upper(), "user.root", b"too");
    aged(&site.upper(), 1_500_000_000, 42);
}

/// A file of this size with data here and there.
pub(crate) fn sparse(path: &Path, size_bytes: u64, data: &[(u64, usize)]) {
    let file = File::create(path).unwrap();
    file.set_len(size_bytes).unwrap();
    for (start, length) in data {
        file.write_all_at(&vec![5; *length], *start).unwrap();
    }
}

/// All there is to know of a tree, by paths.
pub(crate) fn walked(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut paths = vec![PathBuf::new()];
    let (mut found, mut links) = (BTreeMap::new(), BTreeMap::<u64, Vec<PathBuf>>::new());
    while let Some(path) = paths.pop() {
        let full = root.join(&path);
        let stat = fs::symlink_metadata(&full).unwrap();
        let mut line = format!(
            "{:o} {}:{} {} {}.{:09}",
            stat.mode(),
            stat.uid(),
            stat.gid(),
            if stat.is_dir() { 0 } else { stat.size() },
            stat.mtime(),
            stat.mtime_nsec()
        );
        if stat.is_dir() {
            paths.extend(fs::read_dir(&full).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
        } else if stat.is_symlink() {
            write!(line, " -> {}", fs::read_link(&full).unwrap().display()).unwrap();
        } else if stat.is_file() {
            write!(line, " {}", content(&full, stat.size())).unwrap();
        } else {
            write!(line, " {}", stat.rdev()).unwrap();
        }
        let is_whiteout = stat.mode() & 0o170_000 == 0o020_000 && stat.rdev() == 0;
        if stat.nlink() > 1 && !stat.is_dir() && !is_whiteout {
            links.entry(stat.ino()).or_default().push(path.clone());
        }
        for (name, value) in attributes(&full) {
            write!(line, " {name:?}={value:?}").unwrap();
        }
        found.insert(path.as_os_str().as_bytes().to_vec(), line);
    }
    for mut group in links.into_values() {
        group.sort();
        for path in &group {
            write!(found.get_mut(path.as_os_str().as_bytes()).unwrap(), " linked {group:?}").unwrap();
        }
    }
    found
}

/// The data of a file, and where it is.
fn content(path: &Path, size_bytes: u64) -> String {
    let file = File::open(path).unwrap();
    let (mut line, mut position) = (String::new(), 0);
    while let Ok(start) = seek(&file, SeekFrom::Data(position)) {
        let end = seek(&file, SeekFrom::Hole(start)).unwrap().min(size_bytes);
        let mut data = vec![0; usize::try_from(end - start).unwrap()];
        file.read_exact_at(&mut data, start).unwrap();
        write!(line, "{start}..{end} {} ", Digest::of(&data).short()).unwrap();
        position = end;
    }
    line
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 1 << 16];
        let length = lgetxattr(path, name, &mut value[..]).unwrap();
        (String::from_utf8_lossy(name).into_owned(), value[..length].to_vec())
    };
    names.map(value).filter(|(name, _)| !name.ends_with("overlay.origin")).collect()
}
