//! `sealift grab` from a daemon by script: which layers come, what is believed, what is said and what is left.

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
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use insta::assert_snapshot;
use sealift::image::Digest;
use serde_json::{Value, json};
use support::engine::{Script, TestEngine, inspected};
use support::layer::{Layer, text};
use support::pushing::{PushedLayer, Pushing};
use support::sandbox::Sandbox;

/// An image `app:1` of three layers, in a daemon by script.
struct Case {
    sandbox: Sandbox,
    layers: [Layer; 3],
    diff_ids: Vec<Digest>,
    script: Script,
}

impl Case {
    fn new() -> Self {
        let layers = [1, 2, 3].map(|seed| Layer::tar(seed, 40_000));
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(&layer.inflated)).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
                            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = config.to_string().into_bytes();
        let pushed = layers.iter().map(|layer| PushedLayer { blob: layer.blob.clone(), known: Vec::new() });
        let mut image = inspected(&Digest::of(&config), "linux/amd64", &diff_ids);
        image["Config"] = json!({"Cmd": ["sh"]});
        let history = json!([
            {"CreatedBy": "CMD [\"sh\"]", "Size": 0},
            {"CreatedBy": "COPY three / # buildkit", "Size": 30},
            {"CreatedBy": "RUN two", "Size": 20},
            {"CreatedBy": "/bin/sh -c #(nop) ADD file:1 in / ", "Size": 1 << 20},
        ]);
        let pushing = Pushing { layers: pushed.collect(), config, history, ..Pushing::default() };
        let script = Script { images: [("app:1".to_owned(), image)].into(), pushing, ..Script::default() };
        let mut sandbox = Sandbox::new();
        for (number, diff_id) in diff_ids.iter().enumerate() {
            sandbox = sandbox.redact(diff_id.hex(), &format!("DIFF_ID_{number}"));
        }
        Self { sandbox, layers, diff_ids, script }
    }

    /// The daemon knows its layers by the digests of their blobs, as after a pull.
    fn pulled(mut self) -> Self {
        for layer in &mut self.script.pushing.layers {
            layer.known = vec![Digest::of(&layer.blob)];
        }
        self
    }

    fn start(&self) -> TestEngine {
        TestEngine::start(self.sandbox.path(), self.script.clone())
    }

    fn grab(&self, engine: &TestEngine, arguments: &[&str]) -> String {
        self.sandbox.run(&[&["grab", "-H", &engine.host()], arguments].concat())
    }

    fn file(&self, layer: usize, name: &str) -> Vec<u8> {
        fs::read(self.sandbox.out().join(self.diff_ids[layer].hex()).join(name)).unwrap()
    }

    /// Fails unless the daemon has `app:1` and nothing else, and no name that was given is still there.
    fn is_as_before(engine: &TestEngine) {
        let requests = engine.requests();
        let named = |ending: &str| requests.iter().filter(|request| request.contains(ending)).count();
        assert_eq!(named("/tag?repo=127.0.0.1"), named("DELETE "), "{requests:#?}");
    }
}

#[test]
fn the_last_layer_comes_with_what_the_daemon_insists_on_sending() {
    let case = Case::new();
    let engine = case.start();
    assert_snapshot!("the_last_layer", case.grab(&engine, &["app:1"]));
    assert!(case.file(2, "layer.tar") == case.layers[2].inflated);
    assert_eq!(case.file(2, "VERSION"), b"1.0");
    let metadata: Value = serde_json::from_slice(&case.file(2, "json")).unwrap();
    assert_eq!(
        metadata,
        json!({"id": case.diff_ids[2].hex(), "parent": case.diff_ids[1].hex(), "os": "linux", "architecture": "amd64"})
    );
    Case::is_as_before(&engine);
    // Of the lowest the others come, too; the daemon begins with the last.
    let shown = case.grab(&engine, &["app:1", "--layer", "0", "--json"]);
    let thrown: usize = case.layers[1..].iter().map(|layer| layer.blob.len()).sum();
    assert!(shown.contains(&format!("\"thrown_away_bytes\":{thrown}")), "{shown}");
    assert!(case.file(0, "layer.tar") == case.layers[0].inflated);
    Case::is_as_before(&engine);
}

#[test]
fn of_what_was_pulled_the_wanted_layer_alone_comes() {
    let case = Case::new().pulled();
    let engine = case.start();
    let shown = case.grab(&engine, &["app:1", "--layer", "1", "--registry-format"]);
    assert_snapshot!("registry_format", shown);
    assert!(case.file(1, "blob") == case.layers[1].blob);
    let pushes = engine.requests().iter().filter(|request| request.contains("/push?")).count();
    assert_eq!(pushes, 2, "the first tells which blob it is");
    Case::is_as_before(&engine);
    // By its blob, found without a name.
    let digest = Digest::of(&case.layers[0].blob);
    case.grab(&engine, &[&digest.hex()[..20]]);
    assert!(case.file(0, "layer.tar") == case.layers[0].inflated);
    Case::is_as_before(&engine);
}

