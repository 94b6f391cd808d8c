//! `--layers`: what is stored as it is and what inflated, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;

use sealift::image::{Digest, MediaType};
use serde_json::{Value, json};
use support::archive::{entries, is_believable};
use support::image::{OCI_LAYER, descriptor, noise};
use support::layer::{GZIP, Layer, ZSTD, push_layers, push_with, text};
use support::registry::TestRegistry;
use support::sandbox::Sandbox;

fn push(registry: &TestRegistry, name: &str, layers: &[Layer]) -> String {
    push_layers(registry, name, layers).reference
}

/// Holds the `docker save` part of an archive against the layers: each `layer.tar` is `expected` of its layer.
fn assert_layers(archive: &[u8], layers: &[Layer], expected: impl Fn(&Layer) -> &[u8]) {
    let entries: BTreeMap<_, _> = entries(archive).into_iter().collect();
    let manifest: Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
    let paths: Vec<&str> =
        manifest[0]["Layers"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert_eq!(paths.len(), layers.len());
    for (path, layer) in paths.iter().zip(layers) {
        assert_eq!(*path, format!("{}/layer.tar", Digest::of(&layer.blob).hex()));
        assert!(entries[*path] == expected(layer), "{path} is something else");
    }
}

fn has_oci_part(archive: &[u8]) -> bool {
    entries(archive)
        .iter()
        .any(|(path, _)| path == "index.json" || path == "oci-layout" || path.starts_with("blobs/"))
}

#[test]
fn auto_inflates_zstd_only_and_keep_nothing() {
    let registry = TestRegistry::start();
    let layers = [Layer::gzip(text(1, 200_000)), Layer::zstd(text(2, 300_000)), Layer::plain(text(3, 1000))];
    let reference = push(&registry, "mixed", &layers);
    let sandbox = Sandbox::new();
    let pull = |arguments: &[&str]| {
        let output = sandbox.output(&[&["pull", &reference, "-o", "x.tar"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(sandbox.files(), ["x.tar"]);
        fs::read(sandbox.out().join("x.tar")).unwrap()
    };
    let auto = pull(&[]);
    assert_layers(
        &auto,
        &layers,
        |layer| if layer.media_type == ZSTD { &layer.inflated } else { &layer.blob },
    );
    assert!(!has_oci_part(&auto));
    let keep = pull(&["--layers", "keep"]);
    assert_layers(&keep, &layers, |layer| &layer.blob);
    assert!(has_oci_part(&keep));
    let plain = pull(&["--layers", "plain"]);
    assert_layers(&plain, &layers, |layer| &layer.inflated);
    assert!(!has_oci_part(&plain));
}

/// Whatever the hints say, whichever layer is through first: the archive is the same, and right.
#[test]
fn plain_layers_are_their_diff_ids_however_they_are_packed() {
    let registry = TestRegistry::start();
    let kinds: [fn(Vec<u8>) -> Layer; 5] =
        [Layer::gzip, Layer::zstd, Layer::plain, Layer::members, Layer::misleading];
    for round in 0..12 {
        let layers: Vec<Layer> = (0..6)
            .map(|number| {
                let seed = round * 10 + number;
                kinds[(seed * 7 + round) % kinds.len()](text(seed, (seed * 7919) % 150_000))
            })
            .collect();
        let reference = push(&registry, &format!("n{round}"), &layers);
        let sandbox = Sandbox::new();
        let arguments = ["pull", &reference, "--layers", "plain", "-o", "x.tar", "--connections"];
        let output = sandbox.output(&[&arguments[..], &["1"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let archive = fs::read(sandbox.out().join("x.tar")).unwrap();
        assert_layers(&archive, &layers, |layer| &layer.inflated);
        assert_eq!(sandbox.files(), ["x.tar"], "the spool is gone");
        fs::remove_file(sandbox.out().join("x.tar")).unwrap();
        assert!(sandbox.output(&[&arguments[..], &["8"]].concat()).status.success());
        assert!(fs::read(sandbox.out().join("x.tar")).unwrap() == archive);
        let piped = sandbox.output(&["pull", &reference, "--layers", "plain", "-o", "-"]);
        assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
        assert!(piped.stdout == archive);
    }
}

#[test]
fn a_layer_that_is_not_packed_as_its_type_says_is_inflated_by_what_it_is() {
    let registry = TestRegistry::start();
    let mut layers =
        [Layer::gzip(text(1, 50_000)), Layer::zstd(text(2, 50_000)), Layer::plain(text(3, 50_000))];
    layers[0].media_type = OCI_LAYER;
    layers[1].media_type = GZIP;
    layers[2].media_type = ZSTD;
    let reference = push(&registry, "n", &layers);
    let sandbox = Sandbox::new();
    assert!(sandbox.output(&["pull", &reference, "--layers", "plain", "-o", "x.tar"]).status.success());
    let archive = fs::read(sandbox.out().join("x.tar")).unwrap();
    assert_layers(&archive, &layers, |layer| &layer.inflated);
}

#[test]
fn images_that_share_layers_have_each_once_and_none_has_an_oci_part() {
    let registry = TestRegistry::start();
    let base = || Layer::gzip(text(1, 50_000));
    let gzipped = push(&registry, "gzipped", &[base()]);
    let packed = push(&registry, "packed", &[base(), Layer::zstd(text(2, 50_000))]);
    let sandbox = Sandbox::new();
    let output = sandbox.output(&["pull", &gzipped, &packed, "-o", "x.tar"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let archive = fs::read(sandbox.out().join("x.tar")).unwrap();
    assert!(!has_oci_part(&archive));
    let entries = entries(&archive);
    assert_eq!(entries.iter().filter(|(path, _)| path.ends_with("/layer.tar")).count(), 2);
    let manifest: Value = serde_json::from_slice(&entries[0].1).unwrap();
    assert_eq!(manifest.as_array().unwrap().len(), 2);
    assert_eq!(manifest[0]["Layers"][0], manifest[1]["Layers"][0]);
}

#[test]
fn a_file_that_is_there_already_is_believed_only_if_it_is_right() {
    let registry = TestRegistry::start();
    let layers = [Layer::zstd(text(1, 100_000)), Layer::gzip(text(2, 100_000))];
    let reference = push(&registry, "n", &layers);
    let sandbox = Sandbox::new();
    let pull = || {
        let before = registry.requests().len();
        let output = sandbox.output(&["pull", &reference, "-o", "x.tar", "--json", "-q"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let layer = Digest::of(&layers[0].blob).to_string();
        let was_fetched = registry.requests()[before..].iter().any(|request| request.contains(&layer));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["up_to_date"], !was_fetched);
        assert_eq!(told["size_bytes"], fs::metadata(sandbox.out().join("x.tar")).unwrap().len());
        was_fetched
    };
    assert!(pull());
    assert!(!pull(), "up to date");
    let right = fs::read(sandbox.out().join("x.tar")).unwrap();
    let mut one_bit = right.clone();
    let position = one_bit.len() - 2000;
    one_bit[position] ^= 1;
    for wrong in [one_bit, [&right[..], b"more"].concat(), right[..right.len() - 512].to_vec()] {
        fs::write(sandbox.out().join("x.tar"), wrong).unwrap();
        assert!(pull());
        assert!(fs::read(sandbox.out().join("x.tar")).unwrap() == right);
    }
}

#[test]
fn a_dry_run_calls_an_estimate_an_estimate() {
    let registry = TestRegistry::start();
    let reference = push(&registry, "n", &[Layer::gzip(text(1, 100_000))]);
    let sandbox = Sandbox::new();
    let dry_run = |arguments: &[&str]| {
        let output = sandbox.output(&[&["pull", &reference, "--dry-run"], arguments].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let json = |arguments| serde_json::from_str::<Value>(&dry_run(arguments)).unwrap();
    assert_eq!(json(&["--json"])["size_is_estimate"], false);
    assert_eq!(json(&["--json", "--layers", "plain"])["size_is_estimate"], true);
    assert!(dry_run(&["--layers", "plain"]).contains("size        about "));
    assert!(!dry_run(&[]).contains("about"));
}

/// Both for a file and for a pipe: the error, its exit code, and nothing that a loader would believe.
#[test]
fn layers_that_are_not_what_the_config_says() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new().redact(registry.address(), "[REGISTRY]");
    let mut cut = Layer::gzip(text(2, 50_000));
    cut.blob.truncate(cut.blob.len() / 2);
    let mut garbage = Layer::zstd(text(3, 50_000));
    garbage.blob.extend(b"garbage");
    let another = |ids: &mut Vec<Digest>| ids[0] = Digest::of(b"something else");
    let two = || [Layer::gzip(text(1, 50_000)), Layer::zstd(text(2, 60_000))];
    for (name, reference, arguments) in [
        (
            "wrong_diff_id",
            push_with(&registry, "other", &two(), another).reference,
            &["--layers", "plain"][..],
        ),
        ("layer_cut_by_its_maker", push(&registry, "cut", &[cut]), &["--layers", "plain"]),
        ("layer_with_garbage_behind", push(&registry, "garbage", &[garbage]), &[]),
        ("layer_too_large", push(&registry, "large", &two()), &["--max-layer-size", "50KiB"]),
    ] {
        let pull = [&["pull", &reference, "--progress", "none"], arguments].concat();
        insta::assert_snapshot!(name, sandbox.run(&pull));
        assert!(sandbox.files().is_empty(), "{name}: {:?}", sandbox.files());
        let piped = sandbox.output(&[&pull[..], &["-o", "-"]].concat());
        assert!(!piped.status.success());
        assert!(!is_believable(&piped.stdout), "{name}: the stream ends between entries");
    }
}

#[test]
fn platforms_of_one_name_need_an_index() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new().redact(registry.address(), "[REGISTRY]");
    let manifests: Vec<Value> = ["amd64", "arm64"]
        .into_iter()
        .map(|architecture| {
            push(&registry, "multi", &[Layer::zstd(text(architecture.len(), 1000))]);
            let manifest = registry.manifest_bytes("multi", "latest");
            let mut entry = descriptor(MediaType::OciManifest.as_str(), &manifest);
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entry
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": manifests});
    registry.manifest("multi", "latest", &MediaType::OciIndex, index.to_string());
    let reference = format!("{}/multi", registry.address());
    let platforms = ["--platform", "linux/amd64", "--platform", "linux/arm64"];
    let pull = [&["pull", &reference, "--progress", "none", "-o", "x.tar"], &platforms[..]].concat();
    insta::assert_snapshot!(sandbox.run(&pull));
    assert!(sandbox.output(&[&pull[..], &["--layers", "keep"]].concat()).status.success());
}

/// What an option can lift costs nothing twice: the compressed layer stays for the run with that option. What is broken
/// for good leaves nothing.
#[test]
fn a_layer_over_the_limit_is_not_fetched_again_for_a_larger_one() {
    let registry = TestRegistry::start();
    let layer = Layer::zstd(noise(7, 3 << 20));
    let (digest, size_bytes) = (Digest::of(&layer.blob), layer.blob.len() as u64);
    let reference = push(&registry, "large", &[layer]);
    let sandbox = Sandbox::new();
    let pull = |limit| sandbox.output(&["pull", &reference, "-o", "x.tar", "--max-layer-size", limit]);
    let sent_bytes = || registry.sent_bytes(&format!("/blobs/{digest}"));
    for _ in 0..2 {
        assert_eq!(pull("50KiB").status.code(), Some(3));
        assert_eq!(sent_bytes(), size_bytes);
    }
    let output = pull("1GiB");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(sent_bytes(), size_bytes);
    assert_eq!(sandbox.files(), ["x.tar"]);

    let mut broken = Layer::zstd(noise(8, 3 << 20));
    broken.blob.truncate(2 << 20);
    let reference = push(&registry, "broken", &[broken]);
    assert_eq!(sandbox.output(&["pull", &reference, "-o", "y.tar"]).status.code(), Some(3));
    assert_eq!(sandbox.files(), ["x.tar"]);
}
