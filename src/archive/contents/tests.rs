//! Names of blobs as sealift, Docker, skopeo and crane write them, and as nobody should.

use std::io::Cursor;

use tar::{EntryType, Header};

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[derive(Clone, Copy)]
enum Content<'a> {
    Bytes(&'a str),
    Symlink(&'a str),
    HardLink(&'a str),
}
use Content::{Bytes, HardLink, Symlink};

fn tar_of(entries: &[(&str, Content<'_>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, content) in entries {
        let (kind, link, bytes) = match content {
            Bytes(bytes) => (EntryType::Regular, "", *bytes),
            Symlink(link) => (EntryType::Symlink, *link, ""),
            HardLink(link) => (EntryType::Link, *link, ""),
        };
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        // As they are: `set_path` refuses what is tried here.
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..path.len()].copy_from_slice(path.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(bytes.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar
}

/// What the archive claims, as digests with contents.
fn claims(entries: &[(&str, Content<'_>)]) -> Vec<(String, String)> {
    let tar = tar_of(entries);
    let Contents { blobs, problem, .. } = Contents::read(Cursor::new(&tar));
    assert!(problem.is_none(), "{problem:?}");
    let content = |blob: &ClaimedBlob| {
        let start = usize::try_from(blob.offset_bytes).unwrap();
        let end = start + usize::try_from(blob.size_bytes).unwrap();
        String::from_utf8(tar[start..end].to_vec()).unwrap()
    };
    blobs.iter().map(|blob| (blob.digest.to_string(), content(blob))).collect()
}

#[test]
fn blobs_are_found_by_every_name_they_go_by() {
    let sha256 = [(format!("sha256:{HEX}"), "bytes".to_owned())];
    for name in [
        format!("blobs/sha256/{HEX}"),
        format!("./blobs/sha256/{HEX}"),
        format!("{HEX}/layer.tar"),
        format!("{HEX}.json"),
        format!("{HEX}.tar"),
        format!("{HEX}.tar.gz"),
        format!("sha256:{HEX}"),
    ] {
        assert_eq!(claims(&[(&name, Bytes("bytes"))]), sha256, "{name}");
    }
    let sha512 = format!("sha512:{HEX}{HEX}");
    assert_eq!(digest_named_by(&format!("blobs/sha512/{HEX}{HEX}")).unwrap().to_string(), sha512);
    assert_eq!(digest_named_by(&format!("{HEX}{HEX}/layer.tar")).unwrap().to_string(), sha512);
}

#[test]
fn other_names_claim_nothing() {
    let upper = HEX.to_uppercase();
    for name in [
        "manifest.json".to_owned(),
        "blobs/sha256/".to_owned(),
        format!("blobs/md5/{HEX}"),
        format!("blobs/sha256/{upper}"),
        format!("blobs/sha256/{HEX}0"),
        format!("blobs/sha512/{HEX}"),
        format!("{HEX}/json"),
        format!("x/{HEX}/layer.tar"),
        format!("/{HEX}.json"),
        format!("../{HEX}.json"),
        format!("a/../../{HEX}.json"),
        format!("blobs/sha256/../../../{HEX}.json"),
    ] {
        assert_eq!(claims(&[(&name, Bytes("bytes"))]), [], "{name}");
    }
}

#[test]
fn links_lead_to_blobs_of_the_same_archive_only() {
    let blob = format!("blobs/sha256/{HEX}");
    let found = [(format!("sha256:{HEX}"), "bytes".to_owned())];
    for (target, link) in [
        ("layers/a", Symlink("../../layers/a")),
        ("layers/a", Symlink(".././/../layers/x/../a")),
        ("blobs/sha256/a", Symlink("a")),
        ("layers/a", HardLink("layers/a")),
        ("layers/a", HardLink("./layers/a")),
    ] {
        assert_eq!(claims(&[(target, Bytes("bytes")), (&blob, link)]), found);
        assert_eq!(claims(&[(&blob, link), (target, Bytes("bytes"))]), found, "before what it leads to");
    }
    for link in [
        Symlink("/etc/passwd"),
        Symlink("../../../etc/passwd"),
        Symlink("../../nowhere"),
        Symlink(""),
        HardLink("/layers/a"),
        HardLink("../layers/a"),
    ] {
        assert_eq!(claims(&[("layers/a", Bytes("bytes")), (&blob, link)]), []);
    }
}

#[test]
fn loops_and_long_chains_of_links_lead_nowhere() {
    let blob = format!("blobs/sha256/{HEX}");
    let itself = format!("../../{blob}");
    assert_eq!(claims(&[(&blob, Symlink(&itself))]), []);
    assert_eq!(claims(&[(&blob, Symlink("../../a")), ("a", Symlink("b")), ("b", Symlink("a"))]), []);
    let names: Vec<_> = (0..20).map(|number| format!("link{number}")).collect();
    let mut chain: Vec<_> = names.windows(2).map(|pair| (pair[0].as_str(), Symlink(&pair[1]))).collect();
    chain.extend([(names[19].as_str(), Bytes("bytes")), (&blob, Symlink("../../link0"))]);
    assert_eq!(claims(&chain), []);
    let last = chain.len() - 1;
    chain[last].1 = Symlink("../../link15");
    assert_eq!(claims(&chain).len(), 1);
}

#[test]
fn of_two_entries_with_one_name_the_later_counts() {
    let blob = format!("blobs/sha256/{HEX}");
    let claims = claims(&[(&blob, Bytes("first")), (&blob, Bytes("second"))]);
    assert_eq!(claims, [(format!("sha256:{HEX}"), "second".to_owned())]);
}

#[test]
fn what_stands_before_a_fault_is_claimed() {
    let (one, two) = (format!("blobs/sha256/{HEX}"), format!("{HEX}.json"));
    let tar = tar_of(&[(&one, Bytes("bytes")), (&two, Bytes(&"x".repeat(2000)))]);
    let Contents { blobs, problem, .. } = Contents::read(Cursor::new(&tar[..2000]));
    assert_eq!(blobs.len(), 1);
    assert!(matches!(problem, Some(ReadError::Truncated { at_bytes: 1024, .. })));
}
