//! `sealift containerd-store export --mirror` and `--from-snapshots`, as people run them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use sealift::bolt::NewBucket;
use sealift::image::{Digest, ImageConfig, MediaType};
use sealift::overlay::{Form, write_layer};
use serde_json::{Value, json};
use support::containerd_store::TestStore;
use support::image::descriptor;
use support::layer::Layer;
use support::makers::Image;
use support::sandbox::Sandbox;

const APP: &str = "registry.example/team/app:1.4";
const NAMESPACE: &str = "k8s.io";

fn sandbox() -> (Sandbox, TestStore) {
    let sandbox = Sandbox::new();
    let store = TestStore::new(&sandbox.out().join("store"));
    (sandbox, store)
}

/// What a command says, as if it had taken no time.
fn said(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let is_time = |word: &str| word.parse::<f64>().is_ok() && word.contains('.');
    let untimed = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let word = |at: usize| match words[at] {
            word if is_time(word) && at > 0 && words[at - 1] == "in" => "0.0",
            word => word,
        };
        (0..words.len()).map(word).collect::<Vec<_>>().join(" ")
    };
    sandbox.run(arguments).lines().map(untimed).collect::<Vec<_>>().join("\n")
}

/// The lines of JSON that a command prints.
fn lines(sandbox: &Sandbox, arguments: &[&str]) -> Vec<Value> {
    let output = sandbox.output(arguments);
    assert!(output.status.success(), "{}", sandbox.shown(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_image_keeps_all_its_names() {
    let (sandbox, mut store) = sandbox();
    let app = Image::new(APP, vec![Layer::tar(1, 3000), Layer::tar(2, 2000)], &json!({})).under_index();
    let by_digest = format!("registry.example/team/app@{}", app.target());
    for name in [APP, &by_digest, &format!("sha256:{}", app.config_hex())] {
        store.add(NAMESPACE, name, &app);
    }
    store.add(
        "default",
        "docker.io/library/other:1",
        &Image::new("other", vec![Layer::tar(3, 10)], &json!({})),
    );
    store.write();
    let export = ["containerd-store", "export", "--root", "store", "--mirror", "-o", "new/mirror"];
    let made = &lines(&sandbox, &[&export[..], &["--json", "-q", "-n", NAMESPACE, "*"]].concat())[0];
    assert_eq!((made["blobs"].as_u64(), made["kept"].as_u64()), (Some(5), Some(0)));
    assert_eq!(made["images"].as_array().unwrap().len(), 3);
    let listed = |root: &str| {
        lines(&sandbox, &["containerd-store", "list", "--json", "-n", NAMESPACE, "--root", root])
    };
    assert_eq!(listed("new/mirror"), listed("store"));
    insta::assert_snapshot!(said(&sandbox, &["containerd-store", "list", "--root", "new/mirror"]));

    let from = ["containerd-store", "export", "--json", "-q", "-n", NAMESPACE, "--root"];
    let archive = |root: &str, to: &str| {
        lines(&sandbox, &[&from[..], &[root, "*", "-o", to]].concat());
        fs::read(sandbox.out().join(to)).unwrap()
    };
    assert!(archive("store", "one.tar") == archive("new/mirror", "other.tar"), "the same archive of both");
}

#[test]
fn a_mirror_is_a_folder_of_its_own() {
    let (sandbox, mut store) = sandbox();
    store.add(NAMESPACE, APP, &Image::new(APP, vec![Layer::tar(1, 10)], &json!({})));
    store.write();
    let export = ["containerd-store", "export", "--root", "store", "--mirror", APP];
    insta::assert_snapshot!("without_a_folder", said(&sandbox, &export));
    let made =
        |more: &[&str]| sandbox.output(&[&export[..], &["-o", "mirror", "-q"], more].concat()).status.code();
    insta::assert_snapshot!("a_mirror", said(&sandbox, &[&export[..], &["-o", "usb/mirror"]].concat()));
    let mut other = TestStore::new(&sandbox.out().join("other-node"));
    other.add(NAMESPACE, "other:1", &Image::new("other:1", vec![Layer::tar(2, 10)], &json!({})));
    other.write();
    let more =
        ["containerd-store", "export", "--root", "other-node", "--mirror", "other:1", "-o", "usb/mirror"];
    insta::assert_snapshot!("a_mirror_is_added_to", said(&sandbox, &more));
    insta::assert_snapshot!("a_mirror_again", said(&sandbox, &[&export[..], &["-o", "usb/mirror"]].concat()));
    // A root that a containerd runs on has more than images, and the source is no place for its own mirror.
    let roots = sandbox.out().join("node/io.containerd.snapshotter.v1.overlayfs");
    fs::create_dir_all(&roots).unwrap();
    insta::assert_snapshot!("a_mirror_over_a_root", said(&sandbox, &[&export[..], &["-o", "node"]].concat()));
    assert_eq!(fs::read_dir(sandbox.out().join("node")).unwrap().count(), 1, "nothing is written there");
    let before = fs::read(store.meta_db()).unwrap();
    let onto_itself = said(&sandbox, &[&export[..], &["-o", "./store"]].concat());
    assert!(onto_itself.starts_with("exit code: 7"), "{onto_itself}");
    assert!(fs::read(store.meta_db()).unwrap() == before);
    assert_eq!(made(&["--from-snapshots"]), Some(2));
    assert_eq!(made(&["--layers", "plain"]), Some(2));
    assert_eq!(made(&["--metadata", "verbatim"]), Some(0));
    let damaged = sandbox.out().join("usb/mirror/io.containerd.metadata.v1.bolt/meta.db");
    fs::write(damaged, "half of it").unwrap();
    insta::assert_snapshot!(
        "a_mirror_that_can_not_be_read",
        said(&sandbox, &[&export[..], &["-o", "usb/mirror"]].concat())
    );
    let meta_db = |root: &str| {
        fs::read(sandbox.out().join(root).join("io.containerd.metadata.v1.bolt/meta.db")).unwrap()
    };
    assert!(meta_db("mirror") == meta_db("store"));
    fs::remove_dir_all(sandbox.out().join("mirror")).unwrap();
    fs::write(sandbox.out().join("mirror"), "a file").unwrap();
    assert_eq!(made(&[]), Some(7));
}

/// An image of which some layers are there unpacked only.
struct Discarded {
    sandbox: Sandbox,
    store: TestStore,
    image: Image,
}

impl Discarded {
    /// Of three layers the two upper ones are unpacked; the last with a file that isn't in it.
    fn new() -> Self {
        let (sandbox, mut store) = sandbox();
        let snapshots = store.root.join("io.containerd.snapshotter.v1.overlayfs");
        let upper = |number: u64| snapshots.join(format!("snapshots/{number}/fs"));
        for (number, name) in [(1, "base"), (130, "second"), (3, "third")] {
            fs::create_dir_all(upper(number).join("folder")).unwrap();
            let file = upper(number).join("folder").join(name);
            fs::write(&file, name).unwrap();
            for path in [file, upper(number).join("folder")] {
                fs::File::open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
            }
        }
        let layers = [1, 130, 3].map(|number| Layer::gzip(layer_of(&upper(number))));
        let image = Image::new(APP, layers.into(), &json!({"author": "somebody"}));
        fs::write(upper(3).join("more"), "of it").unwrap();
        store.add(NAMESPACE, APP, &image);
        for layer in &image.layers[1..] {
            fs::remove_file(store.path(&Digest::of(&layer.blob))).unwrap();
        }
        let config = ImageConfig::parse(image.config.clone().into()).unwrap();
        let mut metadata = NewBucket::default();
        for (chain_id, number) in config.chain_ids().iter().zip([&[1][..], &[130, 1], &[3]]) {
            let name = format!("{NAMESPACE}/7/{chain_id}");
            let known = store.namespace(NAMESPACE).bucket("snapshots").bucket("overlayfs");
            known.bucket(chain_id.to_string()).put("name", name.as_str());
            let snapshot = metadata.bucket("v1").bucket("snapshots").bucket(name);
            snapshot.put("id", number);
            snapshot.put("kind", [3]);
        }
        fs::write(snapshots.join("metadata.db"), metadata.to_database()).unwrap();
        store.write();
        Self { sandbox, store, image }
    }

    fn upper(&self, number: u64) -> PathBuf {
        self.store.root.join(format!("io.containerd.snapshotter.v1.overlayfs/snapshots/{number}/fs"))
    }

    fn export(&self) -> String {
        let export =
            ["containerd-store", "export", "--root", "store", APP, "--from-snapshots", "-o", "app.tar"];
        said(&self.sandbox, &export)
    }

    fn config_digest(&self) -> String {
        let inspected = lines(&self.sandbox, &["inspect", "--json", "app.tar"]);
        inspected[0]["images"][0]["config"].as_str().unwrap().to_owned()
    }
}

fn layer_of(upper: &Path) -> Vec<u8> {
    let mut tar = Vec::new();
    write_layer(upper, Form::Containerd, &mut tar, &mut |left_out| panic!("{left_out:?}")).unwrap();
    tar
}

/// Only root sees all of a snapshot.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn unpacked_layers_are_told_and_made_anew() {
    let discarded = Discarded::new();
    insta::assert_snapshot!(
        "discarded_layers_in_a_list",
        said(&discarded.sandbox, &["containerd-store", "list", "--root", "store"])
    );
    insta::assert_snapshot!(
        "discarded_layers_without_snapshots",
        said(&discarded.sandbox, &["containerd-store", "export", "--root", "store", APP, "-o", "app.tar"])
    );
    insta::assert_snapshot!(
        "discarded_layers_are_none_for_a_mirror",
        said(
            &discarded.sandbox,
            &["containerd-store", "export", "--root", "store", APP, "--mirror", "-o", "mirror"]
        )
    );
    if !is_root() {
        assert!(discarded.export().contains("by root only"));
        return;
    }
    insta::assert_snapshot!("a_layer_that_is_another", discarded.export());
    assert!(discarded.config_digest() != format!("sha256:{}", discarded.image.config_hex()));
    assert!(discarded.sandbox.output(&["verify", "-q", "app.tar"]).status.success());

    fs::remove_file(discarded.upper(3).join("more")).unwrap();
    insta::assert_snapshot!("layers_that_are_what_they_were", discarded.export());
    assert_eq!(discarded.config_digest(), format!("sha256:{}", discarded.image.config_hex()));
    assert!(discarded.sandbox.output(&["verify", "-q", "app.tar"]).status.success());
}

/// Beside a platform that is there packed, one that is unpacked only.
#[test]
fn platforms_that_are_unpacked_only_are_platforms() {
    if !is_root() {
        return;
    }
    let mut discarded = Discarded::new();
    let arm = Image::new(APP, vec![Layer::tar(7, 1000)], &json!({"architecture": "arm64"}));
    let entry = |image: &Image, architecture: &str| {
        let mut entry = descriptor(MediaType::OciManifest.as_str(), &image.manifest);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let manifests = [entry(&arm, "arm64"), entry(&discarded.image, "amd64")];
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": manifests});
    let index = index.to_string().into_bytes();
    let store = &mut discarded.store;
    store.add("scratch", APP, &arm);
    store.blob(&index);
    store.name(NAMESPACE, APP, MediaType::OciIndex.as_str(), &Digest::of(&index).to_string(), index.len());
    store.write();
    let export =
        ["containerd-store", "export", "--root", "store", "-n", NAMESPACE, APP, "-o", "app.tar", "-q"];
    let platforms = |more: &[&str]| {
        let output = discarded.sandbox.output(&[&export[..], more].concat());
        assert!(output.status.success(), "{}", discarded.sandbox.shown(&output));
        assert!(discarded.sandbox.output(&["verify", "-q", "app.tar"]).status.success());
        let images = lines(&discarded.sandbox, &["inspect", "--json", "app.tar"])[0]["images"].clone();
        let images = images.as_array().unwrap().clone();
        images.iter().map(|image| image["platform"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(platforms(&["--all-platforms"]), ["linux/arm64"]);
    assert_eq!(platforms(&["--all-platforms", "--from-snapshots"]), ["linux/arm64", "linux/amd64"]);
    assert_eq!(platforms(&[]), ["linux/arm64"]);
    assert_eq!(platforms(&["--from-snapshots"]), ["linux/amd64"]);
}

#[test]
fn what_is_neither_packed_nor_unpacked_is_refused() {
    let discarded = Discarded::new();
    fs::remove_dir_all(discarded.upper(130)).unwrap();
    let said = discarded.export();
    if !is_root() {
        assert!(said.contains("by root only"));
        return;
    }
    insta::assert_snapshot!(said);

    // The disk is another machine's: its links lead to nothing here.
    let elsewhere = discarded.sandbox.out().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, discarded.upper(130)).unwrap();
    assert_eq!(discarded.export(), said);
}
