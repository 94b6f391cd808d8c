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
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use insta::assert_snapshot;
use rustix::process::Signal;
use sealift::image::Digest;
use serde_json::{Value, json};
use support::engine::{Script, TestEngine, inspected};
use support::layer::{Layer, text};
use support::pushing::{PushedLayer, Pushing};
use support::sandbox::{Sandbox, signalled};

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

    /// Fails unless the daemon has what it had, by the names that it had.
    fn is_as_before(&self, engine: &TestEngine) {
        assert_eq!(engine.images(), self.script.images, "{:#?}", engine.requests());
    }

    /// The image, without a name: its ID.
    fn nameless(&mut self) -> String {
        let image = self.script.images.remove("app:1").unwrap();
        let id = image["Id"].as_str().unwrap().to_owned();
        self.script.images.insert(id.clone(), image);
        id
    }

    /// A grab by a shell's script, which has it as `"$0" "$@"`.
    fn shell(&self, script: &str, engine: &TestEngine, arguments: &[&str]) -> Command {
        let grab = self.sandbox.command(&[&["grab", "-H", &engine.host()], arguments].concat());
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).arg(grab.get_program()).args(grab.get_args()).env_clear();
        command.envs(grab.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.sandbox.out()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A grab that is told to end while the daemon pushes: what it says.
    fn signalled(&self, engine: &TestEngine, arguments: &[&str], signal: Signal) -> String {
        let child = self.sandbox.spawn(&[&["grab", "-H", &engine.host()], arguments].concat());
        engine.await_request("/push?");
        self.sandbox.shown(&signalled(child, &[signal]))
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
    case.is_as_before(&engine);
    // Of the lowest the others come, too; the daemon begins with the last.
    let shown = case.grab(&engine, &["app:1", "--layer", "0", "--json"]);
    let thrown: usize = case.layers[1..].iter().map(|layer| layer.blob.len()).sum();
    assert!(shown.contains(&format!("\"thrown_away_bytes\":{thrown}")), "{shown}");
    assert!(case.file(0, "layer.tar") == case.layers[0].inflated);
    case.is_as_before(&engine);
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
    case.is_as_before(&engine);
    // By its blob, found without a name.
    let digest = Digest::of(&case.layers[0].blob);
    case.grab(&engine, &[&digest.hex()[..20]]);
    assert!(case.file(0, "layer.tar") == case.layers[0].inflated);
    case.is_as_before(&engine);
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
    case.is_as_before(&engine);
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
        case.is_as_before(&engine);
    }
}

#[test]
fn a_daemon_that_does_not_push_is_heard() {
    let mut case = Case::new();
    case.script.pushing.refusal = Some("layer does not exist\u{1b}[2J");
    let engine = case.start();
    assert_snapshot!("refused", case.grab(&engine, &["app:1"]));
    assert_eq!(case.sandbox.files(), Vec::<String>::new());
    case.is_as_before(&engine);
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
    let id = case.nameless();
    case.sandbox = case.sandbox.redact(&id[7..], "IMAGE");
    let engine = case.start();
    assert_snapshot!("nameless", case.grab(&engine, &[&id]));
    case.is_as_before(&engine);
    fs::create_dir(case.sandbox.out().join("blobs")).unwrap();
    let options = ["--clean", "--registry-format", "-o", "blobs"];
    assert_snapshot!("nameless_cleaned", case.grab(&engine, &[&[id.as_str()], &options[..]].concat()));
    assert!(engine.images().is_empty(), "{:#?}", engine.images());
}

