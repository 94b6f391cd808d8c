//! `sealift container-layer` against a Docker by script: what is refused before anything is touched, and what is said of a
//! file. What needs root and a real Docker is in `tests/e2e/container_layer.rs`.

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

use insta::assert_snapshot;
use sealift::fsio::Existing;
use sealift::image::Digest;
use sealift::layer_file::{About, ContainerMetadata, DockerInfo, Seal, write};
use sealift::overlay::{MountedBy, Plan};
use serde_json::{Value, json};
use support::engine::{Script, TestEngine, inspected};
use support::sandbox::Sandbox;

/// A Docker with a container in each state, on overlay2, and its image.
fn script() -> Script {
    let containers = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
    let mut script = Script {
        containers: containers.map(|status| (status.to_owned(), container(status, "overlay2"))).into(),
        images: [("postgres:16".to_owned(), image())].into(),
        ..Script::default()
    };
    for driver in ["vfs", "fuse-overlayfs", "btrfs", "zfs"] {
        script.containers.insert(driver.to_owned(), container("exited", driver));
    }
    script.info["Driver"] = "overlay2".into();
    script.info["OSType"] = "linux".into();
    script.info["KernelVersion"] = "6.1.0-18-amd64".into();
    script
}

fn container(status: &str, driver: &str) -> Value {
    let running = ["running", "paused", "restarting"].contains(&status);
    let name = if driver == "overlay2" { status } else { driver };
    json!({
        "Id": "4f".repeat(32), "Name": format!("/{name}"), "Image": image_id(), "Created": "2026-11-21T12:00:00Z",
        "State": {"Status": status, "Running": running, "Pid": 0, "StartedAt": "2026-11-21T12:00:01Z"},
        "Config": {"Image": "postgres:16", "Labels": {}}, "Mounts": [],
        "GraphDriver": {"Name": driver, "Data": {"UpperDir": "/nowhere/docker/overlay2/ab/diff"}}
    })
}

fn image_id() -> Digest {
    Digest::of(b"the image")
}

fn layers() -> Vec<Digest> {
    vec![Digest::of(b"one layer"), Digest::of(b"another")]
}

fn image() -> Value {
    inspected(&image_id(), "linux/amd64", &layers())
}

struct Case {
    sandbox: Sandbox,
    engine: TestEngine,
}

impl Case {
    fn of(script: Script) -> Self {
        let sandbox = Sandbox::new();
        let engine = TestEngine::start(sandbox.path(), script);
        Self { sandbox, engine }
    }

    fn new() -> Self {
        Self::of(script())
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.sandbox.run(&[&["container-layer"], arguments, &["-H", &self.engine.host()]].concat())
    }

    /// A layer file as an export makes it, of a container of the script's image.
    fn file(&self, name: &str, packing: Option<Seal>) -> PathBuf {
        self.file_about(name, packing, |_| {})
    }

    fn file_about(&self, name: &str, packing: Option<Seal>, change: impl FnOnce(&mut About)) -> PathBuf {
        let (upper, file) = (self.sandbox.path().join("upper"), self.sandbox.out().join(name));
        fs::create_dir_all(upper.join("deep")).unwrap();
        fs::write(upper.join("deep/word"), "what a container wrote").unwrap();
        let mut about = About {
            created: "2026-11-21T22:19:08Z".into(),
            container: ContainerMetadata {
                image: "postgres:16".into(),
                image_id: image_id().to_string(),
                image_layers: layers(),
                ..ContainerMetadata::default()
            },
            docker: DockerInfo {
                driver: "overlay2".into(),
                os_type: "linux".into(),
                architecture: "x86_64".into(),
                ..DockerInfo::default()
            },
            platform: Some("linux/amd64".into()),
        };
        change(&mut about);
        let plan = Plan::of(&upper, Vec::new(), MountedBy::Root, &|_| true).unwrap();
        write(&file, Existing::Replace, &plan, packing, about, &|_| true).unwrap();
        file
    }
}

#[test]
fn only_containers_that_are_stopped_are_taken() {
    let case = Case::new();
    case.file("layer.tar", None);
    for status in ["running", "paused", "restarting", "removing", "dead"] {
        let exported = case.run(&["export", status, "new.tar"]);
        assert_snapshot!(format!("export_{status}"), exported);
        let imported = case.run(&["import", "layer.tar", status]);
        assert!(imported.starts_with("exit code: 1") && imported.contains(status), "{imported}");
        let restored = case.run(&["restore", status]);
        assert!(restored.starts_with("exit code: 1") && restored.contains(status), "{restored}");
    }
    for status in ["restarting", "removing", "dead"] {
        let exported = case.run(&["export", status, "new.tar", "--allow-running"]);
        assert!(exported.starts_with("exit code: 1") && exported.contains(status), "{exported}");
    }
    assert_eq!(case.sandbox.files(), ["layer.tar"], "nothing was made");
    let requests = case.engine.requests();
    assert!(!requests.iter().any(|request| request.starts_with("POST")), "{requests:?}");
}

