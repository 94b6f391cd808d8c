//! `--reuse`: what is here already doesn't cross the wire, and what lies is found out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use sealift::image::Digest;
use serde_json::{Value, json};
use support::image::{TestImage, noise, push};
use support::registry::TestRegistry;
use support::sandbox::Sandbox;
use tar::{EntryType, Header};
#[cfg(unix)]
use {rustix::process::Signal, support::sandbox::signalled};

/// A registry with an old image and a new one on the same base, and the old one's archive.
struct Case {
    registry: TestRegistry,
    sandbox: Sandbox,
    old: TestImage,
    new: TestImage,
}

impl Case {
    fn new() -> Self {
        let registry = TestRegistry::start();
        let (base, middle) = (noise(1, 300_000), noise(2, 70_000));
        let old = push(&registry, "app:1", "linux/amd64", &[&base, &middle, b"old"]);
        let new = push(&registry, "app:2", "linux/amd64", &[&base, &middle, b"new"]);
        let sandbox = Sandbox::new().redact(registry.address(), "[REGISTRY]");
        succeed(&sandbox.output(&["pull", &old.reference, "-o", "old.tar"]));
        Self { registry, sandbox, old, new }
    }

    fn pull(&self, more: &[&str]) -> Output {
        self.sandbox.output(&[&["pull", &self.new.reference], more].concat())
    }

    /// How the layers of the new image were asked for since `from` requests.
    fn fetched(&self, from: usize) -> Vec<bool> {
        let requests = self.registry.requests().split_off(from);
        let is_fetched = |layer: &Digest| requests.iter().any(|request| request.contains(&layer.to_string()));
        self.new.layers.iter().map(is_fetched).collect()
    }

    /// Pulls the new image with reuse of `paths`: what was fetched, and stderr. The file is right, whatever was there.
    fn reuse(&self, paths: &[&str]) -> (Vec<bool>, String) {
        let from = self.registry.requests().len();
        let reuse: Vec<_> = paths.iter().flat_map(|path| ["--reuse", path]).collect();
        let output = self.pull(&[&["-o", "x.tar"], &reuse[..]].concat());
        succeed(&output);
        let fetched = self.fetched(from);
        let right = self.sandbox.path().join("right.tar");
        if !right.exists() {
            succeed(&self.pull(&["-o", right.to_str().unwrap()]));
        }
        assert!(self.read("x.tar") == fs::read(right).unwrap(), "the bytes are those of a plain pull");
        fs::remove_file(self.sandbox.out().join("x.tar")).unwrap();
        (fetched, String::from_utf8(output.stderr).unwrap())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.sandbox.out().join(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.sandbox.out().join(name), bytes).unwrap();
    }

    /// Puts the sandbox's paths out of what was said.
    fn redacted(&self, text: &str) -> String {
        text.replace(self.sandbox.path().to_str().unwrap(), "[SANDBOX]")
    }
}

/// A layer of the case's images.
fn blob(digest: &Digest) -> Vec<u8> {
    let blobs = [noise(1, 300_000), noise(2, 70_000), b"old".to_vec(), b"new".to_vec()];
    blobs.into_iter().find(|blob| Digest::of(blob) == *digest).unwrap()
}

