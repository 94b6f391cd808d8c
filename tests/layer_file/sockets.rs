//! Sockets: nothing of them is in a file, and what they hid stays hidden.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::FileType;
use sealift::fsio::Existing;
use sealift::layer_file::write;
use sealift::overlay::{LeftOut, Plan};

use super::tree::{Site, about, attribute, is_root, mounted_by, special};

/// Where a socket is, and whether there is something below it.
const SOCKETS: [(&str, bool); 14] = [
    ("new", false),
    ("folder-of-its-own/new", false),
    ("a-file", true),
    ("a-link-to-nowhere", true),
    ("a-folder", true),
    ("removed-before", false),
    ("folder/file", true),
    ("opaque/file", false),
    ("opaque-before/file", false),
    ("behind-a-file/file", false),
    ("renamed/file", true),
    ("renamed/not-there", false),
    ("folder/renamed/file", true),
    ("leads-out/file", false),
];

#[test]
fn a_socket_that_hides_something_is_a_whiteout() {
    let site = Site::new();
    let below = ["high", "low"].map(|name| site.0.path().join(name));
    let [high, low] = &below;
    let overlay = if is_root() { "trusted.overlay" } else { "user.overlay" };
    for file in [
        "a-file",
        "a-folder/file",
        "removed-before",
        "folder/file",
        "opaque/file",
        "opaque-before/file",
        "behind-a-file/file",
        "before/file",
        "renamed/not-there",
        "folder/earlier/file",
        "../outside/file",
    ] {
        fs::create_dir_all(low.join(file).parent().unwrap()).unwrap();
        fs::write(low.join(file), "of the image").unwrap();
    }
    fs::create_dir_all(high.join("opaque-before")).unwrap();
    attribute(&high.join("opaque-before"), &format!("{overlay}.opaque"), b"y");
    special(&high.join("removed-before"), FileType::CharacterDevice, 0);
    symlink("/nowhere", high.join("a-link-to-nowhere")).unwrap();
    fs::write(high.join("behind-a-file"), "").unwrap();
    for (socket, _) in SOCKETS {
        fs::create_dir_all(site.path(socket).parent().unwrap()).unwrap();
        drop(UnixListener::bind(site.path(socket)).unwrap());
    }
    attribute(&site.path("opaque"), &format!("{overlay}.opaque"), b"y");
    attribute(&site.path("renamed"), &format!("{overlay}.redirect"), b"/before");
    attribute(&site.path("folder/renamed"), &format!("{overlay}.redirect"), b"earlier");
    attribute(&site.path("leads-out"), &format!("{overlay}.redirect"), b"/../outside");

    let plan = Plan::of(&site.upper(), below.to_vec(), mounted_by(), &|_| true).unwrap();
    assert_eq!(plan.left_out().len(), SOCKETS.len());
    assert!(plan.left_out().iter().all(|one| matches!(one, LeftOut::Socket(_))));
    write(&site.file(), Existing::Replace, &plan, None, about(), &|_| true).unwrap();
    let tree = site.out_and_in();
    for (socket, hides) in SOCKETS {
        let line = tree.get(socket.as_bytes());
        assert_eq!(line.is_some_and(|line| line.starts_with("20000 ")), hides, "{socket}: {line:?}");
        assert_eq!(line.is_some(), hides, "{socket}");
    }

    // Without them nothing is known to be hidden.
    assert_eq!(site.plan().tree().counts.whiteouts, 0);
    fs::remove_dir_all(low).unwrap();
    let gone = Plan::of(&site.upper(), below.to_vec(), mounted_by(), &|_| true).unwrap_err();
    assert_eq!(gone.to_string(), format!("cannot read {}", low.display()));
}