#[test]
fn what_is_not_there_is_told() {
    let case = Case::new();
    assert_snapshot!("no_container", case.run(&["export", "nobody", "new.tar"]));
    // No part of a path of the API.
    for name in ["../images/postgres:16", "a/b", "", "a b", "a?b", "%2e", "-"] {
        let shown = case.run(&["backups", "--", name].map(|word| word));
        assert!(shown.starts_with("exit code: 4") || shown.starts_with("exit code: 2"), "{name}: {shown}");
    }
    let requests = case.engine.requests();
    assert!(requests.iter().all(|request| !request.contains("images")), "{requests:?}");
    assert_snapshot!("no_file", case.run(&["check", "nothing.tar"]));
    assert_snapshot!("no_folder", case.run(&["export", "exited", "none/new.tar"]));
}

#[test]
fn storage_that_is_no_overlayfs_is_refused() {
    let case = Case::new();
    assert_snapshot!("vfs", case.run(&["export", "vfs", "new.tar"]));
    for driver in ["fuse-overlayfs", "btrfs", "zfs"] {
        let shown = case.run(&["export", driver, "new.tar"]);
        assert!(
            shown.starts_with("exit code: 1") && shown.contains(&format!("driver `{driver}`")),
            "{shown}"
        );
    }
}

#[test]
fn another_machines_docker_and_podman_are_refused() {
    let mut podman = script();
    podman.version["Components"] = json!([{"Name": "Podman Engine"}]);
    let case = Case::of(podman);
    assert_snapshot!("podman", case.run(&["export", "exited", "new.tar"]));
    let sandbox = Sandbox::new();
    let shown =
        sandbox.run(&["container-layer", "export", "x", "new.tar", "-H", "unix:///nowhere/docker.sock"]);
    assert_snapshot!("no_docker", shown);
}

/// A Docker behind TCP may be anywhere.
#[test]
fn a_docker_behind_tcp_is_not_taken_for_this_machines() {
    let case = Case::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = case.engine.socket.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, engine) =
                (stream.unwrap(), std::os::unix::net::UnixStream::connect(&socket).unwrap());
            let (mut from, mut to) = (stream.try_clone().unwrap(), engine.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (engine, stream);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    let host = format!("tcp://127.0.0.1:{port}");
    let shown = case.sandbox.run(&["container-layer", "export", "exited", "new.tar", "-H", &host]);
    assert_snapshot!("remote", shown.replace(&port.to_string(), "PORT"));
    // A file can be held against it all the same.
    case.file("layer.tar", None);
    let shown = case.sandbox.run(&["container-layer", "check", "layer.tar", "-H", &host]);
    assert!(shown.starts_with("exit code: 0"), "{shown}");
}

#[test]
fn a_file_is_held_against_docker_line_by_line() {
    let case = Case::new();
    case.file("layer.tar", None);
    assert_snapshot!("fits", case.run(&["check", "layer.tar"]));
    for (name, packing) in [("layer.tar.gz", Seal::Gzip), ("layer.tar.zst", Seal::Zstd)] {
        case.file(name, Some(packing));
        let shown = case.run(&["check", name]);
        assert!(
            shown.starts_with("exit code: 0") && shown.contains("unpacks, and its seal is right"),
            "{shown}"
        );
    }
    let all = ["--skip-image", "--skip-storage", "--skip-os", "--skip-arch"];
    let shown = case.sandbox.run(&[&["container-layer", "check", "layer.tar"], &all[..]].concat());
    assert_snapshot!("skipped", shown);
    let quiet = case.run(&["check", "-q", "layer.tar"]);
    assert_eq!(quiet, "exit code: 0\n--- stdout\n--- stderr\n");
}

#[test]
fn the_report_is_there_for_programs() {
    let case = Case::new();
    case.file("layer.tar", None);
    let host = case.engine.host();
    let output = case.sandbox.output(&["container-layer", "check", "--json", "layer.tar", "-H", &host]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["file"], &report["is_whole"]), (&json!("layer.tar"), &json!(true)));
    let lines = report["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 11);
    assert!(lines.iter().all(|line| line["outcome"] == "pass"), "{report:#}");
    assert_eq!(report["metadata"]["container_metadata"]["image"], "postgres:16");
}

/// A name, what is changed, and what is said.
type Unfit<'a> = (&'a str, &'a dyn Fn(&mut About), &'a str);

