//! `sealift load` against a daemon by script: what is sent, what is believed, what is said.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]
#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use insta::assert_snapshot;
use sealift::image::Digest;
use serde_json::{Value, json};
use support::engine::{Loading, Script, TestEngine, inspected};
use support::image::{TestImage, push};
use support::registry::TestRegistry;
use support::sandbox::Sandbox;

/// An archive of one image, `app.tar`, or of two, `both.tar`.
struct Case {
    sandbox: Sandbox,
    app: TestImage,
    other: TestImage,
}

impl Case {
    fn new() -> Self {
        let registry = TestRegistry::start();
        let app = push(&registry, "app:1", "linux/amd64", &[&vec![b'x'; 3_000_000]]);
        let other = push(&registry, "other:1", "linux/amd64", &[b"another layer"]);
        let sandbox = Sandbox::new().redact(registry.port(), "PORT");
        for (images, file) in [(&[&app][..], "app.tar"), (&[&app, &other], "both.tar")] {
            let names = images.iter().map(|image| image.reference.as_str());
            let arguments: Vec<_> = ["pull", "-q", "-o", file].into_iter().chain(names).collect();
            assert!(sandbox.output(&arguments).status.success());
        }
        Self { sandbox, app, other }
    }

    /// What a daemon with a graph driver says of the image.
    fn held(image: &TestImage) -> (String, Value) {
        (image.reference.clone(), inspected(&image.config, "linux/amd64", &image.layers))
    }

    fn engine(&self, script: Script) -> TestEngine {
        TestEngine::start(self.sandbox.path(), script)
    }

    /// Loads `app.tar` into a daemon with this script.
    fn load(&self, script: Script, options: &[&str]) -> (TestEngine, String) {
        let engine = self.engine(script);
        let shown = self.load_into(&engine, &[&["app.tar"], options].concat());
        (engine, shown)
    }

    fn load_into(&self, engine: &TestEngine, arguments: &[&str]) -> String {
        without_times(&self.sandbox.run(&[&["load", "-H", &engine.host()], arguments].concat()))
    }
}

