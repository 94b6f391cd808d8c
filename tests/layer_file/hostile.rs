//! Files that are made to do harm: each is true to itself, digests and all, and refused. Nothing outside changes.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;

use sealift::image::Digest;
use sealift::layer_file::{LayerFile, LayerFileError, Part, Verdict};
use sealift::overlay::{Devices, OverlayError};

use super::forged::{Entry, Layer, file_of, header, problems_of};
use super::tree::Site;

/// The one thing that is wrong with a file of these entries.
fn refused(entries: &[Entry]) -> String {
    refused_layer(&Layer::of(entries))
}

fn refused_layer(layer: &Layer) -> String {
    let problems = problems_of(&layer.file());
    let [problem] = &problems[..] else { panic!("{problems:#?}") };
    assert_eq!(problem.part, Part::Layer);
    problem.what.clone()
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in
        ["../out", "..", ".", "a/../../out", "/etc/cron.d/x", "a//b", "./x", "a/./b", "", "a/..", "x/"]
    {
        let what = refused(&[Entry::folder("a/"), Entry::file(name, "harm")]);
        assert!(
            what.contains("its name leads elsewhere")
                || what.contains("its name does not end as its kind's")
                || what.contains("out of order")
                || what.contains("a header is not written as it has to be"),
            "{name:?}: {what}"
        );
    }
    assert_eq!(refused(&[Entry::folder("../")]), "`../`: its name leads elsewhere");
    let long = "n".repeat(256);
    let what = refused(&[Entry::file(&long, "").record("path", &long)]);
    assert!(what.ends_with("its name leads elsewhere"), "{what}");
}

#[test]
fn what_is_behind_a_symlink_is_not_reached() {
    let site = Site::new();
    let outside = site.0.path().to_str().unwrap();
    let through = [Entry::symlink("link", outside), Entry::file("link/harm", "x")];
    assert_eq!(refused(&through), "`link/harm`: its folder is not there, or is out of order");
    let replaced = [Entry::symlink("link", outside), Entry::folder("link/"), Entry::file("link/harm", "x")];
    assert_eq!(refused(&replaced), "`link/`: it is out of order, or there twice");
    let linked = [Entry::symlink("a", outside), Entry::link("b", "a/upper")];
    assert_eq!(refused(&linked), "`b`: it is a link to what is not before it");
}

#[test]
fn hard_links_lead_to_files_of_the_same_layer_only() {
    for target in ["/etc/passwd", "../../etc/passwd", "later", "folder/", "folder", "b", "gone", "./file", ""]
    {
        let entries = [
            Entry::link("b", target),
            Entry::file("file", "x"),
            Entry::folder("folder/"),
            Entry::device("gone", 0, 0),
            Entry::file("later", "x"),
        ];
        assert_eq!(refused(&entries), "`b`: it is a link to what is not before it", "{target}");
    }
    let entries = [Entry::folder("a/"), Entry::link("b", "a/")];
    assert_eq!(refused(&entries), "`b`: it is a link to what is not before it");
    let entries = [Entry::file("a", "x"), Entry { mode: 0o4755, ..Entry::link("b", "a") }];
    assert_eq!(refused(&entries), "`b`: it is a link, and not as its file");
    let entries = [Entry::file("a", "x"), Entry::link("b", "a"), Entry::link("c", "b")];
    assert_eq!(refused(&entries), "`c`: it is a link to what is not before it");
}

#[test]
fn entries_stand_in_their_order_and_once() {
    for (entries, what) in [
        (vec![Entry::file("b", ""), Entry::file("a", "")], "`a`: it is out of order, or there twice"),
        (vec![Entry::file("a", ""), Entry::file("a", "")], "`a`: it is out of order, or there twice"),
        (vec![Entry::folder("a/"), Entry::file("a", "")], "`a`: it is out of order, or there twice"),
        (vec![Entry::file("a/b", "")], "`a/b`: its folder is not there, or is out of order"),
        (
            vec![Entry::folder("a/"), Entry::file("b", ""), Entry::file("a/c", "")],
            "`a/c`: its folder is not there, or is out of order",
        ),
        (vec![Entry::folder("./")], "`./`: its name leads elsewhere"),
    ] {
        assert_eq!(refused(&entries), what);
    }
    let rootless = Layer::of_all(&[Entry::file("a", "")]);
    assert_eq!(refused_layer(&rootless), "`a`: the first entry is not the root, `./`");
    assert_eq!(refused_layer(&Layer::of_all(&[])), "it has no entries, not even the root's");
}

