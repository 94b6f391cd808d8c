//! Out and in: the tree is the same, by every means of looking at it.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sealift::blob::Packing;
use sealift::fsio::Existing;
use sealift::layer_file::{About, DockerInfo, LayerFile, Seal, Verdict, write};
use sealift::overlay::{Devices, LeftOut, MountedBy, OverlayError, Plan, remove_tree};

use super::tree::{Site, about, attribute, fill, is_root, mounted_by, walked};

#[test]
fn whatever_is_in_an_upper_directory_comes_out_again() {
    let site = Site::new();
    fill(&site);
    let plan = site.plan();
    assert_eq!(plan.left_out(), [LeftOut::Socket("socket".into())]);
    fs::remove_file(site.path("socket")).unwrap();
    super::tree::aged(&site.upper(), 1_500_000_000, 42);
    let before = walked(&site.upper());
    for seal in [None, Some(Seal::Gzip), Some(Seal::Zstd)] {
        let written = site.written(seal);
        assert_eq!(fs::metadata(site.file()).unwrap().len(), written.size_bytes);
        let file = site.verified();
        assert_eq!(*file.metadata(), written.metadata);
        assert_eq!(file.tree(), plan.tree());
        assert!(file.lost().is_empty());
        for (path, line) in site.out_and_in() {
            assert_eq!(before.get(&path), Some(&line), "{}", String::from_utf8_lossy(&path));
        }
    }
    assert_eq!(plan.tree().counts.entries, before.len() as u64);
    let counts = plan.tree().counts;
    assert_eq!((counts.whiteouts, counts.opaque, counts.redirects, counts.sparse), (2, 1, 1, 4));
    assert_eq!(counts.hard_links, 4);
    assert_eq!(counts.devices, if is_root() { 2 } else { 0 });
}

#[test]
fn the_same_tree_is_the_same_file() {
    let site = Site::new();
    fill(&site);
    for seal in [None, Some(Seal::Gzip), Some(Seal::Zstd)] {
        site.written(seal);
        let first = fs::read(site.file()).unwrap();
        site.written(seal);
        assert!(first == fs::read(site.file()).unwrap());
    }
}

#[test]
fn common_tools_read_the_file() {
    let site = Site::new();
    fill(&site);
    fs::remove_file(site.path("socket")).unwrap();
    super::tree::aged(&site.upper(), 1_500_000_000, 42);
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(site.0.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    site.written(None);
    run("tar", &["-xf", "layer.sealift"]);
    run("sha256sum", &["--quiet", "-c", "metadata.json.sha256"]);
    let stated = site.verified().metadata().layer_tar.clone().unwrap();
    let sums = run("sha256sum", &["layer.tar"]);
    assert!(sums.starts_with(stated.sha256.hex().as_bytes()));
    fs::create_dir(site.0.path().join("by-tar")).unwrap();
    // Times long ago and far away are worth a word to it.
    let options =
        ["-C", "by-tar", "--warning=no-timestamp", "--xattrs", "--xattrs-include=*", "-xpf", "layer.tar"];
    run("tar", &options);
    let (before, after) = (walked(&site.upper()), walked(&site.0.path().join("by-tar")));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, line) in before {
        assert_eq!(after.get(&path), Some(&line), "{}", String::from_utf8_lossy(&path));
    }
    let plain = fs::read(site.file()).unwrap();
    for (seal, program, name) in [(Seal::Gzip, "gzip", "packed.gz"), (Seal::Zstd, "zstd", "packed.zst")] {
        site.written(Some(seal));
        let packed = fs::read(site.file()).unwrap();
        let mut unpacked = Vec::new();
        seal.packing().unpack(&packed[..]).unwrap().read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked.len(), plain.len());
        fs::write(site.0.path().join(name), &packed).unwrap();
        assert!(run(program, &["-dc", name]) == unpacked, "{program}");
    }
}

