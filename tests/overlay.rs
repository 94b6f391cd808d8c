//! Upper directories of an overlayfs become layers: what is in them, what stands for an absence, what can't be said.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]
#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags, makedev, mkdirat, mknodat, openat, setxattr};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sealift::overlay::{Form, LeftOut, OverlayError, Written, write_layer};
use tempfile::TempDir;

/// An upper directory that a test fills.
struct Upper(TempDir);

impl Upper {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o644)).unwrap();
        self.aged(name, Duration::ZERO)
    }

    fn folder(&self, name: &str) -> PathBuf {
        fs::create_dir(self.path(name)).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        self.path(name)
    }

    /// Last changed at a time of the test's choice.
    fn aged(&self, name: &str, more: Duration) -> PathBuf {
        let path = self.path(name);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + more;
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
        path
    }

    fn special(&self, name: &str, kind: FileType, device: u64) {
        mknodat(CWD, self.path(name), kind, Mode::from(0o640), device).unwrap();
    }

    fn written(&self, form: Form) -> (Vec<u8>, Vec<LeftOut>, Written) {
        let (mut tar, mut left_out) = (Vec::new(), Vec::new());
        let written = write_layer(self.0.path(), form, &mut tar, &mut |one| left_out.push(one)).unwrap();
        assert_eq!(written.size_bytes, tar.len() as u64);
        (tar, left_out, written)
    }

    fn refused(&self) -> OverlayError {
        write_layer(self.0.path(), Form::Full, &mut std::io::sink(), &mut |_| ()).unwrap_err()
    }
}

fn attribute(path: &Path, name: &str, value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// A layer's entries as lines: kind, permissions, name, target, content, records.
fn entries(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let lines = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        let kind = char::from(header.entry_type().as_byte());
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let target =
            entry.link_name_bytes().map(|target| format!(" -> {}", String::from_utf8_lossy(&target)));
        let mut records = String::new();
        for record in entry.pax_extensions().unwrap().into_iter().flatten() {
            let record = record.unwrap();
            let value = String::from_utf8_lossy(record.value_bytes()).into_owned();
            write!(records, " {}={value}", record.key().unwrap()).unwrap();
        }
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let content = if content.is_empty() { content } else { format!(" {content:?}") };
        let (mode, target) = (header.mode().unwrap(), target.unwrap_or_default());
        format!("{kind} {mode:04o} {name}{target}{content}{records}")
    });
    lines.collect()
}

#[test]
fn all_kinds_of_entries_stand_in_byte_order() {
    let upper = Upper::new();
    for name in ["b", "b/inner", "a.d"] {
        upper.folder(name);
    }
    upper.file("b/inner/file", "deep");
    upper.file("b-file", "beside");
    let tool = upper.file("tool", "runs");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(upper.path("a.d"), fs::Permissions::from_mode(0o3777)).unwrap();
    fs::hard_link(&tool, upper.path("b/tool")).unwrap();
    symlink("/etc/../nowhere", upper.path("link")).unwrap();
    upper.special("pipe", FileType::Fifo, 0);
    let _socket = UnixListener::bind(upper.path("socket")).unwrap();
    let (tar, left_out, _) = upper.written(Form::Containerd);
    let umask_free = entries(&tar).into_iter().filter(|line| !line.contains("pipe")).collect::<Vec<_>>();
    assert_eq!(
        umask_free,
        [
            "5 3777 a.d/",
            "5 0755 b/",
            "5 0755 b/inner/",
            "0 0644 b/inner/file \"deep\"",
            "0 4755 b/tool \"runs\"",
            "0 0644 b-file \"beside\"",
            "2 0777 link -> /etc/../nowhere",
            "1 4755 tool -> b/tool",
        ]
    );
    assert!(entries(&tar).iter().any(|line| line.starts_with("6 ") && line.ends_with(" pipe")));
    assert_eq!(left_out, [LeftOut::Socket("socket".into())]);
    assert_eq!(tar.len() % 512, 0);
    assert!(tar.ends_with(&[0; 1024]));
}

#[test]
fn absences_are_whiteouts() {
    let upper = Upper::new();
    upper.special("gone", FileType::CharacterDevice, makedev(0, 0));
    let opaque = upper.folder("opaque");
    attribute(&opaque, "user.overlay.opaque", b"y");
    upper.file("opaque/new", "new");
    upper.folder("opaque/-first");
    let other = upper.file("other-way", "");
    attribute(&other, "user.overlay.whiteout", b"");
    let transparent = upper.folder("transparent");
    attribute(&transparent, "user.overlay.opaque", b"x");
    attribute(&transparent, "user.overlay.origin", b"whatever");
    let (tar, left_out, _) = upper.written(Form::Full);
    let lines: Vec<_> =
        entries(&tar).iter().map(|line| line.split(" mtime=").next().unwrap().to_owned()).collect();
    assert_eq!(
        lines,
        [
            "0 0000 .wh.gone",
            "5 0755 opaque/",
            "0 0000 opaque/.wh..wh..opq",
            "5 0755 opaque/-first/",
            "0 0644 opaque/new \"new\"",
            "0 0000 .wh.other-way",
            "5 0755 transparent/",
        ]
    );
    assert!(left_out.is_empty());
}

