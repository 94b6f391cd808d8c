//! Windows images: which os version comes, and layers that only their URLs lead to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::fs;
use std::process::Output;

use sealift::image::{Digest, MediaType};
use serde_json::{Value, json};
use support::image::{OCI_LAYER, descriptor};
use support::registry::{Fault, TestRegistry};
use support::sandbox::Sandbox;

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const BASE: &[u8] = b"the base layer of Windows";

/// Puts an image for an os version of Windows there: a base layer that is at its URL only, and one on top.
fn push_windows(registry: &TestRegistry, name: &str, os_version: &str, urls: &[String]) -> Value {
    let (repository, tag) = name.split_once(':').unwrap();
    let top = format!("what is built on {os_version}");
    let diff_ids = [Digest::of(BASE), Digest::of(top.as_bytes())];
    let config = json!({"os": "windows", "os.version": os_version, "architecture": "amd64",
                        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let mut base = descriptor(FOREIGN, BASE);
    base["urls"] = json!(urls);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::DockerManifest,
        "config": descriptor(MediaType::DockerConfig.as_str(), config.to_string().as_bytes()),
        "layers": [base, descriptor(OCI_LAYER, top.as_bytes())],
    });
    registry.blob(config.to_string());
    registry.blob(top);
    registry.manifest(repository, tag, &MediaType::DockerManifest, manifest.to_string());
    let mut entry = descriptor(MediaType::DockerManifest.as_str(), manifest.to_string().as_bytes());
    entry["platform"] = json!({"os": "windows", "architecture": "amd64", "os.version": os_version});
    entry
}

/// An index as Microsoft's are: an image for each of these versions.
fn push_index(registry: &TestRegistry, os_versions: &[&str], urls: &[String]) -> String {
    let manifests: Vec<Value> =
        os_versions.iter().map(|version| push_windows(registry, "win/core:part", version, urls)).collect();
    let index =
        json!({"schemaVersion": 2, "mediaType": MediaType::DockerManifestList, "manifests": manifests});
    registry.manifest("win/core", "ltsc", &MediaType::DockerManifestList, index.to_string());
    format!("{}/win/core:ltsc", registry.address())
}

/// A host that has the base layer, and the layer's URL there.
fn host() -> (TestRegistry, String) {
    let host = TestRegistry::start();
    let digest = host.blob(BASE);
    let url = format!("http://{}/v2/host/blobs/{digest}?key=hunter2", host.address());
    (host, url)
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const VERSIONS: [&str; 4] = ["10.0.17763.5329", "10.0.17763.973", "10.0.20348.2227", "10.0.14393.6614"];

#[test]
fn the_os_version_asked_for_is_the_one_that_comes() {
    let (registry, (_host, url)) = (TestRegistry::start(), host());
    let reference = push_index(&registry, &VERSIONS, &[url]);
    let sandbox = Sandbox::new();
    for (asked, platform) in [
        ("windows/amd64:10.0.17763", "windows/amd64:10.0.17763.5329"),
        ("windows/amd64:10.0.17763.973", "windows/amd64:10.0.17763.973"),
        ("windows(10.0.14393)/amd64", "windows/amd64:10.0.14393.6614"),
    ] {
        let output = sandbox.output(&["pull", &reference, "--platform", asked, "--json", "-o", "x.tar"]);
        let pulled: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        assert_eq!(pulled["images"][0]["platform"], platform);
        assert!(!said(&output).contains("warning"), "{}", said(&output));
    }
}

#[test]
fn without_an_os_version_the_highest_comes_and_is_named() {
    let (registry, (_host, url)) = (TestRegistry::start(), host());
    let reference = push_index(&registry, &VERSIONS, std::slice::from_ref(&url));
    let sandbox = Sandbox::new();
    let output = sandbox.output(&["pull", &reference, "--platform", "windows/amd64", "--progress", "none"]);
    let warning = "is there for several os versions: windows/amd64:10.0.20348.2227 is taken, the highest; \
                   there is also windows/amd64:10.0.17763.5329, windows/amd64:10.0.17763.973, \
                   windows/amd64:10.0.14393.6614\n";
    assert!(output.status.success() && said(&output).contains(warning), "{}", said(&output));
    let reference = push_index(&registry, &VERSIONS[..1], &[url]);
    let output = sandbox.output(&["pull", &reference, "--platform", "windows/amd64", "--progress", "none"]);
    assert_eq!(said(&output).matches("warning").count(), 0, "{}", said(&output));
}

#[test]
fn two_os_versions_of_one_name_get_a_file_each_or_share_one() {
    let (registry, (_host, url)) = (TestRegistry::start(), host());
    let reference = push_index(&registry, &VERSIONS, &[url]);
    let sandbox = Sandbox::new();
    let both = ["pull", &reference, "--platform", "windows/amd64:10.0.17763"];
    let both = [&both[..], &["--platform", "windows/amd64:10.0.20348"]].concat();
    let output = sandbox.output(&both);
    assert!(output.status.success(), "{}", said(&output));
    let files = sandbox.files();
    let stem = format!("{}_win_core_ltsc_windows_amd64_", registry.address().replace(':', "_"));
    let named = ["10.0.17763", "10.0.20348"].map(|version| format!("{stem}{version}.tar"));
    assert_eq!(files, named, "the same as of two runs");
    assert!(sandbox.output(&[&both[..], &["-o", "both.tar"]].concat()).status.success());
}

#[test]
fn an_entry_that_does_not_say_its_os_version_is_looked_into() {
    let (registry, (_host, url)) = (TestRegistry::start(), host());
    let mut entry = push_windows(&registry, "win/core:part", "10.0.17763.973", &[url]);
    entry["platform"]["os.version"] = Value::Null;
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    registry.manifest("win/core", "old", &MediaType::OciIndex, index.to_string());
    let reference = format!("{}/win/core:old", registry.address());
    let sandbox = Sandbox::new();
    let pull = |platform| sandbox.output(&["pull", &reference, "--platform", platform, "--json"]);
    let pulled: Value = serde_json::from_slice(&pull("windows/amd64:10.0.17763").stdout).unwrap();
    assert_eq!(pulled["images"][0]["platform"], "windows/amd64:10.0.17763.973");
    let output = pull("windows/amd64:10.0.20348");
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("windows/amd64:10.0.17763.973"), "{}", said(&output));
}