#[test]
fn an_image_goes_only_when_all_its_layers_are_safe() {
    let mut case = Case::new().pulled();
    let id = case.nameless();
    let both = [id.as_str(), "--clean", "--layer", "0", "--layer", "1"];
    // It stays where the push fails, where somebody ends it, and where another grab is at it.
    let started = |case: &Case, name: &str| {
        let folder = case.sandbox.path().join(name);
        fs::create_dir(&folder).unwrap();
        TestEngine::start(&folder, case.script.clone())
    };
    case.script.pushing.refusal = Some("no");
    let engine = started(&case, "refused");
    assert!(case.grab(&engine, &both).contains("did not push"));
    case.is_as_before(&engine);
    case.script.pushing.refusal = None;
    case.script.pushing.stalls = true;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let engine = started(&case, &format!("{signal:?}"));
        let shown = case.signalled(&engine, &both, signal);
        assert!(shown.contains(&format!("exit code: {code}\n")), "{shown}");
        case.is_as_before(&engine);
    }
    // Under nohup a terminal that goes away ends nothing.
    let engine = started(&case, "nohup");
    let script = "trap '' HUP; exec \"$0\" \"$@\"";
    let child = case.shell(script, &engine, &both).spawn().unwrap();
    engine.await_request("/push?");
    let shown = case.sandbox.shown(&signalled(child, &[Signal::HUP, Signal::TERM]));
    assert!(shown.contains("exit code: 143\n"), "{shown}");
    case.is_as_before(&engine);
    case.script.pushing.stalls = false;
    let live = Presence::start(true);
    let image = case.script.images[&id].clone();
    case.script.images.insert(live.name(), image);
    let engine = started(&case, "beside");
    let shown = case.grab(&engine, &both);
    assert!(shown.contains("exit code: 0\n"), "{shown}");
    case.is_as_before(&engine);
    case.script.images.remove(&live.name());
    // All layers come before the image goes; what has nothing to do with it stays.
    let stranger = inspected(&Digest::of(b"stranger"), "linux/amd64", &[Digest::of(b"its layer")]);
    let before = [(Digest::of(b"stranger").to_string(), stranger)];
    case.script.images.extend(before.clone());
    fs::remove_dir_all(case.sandbox.out()).unwrap();
    fs::create_dir(case.sandbox.out()).unwrap();
    let engine = started(&case, "all");
    let shown = case.grab(&engine, &both);
    assert!(shown.contains("exit code: 0\n"), "{shown}");
    assert!(case.file(0, "layer.tar") == case.layers[0].inflated);
    assert!(case.file(1, "layer.tar") == case.layers[1].inflated);
    assert_eq!(engine.images(), before.clone().into());
    // By the digest of a blob all images are looked into, and one goes.
    let engine = started(&case, "by-blob");
    let shown = case.grab(&engine, &["--clean", &Digest::of(&case.layers[2].blob).to_string()]);
    assert!(shown.contains("exit code: 0\n"), "{shown}");
    assert!(case.file(2, "layer.tar") == case.layers[2].inflated);
    assert_eq!(engine.images(), before.into());
}

#[test]
fn an_image_that_loses_its_name_meanwhile_stays() {
    let mut case = Case::new();
    let other = inspected(&Digest::of(b"other"), "linux/amd64", &[]);
    case.script.pushing.renames = Some(("app:1".to_owned(), other.clone()));
    let engine = case.start();
    let shown = case.grab(&engine, &["app:1"]);
    assert!(shown.contains("exit code: 0\n"), "{shown}");
    let id = case.nameless();
    case.script.images.insert("app:1".to_owned(), other);
    case.is_as_before(&engine);
    assert!(engine.images().contains_key(&id));
}

#[test]
fn the_name_of_another_grab_is_none_that_an_image_could_keep() {
    let mut case = Case::new();
    let id = case.nameless();
    let image = case.script.images[&id].clone();
    let live = Presence::start(true);
    case.script.images.insert(live.name(), image);
    // The other one ends first.
    case.script.pushing.renames = Some((live.name(), inspected(&Digest::of(b"other"), "linux/amd64", &[])));
    let engine = case.start();
    let shown = case.grab(&engine, &[&id]);
    assert!(shown.contains("warning: nothing else refers") && !shown.contains("sealift-grab-"), "{shown}");
    assert!(engine.images().contains_key(&id));
}

#[test]
fn a_name_that_can_not_be_taken_away_is_told_and_the_layer_is_there() {
    let mut case = Case::new();
    case.script.keeps_names = true;
    let engine = case.start();
    let unnamed = |shown: String| {
        let is_name = |word: &&str| word.starts_with("127.0.0.1:");
        let name = shown.split_whitespace().find(is_name).unwrap().trim_end_matches([',', ';']).to_owned();
        let id = case.script.images["app:1"]["Id"].as_str().unwrap();
        shown.replace(&name, "NAME").replace(&id[7..], "IMAGE")
    };
    assert_snapshot!("name_stays", unnamed(case.grab(&engine, &["app:1"])));
    assert!(case.file(2, "layer.tar") == case.layers[2].inflated);
    case.script.pushing.refusal = Some("no");
    fs::create_dir(case.sandbox.path().join("failing")).unwrap();
    let engine = TestEngine::start(&case.sandbox.path().join("failing"), case.script.clone());
    assert_snapshot!("name_stays_of_a_failure", unnamed(case.grab(&engine, &["app:1", "--layer", "0"])));
}