#[test]
fn what_no_tree_can_have_is_refused() {
    let file = || Entry::file("f", "content");
    for (entry, what) in [
        (Entry { mode: 0o10644, ..file() }, "its mode is no mode"),
        (Entry { device: (1, 3), ..file() }, "it has a device's numbers and is none"),
        (Entry::device("f", 4096, 0), "it is a device that can't be"),
        (Entry { target: b"x".to_vec(), ..file() }, "it has a target and is no link"),
        (Entry::symlink("f", ""), "it is a symlink that can't be"),
        (Entry { content: vec![1], ..Entry::new("f", b'6') }, "it has a size and is no file"),
        (file().record("uid", "4294967295"), "its owner is nobody that can be"),
        (file().attribute("user.", ""), "it has an attribute that can't be"),
        (file().attribute("os2.x", ""), "it has an attribute that can't be"),
        (file().attribute("user.%41", ""), "an attribute's name is not written as it has to be"),
        (
            file().attribute("trusted.overlay.origin", "x"),
            "it has an attribute that means something on another disk only",
        ),
        (
            file().attribute("trusted.overlay.metacopy", ""),
            "it has an attribute that means something on another disk only",
        ),
        (
            file().attribute("security.selinux", "x"),
            "it has an attribute that means something on another disk only",
        ),
    ] {
        let found = refused(&[entry]);
        assert!(
            found == format!("`f`: {what}") || found.contains("not written as it has to be"),
            "{what}: {found}"
        );
    }
}

#[test]
fn there_is_one_way_to_write_a_header() {
    let file = || Entry::file("f", "content");
    let refusals = [
        // A record that says what the header says, that nothing reads, twice, out of order.
        file().record("path", "f"),
        file().record("comment", "hidden"),
        file().record("GNU.sparse.name", "g"),
        file().record("mtime", "0"),
        file().record("mtime", "1.50"),
        file().record("mtime", "01.5"),
        file().record("size", "7"),
        file().attribute("user.a", "1").attribute("user.a", "2"),
        file().attribute("user.b", "1").attribute("user.a", "2"),
        Entry::new("f", b'L'),
        Entry::new("f", b'g'),
        Entry::new("f", b'7'),
        Entry::new("f", b'S'),
        Entry::new("f", 0),
        Entry { block_name: Some(b"other".to_vec()), ..file().attribute("user.a", "1") },
    ];
    for entry in refusals {
        let found = refused(std::slice::from_ref(&entry));
        let is_it = found == "after `./`: a header is not written as it has to be"
            || found == "after `./`: what stands there is no header";
        assert!(is_it, "{:?}: {found}", entry.records);
    }
    let mut layer = Layer::of(&[file()]);
    let padding = layer.tar.len() - 1024 - 1;
    layer.tar[padding] = 1;
    assert_eq!(refused_layer(&layer), "`f`: what stands behind its content is not zero");
    for more in [512, 9216] {
        let mut layer = Layer::of(&[file()]);
        layer.tar.extend(vec![0; more]);
        assert_eq!(refused_layer(&layer), "it does not end as it has to");
    }
    let mut layer = Layer::of(&[file()]);
    layer.tar.truncate(layer.tar.len() - 512);
    assert_eq!(refused_layer(&layer), "it does not end as it has to");
}

#[test]
fn holes_stay_within_their_file() {
    let sparse = |map: &str, real: &str, data: usize| {
        let content = [format!("{map:\0<512}").into_bytes(), vec![1; data]].concat();
        let entry = Entry {
            content,
            map_bytes: 512,
            block_name: Some(b"GNUSparseFile.0/f".to_vec()),
            ..Entry::file("f", "")
        };
        let entry = entry.record("GNU.sparse.major", "1").record("GNU.sparse.minor", "0");
        refused(&[entry.record("GNU.sparse.name", "f").record("GNU.sparse.realsize", real)])
    };
    for (map, real, data, what) in [
        ("1\n0\n512\n", "100", 512, "its data ends beyond its end"),
        ("1\n18446744073709551104\n512\n", "1024", 512, "its data ends beyond its end"),
        ("2\n512\n512\n0\n512\n", "4096", 1024, "its data is out of order"),
        ("2\n0\n512\n512\n512\n", "4096", 1024, "its data is out of order"),
        ("1\n1\n512\n", "4096", 512, "its holes are not of whole blocks"),
        ("1\n0\n512\n", "512", 512, "it has no hole"),
        ("9999999\n", "512", 0, "it has too many holes"),
        ("x\n", "512", 0, "the map of its holes is no map"),
        ("1\n0\n512\n", "9223372036854775808", 512, "what stands there is no header"),
        ("1\n0\n512\n", "4096", 1024, "a header is not written as it has to be"),
        ("1\n0\n512\n", "4096", 512, "a header is not written as it has to be"),
        ("2\n0\n512\n4096\n0\n\n", "4096", 512, "a header is not written as it has to be"),
    ] {
        assert_eq!(sparse(map, real, data), format!("after `./`: {what}"), "{map:?}");
    }
}

#[test]
fn a_device_is_made_only_where_that_is_allowed() {
    let site = Site::new();
    let layer =
        Layer::of(&[Entry::file("a", "x"), Entry::device("gone", 0, 0), Entry::device("kmsg", 1, 11)]);
    fs::write(site.file(), layer.file()).unwrap();
    let file = site.verified();
    assert_eq!(file.first_device().unwrap().to_str(), Some("kmsg"));
    let refused = file.unpack(site.folder().as_fd(), "staged".as_ref(), Devices::Refuse, &|_| true);
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, LayerFileError::Overlay(OverlayError::Device(path)) if path.to_str() == Some("kmsg"))
    );
    assert!(!site.staged().exists());
    let layer = Layer::of(&[Entry::device("gone", 0, 0)]);
    fs::write(site.file(), layer.file()).unwrap();
    let whiteouts =
        site.verified().unpack(site.folder().as_fd(), "staged".as_ref(), Devices::Refuse, &|_| true);
    whiteouts.unwrap().verify(&|_| true).unwrap();
}

