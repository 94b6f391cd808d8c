//! Pull, seen from outside: the binary against the embedded registry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use sealift::image::{Digest, MediaType};
use serde_json::{Value, json};
use support::image::{descriptor, noise, push};
use support::registry::{Fault, TestRegistry};
use support::sandbox::Sandbox;
#[cfg(unix)]
use {rustix::process::Signal, support::sandbox::signalled};

#[test]
fn pull_writes_the_default_name_and_says_how_to_load_it() {
    let registry = TestRegistry::start();
    let image = push(&registry, "org/name:1.0", "linux/amd64", &[b"base", b"top"]);
    let sandbox = Sandbox::new().redact(registry.address(), "[REGISTRY]");
    let output = sandbox.output(&["pull", &image.reference]);
    let name = format!("{}_org_name_1.0_amd64.tar", registry.address().replace(':', "_"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{name}\n"));
    assert!(String::from_utf8(output.stderr).unwrap().contains(&format!("docker load -i {name}")));
    assert_eq!(sandbox.files(), [name]);
}

#[test]
fn an_image_of_the_longest_name_gets_a_file_and_all_that_stands_beside_it() {
    let registry = TestRegistry::start();
    let path = "n".repeat(254 - registry.address().len());
    let image = push(&registry, &format!("{path}:{}", "t".repeat(128)), "linux/amd64", &[b"layer"]);
    let sandbox = Sandbox::new();
    for layers in ["keep", "plain"] {
        let options = ["--layers", layers, "--checksum", "--load-script"];
        let output = sandbox.output(&[&["pull", &image.reference], &options[..]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(sandbox.files().len(), 3, "{:?}", sandbox.files());
}

#[test]
fn every_file_of_the_archive_is_what_its_name_says() {
    let registry = TestRegistry::start();
    let layers = [noise(1, 3_000_000), noise(2, 512), noise(3, 0), noise(1, 3_000_000)];
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let image = push(&registry, "n", "linux/amd64", &layers);
    let sandbox = Sandbox::new();
    assert!(sandbox.output(&["pull", &image.reference, "-o", "x.tar"]).status.success());
    let mut archive = tar::Archive::new(fs::File::open(sandbox.out().join("x.tar")).unwrap());
    let mut verified = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let hex = path.strip_suffix("/layer.tar").or_else(|| path.strip_suffix(".json"));
        let hex = hex.or_else(|| path.strip_prefix("blobs/sha256/").filter(|_| entry.size() > 0));
        let Some(hex) = hex.filter(|hex| hex.len() == 64) else { continue };
        let hex = hex.to_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        assert_eq!(Digest::of(&bytes).hex(), hex, "{path}");
        verified.push(hex);
    }
    for digest in image.layers.iter().chain([&image.manifest, &image.config]) {
        assert!(verified.contains(&digest.hex().to_owned()), "{digest} is not in the archive");
    }
    assert_eq!(verified.len(), 5, "three different layers, a config and a manifest");
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 100_000), &noise(2, 70_000)]);
    let sandbox = Sandbox::new();
    for name in ["one.tar", "two.tar"] {
        let connections = if name == "one.tar" { "1" } else { "8" };
        let output = sandbox.output(&["pull", &image.reference, "-o", name, "--connections", connections]);
        assert!(output.status.success());
    }
    let read = |name| fs::read(sandbox.out().join(name)).unwrap();
    assert!(read("one.tar") == read("two.tar"));
}

#[test]
fn dry_run_tells_the_size_to_the_byte_and_fetches_no_layer() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 12_345)]);
    let sandbox = Sandbox::new();
    let planned = sandbox.output(&["pull", &image.reference, "--dry-run", "--json"]);
    let planned: Value = serde_json::from_slice(&planned.stdout).unwrap();
    let layer = image.layers[0].to_string();
    assert!(!registry.requests().iter().any(|request| request.contains(&layer)));
    assert!(sandbox.files().is_empty());
    let pulled = sandbox.output(&["pull", &image.reference, "--json", "-q"]);
    assert!(pulled.stderr.is_empty());
    let pulled: Value = serde_json::from_slice(&pulled.stdout).unwrap();
    let path = sandbox.out().join(pulled["path"].as_str().unwrap());
    assert_eq!(planned["size_bytes"], fs::metadata(path).unwrap().len());
    for key in ["size_bytes", "path", "images"] {
        assert_eq!(planned[key], pulled[key], "{key}");
    }
    for key in ["image", "platform", "digest", "manifest", "config", "layers"] {
        assert!(!pulled["images"][0][key].is_null(), "{key}");
    }
    assert!(planned["free_bytes"].as_u64().unwrap() > 0);
    assert_eq!(pulled["images"][0]["digest"], image.manifest.to_string());
    assert_eq!(planned["fits_fat32"], true);
}

