//! `sealift containerd-store list|export`: what is told of roots on a disk, whole or not, and what comes out of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::fs;

use sealift::bolt::{Database, NewBucket};
use sealift::containerd_store::{META_DB, Root, Store, StoreError};
use sealift::image::{Digest, MediaType};
use serde_json::{Value, json};
use support::containerd_store::TestStore;
use support::image::descriptor;
use support::layer::Layer;
use support::makers::{self, Image};
use support::sandbox::Sandbox;

const APP: &str = "registry.example/team/app:1.4";

fn image(name: &str, seed: u64) -> Image {
    Image::new(name, vec![Layer::tar(1, 3000), Layer::tar(seed, 2000)], &json!({}))
}

/// A sandbox with a root `store` in the folder commands run in.
fn sandbox_with(fill: impl FnOnce(&mut TestStore)) -> (Sandbox, TestStore) {
    let sandbox = Sandbox::new();
    let mut store = TestStore::new(&sandbox.out().join("store"));
    fill(&mut store);
    store.write();
    (sandbox, store)
}

/// Two namespaces; an image under an index of which the other platform did not come along, the three names that
/// Kubernetes gives an image, one with labels.
fn usual(store: &mut TestStore) {
    let nginx = image("docker.io/library/nginx:1.27", 2).under_index();
    store.add("default", "docker.io/library/nginx:1.27", &nginx);
    store.image("default", "docker.io/library/nginx:1.27").bucket("labels").put("team", "web\u{1b}[2J");
    let app = image(APP, 3);
    for name in [APP.to_owned(), by_digest(&app), format!("sha256:{}", app.config_hex())] {
        store.add("k8s.io", &name, &app);
    }
    store.namespace("empty").bucket("labels");
}

fn by_digest(app: &Image) -> String {
    format!("registry.example/team/app@{}", app.target())
}