#[test]
fn each_mismatch_fails_unless_it_is_skipped() {
    let of_driver = |about: &mut About| about.docker.driver = "vfs".into();
    let of_users = |about: &mut About| about.docker.user_namespace = Some("100000.100000".into());
    let of_os = |about: &mut About| about.platform = Some("windows/amd64".into());
    let of_architecture = |about: &mut About| about.platform = Some("linux/arm64".into());
    let of_image = |about: &mut About| {
        about.container.image_id = Digest::of(b"another").to_string();
        about.container.image_layers = vec![Digest::of(b"one layer")];
    };
    let of_name = |about: &mut About| {
        of_image(about);
        about.container.image = "nobody/knows:this".into();
    };
    let cases: [Unfit<'_>; 6] = [
        ("other_driver", &of_driver, "--skip-storage"),
        ("other_users", &of_users, "--skip-storage"),
        ("other_os", &of_os, "--skip-os"),
        ("other_architecture", &of_architecture, "--skip-arch"),
        ("other_image", &of_image, "--skip-image"),
        ("no_image", &of_name, "--skip-image"),
    ];
    for (name, change, skip) in cases {
        let case = Case::new();
        case.file_about("layer.tar", None, change);
        assert_snapshot!(name, case.run(&["check", "layer.tar"]));
        let skipped = case.run(&["check", "layer.tar", skip]);
        assert!(skipped.starts_with("exit code: 0") && skipped.contains("skipped"), "{name}: {skipped}");
    }
}

/// What a file calls an image is no way to another part of the API.
#[test]
fn a_name_in_a_file_steers_no_request() {
    for name in
        ["../containers/exited", "%2e%2e/containers/exited", ".%2e/containers/exited", "x?y", "x#y", "x\\y"]
    {
        let case = Case::new();
        case.file_about("layer.tar", None, |about| {
            about.container.image_id = name.to_owned();
            about.container.image = name.to_owned();
        });
        let shown = case.run(&["check", "layer.tar"]);
        assert!(shown.starts_with("exit code: 4"), "{name}: {shown}");
        let requests = case.engine.requests();
        let is_of_itself = |request: &String| request.ends_with("/info") || request.ends_with("/version");
        assert!(requests.iter().all(is_of_itself), "{name}: {requests:?}");
    }
}

/// Each has a range of users of its own; where nothing tells it, none is the same as another.
#[test]
fn two_rootless_dockers_are_told_apart() {
    let mut rootless = script();
    rootless.info["SecurityOptions"] = json!(["name=seccomp,profile=default", "name=rootless"]);
    rootless.info["ID"] = "here".into();
    let case = Case::of(rootless);
    for (id, code) in [("here", 0), ("elsewhere", 4)] {
        case.file_about("layer.tar", None, |about| {
            about.docker.user_namespace = Some(format!("rootless of Docker {id}"));
        });
        let shown = case.run(&["check", "layer.tar"]);
        assert!(shown.starts_with(&format!("exit code: {code}")), "{shown}");
    }
}

/// What a graph driver calls an image is another thing than what containerd's store does.
#[test]
fn an_image_is_known_by_its_layers_too() {
    let case = Case::new();
    let change = |about: &mut About| about.container.image_id = Digest::of(b"its manifest").to_string();
    case.file_about("layer.tar", None, change);
    let shown = case.run(&["check", "layer.tar"]);
    assert!(
        shown.starts_with("exit code: 0") && shown.contains("with the same layers, as sha256:"),
        "{shown}"
    );
}

#[test]
fn an_old_kernel_is_told() {
    let mut old = script();
    old.info["KernelVersion"] = "3.10.0-1160.el7.x86_64".into();
    let case = Case::of(old);
    case.file("layer.tar", None);
    assert_snapshot!("old_kernel", case.run(&["check", "layer.tar"]));
}

#[test]
fn without_a_docker_the_file_alone_is_checked() {
    let case = Case::new();
    case.file("layer.tar", None);
    let shown =
        case.sandbox.run(&["container-layer", "check", "layer.tar", "-H", "unix:///nowhere/docker.sock"]);
    assert_snapshot!("not_checked", shown);
}

/// What has a time and an owner hashes to something else each time.
fn without_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text.split_inclusive(|byte: char| !byte.is_ascii_alphanumeric());
    let masked = words.map(|word| match word.char_indices().next_back() {
        Some((at, end)) if is_digest(&word[..at]) => format!("<digest>{end}"),
        _ => word.to_owned(),
    });
    masked.collect()
}

#[test]
fn a_flipped_byte_is_told_and_nothing_else_is_asked() {
    let case = Case::new();
    let file = case.file("layer.tar", None);
    let mut bytes = fs::read(&file).unwrap();
    let word = bytes.windows(4).position(|window| window == b"what").unwrap();
    bytes[word] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_snapshot!("flipped", without_digests(&case.run(&["check", "layer.tar"])));
    fs::write(&file, "no layer file").unwrap();
    assert_snapshot!("no_layer_file", case.run(&["check", "layer.tar"]));
    fs::write(&file, "").unwrap();
    assert_snapshot!("empty", case.run(&["check", "layer.tar"]));
}
