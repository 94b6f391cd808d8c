//! What others change meanwhile is noticed, and named.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use sealift::fsio::Existing;
use sealift::layer_file::{LayerFileError, write};
use sealift::overlay::{Devices, OverlayError};

use super::tree::{Site, about};

/// Writes the file, while `change` happens after so many bytes.
fn written_while(site: &Site, after_bytes: u64, change: impl Fn() + Sync) -> Option<String> {
    let _ = fs::remove_file(site.file());
    let plan = site.plan();
    let told = AtomicU64::new(0);
    let watch = |bytes: u64| {
        let before = told.fetch_add(bytes, Ordering::Relaxed);
        if before <= after_bytes && after_bytes < before + bytes {
            change();
        }
        true
    };
    let result = write(&site.file(), Existing::Replace, &plan, None, about(), &watch);
    let changed = result.err().map(|error| match error {
        LayerFileError::Overlay(OverlayError::Changed(path)) => path,
        error => panic!("{error}"),
    });
    assert_eq!(site.file().exists(), changed.is_none());
    changed.map(|path| path.strip_prefix(site.upper()).unwrap().to_str().unwrap().to_owned())
}

#[test]
fn what_changes_while_it_is_read_is_named() {
    let site = Site::new();
    fs::create_dir(site.path("folder")).unwrap();
    fs::write(site.path("folder/file"), vec![1; 2 << 20]).unwrap();
    fs::write(site.path("last"), "last").unwrap();
    assert_eq!(written_while(&site, 600_000, || ()), None);
    let file = || fs::OpenOptions::new().append(true).open(site.path("folder/file")).unwrap();
    let (grown, other) = (file(), fs::OpenOptions::new().write(true).open(site.path("folder/file")).unwrap());
    let append = || (&grown).write_all(b"more").unwrap();
    assert_eq!(written_while(&site, 600_000, append).as_deref(), Some("folder/file"));
    let overwrite = || other.write_all_at(b"other", 2_000_000).unwrap();
    assert_eq!(written_while(&site, 600_000, overwrite).as_deref(), Some("folder/file"));
    let cut = || other.set_len(1 << 20).unwrap();
    assert_eq!(written_while(&site, 600_000, cut).as_deref(), Some("folder/file"));
    let add = || fs::write(site.path("folder/another"), "").unwrap();
    assert_eq!(written_while(&site, 600_000, add).as_deref(), Some("folder"));
    let remove = || fs::remove_file(site.path("last")).unwrap();
    assert_eq!(written_while(&site, 0, remove).as_deref(), Some("last"));
}

/// When a container last read its files is not for an export to change.
#[test]
fn an_export_leaves_no_times_of_access_behind() {
    let site = Site::new();
    fs::create_dir(site.path("folder")).unwrap();
    fs::write(site.path("folder/file"), "content").unwrap();
    let second = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
    // Where it is older than the last change, a disk notes the next access.
    let times = Timestamps { last_access: second(1000), last_modification: second(2000) };
    let names = ["folder/file", "folder"];
    for name in names {
        utimensat(CWD, site.path(name), &times, AtFlags::empty()).unwrap();
    }
    let accessed = || names.map(|name| site.path(name).metadata().unwrap().atime());
    site.written(None);
    assert_eq!(accessed(), [1000; 2]);
}

#[test]
fn what_changed_since_it_was_planned_is_named() {
    let site = Site::new();
    fs::write(site.path("one"), "one").unwrap();
    fs::write(site.path("two"), "two").unwrap();
    let plan = site.plan();
    fs::write(site.path("two"), "TWO").unwrap();
    let error = write(&site.file(), Existing::Replace, &plan, None, about(), &|_| true).unwrap_err();
    assert_eq!(error.to_string(), format!("{} changed while it was read", site.path("two").display()));
    let plan = site.plan();
    fs::write(site.path("three"), "").unwrap();
    assert!(write(&site.file(), Existing::Replace, &plan, None, about(), &|_| true).is_err());
    assert!(!site.file().exists());
}

#[test]
fn a_file_that_changes_after_it_was_verified_does_not_become_a_tree() {
    let site = Site::new();
    fs::write(site.path("file"), vec![1; 100_000]).unwrap();
    let size_bytes = site.written(None).size_bytes;
    let unpacked = |file: &sealift::layer_file::VerifiedLayerFile| {
        file.unpack(site.folder().as_fd(), "staged".as_ref(), Devices::Allow, &|_| true)?.verify(&|_| true)
    };
    let flipped = |at: u64| {
        site.written(None);
        let file = site.verified();
        let raw = fs::OpenOptions::new().write(true).read(true).open(site.file()).unwrap();
        let mut byte = [0];
        raw.read_exact_at(&mut byte, at).unwrap();
        raw.write_all_at(&[byte[0] ^ 1], at).unwrap();
        unpacked(&file).err()
    };
    assert!(matches!(flipped(600), Some(LayerFileError::Changed(_))), "a header");
    let contents = flipped(5000);
    assert!(
        matches!(&contents, Some(LayerFileError::Overlay(OverlayError::NotTheSame { .. }))),
        "{contents:?}"
    );
    assert!(flipped(size_bytes - 1).is_none(), "what is not unpacked");
    fs::remove_dir_all(site.staged()).unwrap_or(());
    site.written(None);
    let file = site.verified();
    fs::OpenOptions::new().write(true).open(site.file()).unwrap().set_len(3000).unwrap();
    assert!(matches!(unpacked(&file), Err(LayerFileError::Changed(_))));
    assert!(!site.staged().exists());
}

#[test]
fn what_changes_on_the_disk_before_it_is_read_back_is_named() {
    type Change = fn(&Site);
    let changes: [(&str, Change); 6] = [
        ("file", |site| fs::write(site.staged().join("file"), "longer").unwrap()),
        ("added", |site| fs::write(site.staged().join("added"), "").unwrap()),
        ("folder", |site| fs::remove_dir(site.staged().join("folder")).unwrap()),
        ("./", |site| {
            let file = fs::OpenOptions::new().write(true).open(site.staged().join("file")).unwrap();
            let time = file.metadata().unwrap().modified().unwrap();
            file.write_all_at(b"FILE", 0).unwrap();
            file.set_modified(time).unwrap();
        }),
        ("holes", |site| super::tree::sparse(&site.staged().join("holes"), 1 << 20, &[(0, 8192)])),
        ("file", |site| super::tree::attribute(&site.staged().join("file"), "user.more", b"")),
    ];
    for (named, change) in changes {
        let site = Site::new();
        fs::write(site.path("file"), "file").unwrap();
        fs::create_dir(site.path("folder")).unwrap();
        super::tree::sparse(&site.path("holes"), 1 << 20, &[(65536, 4096)]);
        site.written(None);
        let unpacked = site.unpacked().unwrap();
        change(&site);
        match unpacked.verify(&|_| true) {
            Err(LayerFileError::Overlay(OverlayError::NotTheSame { path, .. })) => {
                let name = path.to_str().unwrap();
                // What comes after something missing is not what was expected either.
                assert!(name == named || named == "folder", "{name}, not {named}");
            }
            other => panic!("{named}: {other:?}"),
        }
        assert!(!site.staged().exists());
    }
}