/// As the lines of a run that are the same each time.
fn without_times(shown: &str) -> String {
    let line = |line: &str| match line.rsplit_once(" in ") {
        Some((before, time)) if time.ends_with(" s") => format!("{before} in TIME"),
        _ => line.to_owned(),
    };
    shown.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_archive_is_sent_as_it_is_and_what_came_of_it_is_told() {
    let case = Case::new();
    let brings = [Case::held(&case.app)].into();
    let (engine, shown) = case.load(Script { brings, ..Script::default() }, &[]);
    assert_snapshot!("loaded", shown);
    let archive = fs::read(case.sandbox.out().join("app.tar")).unwrap();
    assert_eq!(engine.archive(), Some(Digest::of(&archive)));
    assert_snapshot!("already_there", case.load_into(&engine, &["-i", "app.tar"]));
    let loads = engine.requests().iter().filter(|request| request.contains("/images/load")).count();
    assert_eq!(loads, 1, "what is there is not sent again");
    let shown = case.load_into(&engine, &["app.tar", "--json", "-q"]);
    assert_snapshot!("already_there_json", shown);
}

#[test]
fn what_has_the_name_already_is_replaced_and_told() {
    let case = Case::new();
    let (name, image) = Case::held(&case.app);
    let before = inspected(&case.other.config, "linux/amd64", &case.other.layers);
    let images = [(name.clone(), before)].into();
    let (_, shown) = case.load(Script { images, brings: [(name, image)].into(), ..Script::default() }, &[]);
    assert_snapshot!("replaced", shown);
}

#[test]
fn the_image_gets_other_names() {
    let case = Case::new();
    let brings = [Case::held(&case.app)].into();
    let (engine, shown) =
        case.load(Script { brings, ..Script::default() }, &["--tag", "mine", "--tag", "reg.example/x:2"]);
    assert_snapshot!("tagged", shown);
    let tags: Vec<_> = engine.requests().into_iter().filter(|request| request.contains("/tag?")).collect();
    assert!(tags[0].ends_with("/tag?repo=docker.io%2Flibrary%2Fmine&tag=latest"), "{tags:?}");
    assert!(tags[1].ends_with("/tag?repo=reg.example%2Fx&tag=2"), "{tags:?}");
    let shown = case.load_into(&engine, &["both.tar", "--tag", "mine"]);
    assert_snapshot!("tag_of_two", shown);
}

#[test]
fn of_several_images_what_is_missing_is_told() {
    let case = Case::new();
    let brings = [Case::held(&case.app)].into();
    let engine = case.engine(Script { brings, ..Script::default() });
    assert_snapshot!("one_of_two_missing", case.load_into(&engine, &["both.tar"]));
}

/// Docker 28.5 says "Loaded image" and ends well for a stream that is broken.
#[test]
fn the_daemons_word_is_not_believed() {
    let case = Case::new();
    assert_snapshot!("nothing_is_there", case.load(Script::default(), &[]).1);

    let case = Case::new();
    let (name, _) = Case::held(&case.app);
    let another = inspected(&case.other.config, "linux/amd64", &case.other.layers);
    let brings = [(name, another)].into();
    assert_snapshot!("another_is_there", case.load(Script { brings, ..Script::default() }, &[]).1);
}

/// The containerd image store knows what it has of an image.
#[test]
fn an_image_with_missing_parts_is_not_there() {
    let case = Case::new();
    let (name, mut image) = Case::held(&case.app);
    image["Id"] = json!(case.app.manifest);
    image["Manifests"] = json!([
        {"Kind": "image", "Available": false}, {"Kind": "attestation", "Available": true}
    ]);
    let mut whole = image.clone();
    whole["Manifests"][0]["Available"] = true.into();
    let script = Script {
        images: [(name.clone(), image)].into(),
        brings: [(name, whole)].into(),
        ..Script::default()
    };
    let (engine, shown) = case.load(script, &["-q"]);
    assert!(shown.starts_with("exit code: 0") && shown.ends_with("  loaded\n--- stderr"), "{shown}");
    assert!(engine.was_sent());
}

/// An index may be there with another platform's layers.
#[test]
fn an_index_with_other_layers_is_not_the_image() {
    let case = Case::new();
    let (name, image) = Case::held(&case.app);
    let mut others = inspected(&case.app.manifest, "linux/arm64", &case.other.layers);
    others["Id"] = json!(case.app.manifest);
    let script = Script {
        images: [(name.clone(), others)].into(),
        brings: [(name, image)].into(),
        ..Script::default()
    };
    let (engine, shown) = case.load(script, &["-q"]);
    assert!(shown.starts_with("exit code: 0"), "{shown}");
    assert!(engine.was_sent());
}

#[test]
fn what_the_daemon_finds_fault_with_is_told_in_its_words() {
    for (name, loading) in [
        (
            "refused",
            Loading::Take(
                "{\"errorDetail\":{\"message\":\"archive/tar: invalid tar header\"},\"error\":\"x\"}",
            ),
        ),
        (
            "daemons_disk_full",
            Loading::Say(
                "{\"errorDetail\":{\"message\":\"write /var/lib/docker/tmp/x: no space left on device\"},\"error\":\"x\"}",
                100_000,
            ),
        ),
        (
            "not_unpacked",
            Loading::Take(
                "{\"stream\":\"Loaded image: x\\n\"}\n{\"stream\":\"Error unpacking image x: missing layer\\n\"}\n",
            ),
        ),
        ("answer_cut", Loading::Take("{\"stream\":\"Loaded ima")),
        ("steering_words", Loading::Take("{\"error\":\"\\u001b[2Jgone\"}")),
        ("load_status", Loading::Status(500, "the daemon is shutting down")),
        ("hung_up", Loading::HangUp(100_000)),
    ] {
        let case = Case::new();
        let (_, shown) = case.load(Script { loading, ..Script::default() }, &[]);
        // How a broken connection shows first is the system's choice.
        let shown = shown.replace("Broken pipe (os error 32)", "BROKEN");
        assert_snapshot!(name, shown.replace("Connection reset by peer (os error 104)", "BROKEN"));
    }
}

#[test]
fn an_image_for_another_machine_is_told_before_a_byte_is_sent() {
    let registry = TestRegistry::start();
    let image = push(&registry, "app:1", "linux/arm64", &[b"layer"]);
    let sandbox = Sandbox::new().redact(registry.port(), "PORT");
    assert!(
        sandbox.output(&["pull", "-q", "-o", "app.tar", "-a", "arm64", &image.reference]).status.success()
    );
    let held = inspected(&image.config, "linux/arm64", &image.layers);
    let brings = [(image.reference.clone(), held)].into();
    let engine = TestEngine::start(sandbox.path(), Script { brings, ..Script::default() });
    assert_snapshot!("other_platform", sandbox.run(&["load", "-H", &engine.host(), "app.tar"]));
    assert!(!engine.was_sent());
    let shown = sandbox.run(&["load", "-H", &engine.host(), "app.tar", "--any-platform"]);
    assert!(shown.starts_with("exit code: 0"), "{shown}");
}

#[test]
fn a_disk_that_is_too_small_is_told_before_a_byte_is_sent() {
    let case = Case::new();
    // The end of a tar may be as long as it likes.
    fs::File::options()
        .write(true)
        .open(case.sandbox.out().join("app.tar"))
        .unwrap()
        .set_len(8 << 40)
        .unwrap();
    let info =
        json!({"DockerRootDir": case.sandbox.path(), "DriverStatus": [["Backing Filesystem", "extfs"]]});
    let (engine, shown) = case.load(Script { info, ..Script::default() }, &[]);
    assert!(!engine.was_sent());
    let digits = |text: &str| {
        text.split_whitespace()
            .map(|word| {
                let is_number =
                    word.parse::<f64>().is_ok() || word.trim_end_matches(',').parse::<u64>().is_ok();
                if is_number && word != "7" { "N" } else { word }.to_owned()
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_snapshot!("no_room", shown.lines().map(digits).collect::<Vec<_>>().join("\n"));
}

/// Of an archive with several images podman takes short names for its own.
#[test]
fn the_names_that_podman_makes_up_are_mended() {
    let registry = TestRegistry::start();
    let app = push(&registry, "hub/library/app:1", "linux/amd64", &[b"layer"]);
    let other = push(&registry, "hub/library/other:1", "linux/amd64", &[b"another layer"]);
    let sandbox = Sandbox::new();
    let mirrors = json!({"mirrors": [format!("{}/hub", registry.address())], "origin": "never"});
    let config = sandbox.home().join("config.json");
    fs::write(&config, json!({"registries": {"docker.io": mirrors}}).to_string()).unwrap();
    let pull = ["--config", config.to_str().unwrap(), "pull", "-q", "-o", "both.tar", "app:1", "other:1"];
    assert!(sandbox.output(&pull).status.success());

    let of = |image: &TestImage| inspected(&image.config, "linux/amd64", &image.layers);
    let version = json!({"Version": "4.3.1", "ApiVersion": "1.41", "MinAPIVersion": "1.24", "Os": "linux",
                         "Arch": "amd64", "Components": [{"Name": "Podman Engine"}]});
    let brings =
        [("localhost/app:1".to_owned(), of(&app)), ("localhost/other:1".to_owned(), of(&other))].into();
    // One of the names is another image's until then.
    let images = [("docker.io/library/app:1".to_owned(), of(&other))].into();
    let engine = TestEngine::start(sandbox.path(), Script { version, images, brings, ..Script::default() });
    let shown = sandbox.run(&["load", "--to", "podman", "-H", &engine.host(), "both.tar"]);
    assert_snapshot!("names_mended", without_times(&shown));
    let deleted: Vec<_> =
        engine.requests().into_iter().filter(|request| request.starts_with("DELETE")).collect();
    assert_eq!(deleted.len(), 2, "{deleted:?}");
    assert!(deleted[0].contains("/images/localhost/app:1?"), "{deleted:?}");
}

#[test]
fn an_image_without_a_name_is_told_by_its_id_and_can_get_one() {
    let registry = TestRegistry::start();
    let image = push(&registry, "app:1", "linux/amd64", &[b"layer"]);
    let sandbox = Sandbox::new().redact(registry.port(), "PORT");
    let name = format!("{}@{}", image.reference.trim_end_matches(":1"), image.manifest);
    assert!(sandbox.output(&["pull", "-q", "-o", "app.tar", &name]).status.success());
    let held = inspected(&image.config, "linux/amd64", &image.layers);
    let brings = [("no name".to_owned(), held)].into();
    let engine = TestEngine::start(sandbox.path(), Script { brings, ..Script::default() });
    let load = ["load", "-H", &engine.host(), "app.tar"];
    assert_snapshot!("nameless", without_times(&sandbox.run(&load)));
    let shown = sandbox.run(&[&load[..], &["--tag", "app:2"]].concat());
    assert_snapshot!("nameless_tagged", without_times(&shown));
}

#[test]
fn a_daemon_that_can_not_be_reached_is_told_with_what_to_do() {
    let case = Case::new();
    let folder = case.sandbox.path().to_owned();
    let host = |name: &str| format!("unix://{}", folder.join(name).display());
    let run = |arguments: &[&str]| case.sandbox.run(&[&["load", "app.tar"], arguments].concat());
    assert_snapshot!("no_socket", run(&["-H", &host("none.sock")]));
    assert_snapshot!("no_podman", run(&["--to", "podman", "-H", &host("none.sock")]));
    drop(UnixListener::bind(folder.join("left.sock")).unwrap());
    assert_snapshot!("nobody_listens", run(&["-H", &host("left.sock")]));
    assert_snapshot!("no_containerd", run(&["--to", "containerd", "--address", "/nowhere/containerd.sock"]));
    let left = folder.join("left.sock");
    assert_snapshot!("no_ctr", run(&["--to", "containerd", "--address", left.to_str().unwrap()]));
    assert_snapshot!("no_ssh", run(&["-H", "ssh://build.example"]));

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let shown = run(&["-H", &format!("tcp://{free}")]);
    assert_snapshot!("no_daemon_on_a_port", shown.replace(&free.port().to_string(), "PORT"));

    let engine = case.engine(Script { version: json!("<html>a router</html>"), ..Script::default() });
    assert_snapshot!("stranger", case.load_into(&engine, &["app.tar"]));
}

/// `ssh` itself says why it leads nowhere.
#[test]
fn what_ssh_says_is_told() {
    let case = Case::new();
    let bin = case.sandbox.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let asked = case.sandbox.path().join("asked");
    let ssh = format!(
        "#!/bin/sh\necho \"$@\" >> {}\necho 'me@build.example: Permission denied (publickey).' >&2\nexit 255\n",
        asked.display()
    );
    fs::write(bin.join("ssh"), ssh).unwrap();
    fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = case.sandbox.command(&["load", "app.tar", "-H", "ssh://me@build.example:2222"]);
    let output = command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).output().unwrap();
    assert_snapshot!("ssh_denied", case.sandbox.shown(&output));
    let asked = fs::read_to_string(asked).unwrap();
    assert_eq!(asked, "-T -o ConnectTimeout=30 -l me -p 2222 -- build.example docker system dial-stdio\n");
}

#[test]
fn docker_is_found_by_its_own_settings() {
    let case = Case::new();
    let engine = case.engine(Script { images: [Case::held(&case.app)].into(), ..Script::default() });
    let load = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = case.sandbox.command(&[&["load", "app.tar", "-q"], arguments].concat());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        case.sandbox.shown(&output)
    };
    let finds = |variables: &[(&str, &str)], arguments: &[&str]| {
        let shown = load(variables, arguments);
        assert!(shown.starts_with("exit code: 0") && shown.contains("already there"), "{shown}");
    };
    finds(&[("DOCKER_HOST", &engine.host())], &[]);
    let id = Digest::of(b"site");
    let meta = case.sandbox.home().join(".docker/contexts/meta").join(id.hex());
    fs::create_dir_all(&meta).unwrap();
    let context = json!({"Name": "site", "Metadata": {}, "Endpoints": {"docker": {"Host": engine.host()}}});
    fs::write(meta.join("meta.json"), context.to_string()).unwrap();
    finds(&[], &["--context", "site"]);
    finds(&[("DOCKER_CONTEXT", "site")], &[]);
    fs::write(case.sandbox.home().join(".docker/config.json"), r#"{"currentContext": "site"}"#).unwrap();
    finds(&[], &[]);
    finds(&[("CONTAINER_HOST", &engine.host())], &["--to", "podman"]);
    assert_snapshot!("no_context", load(&[], &["--context", "nope"]));
    assert_snapshot!("bad_docker_host", load(&[("DOCKER_HOST", "tcp://me:hunter2@x:1")], &[]));
}

#[test]
fn options_that_do_not_go_together_are_told() {
    let case = Case::new();
    let run = |arguments: &[&str]| case.sandbox.run(&[&["load", "app.tar"], arguments].concat());
    for (name, arguments) in [
        ("namespace_of_docker", &["--namespace", "k8s.io"][..]),
        ("context_of_podman", &["--to", "podman", "--context", "x"]),
        ("host_of_containerd", &["--to", "containerd", "--host", "unix:///x"]),
        ("tag_with_digest", &["--tag", &format!("x@{}", Digest::of(b"x"))]),
    ] {
        assert_snapshot!(name, run(arguments));
    }
}

#[test]
fn what_is_no_archive_of_images_is_told() {
    let sandbox = Sandbox::new();
    let out = sandbox.out();
    fs::write(out.join("text"), "no tar at all").unwrap();
    let mut empty = tar::Builder::new(fs::File::create(out.join("other.tar")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    empty.append_data(&mut header, "file", &b"text"[..]).unwrap();
    empty.finish().unwrap();
    assert_snapshot!("no_archive", sandbox.run(&["load", "text"]));
    assert_snapshot!("no_images", sandbox.run(&["load", "other.tar"]));
    assert_snapshot!("no_file", sandbox.run(&["load", "nowhere.tar"]));
}

/// Flipped bytes and missing ends reach no daemon, and neither does one image without its config beside one that is there.
#[test]
fn an_archive_that_is_not_whole_is_not_sent() {
    let case = Case::new();
    let path = case.sandbox.out().join("app.tar");
    let whole = fs::read(&path).unwrap();
    let brings = || [Case::held(&case.app)].into();
    let engine = case.engine(Script { brings: brings(), ..Script::default() });

    let mut flipped = whole.clone();
    let layer = whole.windows(64).position(|bytes| bytes == [b'x'; 64]).unwrap();
    flipped[layer + 1000] ^= 1;
    fs::write(&path, flipped).unwrap();
    assert_snapshot!("layer_flipped", case.load_into(&engine, &["app.tar"]));

    let end = whole.chunks(512).rposition(|block| block.iter().any(|byte| *byte != 0)).unwrap();
    fs::write(&path, &whole[..512 * (end + 1)]).unwrap();
    assert_snapshot!("end_missing", case.load_into(&engine, &["app.tar"]));
    assert!(!engine.was_sent());

    fs::write(&path, &whole).unwrap();
    let shown = case.load_into(&engine, &["app.tar"]);
    assert!(shown.starts_with("exit code: 0") && engine.was_sent(), "{shown}");
    let loads = || engine.requests().iter().filter(|request| request.contains("/images/load")).count();
    assert_eq!(loads(), 1);
    let both = case.sandbox.out().join("both.tar");
    let mut broken = fs::read(&both).unwrap();
    let config = String::from_utf8_lossy(&broken).find(case.other.layers[0].hex()).unwrap();
    broken[config - 40] = 0xff;
    fs::write(&both, broken).unwrap();
    let shown = case.load_into(&engine, &["both.tar"]);
    assert!(shown.starts_with("exit code: 3"), "{shown}");
    assert_eq!(loads(), 1, "{shown}");
}

/// Docker does not tell whether its machine runs more than the first variant.
#[test]
fn a_variant_that_the_machine_may_run_is_sent() {
    let registry = TestRegistry::start();
    let image = push(&registry, "app:1", "linux/amd64/v2", &[b"layer"]);
    let sandbox = Sandbox::new().redact(registry.port(), "PORT");
    let pull = ["pull", "-q", "-o", "app.tar", "--platform", "linux/amd64/v2", &image.reference];
    assert!(sandbox.output(&pull).status.success());
    let held = inspected(&image.config, "linux/amd64", &image.layers);
    let brings = [(image.reference.clone(), held)].into();
    let engine = TestEngine::start(sandbox.path(), Script { brings, ..Script::default() });
    let shown = sandbox.run(&["load", "-H", &engine.host(), "app.tar"]);
    assert!(shown.starts_with("exit code: 0"), "{shown}");
}
