//! Files of layer-tool 1.0: what they have is checked and comes out, what they lost is told.

use std::fs;
use std::io::{Read, Write};

use flate2::read::GzDecoder;
use sealift::image::Digest;
use sealift::layer_file::Part;
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