#[test]
fn names_and_attributes_of_any_bytes_are_kept() {
    let upper = Upper::new();
    let long = "n".repeat(120);
    upper.file(&long, "long");
    let folder = "f".repeat(90);
    upper.folder(&folder);
    upper.file(&format!("{folder}/{}", "g".repeat(90)), "split");
    upper.file("grüße", "letters");
    let raw = upper.0.path().join(OsStr::from_bytes(b"raw\xff"));
    fs::write(&raw, "bytes").unwrap();
    symlink("t".repeat(150), upper.path("to")).unwrap();
    let file = upper.file("attributed", "x");
    attribute(&file, "user.note", b"a\0b");
    attribute(&file, "user.a=b", b"1");
    let (tar, left_out, written) = upper.written(Form::Full);
    let mut archive = tar::Archive::new(&tar[..]);
    let names: Vec<Vec<u8>> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned()).collect();
    let split = format!("{folder}/{}", "g".repeat(90));
    let folder = format!("{folder}/");
    let expected: [&[u8]; 7] = [
        b"attributed",
        folder.as_bytes(),
        split.as_bytes(),
        "grüße".as_bytes(),
        long.as_bytes(),
        b"raw\xff",
        b"to",
    ];
    assert_eq!(names, expected);
    let lines = entries(&tar);
    assert!(lines[0].contains("SCHILY.xattr.user.note=a\0b"), "{}", lines[0]);
    assert!(lines[2].ends_with("\"split\""), "it needs no records: {}", lines[2]);
    assert!(lines.iter().any(|line| line.contains(&format!("to -> {}", "t".repeat(150)))));
    assert_eq!(left_out, [LeftOut::Attribute { path: "attributed".into(), name: "user.a=b".into() }]);
    assert!(!written.is_abridged);
    let (tar, _, written) = upper.written(Form::Containerd);
    assert!(!entries(&tar)[0].contains("user.note"));
    assert!(written.is_abridged);
}

#[test]
fn times_are_whole_where_containerd_has_them_so() {
    let upper = Upper::new();
    upper.file("whole", "");
    assert!(!upper.written(Form::Containerd).2.is_abridged);
    assert_eq!(upper.written(Form::Full).0, upper.written(Form::Containerd).0);
    upper.aged("whole", Duration::from_millis(250));
    let (tar, _, written) = upper.written(Form::Containerd);
    assert!(written.is_abridged && !entries(&tar)[0].contains("mtime"));
    assert_eq!(entries(&upper.written(Form::Full).0), ["0 0644 whole mtime=1700000000.25"]);
}

#[test]
fn what_stands_elsewhere_is_refused() {
    let upper = Upper::new();
    let renamed = upper.folder("renamed");
    attribute(&renamed, "user.overlay.redirect", b"/before");
    assert!(matches!(upper.refused(), OverlayError::Below(path) if path == renamed));
}

#[test]
fn a_name_that_would_remove_another_is_left_out() {
    let upper = Upper::new();
    upper.file(".wh.victim", "");
    upper.file("victim", "lives");
    let (tar, left_out, _) = upper.written(Form::Full);
    assert_eq!(left_out, [LeftOut::ReservedName(".wh.victim".into())]);
    assert_eq!(entries(&tar), ["0 0644 victim \"lives\""]);
}

#[test]
fn nothing_outside_is_reached() {
    let outside = Upper::new();
    outside.file("secret", "not for a layer");
    let upper = Upper::new();
    symlink(outside.path("secret"), upper.path("a")).unwrap();
    symlink(outside.0.path(), upper.path("b")).unwrap();
    let (tar, ..) = upper.written(Form::Containerd);
    assert!(!String::from_utf8_lossy(&tar).contains("not for a layer"));
    assert_eq!(entries(&tar).len(), 2);
}

#[test]
fn folders_may_be_deeper_than_files_may_be_open() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(400), ..limit }).unwrap();
    let upper = Upper::new();
    let mut folder = fs::File::open(upper.0.path()).unwrap();
    for _ in 0..600 {
        mkdirat(&folder, "deep", Mode::from(0o755)).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        folder = openat(&folder, "deep", flags, Mode::empty()).unwrap().into();
    }
    let (tar, ..) = upper.written(Form::Containerd);
    assert_eq!(entries(&tar).len(), 600);
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("1/fs");
    let error = write_layer(&missing, Form::Full, &mut std::io::sink(), &mut |_| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {}", missing.display()));
}