#[test]
fn a_tree_may_be_deeper_than_files_may_be_open() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(400), ..limit }).unwrap();
    let site = Site::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = openat(CWD, site.upper(), flags, Mode::empty()).unwrap();
    for _ in 0..600 {
        mkdirat(&folder, "d", Mode::from(0o755)).unwrap();
        folder = openat(&folder, "d", flags, Mode::empty()).unwrap();
    }
    let file = openat(&folder, "file", OFlags::WRONLY | OFlags::CREATE, Mode::from(0o644)).unwrap();
    rustix::fs::linkat(&folder, "file", &folder, "linked", rustix::fs::AtFlags::empty()).unwrap();
    drop(file);
    site.written(None);
    let tree = site.unpacked().unwrap().verify(&|_| true).unwrap();
    assert_eq!(site.plan().tree().counts.directories, 601);
    drop(tree);
    assert!(!site.staged().exists(), "what was not kept is gone");
    remove_tree(site.folder().as_fd(), "upper".as_ref()).unwrap();
    assert!(!site.upper().exists());
    remove_tree(site.folder().as_fd(), "upper".as_ref()).unwrap();
}

#[test]
fn what_must_not_be_changed_is_removed_all_the_same() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    if !is_root() {
        return; // such flags are root's to give
    }
    let site = Site::new();
    fs::create_dir_all(site.path("a/kept")).unwrap();
    for (name, flag) in [
        ("a/fixed", IFlags::IMMUTABLE),
        ("a/log", IFlags::APPEND),
        ("a/kept/fixed", IFlags::IMMUTABLE),
        ("a/kept", IFlags::IMMUTABLE),
        ("a", IFlags::APPEND),
        ("", IFlags::IMMUTABLE),
    ] {
        if !site.path(name).exists() {
            fs::write(site.path(name), "x").unwrap();
        }
        let file = fs::File::open(site.path(name)).unwrap();
        ioctl_setflags(&file, ioctl_getflags(&file).unwrap() | flag).unwrap();
    }
    remove_tree(site.folder().as_fd(), "upper".as_ref()).unwrap();
    assert!(!site.upper().exists());
}

#[test]
fn an_empty_directory_is_a_layer() {
    let site = Site::new();
    let written = site.written(None);
    assert_eq!(written.metadata.tree.unwrap().counts.entries, 1);
    assert_eq!(site.out_and_in(), walked(&site.upper()));
}

#[test]
fn contents_that_stand_in_the_image_are_refused() {
    let site = Site::new();
    fs::write(site.path("moved"), "").unwrap();
    attribute(&site.path("moved"), "user.overlay.metacopy", b"");
    let error = Plan::of(&site.upper(), Vec::new(), MountedBy::User, &|_| true).unwrap_err();
    assert!(matches!(&error, OverlayError::Metacopy(path) if *path == site.path("moved")), "{error}");
}

#[test]
fn a_programs_own_attributes_are_kept_where_root_mounts() {
    let site = Site::new();
    for name in
        ["user.overlay.metacopy", "user.overlay.origin", "user.overlay.opaque", "user.overlay.redirect"]
    {
        attribute(&site.upper(), name, b"y");
    }
    let counts = |mounted_by| {
        let plan = Plan::of(&site.upper(), Vec::new(), mounted_by, &|_| true);
        plan.map(|plan| {
            (plan.tree().counts.attributes, plan.tree().counts.opaque, plan.tree().counts.redirects)
        })
    };
    assert_eq!(counts(MountedBy::Root).unwrap(), (4, 0, 0));
    // Of a user's directory they are overlayfs's.
    assert_eq!(counts(MountedBy::User).unwrap(), (2, 1, 1));
    let plan = Plan::of(&site.upper(), Vec::new(), MountedBy::Root, &|_| true).unwrap();
    write(&site.file(), Existing::Replace, &plan, None, About::default(), &|_| true).unwrap();
    assert_eq!(site.out_and_in(), walked(&site.upper()));
    // A file that says otherwise is not to bring handles along.
    write(&site.file(), Existing::Replace, &plan, None, rootless(), &|_| true).unwrap();
    let Verdict::Broken { problems, .. } = site.verdict() else { panic!() };
    assert!(problems[0].what.ends_with("means something on another disk only"), "{problems:?}");
}