#[test]
fn a_dry_run_is_a_table_for_people() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/arm/v7", &[b"layer"]);
    let sandbox = Sandbox::new();
    let output = sandbox.output(&["pull", &image.reference, "--dry-run", "--platform", "linux/arm/v7"]);
    let table = String::from_utf8(output.stdout).unwrap();
    for row in [
        "image       127",
        "platform    linux/arm/v7",
        "digest      sha256:",
        "size        ",
        "FAT32       fits",
    ] {
        assert!(table.contains(row), "{row} is not in\n{table}");
    }
}

#[test]
fn the_platform_asked_for_is_the_one_that_comes() {
    let registry = TestRegistry::start();
    let platforms = ["linux/arm/v6", "linux/arm64/v8", "linux/amd64"];
    let reference = push_index_of(&registry, &platforms.map(|platform| (Some(platform), platform)));
    let index = Digest::of(&registry.manifest_bytes("multi", "latest"));
    let sandbox = Sandbox::new();
    for (option, value, platform) in [
        ("--platform", "linux/amd64", "linux/amd64"),
        ("--platform", "linux/arm/v7", "linux/arm/v6"),
        ("--arch", "arm64", "linux/arm64"),
        ("-a", "linux/arm64/v8", "linux/arm64"),
    ] {
        let output = sandbox.output(&["pull", &reference, option, value, "--json"]);
        let pulled: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{value}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(pulled["images"][0]["platform"], platform);
        assert_eq!(pulled["images"][0]["digest"], index.to_string());
    }
    assert_eq!(sandbox.files().len(), 3);
}

#[test]
fn an_image_for_another_platform_comes_with_a_warning() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/riscv64", &[b"layer"]);
    let output = Sandbox::new().output(&["pull", &image.reference]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("warning: ") && said.contains("linux/riscv64 only"), "{said}");
}

#[test]
fn several_images_give_a_file_each_and_a_folder_is_taken() {
    let registry = TestRegistry::start();
    let images =
        ["a/b_c", "a_b/c", "other"].map(|name| push(&registry, name, "linux/amd64", &[name.as_bytes()]));
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.out().join("dir")).unwrap();
    let mut arguments = vec!["pull", "-o", "dir/"];
    arguments.extend(images.iter().map(|image| image.reference.as_str()));
    arguments.push(&images[0].reference);
    let output = sandbox.output(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 3, "an image named twice is pulled once");
    for path in stdout.lines() {
        assert!(sandbox.out().join(path).is_file(), "{path}");
    }
}

#[test]
fn an_existing_file_is_replaced_only_by_a_whole_one() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 100_000)]);
    let sandbox = Sandbox::new();
    let file = sandbox.out().join("x.tar");
    fs::write(&file, "old").unwrap();
    registry.fault(&image.layers[0].to_string(), Fault::Cut(1000));
    assert_eq!(sandbox.output(&["pull", &image.reference, "-o", "x.tar"]).status.code(), Some(6));
    assert_eq!(fs::read(&file).unwrap(), b"old");
    registry.heal();
    assert!(sandbox.output(&["pull", &image.reference, "-o", "x.tar"]).status.success());
    assert_eq!(sandbox.files(), ["x.tar"]);
    assert!(fs::metadata(&file).unwrap().len() > 100_000);
}

