//! `sealift pull` where config.json names mirrors: what is asked, what is said, and what the file is called.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::path::PathBuf;

use insta::assert_snapshot;
use serde_json::{Value, json};
use support::image::push;
use support::registry::{Fault, TestRegistry};
use support::sandbox::Sandbox;

/// Pulls `image` with these settings of `registry`, and shows how it went.
fn pull(sandbox: &Sandbox, registry: &str, settings: &Value, image: &str) -> String {
    let config = write(sandbox, &json!({"registries": {registry: settings}}));
    sandbox.run(&["--config", config.to_str().unwrap(), "pull", image])
}

fn write(sandbox: &Sandbox, config: &Value) -> PathBuf {
    let path = sandbox.home().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// As the lines of a run that are the same each time.
fn without_times(shown: &str) -> String {
    let line = |line: &str| match line.split_once(" in ") {
        Some((size, rest)) if rest.contains(" s; to load it") => format!("{size} in TIME"),
        _ => line.to_owned(),
    };
    shown.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn text_in(archive: &std::path::Path, entry: &str) -> String {
    let mut archive = tar::Archive::new(std::fs::File::open(archive).unwrap());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut entry = entries.find(|found| found.path().unwrap().to_str() == Some(entry)).unwrap();
    std::io::read_to_string(&mut entry).unwrap()
}

#[test]
fn the_file_keeps_the_name_that_was_asked_for() {
    let (origin, mirror) = (TestRegistry::start(), TestRegistry::start());
    push(&mirror, "hub/library/app:1", "linux/amd64", &[&vec![b'x'; 100_000]]);
    // docker.io itself is never asked: the name resolves to no registry in this test.
    let sandbox = Sandbox::new().redact(mirror.port(), "MIRROR");
    let settings = json!({"mirrors": [format!("{}/hub", mirror.address())], "origin": "never"});
    let shown = pull(&sandbox, "docker.io", &settings, "app:1");
    assert_snapshot!("pulled_from_a_mirror", without_times(&shown));
    assert_eq!(sandbox.files(), ["docker.io_library_app_1_amd64.tar"]);
    let file = sandbox.out().join("docker.io_library_app_1_amd64.tar");
    for entry in ["manifest.json", "index.json", "repositories"] {
        let text = text_in(&file, entry);
        assert!(!text.contains("127.0.0.1") && !text.contains("hub"), "{entry}: {text}");
    }
    assert!(text_in(&file, "index.json").contains("docker.io/library/app:1"));
    assert!(origin.requests().is_empty());
}

#[test]
fn a_mirror_that_is_down_is_passed_over() {
    let registry = TestRegistry::start();
    push(&registry, "app:1", "linux/amd64", &[b"layer"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sandbox = Sandbox::new().redact(registry.port(), "PORT").redact(free.port().to_string(), "DOWN");
    let image = format!("{}/app:1", registry.address());
    let shown = pull(&sandbox, &registry.address(), &json!([free.to_string()]), &image);
    assert!(shown.starts_with("exit code: 0"), "{shown}");
    let warnings: Vec<&str> = shown.lines().filter(|line| line.starts_with("warning")).collect();
    assert_snapshot!("mirror_passed_over", warnings.join("\n"));
}

#[test]
fn a_mirror_that_lies_about_a_manifest_is_dropped() {
    let (registry, mirror) = (TestRegistry::start(), TestRegistry::start());
    let image = push(&registry, "app:1", "linux/amd64", &[b"layer"]);
    push(&mirror, "app:1", "linux/amd64", &[b"layer"]);
    mirror.fault(&format!("GET /v2/app/manifests/{}", image.manifest), Fault::Flip);
    let sandbox = Sandbox::new().redact(registry.port(), "PORT").redact(mirror.port(), "MIRROR");
    let name = format!("{}/app:1", registry.address());
    let settings = json!({"mirrors": [mirror.address()], "verify_tag": "origin"});
    let shown = pull(&sandbox, &registry.address(), &settings, &name);
    assert!(shown.starts_with("exit code: 0"), "{shown}");
    let warnings: Vec<&str> = shown.lines().filter(|line| line.starts_with("warning")).collect();
    assert_snapshot!("mirror_dropped", warnings.join("\n"));
    assert!(!mirror.requests().iter().any(|request| request.contains("/blobs/")));
}

#[test]
fn a_registrys_limit_is_told_before_it_bites() {
    let registry = TestRegistry::start();
    push(&registry, "app:1", "linux/amd64", &[b"layer"]);
    registry.fault("/manifests/", Fault::Header("ratelimit-remaining", "3;w=21600".to_owned()));
    let sandbox = Sandbox::new().redact(registry.port(), "PORT");
    let shown = pull(&sandbox, "docker.io", &json!({}), &format!("{}/app:1", registry.address()));
    let warnings: Vec<&str> = shown.lines().filter(|line| line.starts_with("warning")).collect();
    assert_snapshot!("few_requests_left", warnings.join("\n"));
}

#[test]
fn what_can_not_be_had_from_anywhere() {
    let (registry, mirror) = (TestRegistry::start(), TestRegistry::start());
    push(&mirror, "other:1", "linux/amd64", &[b"layer"]);
    let sandbox = Sandbox::new().redact(registry.port(), "PORT").redact(mirror.port(), "MIRROR");
    let name = format!("{}/app:1", registry.address());
    assert_snapshot!(
        "neither_mirror_nor_registry_has_it",
        pull(&sandbox, &registry.address(), &json!([mirror.address()]), &name)
    );
    mirror.fault("/v2/", Fault::Answer(503, vec![], String::new()));
    let never = json!({"mirrors": [mirror.address()], "origin": "never"});
    assert_snapshot!("the_only_mirror_is_broken", pull(&sandbox, &registry.address(), &never, &name));
    assert_eq!(sandbox.files(), Vec::<String>::new());
}

#[test]
fn mirrors_that_are_set_wrongly() {
    let sandbox = Sandbox::new();
    for (name, settings) in [
        ("plain_mirror", json!(["http://mirror.example:5000"])),
        ("mirror_with_a_password", json!(["https://user:hunter2@mirror.example"])),
        ("mirror_unknown_key", json!({"mirrors": [], "verify_tags": "origin"})),
        ("mirror_unknown_order", json!({"order": "random"})),
        ("registry_without_connections", json!({"connections": 0})),
    ] {
        let shown = pull(&sandbox, "docker.io", &settings, "app");
        assert!(shown.starts_with("exit code: 2\n") && !shown.contains("hunter2"), "{name}: {shown}");
        assert_snapshot!(name, shown);
    }
}

/// In kept and plain archives alike: a flipped byte is noticed, its mirror named and asked no more, and the file is right.
#[test]
fn a_mirror_that_lies_about_a_blob_is_dropped_and_the_registry_asked() {
    let (registry, mirror) = (TestRegistry::start(), TestRegistry::start());
    let layers: [Vec<u8>; 2] = [vec![b'x'; 300_000], (0..2_000_000u32).flat_map(u32::to_le_bytes).collect()];
    let layers = layers.each_ref().map(Vec::as_slice);
    push(&registry, "app:1", "linux/amd64", &layers);
    let image = push(&mirror, "app:1", "linux/amd64", &layers);
    let name = format!("{}/app:1", registry.address());
    for mode in ["keep", "plain"] {
        let sandbox = Sandbox::new();
        assert!(sandbox.output(&["pull", &name, "-o", "right.tar", "--layers", mode]).status.success());
        mirror.heal();
        mirror.fault(&format!("GET /v2/app/blobs/{}", image.layers[1]), Fault::Flip);
        let config = write(&sandbox, &json!({"registries": {registry.address(): [mirror.address()]}}));
        let config = config.to_str().unwrap();
        let output = sandbox.output(&["--config", config, "pull", &name, "-o", "x.tar", "--layers", mode]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("warning: ") && said.contains(&mirror.address()), "{said}");
        let read = |file| std::fs::read(sandbox.out().join(file)).unwrap();
        assert!(read("x.tar") == read("right.tar"));
    }
}

#[test]
fn the_only_place_that_lies_is_told() {
    let (registry, mirror) = (TestRegistry::start(), TestRegistry::start());
    let image = push(&mirror, "app:1", "linux/amd64", &[&vec![b'x'; 300_000]]);
    mirror.fault(&image.layers[0].to_string(), Fault::Flip);
    let name = format!("{}/app:1", registry.address());
    let only = json!({"mirrors": [mirror.address()], "origin": "never"});
    for mode in ["keep", "plain"] {
        let sandbox = Sandbox::new().variable("SEALIFT_LAYERS", mode);
        let sandbox = sandbox.redact(registry.port(), "PORT").redact(mirror.port(), "MIRROR");
        let shown = pull(&sandbox, &registry.address(), &only, &name);
        let error = shown.find("error: ").unwrap_or_else(|| panic!("{shown}"));
        assert!(shown.starts_with("exit code: 3\n"), "{mode}: {shown}");
        assert_snapshot!("the_only_mirror_lies", &shown[error..]);
        assert_eq!(sandbox.files(), Vec::<String>::new(), "{mode}");
    }
}

#[test]
fn a_mirror_that_breaks_off_is_left_within_a_blob() {
    let (registry, mirror) = (TestRegistry::start(), TestRegistry::start());
    let layer: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    push(&registry, "app:1", "linux/amd64", &[&layer]);
    let image = push(&mirror, "app:1", "linux/amd64", &[&layer]);
    let blob = format!("GET /v2/app/blobs/{}", image.layers[0]);
    mirror.fault(&blob, Fault::Cut(1_500_000));
    let sandbox = Sandbox::new().variable("SEALIFT_RETRY_TIMES", "2");
    let config = write(&sandbox, &json!({"registries": {registry.address(): [mirror.address()]}}));
    let name = format!("{}/app:1", registry.address());
    let pull = ["--config", config.to_str().unwrap(), "pull", &name, "-o", "x.tar", "--retry-delay", "0"];
    let output = sandbox.output(&pull);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(registry.sent_bytes(&blob) <= 2_500_000 + 16_384, "the registry gave the rest");
}