fn rootless() -> About {
    let user_namespace = Some("rootless".to_owned());
    About { docker: DockerInfo { user_namespace, ..DockerInfo::default() }, ..About::default() }
}

#[test]
fn what_nobody_waits_for_ends_and_leaves_nothing() {
    let site = Site::new();
    fill(&site);
    let stopped = write(&site.file(), Existing::Replace, &site.plan(), None, about(), &|_| false);
    assert_eq!(stopped.unwrap_err().to_string(), "it was stopped");
    assert!(!site.file().exists());
    site.written(Some(Seal::Gzip));
    let file = LayerFile::open(&site.file()).unwrap();
    assert_eq!(file.packing(), Packing::Gzip);
    assert!(file.verify(u64::MAX, &|_| false).is_err());
    let error = site.verified().unpack(site.folder().as_fd(), "staged".as_ref(), Devices::Allow, &|_| false);
    assert_eq!(error.unwrap_err().to_string(), "it was stopped");
    assert!(!site.staged().exists());
    assert!(site.unpacked().unwrap().verify(&|_| false).is_err());
    assert!(!site.staged().exists());
}

#[test]
fn progress_is_told_to_the_last_byte() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let site = Site::new();
    fill(&site);
    let told = AtomicU64::new(0);
    let watch = |bytes| {
        told.fetch_add(bytes, Ordering::Relaxed);
        true
    };
    let plan = Plan::of(&site.upper(), Vec::new(), mounted_by(), &watch).unwrap();
    assert_eq!(told.swap(0, Ordering::Relaxed), plan.tree().counts.entries);
    write(&site.file(), Existing::Replace, &plan, None, about(), &watch).unwrap();
    assert_eq!(told.swap(0, Ordering::Relaxed), plan.size_bytes());
    let file = LayerFile::open(&site.file()).unwrap();
    let size_bytes = file.size_bytes();
    let Verdict::Whole(file) = file.verify(u64::MAX, &watch).unwrap() else { panic!() };
    assert_eq!(told.swap(0, Ordering::Relaxed), size_bytes);
    assert_eq!(file.unpacking_bytes(), plan.size_bytes());
    let unpacked = file.unpack(site.folder().as_fd(), "staged".as_ref(), Devices::Allow, &watch).unwrap();
    assert_eq!(told.swap(0, Ordering::Relaxed), file.unpacking_bytes());
    drop(unpacked.verify(&watch).unwrap());
    assert_eq!(told.swap(0, Ordering::Relaxed), file.unpacking_bytes());
}

#[test]
fn room_is_counted_in_what_disks_allocate() {
    use std::os::unix::fs::MetadataExt;
    let site = Site::new();
    fill(&site);
    for one in 0..500 {
        fs::write(site.path(&format!("a/{one}")), "x").unwrap();
    }
    site.written(None);
    let file = site.verified();
    let mut folders = vec![site.upper()];
    let mut taken_bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let found = entry.path().symlink_metadata().unwrap();
            taken_bytes += found.blocks() * 512;
            folders.extend(found.is_dir().then(|| entry.path()));
        }
    }
    let counted_bytes = file.disk_bytes();
    assert!((taken_bytes..2 * taken_bytes).contains(&counted_bytes), "{counted_bytes} for {taken_bytes}");
    file.check_room(site.0.path()).unwrap();
}

#[test]
fn nobody_but_its_owner_reads_the_file() {
    use std::os::unix::fs::MetadataExt;
    let site = Site::new();
    fs::write(site.path("key"), "secret").unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o7777;
    // While it is written, too: whoever opened it then reads it to its end.
    let partial = site.0.path().join("layer.sealift.partial");
    let watch = |_| {
        assert_eq!(mode(&partial), 0o600);
        true
    };
    write(&site.file(), Existing::Replace, &site.plan(), None, about(), &watch).unwrap();
    assert_eq!(mode(&site.file()), 0o600);
}