#[test]
fn names_do_not_write_lines_of_their_own() {
    let name = "x\nhint: run `curl`\u{1b}[2J";
    let shown = r"x\nhint: run `curl`\u{1b}[2J";
    let site = Site::new();
    fs::write(site.file(), Layer::of(&[Entry::device(name, 1, 11)]).file()).unwrap();
    let refused =
        site.verified().unpack(site.folder().as_fd(), "staged".as_ref(), Devices::Refuse, &|_| true);
    assert_eq!(refused.unwrap_err().to_string(), format!("it has a device: `{shown}`"));
    let path: std::path::PathBuf = name.into();
    for error in [
        OverlayError::Changed(path.clone()),
        OverlayError::Below(path.clone()),
        OverlayError::Metacopy(path.clone()),
        OverlayError::NotTheSame { path: path.clone(), what: "" },
        sealift::fsio::FileError::io("write", &path)(std::io::ErrorKind::Other.into()).into(),
    ] {
        let error = error.to_string();
        assert!(error.contains(shown) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn what_is_there_already_is_not_unpacked_into() {
    let site = Site::new();
    fs::write(site.file(), Layer::of(&[Entry::file("a", "x")]).file()).unwrap();
    fs::create_dir(site.staged()).unwrap();
    fs::write(site.staged().join("precious"), "").unwrap();
    assert!(site.unpacked().is_err());
    assert!(site.staged().join("precious").exists());
    fs::remove_dir_all(site.staged()).unwrap();
    std::os::unix::fs::symlink(site.upper(), site.staged()).unwrap();
    assert!(site.unpacked().is_err());
    assert!(fs::read_dir(site.upper()).unwrap().next().is_none());
}

#[test]
fn a_file_that_lies_about_itself_is_not_believed() {
    let layer = Layer::of(&[Entry::file("a", "x")]);
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut metadata = layer.metadata();
        change(&mut metadata);
        problems_of(&file_of(&layer.tar, &metadata))
            .into_iter()
            .map(|problem| problem.to_string())
            .collect::<Vec<_>>()
    };
    assert!(changed(&|_| ()).is_empty());
    let other = Digest::of(b"other").to_string();
    for (change, what) in [
        (&|data: &mut serde_json::Value| data["layer_tar"]["sha256"] = other.clone().into(), "it hashes to"),
        (&|data: &mut serde_json::Value| data["layer_tar"]["size_bytes"] = 1.into(), "another size"),
        (
            &|data: &mut serde_json::Value| data["tree"]["sha256"] = other.clone().into(),
            "its entries are not",
        ),
        (&|data: &mut serde_json::Value| data["tree"]["files"] = 2.into(), "its entries are not"),
        (&|data: &mut serde_json::Value| data["layer_checksum"] = "x".into(), "its contents hash to"),
        (&|data: &mut serde_json::Value| data["version"] = "1.0".into(), "version 1.0 is not known here"),
        (&|data: &mut serde_json::Value| data["version"] = "3.0".into(), "version 3.0 is not known"),
        (&|data: &mut serde_json::Value| data["compressed"] = true.into(), "of the packing what is not so"),
        (&|data: &mut serde_json::Value| data["tree"] = serde_json::Value::Null, "what the layer hashes to"),
        (&|data: &mut serde_json::Value| data["created"] = 1.into(), "it can't be read"),
    ] as [(&dyn Fn(&mut serde_json::Value), &str); 10]
    {
        let problems = changed(change);
        assert!(problems.iter().any(|problem| problem.contains(what)), "{what}: {problems:?}");
    }
}

#[test]
fn bombs_do_not_go_off() {
    // What says that it has 8 GiB has half a GiB of zeros, in a few KiB.
    let first =
        |name: &str| header(name.as_bytes(), b'0', 0o644, (0, 0), 0o77_777_777_777, b"", (0, 0), false);
    let zeros = vec![0; 1 << 20];
    let bomb = |before: &[u8]| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(before).unwrap();
        for _ in 0..512 {
            encoder.write_all(&zeros).unwrap();
        }
        encoder.finish().unwrap()
    };
    let layer = bomb(&first("layer.tar"));
    let site = Site::new();
    fs::write(site.file(), &layer).unwrap();
    let Verdict::Broken { problems, .. } = site.verdict() else { panic!() };
    assert!(problems.iter().any(|problem| problem.part == Part::Layer), "{problems:?}");
    let room = LayerFile::open(&site.file()).unwrap().verify(1 << 20, &|_| true);
    assert!(matches!(room, Err(LayerFileError::TooLarge { most_bytes: 0x10_0000, .. })));
    let metadata = bomb(&first("metadata.json"));
    assert!(!problems_of(&metadata).is_empty());
}