/// Waits for the layer's bytes to be on their way, after the first so many requests.
fn wait_for_request(registry: &TestRegistry, before: usize, text: &str) {
    let started = Instant::now();
    while !registry.requests()[before..].iter().any(|request| request.contains(text)) {
        assert!(started.elapsed() < Duration::from_secs(20), "{text} was never asked for");
        sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn interrupted_it_leaves_nothing_and_says_so() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 1_000_000)]);
    let layer = image.layers[0].to_string();
    registry.fault(&layer, Fault::Stall(300_000));
    for (signal, code, name) in [(Signal::INT, 130, "interrupted"), (Signal::TERM, 143, "terminated")] {
        let sandbox = Sandbox::new().redact(registry.port(), "PORT");
        let before = registry.requests().len();
        let child = sandbox.spawn(&["pull", &image.reference, "-o", "x.tar"]);
        let started = Instant::now();
        while registry.requests().len() < before + 3 || sandbox.files().is_empty() {
            assert!(started.elapsed() < Duration::from_secs(20));
            sleep(Duration::from_millis(5));
        }
        let output = signalled(child, &[signal]);
        assert_eq!(output.status.code(), Some(code), "{name}");
        assert_snapshot!(name, sandbox.shown(&output));
        assert!(sandbox.files().is_empty(), "{name}: {:?} is left", sandbox.files());
    }
}

#[test]
fn two_at_once_on_one_output_do_not_mix() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 1_000_000)]);
    let layer = image.layers[0].to_string();
    registry.fault(&layer, Fault::Stall(300_000));
    let mut sandbox = Sandbox::new();
    for mode in ["keep", "plain"] {
        let pull = ["pull", &image.reference, "-o", "x.tar", "--layers", mode, "-q"];
        let before = registry.requests().len();
        let mut first = sandbox.spawn(&pull);
        wait_for_request(&registry, before, &layer);
        let second = sandbox.output(&pull);
        assert_eq!(second.status.code(), Some(7));
        sandbox = sandbox.redact(format!("process {}", first.id()), "process FIRST");
        assert_snapshot!("two_at_once", sandbox.shown(&second));
        first.kill().unwrap();
        first.wait().unwrap();
    }
}

#[test]
fn a_closed_stdout_is_quiet() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[b"layer"]);
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["pull", &image.reference, "-q"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn progress_can_be_json_and_adds_up() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 500_000), &noise(2, 1000)]);
    let output = Sandbox::new().output(&["pull", &image.reference, "--progress", "json"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let events: Vec<Value> = stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).cloned().collect::<Vec<_>>();
    let progressed: u64 = of("blob_progressed").iter().map(|event| event["bytes"].as_u64().unwrap()).sum();
    assert_eq!(progressed, 501_000);
    assert_eq!(of("fill_started")[0]["blob_bytes"], 501_000);
    assert_eq!((of("blob_started").len(), of("blob_verified").len(), of("committed").len()), (2, 2, 1));
}