#[test]
fn a_layer_that_is_known_by_several_digests_comes_all_the_same() {
    let mut case = Case::new().pulled();
    // Three registries had it packed in other ways.
    for other in [&b"another"[..], b"one more"] {
        case.script.pushing.layers[1].known.push(Digest::of(other));
    }
    let engine = case.start();
    case.grab(&engine, &["app:1", "--layer", "1"]);
    assert!(case.file(1, "layer.tar") == case.layers[1].inflated);
    Case::is_as_before(&engine);
}

#[test]
fn what_is_there_already_is_told_again_and_another_content_is_in_the_way() {
    let case = Case::new();
    let engine = case.start();
    let first = case.grab(&engine, &["app:1", "-q"]);
    let pushes = || engine.requests().iter().filter(|request| request.contains("/push?")).count();
    let before = pushes();
    assert_eq!(case.grab(&engine, &["app:1", "-q"]), first);
    assert_eq!(pushes(), before, "nothing is pushed for it");
    assert_snapshot!("already_there_as_another", case.grab(&engine, &["app:1", "--registry-format"]));
    let folder = case.sandbox.out().join(case.diff_ids[2].hex());
    for (file, content) in [("layer.tar", &b"x"[..]), ("VERSION", b"2.0"), ("json", b"{}"), ("more", b"")] {
        let kept = fs::read(folder.join(file)).ok();
        fs::write(folder.join(file), content).unwrap();
        assert!(case.grab(&engine, &["app:1"]).contains("is there already"), "{file}");
        match kept {
            Some(kept) => fs::write(folder.join(file), kept).unwrap(),
            None => fs::remove_file(folder.join(file)).unwrap(),
        }
    }
    assert_eq!(case.grab(&engine, &["app:1", "-q"]), first);
}

#[test]
fn a_layer_that_is_another_is_not_kept() {
    let mut case = Case::new();
    let mut broken = case.layers[2].blob.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    let longer = Layer::gzip([&case.layers[2].inflated[..], b"more"].concat()).blob;
    for (number, blob) in [broken, longer, Vec::new()].into_iter().enumerate() {
        case.script.pushing.layers[2].blob = blob;
        let folder = case.sandbox.path().join(number.to_string());
        fs::create_dir(&folder).unwrap();
        let engine = TestEngine::start(&folder, case.script.clone());
        let shown = case.grab(&engine, &["app:1"]);
        if number == 0 {
            assert_snapshot!("not_sent", shown);
        }
        assert!(shown.contains("exit code: 1") && shown.contains("but not its layer"), "{shown}");
        assert_eq!(case.sandbox.files(), Vec::<String>::new());
        Case::is_as_before(&engine);
    }
}

#[test]
fn a_daemon_that_does_not_push_is_heard() {
    let mut case = Case::new();
    case.script.pushing.refusal = Some("layer does not exist\u{1b}[2J");
    let engine = case.start();
    assert_snapshot!("refused", case.grab(&engine, &["app:1"]));
    assert_eq!(case.sandbox.files(), Vec::<String>::new());
    Case::is_as_before(&engine);
}

#[test]
fn an_image_that_goes_meanwhile_is_told() {
    let mut case = Case::new();
    case.script.pushing.goes = true;
    let engine = case.start();
    assert_snapshot!("gone", case.grab(&engine, &["app:1"]));
    assert_eq!(case.sandbox.files(), Vec::<String>::new());
}

#[test]
fn nobody_else_gets_in() {
    let mut case = Case::new();
    case.script.pushing.has_stranger = true;
    let engine = case.start();
    let shown = case.grab(&engine, &["app:1", "--debug", "-q"]);
    assert!(!shown.contains("error"), "{shown}");
    assert!(case.file(2, "layer.tar") == case.layers[2].inflated);
}

#[test]
fn an_image_without_a_name_gets_rid_of_the_one_it_was_given_and_stays() {
    let mut case = Case::new();
    let image = case.script.images.remove("app:1").unwrap();
    let id = image["Id"].as_str().unwrap().to_owned();
    case.script.images.insert(id.clone(), image);
    case.sandbox = case.sandbox.redact(&id[7..], "IMAGE");
    let engine = case.start();
    assert_snapshot!("nameless", case.grab(&engine, &[&id]));
    let requests = engine.requests();
    let at = |words: &str| requests.iter().position(|request| request.contains(words)).unwrap();
    assert!(at("/images/create?fromSrc=-&repo=127.0.0.1") < at("DELETE "), "{requests:#?}");
    let before = engine.requests().len();
    fs::create_dir(case.sandbox.out().join("blobs")).unwrap();
    let options = ["--clean", "--registry-format", "-o", "blobs"];
    assert_snapshot!("nameless_cleaned", case.grab(&engine, &[&[id.as_str()], &options[..]].concat()));
    assert!(!engine.requests()[before..].iter().any(|request| request.contains("/images/create")));
}