fn succeed(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An entry as it is told to be, true or not.
fn entry(kind: EntryType, path: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..path.len()].copy_from_slice(path.as_bytes());
    gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut bytes = [header.as_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    entry(EntryType::Regular, path, "", content)
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

const ONLY_NEW: [bool; 3] = [false, false, true];
const ALL: [bool; 3] = [true; 3];

#[test]
fn only_new_layers_are_asked_for_and_the_bytes_are_the_same() {
    let case = Case::new();
    let (fetched, said) = case.reuse(&["old.tar"]);
    assert_eq!(fetched, ONLY_NEW);
    assert!(said.contains("old.tar: 5 blobs to reuse\n"), "{said}");
    assert!(said.contains("2 of 3 layers, 361.33 KiB, reused from old.tar\n"), "{said}");
    let (fetched, said) = case.reuse(&[]);
    assert_eq!(fetched, ALL, "off unless asked for");
    assert!(!said.contains("reuse"), "{said}");
}

#[test]
fn folders_of_archives_and_layouts_are_reused() {
    let case = Case::new();
    let out = case.sandbox.out();
    fs::create_dir_all(out.join("folder/deeper")).unwrap();
    fs::copy(out.join("old.tar"), out.join("folder/one.tar")).unwrap();
    fs::copy(out.join("old.tar"), out.join("folder/deeper/one.tar")).unwrap();
    fs::copy(out.join("old.tar"), out.join("folder/one.txt")).unwrap();
    let (fetched, said) = case.reuse(&["folder"]);
    assert_eq!(fetched, ONLY_NEW);
    assert!(said.contains("folder: 5 blobs to reuse\n"), "only *.tar, and not deeper: {said}");
    assert!(said.contains("reused from folder/one.tar\n"), "{said}");

    let blobs = out.join("layout/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(out.join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    for layer in &case.old.layers[..2] {
        fs::write(blobs.join(layer.hex()), blob(layer)).unwrap();
    }
    fs::write(blobs.join("README"), "no blob").unwrap();
    let (fetched, said) = case.reuse(&["layout"]);
    assert_eq!(fetched, ONLY_NEW);
    assert!(said.contains("layout: 2 blobs to reuse\n"), "{said}");
    assert!(said.contains("reused from layout\n"), "{said}");
}

#[test]
fn archives_of_docker_save_are_reused() {
    let case = Case::new();
    let [base, middle, old] = &case.old.layers[..] else { unreachable!() };
    // Docker 25 and later: an OCI layout with a manifest.json; its directories have entries of their own.
    let directory = |path| entry(EntryType::Directory, path, "", b"");
    let modern = [
        directory("blobs/"),
        directory("blobs/sha256/"),
        file(&blob_name(base), &blob(base)),
        file(&blob_name(middle), &blob(middle)),
        file("index.json", b"{}"),
        file("manifest.json", b"[]"),
        file("oci-layout", b"{}"),
        vec![0; 1024],
    ];
    case.write("modern.tar", modern.concat());
    assert_eq!(case.reuse(&["modern.tar"]).0, ONLY_NEW);
    // Before: directories have made-up names, so nothing can be known. skopeo links them to the layers by digest.
    let made_up = Digest::of(b"v1").hex().to_owned();
    case.write("classic.tar", file(&format!("{made_up}/layer.tar"), &blob(base)));
    assert_eq!(case.reuse(&["classic.tar"]).0, ALL);
    let target = format!("{}.tar", base.hex());
    let skopeo = [
        file(&target, &blob(base)),
        entry(EntryType::Symlink, &format!("{made_up}/layer.tar"), &format!("../{target}"), b""),
        file(&format!("{}.tar.gz", old.hex()), b"old"),
    ];
    case.write("skopeo.tar", skopeo.concat());
    assert_eq!(case.reuse(&["skopeo.tar"]).0, [false, true, true]);
}

#[test]
fn a_claim_that_lies_is_found_out_and_the_blob_is_fetched() {
    let case = Case::new();
    let base = &case.old.layers[0];
    let mut flipped = blob(base);
    flipped[150_000] ^= 1;
    let shorter = &blob(base)[1..];
    case.write("flipped.tar", file(&blob_name(base), &flipped));
    case.write("shorter.tar", file(&blob_name(base), shorter));
    let (fetched, said) = case.reuse(&["flipped.tar", "shorter.tar"]);
    assert_eq!(fetched, ALL);
    assert!(!said.contains("reused from"), "{said}");
    // Another that holds is found behind those that don't.
    assert_eq!(case.reuse(&["flipped.tar", "shorter.tar", "old.tar"]).0, ONLY_NEW);
}

#[test]
fn of_many_lies_only_some_are_tried() {
    let case = Case::new();
    let base = &case.old.layers[0];
    let lies = |seed: u64| file(&blob_name(base), &noise(100 + seed, 300_000));
    fs::create_dir(case.sandbox.out().join("lies")).unwrap();
    for seed in 0..9 {
        case.write(&format!("lies/{seed}.tar"), lies(seed));
    }
    assert_eq!(case.reuse(&["lies", "old.tar"]).0, [true, false, true]);
}

#[test]
fn hostile_archives_are_survived() {
    let case = Case::new();
    let base = &case.old.layers[0];
    let (name, bytes) = (blob_name(base), blob(base));
    let out = case.sandbox.out();
    fs::create_dir(out.join("hostile")).unwrap();
    let symlink = |link: &str| entry(EntryType::Symlink, &name, link, b"");
    let secret = case.sandbox.path().join("secret");
    fs::write(&secret, &bytes).unwrap();
    let lying = |size: [u8; 12]| {
        let mut lie = file(&name, &bytes);
        let mut header = Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&lie[..512]);
        header.as_gnu_mut().unwrap().size = size;
        header.set_cksum();
        lie[..512].copy_from_slice(header.as_bytes());
        lie
    };
    for (what, archive) in [
        ("cut short", file(&name, &bytes)[..200_000].to_vec()),
        ("negative", lying([0xff; 12])),
        ("huge", lying(*b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")),
        ("beyond the file", lying(*b"77777777777\0")),
        ("no number", lying(*b"300000 bytes")),
        ("a link to itself", symlink(&format!("../../{name}"))),
        ("links in a circle", [symlink("../../a"), entry(EntryType::Symlink, "a", &name, b"")].concat()),
        ("a link out", symlink(secret.to_str().unwrap())),
        ("a hard link out", entry(EntryType::Link, &name, secret.to_str().unwrap(), b"")),
        ("a name that leads out", file(&format!("../{name}"), &bytes)),
        ("an absolute name", file(&format!("/{name}"), &bytes)),
        ("sparse", entry(EntryType::GNUSparse, &name, "", &bytes)),
        ("a device", entry(EntryType::Block, &name, "", &bytes)),
        ("zeros", vec![0; 10_240]),
        ("text", b"no tar at all".repeat(1000)),
        ("empty", vec![]),
    ] {
        case.write("hostile.tar", &archive);
        let (fetched, said) = case.reuse(&["hostile.tar"]);
        assert_eq!(fetched, ALL, "{what}: {said}");
        assert!(said.contains("warning: "), "{what}: {said}");
        fs::rename(out.join("hostile.tar"), out.join(format!("hostile/{what}.tar"))).unwrap();
    }
    let (fetched, said) = case.reuse(&["hostile", "old.tar"]);
    assert_eq!(fetched, ONLY_NEW, "they don't stand in the way of what is good: {said}");
}

#[test]
fn what_is_before_a_fault_is_reused() {
    let case = Case::new();
    let old = case.read("old.tar");
    case.write("cut.tar", &old[..old.len() - 3_000]);
    let (fetched, said) = case.reuse(&["cut.tar"]);
    assert_eq!(fetched, ONLY_NEW);
    assert!(
        said.contains("warning: cannot read all of cut.tar: it is cut short: the entry at byte "),
        "{said}"
    );
}

#[test]
fn an_archive_of_200_000_entries_costs_little() {
    let case = Case::new();
    let many = file("x", b"").repeat(200_000);
    case.write("many.tar", many);
    let started = Instant::now();
    let (fetched, said) = case.reuse(&["many.tar"]);
    assert_eq!(fetched, ALL);
    assert!(said.contains("it has more than 100000 entries"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn compressed_archives_are_named_and_skipped() {
    let case = Case::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&case.read("old.tar")).unwrap();
    case.write("old.tgz", gzip.finish().unwrap());
    case.write("old.tar.zst", zstd::encode_all(&case.read("old.tar")[..], 1).unwrap());
    let (fetched, said) = case.reuse(&["old.tgz", "old.tar.zst"]);
    assert_eq!(fetched, ALL);
    assert!(
        said.contains("warning: old.tgz is compressed (gzip): only plain tars can be reused\n"),
        "{said}"
    );
    assert!(said.contains("warning: old.tar.zst is compressed (zstd)"), "{said}");
}

#[cfg(unix)]
#[test]
fn fifos_devices_and_links_of_a_folder_are_not_opened() {
    let case = Case::new();
    let out = case.sandbox.out();
    fs::create_dir(out.join("folder")).unwrap();
    for fifo in ["fifo.tar", "folder/fifo.tar"] {
        assert!(std::process::Command::new("mkfifo").arg(out.join(fifo)).status().unwrap().success());
    }
    std::os::unix::fs::symlink(out.join("old.tar"), out.join("folder/link.tar")).unwrap();
    let (fetched, said) = case.reuse(&["fifo.tar", "/dev/zero", "folder"]);
    assert_eq!(fetched, ALL);
    for refused in ["fifo.tar", "/dev/zero", "folder/fifo.tar", "folder/link.tar"] {
        assert!(said.contains(&format!("warning: {refused} is not a regular file\n")), "{refused}: {said}");
    }
    // A link that the person names is theirs.
    assert_eq!(case.reuse(&["folder/link.tar"]).0, ONLY_NEW);

    let blobs = out.join("layout/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(out.join("layout/oci-layout"), "{}").unwrap();
    let base = &case.old.layers[0];
    fs::write(out.join("base"), blob(base)).unwrap();
    std::os::unix::fs::symlink(out.join("base"), blobs.join(base.hex())).unwrap();
    let (fetched, said) = case.reuse(&["layout"]);
    assert_eq!(fetched, ALL);
    assert!(said.contains("warning: layout holds no blobs of images\n"), "{said}");
}

#[test]
fn a_path_that_is_not_there_is_a_usage_error_and_in_the_settings_a_warning() {
    let case = Case::new();
    insta::assert_snapshot!(
        "reuse_of_nothing",
        case.sandbox.run(&["pull", &case.new.reference, "--reuse", "old.tar", "--reuse", "nowhere"])
    );
    case.write("config.json", json!({"reuse": ["nowhere", "old.tar"]}).to_string());
    let config = case.sandbox.out().join("config.json");
    let from = case.registry.requests().len();
    let output = case.pull(&["-o", "new.tar", "--config", config.to_str().unwrap()]);
    succeed(&output);
    assert_eq!(case.fetched(from), ONLY_NEW);
    let said = case.redacted(&String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("warning: cannot read [SANDBOX]/out/nowhere: "), "{said}");
    assert!(said.contains("2 of 3 layers, 361.33 KiB, reused from [SANDBOX]/out/old.tar\n"), "{said}");
}

#[test]
fn the_file_that_is_replaced_may_be_the_one_that_is_reused() {
    let case = Case::new();
    let from = case.registry.requests().len();
    succeed(&case.pull(&["-o", "old.tar", "--reuse", "."]));
    assert_eq!(case.fetched(from), ONLY_NEW);
    succeed(&case.pull(&["-o", "new.tar"]));
    assert!(case.read("old.tar") == case.read("new.tar"));
    assert_eq!(case.sandbox.files(), ["new.tar", "old.tar"]);
}

#[test]
fn pipes_reuse_too_and_no_lie_gets_into_them() {
    let case = Case::new();
    succeed(&case.pull(&["-o", "right.tar"]));
    let from = case.registry.requests().len();
    let piped = case.pull(&["-o", "-", "--reuse", "old.tar"]);
    succeed(&piped);
    assert_eq!(case.fetched(from), ONLY_NEW);
    assert!(piped.stdout == case.read("right.tar"));
    let said = String::from_utf8(piped.stderr).unwrap();
    assert!(said.contains("2 of 3 layers, 361.33 KiB, reused from old.tar\n"), "{said}");

    let base = &case.old.layers[0];
    let mut flipped = blob(base);
    flipped[299_999] ^= 1;
    case.write("flipped.tar", file(&blob_name(base), &flipped));
    let from = case.registry.requests().len();
    let piped = case.pull(&["-o", "-", "--reuse", "flipped.tar"]);
    succeed(&piped);
    assert_eq!(case.fetched(from), ALL);
    assert!(piped.stdout == case.read("right.tar"));
}

/// The blob was right when it was looked at, and is another when it goes out.
#[test]
fn an_archive_that_changes_under_a_pipe_is_found_out() {
    const BLOB: usize = 6_000_000;
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, BLOB)]);
    let sandbox = Sandbox::new();
    succeed(&sandbox.output(&["pull", &image.reference, "-o", "old.tar"]));
    let mut child = sandbox.spawn(&["pull", &image.reference, "-o", "-", "--reuse", "old.tar"]);
    let mut stdout = child.stdout.take().unwrap();
    let mut begun = vec![0; 64 << 10];
    stdout.read_exact(&mut begun).unwrap();
    let mut old = fs::OpenOptions::new().write(true).open(sandbox.out().join("old.tar")).unwrap();
    old.seek(SeekFrom::Start(BLOB as u64 - 10_000)).unwrap();
    old.write_all(b"changed").unwrap();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    insta::assert_snapshot!("reused_file_that_changed", &said[said.find("error: ").expect(&said)..]);
    assert!(begun.len() + rest.len() < BLOB, "the end of the layer was held back");
}

#[test]
fn layers_that_are_inflated_reuse_their_blobs() {
    let case = Case::new();
    let from = case.registry.requests().len();
    // Bare tars stay as they are, so the registry gets a gzip'd layer.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&noise(9, 100_000)).unwrap();
    let (blob, inflated) = (gzip.finish().unwrap(), noise(9, 100_000));
    let config = json!({"os": "linux", "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&inflated)]}})
    .to_string();
    let layer = case.registry.blob(blob.clone());
    case.registry.blob(config.clone());
    let manifest = json!({"schemaVersion": 2,
        "config": support::image::descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [support::image::descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &blob)]});
    case.registry.manifest("z", "1", &sealift::image::MediaType::OciManifest, manifest.to_string());
    let reference = format!("{}/z:1", case.registry.address());
    succeed(&case.sandbox.output(&["pull", &reference, "-o", "kept.tar"]));
    let requests = |from: usize| {
        let requests = case.registry.requests().split_off(from);
        requests.iter().filter(|request| request.contains(&layer.to_string())).count()
    };
    assert_eq!(requests(from), 1);
    let plain = ["pull", &reference, "--layers", "plain"];
    for output in ["plain.tar", "-"] {
        let from = case.registry.requests().len();
        let output = case.sandbox.output(&[&plain[..], &["-o", output, "--reuse", "kept.tar"]].concat());
        succeed(&output);
        assert_eq!(requests(from), 0);
    }
    succeed(&case.sandbox.output(&[&plain[..], &["-o", "right.tar"]].concat()));
    assert!(case.read("plain.tar") == case.read("right.tar"));
}

#[test]
fn a_plain_archive_claims_nothing_by_its_folders_names() {
    let case = Case::new();
    let base = &case.old.layers[0];
    // The folder has the blob's hex, the content is another.
    case.write("plain.tar", file(&format!("{}/layer.tar", base.hex()), &noise(5, 900_000)));
    assert_eq!(case.reuse(&["plain.tar"]).0, ALL);
}

#[test]
fn programs_learn_what_was_reused() {
    let case = Case::new();
    let output = case.pull(&[
        "-o",
        "new.tar",
        "--json",
        "--progress",
        "json",
        "--reuse",
        "old.tar",
        "--reuse",
        "/dev/null",
    ]);
    succeed(&output);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["reused_bytes"], 370_000);
    let said = String::from_utf8(output.stderr).unwrap();
    let events: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(of("reusable"), [&json!({"event": "reusable", "path": "old.tar", "archives": 1, "blobs": 5})]);
    assert_eq!(of("warning").len(), 1, "/dev/null");
    let mut reused: Vec<_> = of("blob_reused").iter().map(|event| event["digest"].to_string()).collect();
    reused.sort();
    let mut expected: Vec<_> = case.new.layers[..2].iter().map(|layer| format!("\"{layer}\"")).collect();
    expected.sort();
    assert_eq!(reused, expected);
    assert_eq!(of("blob_started").len(), 1);
}

/// The figure: how many bytes of layers ten images on one base take over the wire.
#[test]
fn of_ten_images_on_one_base_only_new_layers_cross_the_wire() {
    const BASE: usize = 500_000;
    const TOP: usize = 30_000;
    let registry = TestRegistry::start();
    let base = noise(1, BASE);
    let images: Vec<_> = (0..10)
        .map(|number| {
            push(&registry, &format!("app{number}:1"), "linux/amd64", &[&base, &noise(10 + number, TOP)])
        })
        .collect();
    let wire_bytes = |from: usize| -> usize {
        let requests = registry.requests().split_off(from);
        let layers = images.iter().flat_map(|image| [(&image.layers[0], BASE), (&image.layers[1], TOP)]);
        let sizes: std::collections::HashMap<_, _> = layers.collect();
        let size_of = |request: &String| {
            sizes.iter().find(|(layer, _)| request.contains(&layer.to_string())).map(|(_, size)| *size)
        };
        requests.iter().filter(|request| request.starts_with("GET")).filter_map(size_of).sum()
    };
    let references: Vec<&str> = images.iter().map(|image| &*image.reference).collect();
    let sandbox = Sandbox::new();
    let pull = |folder: &str, more: &[&str]| {
        fs::create_dir_all(sandbox.out().join(folder)).unwrap();
        let from = registry.requests().len();
        let output =
            sandbox.output(&[&["pull", "-o", folder, "--progress", "none"], more, &references].concat());
        succeed(&output);
        wire_bytes(from)
    };
    assert_eq!(pull("without/", &[]), 10 * (BASE + TOP));
    // In one run: the first archive brings the base, the others take it from there.
    assert_eq!(pull("one_run/", &["--reuse", "one_run"]), BASE + 10 * TOP);
    assert_eq!(pull("again/", &["--reuse", "without"]), 0);
    // In a run each.
    fs::create_dir(sandbox.out().join("runs")).unwrap();
    let from = registry.requests().len();
    for reference in &references {
        succeed(&sandbox.output(&["pull", "-q", "-o", "runs/", "--reuse", "runs", reference]));
    }
    assert_eq!(wire_bytes(from), BASE + 10 * TOP);
    for file in fs::read_dir(sandbox.out().join("without")).unwrap() {
        let name = file.unwrap().file_name();
        let read = |folder: &str| fs::read(sandbox.out().join(folder).join(&name)).unwrap();
        for folder in ["one_run", "again", "runs"] {
            assert!(read("without") == read(folder), "{folder}/{}", Path::new(&name).display());
        }
    }
}

/// A pull that is stopped while it copies leaves nothing, and goes at once.
#[cfg(unix)]
#[test]
fn an_interrupted_copy_leaves_nothing() {
    let registry = TestRegistry::start();
    let base = noise(1, 15_000_000);
    let image = push(&registry, "n", "linux/amd64", &[&base]);
    let sandbox = Sandbox::new();
    succeed(&sandbox.output(&["pull", &image.reference, "-o", "old.tar"]));
    let mut pull = sandbox.command(&["pull", &image.reference, "-o", "new.tar", "--reuse", "old.tar"]);
    let child = pull.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let partial = sandbox.out().join("new.tar.partial");
    let started = Instant::now();
    while !partial.exists() && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = signalled(child, &[Signal::INT]);
    assert!(matches!(output.status.code(), Some(0 | 130)), "{output:?}");
    let files = sandbox.files();
    assert!(!files.contains(&"new.tar.partial".to_owned()), "{files:?}");
    assert_eq!(files.contains(&"new.tar".to_owned()), output.status.success());
}

#[test]
fn a_dry_run_tells_what_would_be_copied_and_what_fetched() {
    let case = Case::new();
    let from = case.registry.requests().len();
    let output = case.pull(&["--reuse", "old.tar", "--dry-run", "--json", "--quiet"]);
    succeed(&output);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [base, middle, new] = &case.new.layers[..] else { panic!() };
    let reused = json!([
        {"digest": base, "size_bytes": 300_000, "from": "old.tar"},
        {"digest": middle, "size_bytes": 70_000, "from": "old.tar"},
    ]);
    assert_eq!(
        (&told["reused"], &told["reuse_bytes"], &told["fetch_bytes"]),
        (&reused, &json!(370_000), &json!(3))
    );
    assert_eq!(case.fetched(from), [false; 3], "not even {new}");

    let told = |output: Output| {
        succeed(&output);
        let text = String::from_utf8(output.stdout).unwrap();
        let wanted =
            |line: &&str| ["layer ", "to copy", "to fetch"].iter().any(|start| line.starts_with(start));
        text.lines().filter(wanted).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!("dry_run_with_reuse", told(case.pull(&["--reuse", "old.tar", "--dry-run"])));
    let without = told(case.pull(&["--dry-run"]));
    assert!(!without.contains("old.tar") && !without.contains("to copy"), "{without}");
}