#[test]
fn the_demo_pulls_from_its_own_registry() {
    let sandbox = Sandbox::new();
    let output = sandbox.output(&["demo"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let path = String::from_utf8(output.stdout).unwrap();
    assert!(
        path.starts_with(sandbox.path().to_str().unwrap())
            && fs::metadata(path.trim_end()).unwrap().is_file()
    );
    assert!(stderr.contains("manifest.json") && stderr.contains("sealift pull busybox:latest"), "{stderr}");
    let output = sandbox.output(&["demo", "-o", "demo.tar"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "demo.tar\n");
    assert_eq!(sandbox.files(), ["demo.tar"]);
}

/// Puts an index of these entries there; each is a platform of the entry, if any, and one of the image's config.
fn push_index_of(registry: &TestRegistry, entries: &[(Option<&str>, &str)]) -> String {
    let mut manifests = Vec::new();
    for (marked, built) in entries {
        push(registry, "multi:part", built, &[built.as_bytes()]);
        let mut entry =
            descriptor(MediaType::OciManifest.as_str(), &registry.manifest_bytes("multi", "part"));
        if let Some(marked) = marked {
            let mut parts = marked.split('/');
            entry["platform"] =
                json!({"os": parts.next(), "architecture": parts.next(), "variant": parts.next()});
        }
        manifests.push(entry);
    }
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": manifests});
    registry.manifest("multi", "latest", &MediaType::OciIndex, index.to_string());
    format!("{}/multi", registry.address())
}

#[test]
fn entries_that_say_nothing_are_looked_into_until_one_fits() {
    let registry = TestRegistry::start();
    let reference = push_index_of(&registry, &[(None, "linux/arm64"), (None, "linux/amd64")]);
    let sandbox = Sandbox::new();
    for (option, platform) in [("linux/amd64", "linux/amd64"), ("linux/arm64", "linux/arm64")] {
        let output = sandbox.output(&["pull", &reference, "--platform", option, "--json"]);
        let pulled: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(pulled["images"][0]["platform"], platform);
    }
    let output = sandbox.output(&["pull", &reference, "--platform", "linux/s390x"]);
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the index offers linux/arm64, linux/amd64"), "{said}");
}

/// Docker Hub counts each GET of a manifest as a pull.
#[test]
fn no_manifest_is_asked_for_twice() {
    let registry = TestRegistry::start();
    let entries = [(Some("linux/amd64"), "linux/amd64"), (Some("linux/arm64"), "linux/arm64")];
    let reference = push_index_of(&registry, &entries);
    let sandbox = Sandbox::new();
    let asked_for = |platforms: &[&str]| {
        let before = registry.requests().len();
        let arguments = ["pull", &reference, "-o", "x.tar", "--layers", "keep"];
        let output = sandbox.output(&[&arguments[..], platforms].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let requests = registry.requests().split_off(before);
        requests.into_iter().filter(|request| request.contains("/manifests/")).count()
    };
    assert_eq!(asked_for(&["--platform", "linux/amd64"]), 2, "the index and the manifest");
    assert_eq!(
        asked_for(&["--platform", "linux/amd64", "--platform", "linux/arm64"]),
        3,
        "one index for both"
    );
}

#[test]
fn an_index_goes_before_a_config_that_says_less_or_other() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let reference = push_index_of(&registry, &[(Some("linux/arm/v6"), "linux/arm")]);
    let output = sandbox.output(&["pull", &reference, "--platform", "linux/arm/v6", "--json"]);
    let pulled: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(pulled["images"][0]["platform"], "linux/arm/v6");
    let reference = push_index_of(&registry, &[(Some("linux/arm64"), "linux/amd64")]);
    let output = sandbox.output(&["pull", &reference, "--arch", "arm64", "--progress", "none"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("warning: the index of") && said.contains("the image's config says linux/amd64"),
        "{said}"
    );
}

#[test]
fn all_outputs_are_checked_before_the_first_layer_byte() {
    let registry = TestRegistry::start();
    let images = ["a", "b"].map(|name| push(&registry, name, "linux/amd64", &[name.as_bytes()]));
    let sandbox = Sandbox::new();
    let name = format!("{}_b_latest_amd64.tar", registry.address().replace(':', "_"));
    fs::create_dir(sandbox.out().join(&name)).unwrap();
    let output = sandbox.output(&["pull", &images[0].reference, &images[1].reference]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(sandbox.files(), [name]);
    let layer = images[0].layers[0].to_string();
    assert!(!registry.requests().iter().any(|request| request.contains(&layer)));
}

#[test]
fn plain_progress_is_a_line_every_few_seconds() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 300_000)]);
    registry.fault(&image.layers[0].to_string(), Fault::Pause(100_000, Duration::from_millis(5500)));
    let output = Sandbox::new().output(&["pull", &image.reference]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("1 layer, 292.97 KiB\n"), "{said}");
    assert!(
        said.contains(" of 292.97 KiB, ") && said.contains("/s, ") && said.contains(" s left\n"),
        "{said}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_gets_bars() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 300_000)]);
    registry.fault(&image.layers[0].to_string(), Fault::Pause(100_000, Duration::from_millis(800)));
    let sandbox = Sandbox::new();
    let line = format!("{} pull {}", env!("CARGO_BIN_EXE_sealift"), image.reference);
    let mut command = std::process::Command::new("script");
    let output = command
        .args(["-qec", &line, "/dev/null"])
        .current_dir(sandbox.out())
        .env("TERM", "xterm")
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    for part in ["1 layer", image.layers[0].short(), "━", "97.66 KiB / 292.97 KiB", "docker load -i"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[test]
fn settings_are_shown_made_and_found() {
    let sandbox = Sandbox::new();
    let text = |arguments: &[&str]| String::from_utf8(sandbox.output(arguments).stdout).unwrap();
    let path = sandbox.home().join(".config/sealift/config.json");
    assert_eq!(text(&["config", "path"]).trim_end(), path.to_str().unwrap());
    let shown: Value = serde_json::from_str(&text(&["config", "show"])).unwrap();
    let mut shipped = serde_json::from_str::<Value>(include_str!("../config.json")).unwrap();
    shipped["retry_times"] = json!(0); // the sandbox's environment goes over it
    assert_eq!(shown, shipped);
    assert_eq!(text(&["config", "init"]).trim_end(), path.to_str().unwrap());
    assert_eq!(
        sandbox.output(&["config", "init"]).status.code(),
        Some(7),
        "what is there is not overwritten"
    );
    fs::write(&path, r#"{"connections": 3, "platform": "linux/arm64"}"#).unwrap();
    let shown: Value = serde_json::from_str(&text(&["config", "show"])).unwrap();
    assert_eq!((&shown["connections"], &shown["platform"]), (&json!(3), &json!("linux/arm64")));
    let own = sandbox.path().join("own.json");
    fs::write(&own, r#"{"connections": 5}"#).unwrap();
    let shown: Value =
        serde_json::from_str(&text(&["--config", own.to_str().unwrap(), "config", "show"])).unwrap();
    assert_eq!((&shown["connections"], &shown["platform"]), (&json!(5), &Value::Null));
}

#[test]
fn settings_are_obeyed_and_flags_beat_the_environment_which_beats_the_file() {
    let registry = TestRegistry::start();
    let reference = push_index_of(
        &registry,
        &[
            (Some("linux/amd64"), "linux/amd64"),
            (Some("linux/arm64"), "linux/arm64"),
            (Some("linux/s390x"), "linux/s390x"),
        ],
    );
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("own.json");
    fs::create_dir(sandbox.out().join("there")).unwrap();
    fs::write(&file, r#"{"platform": "linux/arm64", "output": "there"}"#).unwrap();
    let pull = |sandbox: &Sandbox, options: &[&str]| {
        let arguments =
            [&["--config", file.to_str().unwrap(), "pull", &reference, "--json"], options].concat();
        let output = sandbox.output(&arguments);
        let pulled: Value = serde_json::from_slice(&output.stdout).unwrap();
        (
            pulled["images"][0]["platform"].as_str().unwrap().to_owned(),
            pulled["path"].as_str().unwrap().starts_with("there/"),
        )
    };
    assert_eq!(pull(&sandbox, &[]), ("linux/arm64".into(), true));
    let sandbox = sandbox.variable("SEALIFT_PLATFORM", "linux/s390x");
    assert_eq!(pull(&sandbox, &[]), ("linux/s390x".into(), true));
    assert_eq!(pull(&sandbox, &["--arch", "amd64", "-o", "x.tar"]), ("linux/amd64".into(), false));
}

#[test]
fn several_images_share_one_archive_and_each_blob_is_in_it_once() {
    let registry = TestRegistry::start();
    let (base, top) = (noise(1, 200_000), noise(2, 1000));
    let images = [("a", vec![&base[..]]), ("b", vec![&base[..], &top[..]])]
        .map(|(name, layers)| push(&registry, name, "linux/amd64", &layers));
    let sandbox = Sandbox::new();
    let output =
        sandbox.output(&["pull", &images[0].reference, &images[1].reference, "-o", "all.tar", "--json"]);
    let pulled: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> =
        pulled["images"].as_array().unwrap().iter().map(|image| image["image"].as_str().unwrap()).collect();
    assert_eq!(names, [&images[0].reference, &images[1].reference]);
    assert_eq!(sandbox.files(), ["all.tar"]);
    let size = fs::metadata(sandbox.out().join("all.tar")).unwrap().len();
    assert_eq!(pulled["size_bytes"], size);
    assert!((201_000..230_000).contains(&size), "the base is there once: {size}");
    let base = format!("GET /v2/a/blobs/{}", images[0].layers[0]);
    assert_eq!(registry.requests().iter().filter(|request| **request == base).count(), 1);
    assert!(!registry.requests().contains(&format!("GET /v2/b/blobs/{}", images[0].layers[0])));
}

#[test]
fn several_platforms_of_one_image_stand_under_one_index() {
    let registry = TestRegistry::start();
    let platforms = ["linux/amd64", "linux/arm64"];
    let reference = push_index_of(&registry, &platforms.map(|platform| (Some(platform), platform)));
    let sandbox = Sandbox::new();
    let arguments = ["pull", &reference, "--platform", "linux/arm64", "--platform", "linux/amd64"];
    assert!(sandbox.output(&[&arguments[..], &["-o", "both.tar"]].concat()).status.success());
    let mut archive = tar::Archive::new(fs::File::open(sandbox.out().join("both.tar")).unwrap());
    let (mut docker, mut index, mut blobs) = (Value::Null, Value::Null, 0);
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        match entry.path().unwrap().to_str().unwrap() {
            "manifest.json" => docker = serde_json::from_reader(entry).unwrap(),
            "index.json" => index = serde_json::from_reader(entry).unwrap(),
            path if path.starts_with("blobs/") => blobs += 1,
            _ => {}
        }
    }
    assert_eq!(docker.as_array().unwrap().len(), 1, "Docker's half has room for one platform of a name");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(blobs, 1 + 2 * 3, "the index, and manifest, config and layer of both");
    let output = sandbox.output(&arguments);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2, "without -o FILE a file each");
}

#[test]
fn what_is_there_already_to_the_byte_is_not_fetched_again() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 300_000), &noise(2, 100)]);
    let sandbox = Sandbox::new().redact(registry.port(), "PORT");
    let pull = || sandbox.output(&["pull", &image.reference, "-o", "x.tar", "--json"]);
    let layer = image.layers[0].to_string();
    let fetched = || registry.requests().iter().filter(|request| request.contains(&layer)).count();
    let up_to_date = |output: &std::process::Output| {
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["up_to_date"].as_bool().unwrap()
    };
    assert!(!up_to_date(&pull()));
    let output = pull();
    assert!(up_to_date(&output) && fetched() == 1);
    assert_snapshot!("up_to_date", sandbox.redacted(&String::from_utf8(output.stderr).unwrap()));
    let file = sandbox.out().join("x.tar");
    let whole = fs::read(&file).unwrap();
    for position in [100, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        fs::write(&file, changed).unwrap();
        assert!(!up_to_date(&pull()), "a byte at {position} differs");
        assert!(fs::read(&file).unwrap() == whole);
    }
    assert_eq!(fetched(), 4);
}

#[test]
fn no_clobber_leaves_what_is_there() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[b"layer"]);
    let sandbox = Sandbox::new().redact(registry.port(), "PORT");
    fs::write(sandbox.out().join("x.tar"), "mine").unwrap();
    assert_snapshot!("no_clobber", sandbox.run(&["pull", &image.reference, "-o", "x.tar", "--no-clobber"]));
    assert_eq!(fs::read(sandbox.out().join("x.tar")).unwrap(), b"mine");
    let layer = image.layers[0].to_string();
    assert!(!registry.requests().iter().any(|request| request.contains(&layer)));
    assert!(sandbox.output(&["pull", &image.reference, "-o", "new.tar", "--no-clobber"]).status.success());
}