#[test]
fn what_nobody_wants_may_be_larger_than_the_disk() {
    let mut case = Case::new();
    case.script.pushing.layers[1].blob = Layer::tar(7, 1_000_000).blob;
    let engine = case.start();
    // Files of so many blocks of 512 bytes, and no signal when one is to get larger.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"";
    for options in [&["--layer", "0"][..], &["--layer", "0", "--tar", "x.tar"]] {
        let output = case.shell(script, &engine, &[&["app:1"], options].concat()).output().unwrap();
        assert!(output.status.success(), "{}", case.sandbox.shown(&output));
    }
    assert!(case.file(0, "layer.tar") == case.layers[0].inflated);
    let mut case = Case::new();
    let large = Layer::tar(7, 1_000_000);
    case.script.pushing.layers[2].blob = large.blob.clone();
    let diff_ids = [&case.diff_ids[..2], &[Digest::of(&large.inflated)]].concat();
    case.script.images =
        [("app:1".to_owned(), inspected(&Digest::of(b"id"), "linux/amd64", &diff_ids))].into();
    let engine = case.start();
    let output = case.shell(script, &engine, &["app:1"]).output().unwrap();
    let shown = case.sandbox.shown(&output);
    assert!(shown.contains("exit code: 7") && shown.contains("layer.tar"), "{shown}");
    assert_eq!(case.sandbox.files(), Vec::<String>::new());
    case.is_as_before(&engine);
}

#[test]
fn how_large_a_layer_may_be_can_be_said() {
    let case = Case::new().pulled();
    let engine = case.start();
    let small = ["app:1", "--layer", "1", "--max-layer-size", "40000B"];
    let digest = Digest::of(&case.layers[1].blob);
    let shown = case.grab(&engine, &small).replace(digest.hex(), "BLOB_1");
    assert_snapshot!("too_large", shown);
    assert_eq!(case.sandbox.files(), Vec::<String>::new());
    case.is_as_before(&engine);
    let shown = case.grab(&engine, &["app:1", "--layer", "1", "--max-layer-size", "50000B"]);
    assert!(shown.contains("exit code: 0\n"), "{shown}");
}

#[test]
fn a_blob_that_was_asked_for_comes_as_no_other() {
    let mut case = Case::new().pulled();
    // As somebody else packed it; this daemon packs it its own way.
    let asked = Digest::of(b"packed by another");
    case.script.pushing.layers[1].known = vec![asked.clone()];
    case.sandbox = case.sandbox.redact(asked.hex(), "ASKED");
    case.sandbox = case.sandbox.redact(Digest::of(&case.layers[1].blob).hex(), "PACKED");
    let engine = case.start();
    assert_snapshot!("packed_anew", case.grab(&engine, &[&asked.to_string(), "--registry-format"]));
    assert_eq!(case.sandbox.files(), Vec::<String>::new());
    // What is in it is the same.
    let shown = case.grab(&engine, &[&asked.to_string()]);
    assert!(shown.contains("exit code: 0\n"), "{shown}");
    assert!(case.file(1, "layer.tar") == case.layers[1].inflated);
    fs::remove_dir_all(case.sandbox.out().join(case.diff_ids[1].hex())).unwrap();
    // A blob that is there is no other, either.
    assert!(case.grab(&engine, &["app:1", "--layer", "1", "--registry-format"]).contains("exit code: 0\n"));
    let shown = case.grab(&engine, &[&asked.to_string(), "--registry-format"]);
    assert!(shown.contains("is there already"), "{shown}");
    case.is_as_before(&engine);
}

