//! Files of layer-tool 1.0: what they have is checked and comes out, what they lost is told.

use std::fs;
use std::io::{Read, Write};

use flate2::read::GzDecoder;
use sealift::image::Digest;
use sealift::layer_file::{LayerFile, LayerFileError, Part, Verdict};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::forged::problems_of;
use super::tree::{Site, is_root};

const PLAIN: &[u8] = include_bytes!("../../fixtures/layer_files/version-1.0.tar");
const PACKED: &[u8] = include_bytes!("../../fixtures/layer_files/version-1.0.tar.gz");

/// Owners are for root to give.
fn owned(line: &str) -> String {
    if is_root() { line.to_owned() } else { line.replace("1234:1235", "0:0") }
}

#[test]
fn what_such_a_file_has_comes_out_and_what_it_lost_is_told() {
    if !is_root() {
        // Nothing in it could be given its owner: that is an error, and nothing stays.
        let site = Site::new();
        fs::write(site.file(), PLAIN).unwrap();
        assert!(site.unpacked().is_err() && !site.staged().exists());
        return;
    }
    for bytes in [PLAIN, PACKED] {
        let site = Site::new();
        fs::write(site.file(), bytes).unwrap();
        let file = site.verified();
        let metadata = file.metadata();
        assert_eq!((&*metadata.version, &*metadata.container_metadata.name), ("1.0", "db"));
        assert_eq!(metadata.container_metadata.mounts[0].destination, "/var/lib/db");
        assert_eq!((&*metadata.docker_info.driver, &*metadata.docker_info.os_type), ("overlay2", "linux"));
        assert!(metadata.tree.is_none() && metadata.layer_tar.is_none());
        assert!(file.lost().iter().any(|line| line.contains("whiteouts")), "{:?}", file.lost());
        assert_eq!((file.tree().counts.files, file.tree().counts.directories), (6, 3));
        let tree = site.out_and_in();
        let line = |name: &str| tree[name.as_bytes()].clone();
        assert!(
            line("a/file").starts_with(&owned("100644 1234:1235 8 1700000001.000000000")),
            "{}",
            line("a/file")
        );
        assert!(line("tool").starts_with("104755 0:0 10"), "{}", line("tool"));
        assert!(line("a").starts_with("40755 0:0 0 1700000000.000000000"), "{}", line("a"));
        assert!(line("etc/grüße").starts_with("100644"));
        assert!(tree.contains_key(format!("etc/{}", "n".repeat(130)).as_bytes()));
        assert!(line("zeros").starts_with("100644 0:0 5000 "), "{}", line("zeros"));
    }
}

#[test]
fn damage_to_contents_and_names_is_noticed() {
    let at = |what: &[u8]| PLAIN.windows(what.len()).position(|window| window == what).unwrap();
    for (place, part) in [
        (at(b"content\n"), Part::Layer),
        (at(b"#!/bin/sh"), Part::Layer),
        (at(b"a-file\0"), Part::Layer),
        (at(b"layer_checksum"), Part::Metadata),
        (at(b"layer.tar\0"), Part::Structure),
        (PLAIN.len() - 1, Part::Structure),
    ] {
        let mut damaged = PLAIN.to_vec();
        damaged[place] ^= 2;
        let problems = problems_of(&damaged);
        assert_eq!(problems[0].part, part, "byte {place}: {problems:?}");
    }
    for place in (20..PACKED.len()).step_by(13) {
        let mut damaged = PACKED.to_vec();
        damaged[place] ^= 1;
        assert!(!problems_of(&damaged).is_empty(), "byte {place}");
    }
    for length in (0..PACKED.len()).step_by(31) {
        assert!(!problems_of(&PACKED[..length]).is_empty(), "{length}");
    }
    for length in (0..PLAIN.len() - 1536).step_by(512) {
        assert!(!problems_of(&PLAIN[..length]).is_empty(), "{length}");
    }
    let mut plain = Vec::new();
    GzDecoder::new(PACKED).read_to_end(&mut plain).unwrap();
    assert_eq!(problems_of(&plain), [], "as it was packed");
}