#[test]
fn a_pipe_gets_the_same_bytes_as_a_file() {
    let registry = TestRegistry::start();
    let layers = [noise(1, 700_000), noise(2, 0), noise(3, 512), noise(1, 700_000), noise(4, 1)];
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let images = ["a", "b"].map(|name| push(&registry, name, "linux/amd64", &layers));
    let sandbox = Sandbox::new();
    for names in [&[&images[0].reference[..]][..], &[&images[0].reference, &images[1].reference]] {
        assert!(sandbox.output(&[&["pull", "-o", "x.tar"], names].concat()).status.success());
        let output = sandbox.output(&[&["pull", "-o", "-"], names].concat());
        assert!(output.stdout == fs::read(sandbox.out().join("x.tar")).unwrap());
        assert!(String::from_utf8(output.stderr).unwrap().contains("layers"), "progress goes to stderr");
    }
    assert_eq!(sandbox.files(), ["x.tar"]);
}

#[test]
fn a_pipe_that_fails_ends_inside_an_entry() {
    let registry = TestRegistry::start();
    let layers = [noise(1, 200_000), noise(2, 0), noise(3, 512), noise(4, 1)];
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let image = push(&registry, "n", "linux/amd64", &layers);
    let sandbox = Sandbox::new();
    let pull = || sandbox.output(&["pull", "-o", "-", &image.reference]);
    let whole = pull().stdout;
    let ends_inside = |bytes: &[u8]| {
        let entries = tar::Archive::new(bytes)
            .entries()
            .unwrap()
            .try_for_each(|entry| std::io::copy(&mut entry?, &mut std::io::sink()).map(drop));
        // The reader is content with a stream that ends where an entry does, or in its padding.
        entries.is_err() || bytes.is_empty()
    };
    assert!(!ends_inside(&whole));
    let (cut, flip) = (|bytes| Fault::Cut(bytes), || Fault::Flip);
    for (number, layer) in image.layers.iter().enumerate() {
        let missing = Fault::Answer(404, vec![], "gone".into());
        let faults = [
            missing,
            cut(0),
            cut(layers[number].len() / 2),
            flip(),
            Fault::Short(0),
            Fault::Long(1),
            Fault::Long(600_000),
        ];
        for (kind, fault) in faults.into_iter().enumerate() {
            if number == 1 && matches!(kind, 1..=4) {
                continue; // an empty layer can't be cut, flipped or short
            }
            registry.heal();
            registry.fault(&format!("GET /v2/n/blobs/{layer}"), fault);
            let output = pull();
            assert_ne!(output.status.code(), Some(0), "layer {number}, fault {kind}");
            let is_flipped = kind == 3;
            assert!(is_flipped || whole.starts_with(&output.stdout), "layer {number}, fault {kind}");
            assert!(
                ends_inside(&output.stdout),
                "layer {number}, fault {kind}: {} bytes",
                output.stdout.len()
            );
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_into_a_full_disk_says_so() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 300_000)]);
    let sandbox = Sandbox::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut pull = sandbox.command(&["pull", &image.reference, "-o", "-", "-q"]);
    assert_snapshot!("pipe_into_a_full_disk", sandbox.shown(&pull.stdout(full).output().unwrap()));
}