#[test]
fn of_several_platforms_the_image_is_the_one_with_its_layers() {
    let mut case = Case::new().pulled();
    // Docker with containerd's store, of a time when a push was for all platforms.
    case.script.version["ApiVersion"] = json!("1.44");
    case.script.info = json!({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]});
    let digests: Vec<_> = (0..3).map(|seed| Digest::of(&text(seed, 100))).collect();
    let other = json!({"architecture": "arm64", "os": "linux", "config": {},
                       "rootfs": {"type": "layers", "diff_ids": digests}});
    case.script.pushing.other_config = Some(other.to_string().into_bytes());
    let engine = case.start();
    let shown = case.grab(&engine, &["app:1", "--layer", "-1", "--on-base", "--tar", "patch.tar"]);
    assert!(shown.contains("exit code: 0\n") && !shown.contains("warning"), "{shown}");
    let listed = names_in(&case.sandbox.out().join("patch.tar"));
    let config = Digest::of(&case.script.pushing.config);
    assert!(listed.contains(&format!("blobs/sha256/{}", config.hex())), "{listed:?}");
    case.is_as_before(&engine);
}

#[test]
fn a_word_of_few_hexadecimal_digits_is_not_looked_for_among_blobs() {
    let case = Case::new().pulled();
    let engine = case.start();
    let pushes = || engine.requests().iter().filter(|request| request.contains("/push?")).count();
    let unknown = "0123456789ab".repeat(5) + "0123";
    for arguments in [&["beef"][..], &["--list", &unknown], &["cafe", "--json"]] {
        assert!(case.grab(&engine, arguments).contains("exit code: 4"));
    }
    assert_eq!(pushes(), 0);
    let shown = case.grab(&engine, &[&unknown]);
    assert!(shown.contains("exit code: 4") && shown.contains("the blobs of 1 image"), "{shown}");
    assert_ne!(pushes(), 0);
    case.is_as_before(&engine);
}

#[test]
fn layers_for_different_platforms_make_no_image() {
    let mut case = Case::new();
    let other = inspected(&Digest::of(b"arm"), "linux/arm64", &case.diff_ids);
    case.script.images.insert("arm:1".to_owned(), other);
    let engine = case.start();
    assert_snapshot!("several_platforms", case.grab(&engine, &["app:1", "arm:1", "--tar", "x.tar"]));
    fs::write(case.sandbox.out().join("there.tar"), "").unwrap();
    assert!(case.grab(&engine, &["app:1", "--tar", "there.tar"]).contains("is there already"));
    assert!(!engine.requests().iter().any(|request| request.contains("/push?")));
}

/// A containerd whose `ctr` is a script: three names of one image, as Kubernetes has them.
fn containerd(sandbox: &Sandbox, config: &[u8], promised: &Digest) -> Digest {
    let folder = sandbox.path().join("containerd");
    fs::create_dir(&folder).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": promised},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 1, "digest": Digest::of(b"layer")}],
    });
    let manifest = manifest.to_string();
    let id = Digest::of(manifest.as_bytes());
    fs::write(folder.join(id.to_string()), manifest).unwrap();
    fs::write(folder.join(promised.to_string()), config).unwrap();
    let names = ["site.example/app:1".to_owned(), format!("site.example/app@{id}"), id.to_string()];
    fs::write(folder.join("names"), names.join("\n")).unwrap();
    let script = format!(
        "#!/bin/sh\nshift 4\ncase \"$1 $2 $3\" in\n\
         plugins*) printf 'Type: io.containerd.snapshotter.v1\\nPlatforms: linux/amd64\\n' ;;\n\
         'images list --quiet') /bin/cat '{folder}/names' ;;\n\
         images*) n=${{3#name==\\\"}}; printf 'REF TYPE DIGEST\\n%s x {id} 1\\n' \"${{n%\\\"}}\" ;;\n\
         content*) /bin/cat '{folder}/'\"$3\" || {{ echo not found >&2; exit 1; }} ;;\n\
         esac\n",
        folder = folder.display()
    );
    fs::write(folder.join("ctr"), script).unwrap();
    fs::set_permissions(folder.join("ctr"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("containerd.sock"), "").unwrap();
    id
}