/// An entry of a tar as the `tar` crate writes it.
fn append(builder: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, content: &[u8], link: &str) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o100_644);
    header.set_uid(rustix::process::geteuid().as_raw().into());
    header.set_gid(rustix::process::getegid().as_raw().into());
    header.set_size(content.len() as u64);
    let field = &mut header.as_gnu_mut().unwrap().name;
    field[..name.len()].copy_from_slice(name.as_bytes());
    let field = &mut header.as_gnu_mut().unwrap().linkname;
    field[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn file_of(entries: &[(&str, EntryType, &[u8], &str)], checksum: &[u8]) -> Vec<u8> {
    let mut layer = Builder::new(Vec::new());
    for (name, kind, content, link) in entries {
        append(&mut layer, name, *kind, content, link);
    }
    let metadata = json!({
        "version": "1.0", "created": "", "compressed": false, "container_metadata": {}, "docker_info": {},
        "layer_checksum": Digest::of(checksum).hex(),
    });
    let mut file = Builder::new(Vec::new());
    append(&mut file, "metadata.json", EntryType::Regular, metadata.to_string().as_bytes(), "");
    append(&mut file, "layer.tar", EntryType::Regular, &layer.into_inner().unwrap(), "");
    file.into_inner().unwrap()
}

#[test]
fn entries_in_another_order_and_folders_without_one_are_no_harm() {
    let file = EntryType::Regular;
    let bytes = file_of(
        &[("./b/c", file, b"2", ""), ("a", file, b"1", ""), ("./", EntryType::Directory, b"", "")],
        b"a1bb/c2",
    );
    let site = Site::new();
    fs::write(site.file(), &bytes).unwrap();
    let file = site.verified();
    assert_eq!(file.tree().counts.entries, 4);
    if is_root() {
        let names: Vec<_> = site.out_and_in().into_keys().collect();
        assert_eq!(names, [&b""[..], b"a", b"b", b"b/c"]);
    }
}

#[test]
fn what_would_do_harm_is_refused() {
    let file = EntryType::Regular;
    for (entries, what) in [
        (vec![("../out", file, &b"x"[..], "")], "its name leads elsewhere"),
        (vec![("/etc/x", file, b"x", "")], "its name leads elsewhere"),
        (vec![("a/../../x", file, b"x", "")], "its name leads elsewhere"),
        (vec![("a", file, b"x", ""), ("./a", file, b"x", "")], "there twice"),
        (vec![("a", file, b"x", ""), ("a/b", file, b"x", "")], "its folder is not there"),
        (vec![("a", EntryType::Symlink, b"", "/etc")], "does not have"),
        (vec![("a", EntryType::Link, b"", "/etc/passwd")], "does not have"),
        (vec![("a", EntryType::Char, b"", "")], "does not have"),
        (vec![("", file, b"x", "")], "is not the root"),
    ] {
        let mut checksum = Vec::new();
        for (name, _, content, _) in &entries {
            checksum.extend([name.as_bytes(), content].concat());
        }
        let problems = problems_of(&file_of(&entries, &checksum));
        assert!(problems[0].what.contains(what), "{entries:?}: {problems:?}");
    }
}

#[test]
fn a_bomb_in_a_sparse_file_is_not_written() {
    // A petabyte by its own word, of which there is one block.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(512);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..5].copy_from_slice(b"holes");
    gnu.set_real_size(1 << 50);
    gnu.sparse[0].set_offset(0);
    gnu.sparse[0].set_length(512);
    gnu.sparse[1].set_offset(1 << 50);
    gnu.sparse[1].set_length(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let layer = [&header.as_bytes()[..], &[1; 512], &[0; 1024]].concat();
    let mut file = Builder::new(Vec::new());
    append(&mut file, "metadata.json", EntryType::Regular, b"{}", "");
    append(&mut file, "layer.tar", EntryType::Regular, &layer, "");
    let problems = problems_of(&file.into_inner().unwrap());
    assert_eq!(problems[0].to_string(), "layer.tar: its files are larger than 1 TiB together");
}

/// The header of an entry that is not there, whatever it says of its size.
fn header_of(name: &str, kind: EntryType, size_bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(name).unwrap();
    header.set_mode(0o644);
    header.set_size(size_bytes);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    header
}

/// Packed, with more behind.
fn packed(bytes: &[u8], more_bytes: usize) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(bytes).unwrap();
    let more = vec![b'x'; 1 << 20];
    for _ in 0..more_bytes >> 20 {
        encoder.write_all(&more).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn names_and_extensions_are_read_only_as_far_as_any_are_long() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader]
    {
        let header = header_of("x", kind, 6 << 30);
        let problems = problems_of(&packed(header.as_bytes(), 256 << 20));
        let what = problems[0].to_string();
        let is_refused = what.ends_with("a name is longer than Linux has them")
            || what.ends_with("`x` has no place in a layer file");
        assert!(is_refused, "{kind:?}: {what}");
        let layer = header_of("layer.tar", EntryType::Regular, 7 << 30);
        let problems = problems_of(&[&layer.as_bytes()[..], header.as_bytes()].concat());
        let what = problems[0].to_string();
        let is_refused = what.ends_with("a name is longer than Linux has them")
            || what.ends_with("`x` is something that version 1.0 does not have");
        assert!(is_refused, "{kind:?}: {what}");
    }
}

#[test]
fn a_name_does_not_become_thousands_of_folders() {
    let layer_of = |names: &[String]| {
        let mut layer = Builder::new(Vec::new());
        for name in names {
            layer.append_data(&mut header_of("x", EntryType::Regular, 0), name, &b""[..]).unwrap();
        }
        let mut file = Builder::new(Vec::new());
        append(&mut file, "metadata.json", EntryType::Regular, br#"{"version":"1.0","created":"","compressed":false,"container_metadata":{},"docker_info":{},"layer_checksum":""}"#, "");
        append(&mut file, "layer.tar", EntryType::Regular, &layer.into_inner().unwrap(), "");
        problems_of(&file.into_inner().unwrap())[0].to_string()
    };
    let deep = |first: &str, folders: usize| format!("{first}/{}x", "d/".repeat(folders));
    let deepest = layer_of(&[deep("a", 2046)]);
    assert!(deepest.starts_with("layer.tar: its contents hash to"), "{deepest}");
    let many: Vec<String> = (0..2000).map(|first| deep(&first.to_string(), 2000)).collect();
    assert_eq!(layer_of(&many), "layer.tar: too many of its folders are missing");
    assert_eq!(layer_of(&[deep("a", 30_000)]), "layer.tar: a name is longer than Linux has them");
}

#[test]
fn the_map_of_a_sparse_file_has_an_end() {
    let mut header = header_of("holes", EntryType::GNUSparse, 0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 20);
    gnu.set_is_extended(true);
    header.set_cksum();
    let mut more = tar::GnuExtSparseHeader::new();
    more.set_is_extended(true);
    let blocks = more.as_bytes().repeat(60_000);
    let layer_bytes = (512 + blocks.len()) as u64;
    let layer = header_of("layer.tar", EntryType::Regular, layer_bytes);
    let problems = problems_of(&[&layer.as_bytes()[..], header.as_bytes(), &blocks].concat());
    assert_eq!(problems[0].to_string(), "layer.tar: it has too many holes");
}

#[test]
fn holes_come_out_as_they_were() {
    if !is_root() {
        return;
    }
    let site = Site::new();
    let data: Vec<(u64, usize)> = (0..40).map(|one| (one * 16_384, 4096)).collect();
    super::tree::sparse(&site.path("many"), 1 << 20, &data);
    super::tree::sparse(&site.path("none"), 1 << 20, &[]);
    let mut layer = Builder::new(Vec::new());
    layer.append_path_with_name(site.path("many"), "many").unwrap();
    layer.append_path_with_name(site.path("none"), "none").unwrap();
    let layer = layer.into_inner().unwrap();
    assert!(layer.len() < 200 << 10, "as the tar crate writes holes");
    let read = |name: &str| fs::read(site.path(name)).unwrap();
    let checksum = Digest::of(&[b"many".to_vec(), read("many"), b"none".to_vec(), read("none")].concat());
    let metadata = json!({
        "version": "1.0", "created": "", "compressed": false, "container_metadata": {}, "docker_info": {},
        "layer_checksum": checksum.hex(),
    });
    let mut file = Builder::new(Vec::new());
    append(&mut file, "metadata.json", EntryType::Regular, metadata.to_string().as_bytes(), "");
    append(&mut file, "layer.tar", EntryType::Regular, &layer, "");
    let plain = file.into_inner().unwrap();
    let before = super::tree::walked(&site.upper());
    for bytes in [packed(&plain, 0), plain] {
        fs::write(site.file(), bytes).unwrap();
        let after = site.out_and_in();
        for name in [&b"many"[..], b"none"] {
            let data = |line: &str| line.split_once('.').unwrap().1.split_once(' ').unwrap().1.to_owned();
            assert_eq!(data(&before[name]), data(&after[name]));
        }
    }
}

#[test]
fn only_what_is_packed_is_kept_elsewhere_meanwhile() {
    let site = Site::new();
    let verdict = |bytes: &[u8]| {
        fs::write(site.file(), bytes).unwrap();
        let file = LayerFile::open(&site.file()).unwrap().with_scratch_in(&site.path("nowhere"));
        file.verify(u64::MAX, &|_| true)
    };
    assert!(matches!(verdict(PLAIN), Ok(Verdict::Whole(_))));
    let error = verdict(PACKED).unwrap_err();
    assert!(matches!(error, LayerFileError::Scratch(_)), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn a_sealed_file_is_not_taken_for_an_old_one() {
    let site = Site::new();
    fs::write(site.path("a"), "x").unwrap();
    site.written(None);
    let mut bytes = fs::read(site.file()).unwrap();
    // Any header that is not to the byte as it has to be makes it no file of this version; nor is it one of 1.0 then.
    bytes[100..108].copy_from_slice(b"0000600\0");
    bytes[148..156].copy_from_slice(b"        ");
    let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
    write!(&mut bytes[148..156], "{sum:06o}\0 ").unwrap();
    let problems = problems_of(&bytes);
    assert!(!problems.is_empty(), "{problems:?}");
}