#[test]
fn a_pipe_that_is_closed_is_quiet_and_one_to_a_terminal_is_refused() {
    let registry = TestRegistry::start();
    let image = push(&registry, "n", "linux/amd64", &[&noise(1, 3_000_000)]);
    let sandbox = Sandbox::new();
    let mut child = sandbox.command(&["pull", "-q", "-o", "-", &image.reference]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(1), String::new()));
    let said = |arguments: &[&str]| String::from_utf8(sandbox.output(arguments).stderr).unwrap();
    assert!(said(&["pull", "-o", "-", "--json", "x"]).contains("both want stdout"));
    #[cfg(target_os = "linux")]
    {
        let line = format!("{} pull -o - {}", env!("CARGO_BIN_EXE_sealift"), image.reference);
        let output =
            std::process::Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stdout).unwrap().contains("a terminal"));
    }
}

#[test]
fn an_image_that_fails_does_not_stop_the_others() {
    let registry = TestRegistry::start();
    let images = ["a", "b", "c"].map(|name| push(&registry, name, "linux/amd64", &[name.as_bytes()]));
    registry.fault(&format!("GET /v2/b/blobs/{}", images[1].layers[0]), Fault::Flip);
    let sandbox = Sandbox::new();
    let missing = format!("{}/none:latest", registry.address());
    let names: Vec<&str> = images.iter().map(|image| &image.reference[..]).collect();
    let output = sandbox.output(&["pull", &missing, names[0], names[1], names[2]]);
    assert_eq!(output.status.code(), Some(4), "the first failure decides");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    assert_eq!(sandbox.files().len(), 2);
    let said = String::from_utf8(output.stderr).unwrap();
    for row in [
        format!("failed      {missing}  "),
        format!("written     {}  ", names[0]),
        format!("failed      {}  ", names[1]),
        format!("written     {}  ", names[2]),
        format!("error: `{missing}` does not exist"),
        "failed verification".to_owned(),
        "error: 2 of 4 images failed".to_owned(),
    ] {
        assert!(said.contains(&row), "{row} is not in\n{said}");
    }
    let output = sandbox.output(&["pull", names[0], &missing, "-o", "all.tar"]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(sandbox.files().len(), 2, "one archive of all is whole or not there");
    let output = sandbox.output(&["pull", &missing, names[0], names[2], "--dry-run"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(4) && said.contains("error: 1 of 3 images failed"), "{said}");
}