#[test]
fn an_image_of_containerd_with_several_names_is_one() {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
                        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"plain")]}});
    let config = config.to_string().into_bytes();
    let sandbox = Sandbox::new();
    let digest = Digest::of(&config);
    let id = containerd(&sandbox, &config, &digest);
    let folder = sandbox.path().join("containerd");
    let sandbox = sandbox.variable("PATH", folder.to_str().unwrap());
    let socket = folder.join("containerd.sock");
    let list = |what: &str| {
        let address = ["grab", "--from", "containerd", "--address", socket.to_str().unwrap(), "--list", what];
        sandbox.run(&address)
    };
    // By the ID that `ctr` shows, and by the one that `crictl` does.
    for text in
        ["site.example/app:1", &id.to_string(), &id.hex()[..12], &digest.to_string(), &digest.hex()[..12]]
    {
        let shown = list(text);
        assert!(shown.contains(&format!("0  {}", Digest::of(b"plain"))), "{text}: {shown}");
    }
    // A config that is damaged is none, and neither is one without an end.
    let larger = [&config[..], &vec![b' '; 9 << 20]].concat();
    for (number, damaged) in [b"{}".to_vec(), larger].into_iter().enumerate() {
        let digest = if number == 0 { digest.clone() } else { Digest::of(&damaged) };
        let sandbox = Sandbox::new();
        containerd(&sandbox, &damaged, &digest);
        let folder = sandbox.path().join("containerd");
        let sandbox = sandbox.variable("PATH", folder.to_str().unwrap());
        let socket = folder.join("containerd.sock");
        let address = ["grab", "--from", "containerd", "--address", socket.to_str().unwrap()];
        let shown = sandbox.run(&[&address[..], &["--list", "site.example/app:1"]].concat());
        assert!(shown.contains("exit code: 4") && shown.contains("has no image"), "{number}: {shown}");
    }
}

/// The names of an archive's entries.
fn names_in(archive: &Path) -> Vec<String> {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let entries = archive.entries().unwrap();
    entries.map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Something that answers requests at an address of this machine: a shim, or something else.
struct Presence(SocketAddr);

impl Presence {
    fn start(is_shim: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let header = if is_shim { "sealift-grab: here\r\n" } else { "" };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = write!(
                    stream,
                    "HTTP/1.1 401 x\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n"
                );
            }
        });
        Self(address)
    }

    fn name(&self) -> String {
        format!("{}/sealift-grab-0123456789abcdef0123456789abcdef:latest", self.0)
    }
}

#[test]
fn names_of_runs_that_are_no_more_are_taken_away() {
    let mut case = Case::new();
    let image = case.script.images["app:1"].clone();
    let id = Digest::of(b"nameless");
    let nameless = inspected(&id, "linux/amd64", &case.diff_ids);
    let nothing = inspected(&Digest::of(b"nothing yet"), "linux/amd64", &[Digest::of(&[0; 1024])]);
    // Where nobody listens, of an image that has no other name and of what is made on the way; where something else does; and
    // where its run is.
    let gone = || Presence(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let (other, there) = (Presence::start(false), Presence::start(true));
    let stale = [(gone().name(), nameless.clone()), (gone().name(), nothing), (other.name(), image.clone())];
    // Of others, who called theirs much alike, and of another machine's.
    let foreign = [
        "localhost:1/sealift-grab-tools:dev".to_owned(),
        "team.example/sealift-grab-x/app:1".to_owned(),
        "192.0.2.1:1/sealift-grab-0123456789abcdef0123456789abcdef:latest".to_owned(),
    ];
    case.script.images.insert(there.name(), image.clone());
    case.script.images.extend(foreign.map(|name| (name, image.clone())));
    let mut left = case.script.images.clone();
    left.insert(id.to_string(), nameless);
    case.script.images.extend(stale);
    // Nothing is known of where the names lead before something came.
    case.script.pushing.refusal = Some("no");
    fs::create_dir(case.sandbox.path().join("refusing")).unwrap();
    let engine = TestEngine::start(&case.sandbox.path().join("refusing"), case.script.clone());
    case.grab(&engine, &["app:1"]);
    case.is_as_before(&engine);
    case.script.pushing.refusal = None;
    let engine = case.start();
    case.grab(&engine, &["app:1"]);
    assert_eq!(engine.images(), left);
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
    let patch = ["app:1", "--layer", "-1", "--tar", "patch.tar", "--on-base", "--progress", "none"];
    assert_snapshot!("archive_without_the_base", case.grab(&engine, &patch));
    let names = names_in(&case.sandbox.out().join("patch.tar"));
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
    case.is_as_before(&engine);
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
        // Its own loopback is no address of this machine.
        let here = case.sandbox.run(&["grab", "-H", host, "app:1", "--listen", "127.0.0.1"]);
        assert!(here.contains("exit code: 2") && here.contains("is on another machine"), "{here}");
    }
    assert_eq!(case.sandbox.files(), Vec::<String>::new());
    case.is_as_before(&engine);
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
