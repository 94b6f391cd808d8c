//! `sealift containerd-store import`: the images of a mirror into a containerd, which is one by script (`helpers/ctr`).

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
use std::path::PathBuf;

use sealift::config::Environment;
use sealift::containerd_store::Store;
use sealift::daemon::Ctr;
use sealift::event::{Event, Reporter};
use sealift::image::Digest;
use sealift::mirror::{Import, Imported};
use serde_json::json;
use support::containerd_store::TestStore;
use support::layer::Layer;
use support::makers::Image;
use support::sandbox::Sandbox;

const APP: &str = "registry.example/team/app:1.4";
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/helpers:/usr/bin:/bin");

fn image(name: &str, seed: u64) -> Image {
    Image::new(name, vec![Layer::tar(1, 3000), Layer::tar(seed, 2000)], &json!({}))
}

/// A containerd without images, and a mirror.
fn sandbox_with(fill: impl FnOnce(&mut TestStore)) -> (Sandbox, TestStore) {
    let sandbox = Sandbox::new().variable("PATH", PATH);
    fs::write(sandbox.home().join("containerd.sock"), "").unwrap();
    let mut store = TestStore::new(&sandbox.out().join("mirror"));
    fill(&mut store);
    store.write();
    (sandbox, store)
}

/// What an import says, but for how long it took.
fn imported(sandbox: &Sandbox, more: &[&str]) -> String {
    let socket = sandbox.home().join("containerd.sock");
    let import = ["containerd-store", "import", "mirror", "--address", socket.to_str().unwrap()];
    let said = sandbox.run(&[&import[..], more].concat());
    let words = |line: &str| match line.split_once(" in ") {
        Some((words, seconds)) if seconds.ends_with(" s") => words.to_owned(),
        _ => line.to_owned(),
    };
    said.lines().map(words).collect::<Vec<_>>().join("\n")
}

/// What containerd has of a namespace, by its names.
fn names(sandbox: &Sandbox, namespace: &str) -> Vec<String> {
    let folder = sandbox.home().join("containerd").join(namespace).join("images");
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap().replace('%', "/")).collect();
    names.sort();
    names
}

#[test]
fn images_come_by_the_names_they_get_there() {
    let (app, short, pinned) = (image(APP, 2), image("nginx:latest", 3), image("x", 4));
    let pinned_name = format!("registry.example/pinned:2@{}", pinned.target());
    let (sandbox, _) = sandbox_with(|store| {
        for name in [APP, &format!("sha256:{}", app.config_hex())] {
            store.add("k8s.io", name, &app);
        }
        store.add("k8s.io", "nginx:latest", &short);
        store.add("k8s.io", &pinned_name, &pinned);
    });
    insta::assert_snapshot!("names_there", imported(&sandbox, &[]));
    let there = ["docker.io/library/nginx:latest", "registry.example/pinned:2", APP];
    assert_eq!(names(&sandbox, "k8s.io"), there);
    insta::assert_snapshot!("all_is_there_already", imported(&sandbox, &[]));
}

#[test]
fn what_can_not_come_is_told_and_the_others_come() {
    let (damaged, gone) = (image("registry.example/damaged:1", 4), image("registry.example/gone:1", 5));
    let (sandbox, store) = sandbox_with(|store| {
        store.add("default", APP, &image(APP, 2));
        store.add("default", &damaged.name, &damaged);
        store.add("default", &gone.name, &gone);
        store.add("default", "Not A Name", &image("x:1", 6));
        store.add("default", "twice:1", &image("twice:1", 7));
        store.add("default", "docker.io/library/twice:1", &image("twice:1", 8));
        store.name("default", "registry.example/no-digest:1", "", "sha256:../../../../etc/passwd", 1);
        store.add("default", "registry.example/zoo:1", &image("zoo", 9));
    });
    let mut bytes = damaged.layers[1].blob.clone();
    bytes[100] ^= 1;
    fs::write(store.path(&Digest::of(&damaged.layers[1].blob)), bytes).unwrap();
    fs::remove_file(store.path(&Digest::of(&gone.layers[1].blob))).unwrap();
    insta::assert_snapshot!(imported(&sandbox, &[]));
    let come = ["docker.io/library/twice:1", APP, "registry.example/zoo:1"];
    assert_eq!(names(&sandbox, "default"), come);
}

#[test]
fn an_image_without_a_name_that_containerd_takes_is_a_failure() {
    let (sandbox, _) = sandbox_with(|store| store.add("default", "Not A Name", &image("x:1", 6)));
    insta::assert_snapshot!(imported(&sandbox, &[]));
}

#[test]
fn what_was_done_is_told_before_what_stopped_it() {
    let (sandbox, _) = sandbox_with(|store| {
        store.add("default", APP, &image(APP, 2));
        store.add("default", "Not A Name", &image("x:1", 6));
        store.add("k8s.io", APP, &image(APP, 2));
    });
    let down = sandbox.home().join("containerd/k8s.io");
    fs::create_dir_all(&down).unwrap();
    fs::write(down.join("down"), "").unwrap();
    insta::assert_snapshot!(imported(&sandbox, &["--json"]));
}

/// As soon as the first archive is on its way, garbage collection takes everything.
struct Collector(PathBuf);

impl Reporter for Collector {
    fn report(&self, event: Event<'_>) {
        if let Event::LoadStarted { .. } = event {
            for blob in fs::read_dir(&self.0).unwrap() {
                fs::remove_file(blob.unwrap().path()).unwrap();
            }
        }
    }
}

#[test]
fn what_is_collected_while_it_is_imported_comes_all_the_same() {
    let layers = (2..6).map(|seed| Layer::plain(support::image::noise(seed, 1 << 20))).collect();
    let app = Image::new(APP, layers, &json!({}));
    let (sandbox, store) = sandbox_with(|store| store.add("default", APP, &app));
    let home = sandbox.home();
    let environment: Environment = [("PATH", PATH), ("HOME", home.to_str().unwrap())].into_iter().collect();
    let collector = Collector(store.path(&app.target()).parent().unwrap().to_owned());
    let mut imported = Imported::default();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let socket = home.join("containerd.sock");
        let ctr = Ctr::connect(Some(socket), Some("default".into()), &environment).await.unwrap();
        let mirror = Store::open(&store.root, "default").unwrap();
        Import { ctr: &ctr, reporter: &collector }.run(&mirror, &mut imported).await.unwrap();
    });
    assert!(imported.failures.is_empty(), "{imported:?}");
    assert_eq!(imported.loaded[0].id, app.target());
    assert_eq!(fs::read_dir(&collector.0).unwrap().count(), 0, "it was collected");
}