#[test]
fn a_foreign_layer_comes_from_its_url_and_is_stored_like_any_other() {
    let (registry, (host, url)) = (TestRegistry::start(), host());
    let reference = push_index(&registry, &VERSIONS[..1], &[url]);
    let sandbox = Sandbox::new();
    let arguments = ["pull", &reference, "--platform", "windows/amd64", "--json", "-o"];
    let output = sandbox.output(&[&arguments[..], &["x.tar"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(host.requests().len(), 1);
    let blob = format!("GET /v2/win/core/blobs/{}", Digest::of(BASE));
    assert!(registry.requests().contains(&blob), "the registry is asked first");
    let bytes = fs::read(sandbox.out().join("x.tar")).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let path = format!("{}/layer.tar", Digest::of(BASE).hex());
    let mut stored = None;
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let entry_path = entry.path().unwrap().to_str().unwrap().to_owned();
        if entry_path == path {
            stored = Some(content);
        } else if !entry_path.starts_with("blobs/") {
            assert!(!String::from_utf8_lossy(&content).contains("urls"), "{entry_path}");
        }
    }
    assert_eq!(stored.unwrap(), BASE);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("hunter2"), "a URL's query may hold a key");
    // Once the registry has it, nobody else is asked, and the file is the same.
    registry.blob(BASE);
    assert!(sandbox.output(&[&arguments[..], &["y.tar"]].concat()).status.success());
    assert_eq!(host.requests().len(), 1);
    assert!(fs::read(sandbox.out().join("y.tar")).unwrap() == bytes);
}

#[test]
fn wrong_bytes_at_a_url_name_its_host_and_leave_nothing() {
    let (registry, (host, url)) = (TestRegistry::start(), host());
    let reference = push_index(&registry, &VERSIONS[..1], &[url]);
    for (fault, code, what) in [
        (Fault::Flip, 3, "error: the layer at "),
        (Fault::Short(9), 6, "the body ended early"),
        (Fault::Long(9), 3, "has the wrong length at "),
    ] {
        host.heal();
        host.fault("GET /v2/host/", fault);
        let sandbox = Sandbox::new();
        let output = sandbox.output(&["pull", &reference, "--platform", "windows/amd64"]);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        let url = format!("http://{}/v2/host/blobs/", host.address());
        assert!(said(&output).contains(what) && said(&output).contains(&url), "{}", said(&output));
        assert_eq!(sandbox.files(), Vec::<String>::new());
        let piped = sandbox.output(&["pull", &reference, "--platform", "windows/amd64", "-o", "-"]);
        assert_eq!(piped.status.code(), Some(code));
    }
}

#[test]
fn more_layers_than_dockers_graph_driver_takes_are_warned_of() {
    let registry = TestRegistry::start();
    let layers: Vec<Vec<u8>> = (0..126).map(|number| format!("layer {number}").into_bytes()).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let sandbox = Sandbox::new();
    for (name, count) in [("most", 125), ("more", 126)] {
        let image = support::image::push(&registry, name, "linux/amd64", &layers[..count]);
        let output = sandbox.output(&["pull", &image.reference, "--progress", "none"]);
        assert!(output.status.success());
        let warning = "has 126 layers: Docker's graph driver takes at most 125";
        assert_eq!(said(&output).contains(warning), count == 126, "{}", said(&output));
    }
}