#[test]
fn names_of_runs_that_are_no_more_are_taken_away() {
    let mut case = Case::new();
    let image = case.script.images["app:1"].clone();
    // One where nobody listens, one where something else does, one whose run is there.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [other, there] = [404, 200].map(|status| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ =
                    write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        address
    });
    let name = |address| format!("{address}/sealift-grab-0123456789abcdef0123456789abcdef:latest");
    for address in [gone, other, there] {
        case.script.images.insert(name(address), image.clone());
    }
    let engine = case.start();
    case.grab(&engine, &["app:1"]);
    let requests = engine.requests();
    let is_taken_away = |address| {
        let ending = format!("images/{}", name(address));
        requests.iter().any(|request| request.starts_with("DELETE ") && request.contains(&ending))
    };
    assert_eq!([gone, other, there].map(is_taken_away), [true, true, false]);
}

#[test]
fn the_layers_of_an_image_are_listed() {
    let case = Case::new();
    let engine = case.start();
    assert_snapshot!("list", case.grab(&engine, &["--list", "app:1"]));
    assert_snapshot!("list_json", case.grab(&engine, &["--list", "app:1", "--json"]));
    assert!(!engine.requests().iter().any(|request| request.contains("/push")));
}

#[test]
fn layers_become_an_archive() {
    let case = Case::new().pulled();
    let engine = case.start();
    let arguments = ["app:1", "--layer", "2", "--layer", "0", "--tar", "layers.tar", "--name", "two:1"];
    assert_snapshot!("archive", case.grab(&engine, &arguments));
    let inspected = case.sandbox.output(&["inspect", "--json", "layers.tar"]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let layers = inspected["images"][0]["layers"].as_array().unwrap();
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer["diff_id"].clone()).collect();
    assert_eq!(diff_ids, [json!(case.diff_ids[2]), json!(case.diff_ids[0])]);
    assert!(case.sandbox.output(&["verify", "layers.tar"]).status.success());
    assert_snapshot!("archive_in_the_way", case.grab(&engine, &arguments));

    // The last layer alone, as the image it is of.
    let shown = case.grab(&engine, &["app:1", "--layer", "-1", "--tar", "patch.tar", "--on-base", "-q"]);
    assert!(shown.contains("patch.tar"), "{shown}");
    let mut names = Vec::new();
    let file = fs::File::open(case.sandbox.out().join("patch.tar")).unwrap();
    for entry in tar::Archive::new(file).entries().unwrap() {
        names.push(entry.unwrap().path().unwrap().to_str().unwrap().to_owned());
    }
    let config = format!("{}.json", Digest::of(&case.script.pushing.config).hex());
    let blob = Digest::of(&case.layers[2].blob);
    let layer = |name: &str| format!("{}/{name}", blob.hex());
    let expected = [
        "manifest.json".to_owned(),
        "repositories".into(),
        config,
        layer(""),
        layer("VERSION"),
        layer("json"),
        layer("layer.tar"),
    ];
    assert_eq!(names, expected);
    assert_eq!(case.sandbox.files(), ["layers.tar", "patch.tar"]);
    Case::is_as_before(&engine);
}

#[test]
fn what_can_not_be_meant_is_told() {
    let case = Case::new();
    let engine = case.start();
    for (name, arguments) in [
        ("nothing", &["nothing:1"][..]),
        ("no_such_layer", &["app:1", "--layer", "3"]),
        ("two_of_layer", &["app:1", "app:1", "--layer", "3"]),
        ("no_folder", &["app:1", "-o", "nowhere"]),
        ("not_the_last", &["app:1", "--layer", "0", "--tar", "x.tar", "--on-base"]),
    ] {
        assert_snapshot!(name, case.grab(&engine, arguments));
    }
    let of_containerd = ["grab", "app:1", "--from", "docker", "--namespace", "k8s.io"];
    assert_snapshot!("namespace_of_docker", case.sandbox.run(&of_containerd));
    let everywhere = ["grab", "-H", "tcp://far.example:2375", "app:1", "--listen", "0.0.0.0"];
    assert_snapshot!("listening_everywhere", case.sandbox.run(&everywhere));
    for (name, host) in [("remote", "tcp://far.example:2375"), ("remote_ssh", "ssh://me@far.example")] {
        assert_snapshot!(name, case.sandbox.run(&["grab", "-H", host, "app:1"]));
    }
    assert_eq!(case.sandbox.files(), Vec::<String>::new());
    Case::is_as_before(&engine);
}

#[test]
fn digits_that_several_have_are_told_with_all_of_them() {
    let mut case = Case::new();
    // Of many layers two begin alike.
    let digests: Vec<_> = (0..40).map(|seed| Digest::of(&text(seed, 100))).collect();
    let image = inspected(&Digest::of(b"many"), "linux/amd64", &digests);
    case.script.images = [("many:1".to_owned(), image)].into();
    let engine = case.start();
    let shared =
        |one: &&Digest| digests.iter().filter(|other| other.hex()[..1] == one.hex()[..1]).count() > 1;
    let digit = &digests.iter().find(shared).unwrap().hex()[..1];
    let shown = case.grab(&engine, &["many:1", "--layer", &format!("sha256:{digit}")]);
    assert!(shown.contains("exit code: 2") && shown.contains("may be any of"), "{shown}");
    let named = digests.iter().filter(|digest| shown.contains(digest.hex())).count();
    assert_eq!(named, digests.iter().filter(|digest| digest.hex().starts_with(digit)).count());
}