/// The one line of JSON a command prints.
fn line(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let output = sandbox.output(arguments);
    assert!(output.status.success(), "{}", sandbox.shown(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn export(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let common = ["containerd-store", "export", "--root", "store", "--json", "-q"];
    line(sandbox, &[&common[..], arguments].concat())
}

#[test]
fn images_are_listed_by_namespace() {
    let (sandbox, _) = sandbox_with(usual);
    insta::assert_snapshot!(sandbox.run(&["containerd-store", "list", "--root", "store"]));
}

#[test]
fn all_that_is_known_is_told_at_length_and_to_programs() {
    let (sandbox, _) = sandbox_with(usual);
    let of =
        |format: &str| sandbox.run(&["containerd-store", "list", "--root", "store", "-n", "default", format]);
    insta::assert_snapshot!(format!("{}\n{}", of("--long"), of("--json")));
}

#[test]
fn a_namespace_is_chosen_by_option_or_by_containerds_variable() {
    let (sandbox, _) = sandbox_with(usual);
    let sandbox = sandbox.variable("CONTAINERD_NAMESPACE", "k8s.io");
    let count = |more: &[&str]| {
        let output =
            sandbox.output(&[&["containerd-store", "list", "--root", "store", "--json"], more].concat());
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    assert_eq!([count(&[]), count(&["--all-namespaces"]), count(&["-n", "default"])], [3, 4, 1]);
    assert_eq!(count(&["-n", "empty"]), 0);
    insta::assert_snapshot!(sandbox.run(&["containerd-store", "list", "--root", "store", "-n", "moby"]));
}

#[test]
fn what_is_missing_or_damaged_is_told() {
    let (sandbox, store) = sandbox_with(|store| {
        usual(store);
        store.name("default", "gone:1", MediaType::OciIndex.as_str(), &Digest::of(b"gone").to_string(), 4);
        store.add("default", "unpacked:1", &image("unpacked:1", 7));
    });
    let nginx = image("docker.io/library/nginx:1.27", 2);
    fs::remove_file(store.path(&Digest::of(&nginx.layers[1].blob))).unwrap();
    fs::write(store.path(&Digest::of(&image(APP, 3).config)), "{}").unwrap();
    fs::write(store.path(&Digest::of(&image("unpacked:1", 7).manifest)), "x").unwrap();
    insta::assert_snapshot!(sandbox.run(&["containerd-store", "list", "--root", "store"]));
}

#[test]
fn layers_that_are_there_unpacked_only_are_told_so() {
    let app = image(APP, 3);
    let (sandbox, store) = sandbox_with(|store| {
        store.add("k8s.io", APP, &app);
        let chain = Digest::of(format!("sha256:{} sha256:{}", app.diff_id(0), app.diff_id(1)).as_bytes());
        store.namespace("k8s.io").bucket("snapshots").bucket("overlayfs").bucket(chain.to_string());
    });
    for layer in &app.layers {
        fs::remove_file(store.path(&Digest::of(&layer.blob))).unwrap();
    }
    insta::assert_snapshot!(sandbox.run(&["containerd-store", "list", "--root", "store"]));
    insta::assert_snapshot!(sandbox.run(&["containerd-store", "export", "--root", "store", APP]));
    assert_eq!(sandbox.files(), ["store"]);
}

#[test]
fn an_export_is_the_archive_that_a_pull_writes() {
    let (sandbox, _) = sandbox_with(usual);
    export(&sandbox, &["nginx:1.27", APP, "-o", "all.tar"]);
    let images = [image("docker.io/library/nginx:1.27", 2).under_index(), image(APP, 3)];
    let pulled = makers::sealift(&images.iter().collect::<Vec<_>>()).bytes();
    assert!(fs::read(sandbox.out().join("all.tar")).unwrap() == pulled);
}

#[test]
fn names_are_those_that_people_write() {
    let (sandbox, _) = sandbox_with(usual);
    let app = image(APP, 3);
    let target = app.target();
    let by_config = format!("sha256:{}", app.config_hex());
    for name in [APP, "registry.example/team/app*", target.short(), &by_config, &by_digest(&app)] {
        let told = export(&sandbox, &[name, "-o", "x.tar"]);
        let images = told["images"].as_array().unwrap();
        assert_eq!(images.len(), 1, "{name}: {told}");
        assert_eq!(images[0]["digest"], json!(target), "{name}");
    }
    let said = sandbox.run(&["containerd-store", "export", "--root", "store", "nginx:1.27", "*app:1.4"]);
    insta::assert_snapshot!(
        said.lines().filter(|line| !line.contains(" in ")).collect::<Vec<_>>().join("\n")
    );
    let written = [
        "docker.io_library_nginx_1.27_amd64.tar",
        "registry.example_team_app_1.4_amd64.tar",
        "store",
        "x.tar",
    ];
    assert_eq!(sandbox.files(), written);
    for file in &written[..2] {
        let verified = sandbox.output(&["verify", file]);
        assert!(verified.status.success(), "{}", sandbox.shown(&verified));
    }
}

/// What an archive is made of is opened before its first byte comes: garbage collection may take it then.
#[test]
fn what_is_collected_while_it_is_exported_comes_all_the_same() {
    use sealift::containerd_store::StoreSource;
    use sealift::event::Silent;
    use sealift::pull::{Output, Pull};
    use std::io::Read;

    let noise = |seed| Layer::plain(support::image::noise(seed, 1 << 20));
    let app = Image::new(APP, (2..6).map(noise).collect(), &json!({}));
    let (sandbox, store) = sandbox_with(|store| store.add("default", APP, &app));
    export(&sandbox, &[APP, "-o", "x.tar"]);
    let whole = fs::read(sandbox.out().join("x.tar")).unwrap();
    let blobs = store.path(&app.target()).parent().unwrap().to_owned();
    let collect = || {
        let blobs = fs::read_dir(&blobs).unwrap().map(|blob| blob.unwrap().path());
        blobs.map(|path| (fs::read(&path).unwrap(), fs::remove_file(path).unwrap())).collect::<Vec<_>>()
    };

    // The pipe is full long before the second layer.
    let mut child = sandbox.spawn(&["containerd-store", "export", "--root", "store", APP, "-o", "-", "-q"]);
    let mut piped = vec![0];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut piped).unwrap();
    for (bytes, ()) in collect() {
        store.blob(&vec![0; bytes.len()]); // something else in its place is nothing to it
    }
    stdout.read_to_end(&mut piped).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(piped == whole);

    collect();
    for blob in app.layers.iter().map(|layer| &layer.blob).chain([&app.config, &app.manifest]) {
        store.blob(blob);
    }
    let image = Store::open(&store.root, "default").unwrap().resolve(APP).unwrap();
    let reference = APP.parse().unwrap();
    let content = sealift::containerd_store::Content::of(&store.root);
    let source = StoreSource::new(content, [(&reference, &image.target)]);
    let pull = Pull::of_files(&source, &Silent);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let output = Output::of(sandbox.out().join("y.tar"));
        let planned = pull.plan(std::slice::from_ref(&reference), &[], &output).await.unwrap().archives;
        source.hold(planned[0].plan.layers()).unwrap();
        collect();
        pull.write(&planned[0]).await.unwrap();
    });
    assert!(fs::read(sandbox.out().join("y.tar")).unwrap() == whole);
}

#[test]
fn an_archive_through_a_pipe_has_the_same_bytes() {
    let (sandbox, _) = sandbox_with(usual);
    export(&sandbox, &["nginx:1.27", "-o", "x.tar"]);
    let piped =
        sandbox.output(&["containerd-store", "export", "--root", "store", "nginx:1.27", "-o", "-", "-q"]);
    assert_eq!(piped.stdout, fs::read(sandbox.out().join("x.tar")).unwrap());
}

/// An index of these platforms, of which those with an image are there.
fn index_of(store: &mut TestStore, name: &str, platforms: &[(&str, Option<&Image>)]) {
    let entries = platforms.iter().map(|(platform, image)| {
        let absent = format!("absent {platform}").into_bytes();
        let mut entry =
            descriptor(MediaType::OciManifest.as_str(), image.map_or(&absent, |image| &image.manifest));
        let (os, architecture) = platform.split_once('/').unwrap();
        entry["platform"] = json!({"os": os, "architecture": architecture});
        if os == "unknown" {
            entry["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        }
        entry
    });
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": entries.collect::<Vec<_>>()});
    let index = index.to_string().into_bytes();
    for (_, image) in platforms {
        if let Some(image) = image {
            store.add("scratch", name, image);
        }
    }
    store.blob(&index);
    store.name("default", name, MediaType::OciIndex.as_str(), &Digest::of(&index).to_string(), index.len());
}

fn arm(name: &str, seed: u64) -> Image {
    Image::new(name, vec![Layer::tar(seed, 1000)], &json!({"architecture": "arm64"}))
}

#[test]
fn platforms_are_those_that_are_there() {
    let attestation = Image::new("a:1", vec![], &json!({"os": "unknown", "architecture": "unknown"}));
    let (sandbox, _) = sandbox_with(|store| {
        index_of(
            store,
            "both:1",
            &[
                ("unknown/unknown", Some(&attestation)),
                ("linux/arm64", Some(&arm("both:1", 4))),
                ("linux/amd64", Some(&image("both:1", 5))),
            ],
        );
        index_of(store, "arm:1", &[("linux/amd64", None), ("linux/arm64", Some(&arm("arm:1", 6)))]);
        index_of(store, "none:1", &[("linux/amd64", None), ("linux/arm64", None)]);
    });
    let platforms = |arguments: &[&str]| {
        let told = export(&sandbox, &[arguments, &["-n", "default", "-o", "x.tar"]].concat());
        let images = told["images"].as_array().unwrap().clone();
        images.iter().map(|image| image["platform"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(platforms(&["both:1"]), ["linux/amd64"]);
    assert_eq!(platforms(&["both:1", "--platform", "linux/arm64"]), ["linux/arm64"]);
    assert_eq!(platforms(&["both:1", "--all-platforms"]), ["linux/arm64", "linux/amd64"]);
    assert_eq!(platforms(&["arm:1"]), ["linux/arm64"]);
    let run = |arguments: &[&str]| {
        let common = ["containerd-store", "export", "--root", "store", "-n", "default", "-o", "y.tar"];
        let text = sandbox.run(&[&common[..], arguments].concat());
        text.lines().filter(|line| !line.contains(" to load it")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!("an_export_says_that_it_took_another_platform", run(&["arm:1"]));
    insta::assert_snapshot!("a_platform_that_is_not_there", run(&["arm:1", "--platform", "linux/amd64"]));
    insta::assert_snapshot!("an_image_of_which_nothing_is_there", run(&["none:1"]));
    insta::assert_snapshot!(
        "an_index_of_nothing_listed",
        sandbox.run(&["containerd-store", "list", "--root", "store", "-n", "default"])
    );
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let (sandbox, _) = sandbox_with(|store| {
        usual(store);
        store.add("default", "twice:1", &image("twice:1", 8));
        store.add("k8s.io", "twice:1", &image("twice:1", 9));
        store.add("default", "Not A Name", &image("x:1", 10));
        store.name("default", "no digest", "", "sha256:../../../../etc/passwd", 1);
        store.namespace("default").bucket("images").bucket("empty");
    });
    let run =
        |name: &str| sandbox.run(&["containerd-store", "export", "--root", "store", name, "-o", "x.tar"]);
    insta::assert_snapshot!("a_name_that_no_image_has", run("ngnix:1.27"));
    insta::assert_snapshot!("a_name_nowhere_near", run("something"));
    insta::assert_snapshot!(
        "listed_with_images_that_can_not_be_read",
        sandbox.run(&["containerd-store", "list", "--root", "store", "-n", "default"])
    );
}

#[test]
fn a_name_of_two_images_and_one_that_no_archive_takes() {
    let (sandbox, _) = sandbox_with(|store| {
        store.add("default", "twice:1", &image("twice:1", 8));
        store.add("k8s.io", "twice:1", &image("twice:1", 9));
        store.add("default", "Not A Name", &image("x:1", 10));
    });
    let run = |more: &[&str]| {
        sandbox.run(&[&["containerd-store", "export", "--root", "store", "-o", "x.tar"], more].concat())
    };
    insta::assert_snapshot!("a_name_of_two_images", run(&["twice:1"]));
    insta::assert_snapshot!("a_pattern_of_two_images_with_one_name", run(&["twice*"]));
    insta::assert_snapshot!("a_name_that_no_archive_takes", run(&["Not A Name"]));
    assert_eq!(
        export(&sandbox, &["twice:1", "-n", "k8s.io", "-o", "x.tar"])["images"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn roots_are_found_below_a_mounted_disk() {
    let sandbox = Sandbox::new();
    let disk = sandbox.out().join("mnt");
    let add = |path: &str| {
        let mut store = TestStore::new(&disk.join(path));
        store.add("default", "x:1", &image("x:1", 2));
        store.write();
    };
    let run = || sandbox.run(&["containerd-store", "list", "--root", "mnt"]);
    fs::create_dir_all(&disk).unwrap();
    insta::assert_snapshot!("a_folder_without_roots", run());
    add("var/lib/rancher/k3s/agent/containerd");
    insta::assert_snapshot!("the_one_root_of_a_disk", run());
    fs::create_dir_all(disk.join("etc/docker")).unwrap();
    fs::write(disk.join("etc/docker/daemon.json"), r#"{"data-root": "/srv/docker"}"#).unwrap();
    add("srv/docker/containerd/daemon");
    insta::assert_snapshot!("several_roots_of_a_disk", run());
}

#[cfg(unix)]
#[test]
fn links_of_a_mounted_disk_lead_to_places_on_it() {
    use std::os::unix::fs::symlink;

    let sandbox = Sandbox::new();
    let made = |path: &str, name: &str| {
        let mut store = TestStore::new(&sandbox.out().join(path));
        store.add("default", name, &image(name, 2));
        store.write();
        store.root
    };
    let run = |root: &str| sandbox.run(&["containerd-store", "list", "--root", root]);
    // On this machine, at the paths that the disk's links name; none of it is ever shown.
    let here = made("here", "of-this-machine:1");
    fs::create_dir_all(here.join("docker/containerd")).unwrap();
    symlink(&here, here.join("docker/containerd/daemon")).unwrap();

    let lib = sandbox.out().join("mnt/var/lib");
    fs::create_dir_all(lib.join("rancher/k3s/agent")).unwrap();
    symlink(&here, lib.join("rancher/k3s/agent/containerd")).unwrap();
    symlink(&here, lib.join("docker")).unwrap();
    symlink("/data/containerd", lib.join("containerd")).unwrap();
    insta::assert_snapshot!("a_disk_whose_links_lead_to_nothing_on_it", run("mnt"));
    let root = made("mnt/data/containerd", "of-the-disk:1");
    insta::assert_snapshot!("a_root_behind_a_link_of_its_disk", run("mnt"));
    let exported = ["containerd-store", "export", "--root", "mnt", "of-the-disk:1", "-o", "x.tar"];
    assert!(sandbox.output(&exported).status.success());

    // The same within a root: its content is elsewhere on the disk, or nowhere.
    let content = root.join("io.containerd.content.v1.content");
    fs::rename(&content, sandbox.out().join("mnt/content")).unwrap();
    symlink("/content", &content).unwrap();
    assert!(run("mnt").contains("whole"), "{}", run("mnt"));
    fs::remove_file(&content).unwrap();
    symlink(sandbox.out().join("mnt/content"), &content).unwrap();
    assert!(run("mnt").contains("1 of 1 missing"), "{}", run("mnt"));
    // Nor are Docker's settings of this machine read.
    fs::create_dir_all(sandbox.out().join("mnt/etc/docker")).unwrap();
    fs::create_dir_all(sandbox.out().join("mnt/other/containerd")).unwrap();
    symlink("/data/containerd", sandbox.out().join("mnt/other/containerd/daemon")).unwrap();
    fs::write(here.join("daemon.json"), r#"{"data-root": "/none"}"#).unwrap();
    symlink(here.join("daemon.json"), sandbox.out().join("mnt/etc/docker/daemon.json")).unwrap();
    fs::remove_file(lib.join("containerd")).unwrap();
    fs::remove_file(lib.join("docker")).unwrap();
    symlink("/other", lib.join("docker")).unwrap();
    assert!(run("mnt").contains("of-the-disk:1"), "{}", run("mnt"));
}

#[test]
fn metadata_that_is_none_is_told_by_its_path() {
    let (sandbox, store) = sandbox_with(usual);
    let whole = fs::read(store.meta_db()).unwrap();
    let mut of_another = NewBucket::default();
    of_another.bucket("etcd").put("key", "value");
    let mut other_page = whole.clone();
    let last = other_page.len() - 4096;
    other_page[last..].fill(0xaa);
    let mut metas = whole.clone();
    for at in [40, 4096 + 40] {
        metas[at] ^= 1;
    }
    for (name, bytes) in [
        ("empty", vec![]),
        ("not_bolt", b"SQLite format 3\0".repeat(1000)),
        ("cut_in_its_metas", whole[..60].to_vec()),
        ("cut_in_its_pages", whole[..3 * 4096].to_vec()),
        ("of_another_program", of_another.to_database()),
        ("a_page_of_garbage", other_page),
        ("both_metas_damaged", metas),
    ] {
        fs::write(store.meta_db(), bytes).unwrap();
        insta::assert_snapshot!(
            format!("metadata_{name}"),
            sandbox.run(&["containerd-store", "list", "--root", "store"])
        );
    }
    fs::remove_file(store.meta_db()).unwrap();
    fs::create_dir(store.meta_db()).unwrap();
    insta::assert_snapshot!(
        "metadata_a_folder",
        sandbox.run(&["containerd-store", "list", "--root", "store"])
    );
}

#[test]
fn blobs_that_are_wrong_are_told_by_their_paths() {
    let app = image(APP, 3);
    let layer = Digest::of(&app.layers[1].blob);
    let run = |change: &dyn Fn(&TestStore)| {
        let (sandbox, store) = sandbox_with(usual);
        change(&store);
        let said = sandbox.run(&["containerd-store", "export", "--root", "store", APP, "-o", "x.tar"]);
        let left: Vec<_> = sandbox.files().into_iter().filter(|file| file == "x.tar").collect();
        assert!(left.is_empty(), "{left:?}");
        said
    };
    let mut altered = app.layers[1].blob.clone();
    altered[100] ^= 1;
    let write =
        |digest: &Digest, bytes: &[u8], store: &TestStore| fs::write(store.path(digest), bytes).unwrap();
    insta::assert_snapshot!("a_layer_of_other_bytes", run(&|store| write(&layer, &altered, store)));
    insta::assert_snapshot!("a_layer_half_there", run(&|store| write(&layer, &altered[..100], store)));
    insta::assert_snapshot!("a_layer_missing", run(&|store| fs::remove_file(store.path(&layer)).unwrap()));
    insta::assert_snapshot!(
        "a_layer_that_is_a_link",
        run(&|store| {
            fs::remove_file(store.path(&layer)).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", store.path(&layer)).unwrap();
        })
    );
    let config = Digest::of(&app.config);
    insta::assert_snapshot!(
        "a_config_of_other_bytes",
        run(&|store| {
            let other = String::from_utf8(app.config.clone()).unwrap().replace("/bin/sh", "/bin/no");
            write(&config, other.as_bytes(), store);
        })
    );
    insta::assert_snapshot!("a_manifest_of_other_bytes", run(&|store| write(&app.target(), b"{}", store)));
    insta::assert_snapshot!(
        "a_manifest_missing",
        run(&|store| fs::remove_file(store.path(&app.target())).unwrap())
    );
}

/// `'*'` into a folder is what people do with the disk of a dead node: all that can be had, and the rest told.
#[test]
fn of_all_images_those_that_can_be_had_are_exported() {
    let (broken, gone) = (image("broken:1", 4), image("gone:1", 5));
    let (sandbox, store) = sandbox_with(|store| {
        usual(store);
        store.add("default", "docker.io/library/broken:1", &broken);
        store.add("default", "docker.io/library/gone:1", &gone);
        store.name("default", "docker.io/library/no-digest:1", "", "sha256:../../../../etc/passwd", 1);
        store.namespace("moby").put("images", "a value");
    });
    fs::write(store.path(&Digest::of(&broken.layers[1].blob)), "another layer").unwrap();
    fs::remove_file(store.path(&gone.target())).unwrap();
    fs::create_dir(sandbox.out().join("usb")).unwrap();
    let said = sandbox.run(&["containerd-store", "export", "--root", "store", "*", "-o", "usb/", "-q"]);
    insta::assert_snapshot!("of_all_images_some", said);
    let mut files: Vec<_> = fs::read_dir(sandbox.out().join("usb")).unwrap().collect();
    assert_eq!(files.len(), 2, "nginx and app");
    files.clear();
    let one = sandbox.output(&["containerd-store", "export", "--root", "store", "nginx:1.27", "-o", "x.tar"]);
    assert!(one.status.success(), "{}", sandbox.shown(&one));
    let listed = sandbox.output(&["containerd-store", "list", "--root", "store"]);
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(names.contains("nginx:1.27") && names.contains(APP), "{names}");
    assert_eq!(listed.status.code(), Some(3));
}

/// Of a name with a tag and a digest the digest counts.
#[test]
fn a_digest_in_a_name_takes_no_tag_from_another() {
    let (old, new) = (image(APP, 6), image(APP, 7));
    let (sandbox, _) = sandbox_with(|store| {
        store.add("default", APP, &new);
        store.add("default", &format!("{APP}@{}", old.target()), &old);
    });
    let exported = export(&sandbox, &[APP, "-o", "x.tar"]);
    assert_eq!(exported["images"][0]["digest"], json!(new.target()), "{exported}");
}

#[test]
fn every_page_flipped_in_turn_is_an_error_or_changes_nothing_but_what_it_holds() {
    let (sandbox, store) = sandbox_with(|store| {
        for number in 0..100 {
            store.add(
                "default",
                &format!("registry.example/{}/app:{number}", "long/".repeat(20)),
                &image("x:1", 2),
            );
        }
    });
    let whole = fs::read(store.meta_db()).unwrap();
    assert!(whole.len() > 8 * 4096, "{}", whole.len());
    let mut refused = 0;
    for page in 0..whole.len() / 4096 {
        for at in [0, 8, 10, 12, 16, 20, 24, 28, 1000] {
            let mut bytes = whole.clone();
            bytes[page * 4096 + at] ^= 0x55;
            fs::write(store.meta_db(), bytes).unwrap();
            match Root::open(&store.root).and_then(|root| root.store("default").list()) {
                Ok(images) => assert!(images.len() <= 100),
                Err(error) => {
                    assert!(error.to_string().contains(META_DB), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 50, "{refused}");
    fs::write(store.meta_db(), &whole[..whole.len() / 2]).unwrap();
    let output = sandbox.output(&["containerd-store", "list", "--root", "store"]);
    assert_eq!(output.status.code(), Some(3), "{}", sandbox.shown(&output));
}

#[test]
fn deep_trees_are_searched_for_every_name() {
    let (_sandbox, store) = sandbox_with(|store| {
        for namespace in ["default", "k8s.io", "moby"] {
            for number in 0..700 {
                let name = format!("registry.example/{}/app-{number}:1", "x".repeat(150));
                store.name(
                    namespace,
                    &name,
                    MediaType::OciManifest.as_str(),
                    &Digest::of(name.as_bytes()).to_string(),
                    number,
                );
            }
        }
        // Overflow pages.
        let name = format!("registry.example/app:{}", "1".repeat(30_000));
        store.name("moby", &name, MediaType::OciManifest.as_str(), &Digest::of(b"long").to_string(), 7);
    });
    let database = Database::of(fs::read(store.meta_db()).unwrap()).unwrap();
    database.check().unwrap();
    for (namespace, count) in [("default", 700), ("k8s.io", 700), ("moby", 701)] {
        let opened = Store::open(&store.root, namespace).unwrap();
        let images = opened.list().unwrap();
        assert_eq!(images.len(), count);
        for image in &images {
            let found = opened.resolve(&image.name).unwrap();
            assert_eq!((&found.name, &found.target), (&image.name, &image.target));
        }
        assert!(opened.named("registry.example/none:1").unwrap().is_none());
    }
    assert!(matches!(Store::open(&store.root, "none"), Err(StoreError::NoSuchNamespace { .. })));
}

const PAGE_BYTES: usize = 4096;

/// A database whose pages stand so many pages further back, but for its metas.
fn moved(database: &[u8], by_pages: u64) -> Vec<u8> {
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let word = |bytes: &[u8], at: usize| {
        usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap()
    };
    let mut pages = database[3 * PAGE_BYTES..].to_vec();
    let add = |pages: &mut [u8], at: usize| {
        let moved = number(pages, at) + by_pages;
        pages[at..at + 8].copy_from_slice(&moved.to_le_bytes());
    };
    let mut page = 0;
    while page < pages.len() {
        let (is_leaf, elements) = (pages[page + 8] == 2, word(&pages, page + 8) >> 16);
        for element in (0..elements).map(|index| page + 16 + index * 16) {
            if is_leaf && pages[element] == 1 {
                let value = element + word(&pages, element + 4) + word(&pages, element + 8);
                if number(&pages, value) != 0 {
                    add(&mut pages, value);
                }
            } else if !is_leaf {
                add(&mut pages, element + 8);
            }
        }
        let more = word(&pages, page + 12);
        add(&mut pages, page);
        page += (1 + more) * PAGE_BYTES;
    }
    pages
}

/// A transaction's meta page: that of `database`, but for root, number of pages and transaction.
fn meta(database: &[u8], by_pages: u64, end: u64, transaction: u64) -> Vec<u8> {
    let mut meta = database[..80].to_vec();
    let root = u64::from_le_bytes(meta[32..40].try_into().unwrap()) + by_pages;
    for (at, field) in [(32, root), (56, end), (64, transaction)] {
        meta[at..at + 8].copy_from_slice(&field.to_le_bytes());
    }
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let checksum = meta[16..72].iter().fold(0xcbf2_9ce4_8422_2325, mix);
    meta[72..].copy_from_slice(&checksum.to_le_bytes());
    meta
}

/// By its meta pages and its size, so that nobody runs out of memory over it.
#[cfg(target_os = "linux")]
#[test]
fn metadata_that_is_too_large_is_not_read() {
    let (sandbox, store) = sandbox_with(usual);
    let pages = (3 << 30) / PAGE_BYTES as u64;
    let bytes = fs::read(store.meta_db()).unwrap();
    let file = fs::File::options().write(true).open(store.meta_db()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &meta(&bytes, 0, pages, 1000), 0).unwrap();
    let run = || {
        let mut limited = std::process::Command::new("/bin/sh");
        let script = "ulimit -v 800000 && exec \"$0\" containerd-store list --root store";
        limited.args(["-c", script, env!("CARGO_BIN_EXE_sealift")]).current_dir(sandbox.out());
        sandbox.shown(&limited.output().unwrap())
    };
    assert!(run().starts_with("exit code: 0"), "a file is as long as it is: {}", run());
    file.set_len(3 << 30).unwrap();
    insta::assert_snapshot!(run());
}

/// As bolt writes: a transaction's pages where the last one has none, then its meta page over the older one.
#[test]
fn a_root_that_is_written_to_is_read_as_one_transaction_left_it() {
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    const IMAGES: usize = 6000;
    let (_sandbox, store) = sandbox_with(|_| {});
    let state = |of: u64| {
        let mut metadata = NewBucket::default();
        let images = metadata.bucket("v1").bucket("default").bucket("images");
        (0..IMAGES).for_each(|number| images.bucket(format!("x/{number:04}:of-{of}")).put("a", [0; 200]));
        metadata.to_database()
    };
    // Four states in two places: what a reader took from one place, the transaction after the next writes over.
    let states: Vec<_> = (0..4).map(state).collect();
    let pages = (states[0].len() / PAGE_BYTES) as u64 - 3;
    let places: Vec<_> =
        (0u64..4).map(|of| moved(&states[usize::try_from(of).unwrap()], of % 2 * pages)).collect();
    let file = fs::File::options().read(true).write(true).open(store.meta_db()).unwrap();
    file.set_len((3 + 2 * pages) * PAGE_BYTES as u64).unwrap();
    let write = |transaction: u64| {
        let (of, by_pages) = (usize::try_from(transaction % 4).unwrap(), transaction % 2 * pages);
        for (number, page) in places[of].chunks(PAGE_BYTES).enumerate().rev() {
            let at = (3 + by_pages) * PAGE_BYTES as u64 + (number * PAGE_BYTES) as u64;
            file.write_all_at(page, at).unwrap();
        }
        let meta = meta(&states[of], by_pages, 3 + 2 * pages, transaction);
        file.write_all_at(&meta, transaction % 2 * PAGE_BYTES as u64).unwrap();
    };
    (4..6).for_each(write);
    let (is_over, last) = (AtomicBool::new(false), AtomicU64::new(5));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for transaction in 6.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                write(transaction);
                last.store(transaction, Ordering::Release);
            }
        });
        let read = std::panic::catch_unwind(|| {
            for _ in 0..100 {
                let before = last.load(Ordering::Acquire);
                let root = Root::open(&store.root).unwrap();
                let transaction = root.database().transaction();
                assert!(transaction >= before, "{transaction} is older than {before}");
                let images = root.namespace("default").unwrap().unwrap().bucket(b"images").unwrap().unwrap();
                let end = format!(":of-{}", transaction % 4);
                let names: Vec<_> = images.entries().unwrap().map(|entry| entry.unwrap().0).collect();
                assert!(names.len() == IMAGES && names.iter().all(|name| name.ends_with(end.as_bytes())));
            }
        });
        is_over.store(true, Ordering::Relaxed);
        read.unwrap();
        assert!(last.load(Ordering::Relaxed) > 20, "it was written to meanwhile");
    });
}

/// What containerd itself wrote: `fixtures/containerd/README.md`.
#[test]
fn metadata_that_containerd_wrote_is_read() {
    use std::io::Read;

    let (sandbox, store) = sandbox_with(|_| {});
    let mut bytes = Vec::new();
    let packed = fs::File::open("fixtures/containerd/meta.db.gz").unwrap();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    fs::write(store.meta_db(), &bytes).unwrap();
    let database = Database::of(bytes.clone()).unwrap();
    database.check().unwrap();
    assert_eq!(database.transaction(), 257);

    let root = Root::open(&store.root).unwrap();
    assert_eq!(root.namespaces().unwrap(), ["default", "k8s.io"]);
    let names = |namespace: &str| {
        let images = root.store(namespace).list().unwrap();
        images.into_iter().map(|image| image.name).collect::<Vec<_>>()
    };
    let expected = |namespace: &str, numbers: std::ops::Range<u8>| {
        numbers.map(|number| format!("registry.example/{namespace}/app-{number:02}:v1")).collect::<Vec<_>>()
    };
    let of_default = expected("default", 0..25);
    assert_eq!(names("default"), [&of_default[..3], &of_default[4..]].concat());
    assert_eq!(names("k8s.io"), expected("k8s.io", 0..5));
    let image = root.store("k8s.io").resolve("registry.example/k8s.io/app-01:v1").unwrap();
    let digest = "sha256:8184a37c489e08a06858144d1faae769acc8f0aa2fd9cac46142264b45bd70f7";
    assert_eq!(image.target.digest.to_string(), digest);
    let labels: Vec<_> = image.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(labels, ["a.b/c=d e", "team=web"]);
    assert!(image.created.unwrap().to_string().starts_with("2026-11-21T20:34:"));
    assert!(image.updated > image.created, "it was labelled later");
    insta::assert_snapshot!(sandbox.run(&["containerd-store", "list", "--root", "store", "-n", "k8s.io"]));

    let mut refused = 0;
    for page in 0..bytes.len() / PAGE_BYTES {
        for at in [0, 8, 10, 12, 16, 20, 24, 28, 400, 2000] {
            let mut flipped = bytes.clone();
            flipped[page * PAGE_BYTES + at] ^= 0x55;
            fs::write(store.meta_db(), flipped).unwrap();
            let read = Root::open(&store.root).and_then(|root| {
                root.namespaces()?.iter().try_for_each(|namespace| root.store(namespace).list().map(drop))
            });
            if let Err(error) = read {
                assert!(error.to_string().contains(META_DB), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "{refused}");
}
