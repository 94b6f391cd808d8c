//! Bad input: each gets one clear message and the right exit code, and leaves nothing under the final name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use bytes::Bytes;
use insta::assert_snapshot;
use sealift::image::{Digest, MediaType};
use serde_json::json;
use support::image::{descriptor, manifest, push};
use support::registry::{Fault, TestRegistry};
use support::sandbox::Sandbox;

struct Bench {
    registry: TestRegistry,
    sandbox: Sandbox,
}

impl Bench {
    fn new() -> Self {
        let registry = TestRegistry::start();
        let sandbox = Sandbox::new().redact(registry.port(), "PORT");
        Self { registry, sandbox }
    }

    /// Pulls `name` from the registry and holds that nothing came of it.
    fn pull(&self, name: &str, options: &[&str]) -> String {
        let reference = format!("{}/{name}", self.registry.address());
        let arguments: Vec<&str> = ["pull", &reference].iter().chain(options).copied().collect();
        let shown = self.sandbox.run(&arguments);
        assert_eq!(self.sandbox.files(), Vec::<String>::new(), "{shown}");
        shown
    }

    /// Puts a manifest there as it is, and pulls it.
    fn pull_manifest(&self, json: impl Into<Bytes>) -> String {
        self.registry.manifest("n", "latest", &MediaType::OciManifest, json);
        self.pull("n", &[])
    }
}

#[test]
fn what_is_not_there() {
    let bench = Bench::new();
    push(&bench.registry, "n:1", "linux/amd64", &[b"layer"]);
    assert_snapshot!("no_such_tag", bench.pull("n:2", &[]));
    assert_snapshot!("no_such_repository", bench.pull("no/such", &[]));
    assert_snapshot!("no_such_platform", bench.pull("n:1", &["--platform", "linux/arm64"]));
    let missing = descriptor(support::image::OCI_LAYER, b"not there");
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [Digest::of(b"x")]}})
        .to_string();
    bench.registry.blob(config.clone());
    let mut manifest = manifest(&MediaType::OciConfig, config.as_bytes(), &[]);
    manifest["layers"] = json!([missing]);
    assert_snapshot!("no_such_blob", bench.pull_manifest(manifest.to_string()));
}

#[test]
fn platforms_of_an_index_are_listed() {
    let bench = Bench::new();
    let entry = |os: &str, architecture: &str, variant: &str| {
        let mut entry = descriptor(MediaType::OciManifest.as_str(), b"x");
        entry["platform"] = json!({"os": os, "architecture": architecture, "variant": variant});
        entry
    };
    let manifests = [
        entry("linux", "amd64", ""),
        entry("linux", "arm64", "v8"),
        entry("linux", "arm", "v7"),
        entry("unknown", "unknown", ""),
    ];
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    bench.registry.manifest("n", "latest", &MediaType::OciIndex, index.to_string());
    assert_snapshot!("platform_not_in_index", bench.pull("n", &["--platform", "linux/riscv64"]));
    let index = json!({"schemaVersion": 2, "manifests": []});
    bench.registry.manifest("n", "latest", &MediaType::OciIndex, index.to_string());
    assert_snapshot!("empty_index", bench.pull("n", &[]));
}

#[test]
fn os_versions_of_an_index_are_listed() {
    let bench = Bench::new();
    let entry = |os: &str, version: Option<&str>| {
        let mut entry = descriptor(MediaType::DockerManifest.as_str(), b"x");
        entry["platform"] = json!({"os": os, "architecture": "amd64", "os.version": version});
        entry
    };
    let manifests = [
        entry("linux", None),
        entry("windows", Some("10.0.20348.2227")),
        entry("windows", Some("10.0.17763.5329")),
    ];
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    bench.registry.manifest("n", "latest", &MediaType::DockerManifestList, index.to_string());
    let shown = bench.pull("n", &["--platform", "windows/amd64:10.0.14393"]);
    assert_snapshot!("os_version_not_in_index", shown);
}

#[test]
fn foreign_layers_that_nobody_has() {
    const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let bench = Bench::new();
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [Digest::of(b"x")]}})
        .to_string();
    bench.registry.blob(config.clone());
    let host = format!("http://{}", bench.registry.address());
    let pull = |urls: serde_json::Value| {
        let mut layer = descriptor(FOREIGN, b"base");
        layer["urls"] = urls;
        let mut manifest = manifest(&MediaType::OciConfig, config.as_bytes(), &[]);
        manifest["layers"] = json!([layer]);
        bench.registry.manifest("n", "latest", &MediaType::OciManifest, manifest.to_string());
        // The digest of a manifest with a port in it is another in each run.
        bench.pull("n", &["-q"])
    };
    assert_snapshot!("foreign_layer_without_urls", pull(json!(null)));
    let gone = json!([format!("{host}/gone?key=hunter2"), "file:///etc/hosts", "ftp://h.example/base"]);
    assert_snapshot!("foreign_layer_gone", pull(gone));
    assert_snapshot!("foreign_layer_on_plain_http", pull(json!(["http://h.example/base"])));
    bench.registry.fault("GET /broken", Fault::Answer(503, vec![], "upstream".into()));
    let broken = json!([format!("{host}/gone"), format!("{host}/broken")]);
    assert_snapshot!("foreign_layer_at_a_broken_host", pull(broken));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let down = pull(json!([format!("http://{free}/base")])).replace(&free.port().to_string(), "DOWN");
    assert_snapshot!("foreign_layer_at_a_host_that_is_down", down);
}

#[test]
fn what_is_no_image() {
    let bench = Bench::new();
    let chart = manifest(&MediaType::of("application/vnd.cncf.helm.config.v1+json"), b"{}", &[b"chart"]);
    assert_snapshot!("helm_chart", bench.pull_manifest(chart.to_string()));
    assert_snapshot!(
        "schema_1",
        bench.pull_manifest(r#"{"schemaVersion":1,"name":"n","tag":"latest","fsLayers":[]}"#)
    );
}

#[test]
fn registries_that_are_down_or_something_else() {
    let bench = Bench::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = free.port().to_string();
    let shown = bench.sandbox.run(&["pull", &format!("{free}/n")]).replace(&port, "PORT");
    assert_snapshot!("registry_down", shown);
    let page = "<!DOCTYPE html><html><body>Please log in</body></html>";
    let html = || vec![("content-type", "text/html".to_owned())];
    bench.registry.fault("/v2/", Fault::Answer(200, html(), page.into()));
    assert_snapshot!("web_page", bench.pull("n", &[]));
    bench.registry.heal();
    bench.registry.fault("/v2/", Fault::Answer(307, vec![("location", "/v2/again".into())], String::new()));
    assert_snapshot!("redirect_loop", bench.pull("n", &[]));
    bench.registry.heal();
    bench.registry.fault("/v2/", Fault::Answer(503, vec![], "upstream".into()));
    assert_snapshot!("server_error", bench.pull("n", &[]));
    bench.registry.heal();
    let plain = vec![("location", "http://reg.example/v2/blob?key=hunter2".to_owned())];
    bench.registry.fault("/v2/", Fault::Answer(307, plain, String::new()));
    assert_snapshot!("redirect_to_plain_http", bench.pull("n", &[]));
    bench.registry.heal();
    bench.registry.fault("/v2/", Fault::Answer(429, vec![("retry-after", "30".into())], String::new()));
    assert_snapshot!("too_many_requests", bench.pull("n", &[]));
    bench.registry.heal();
    let store = format!("http://localhost:{}/store?signature=hunter2", bench.registry.port());
    bench.registry.fault("GET /v2/", Fault::Answer(307, vec![("location", store)], String::new()));
    let expired = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    bench.registry.fault("GET /store", Fault::Answer(403, vec![], expired.into()));
    assert_snapshot!("store_refused", bench.pull("n", &[]));
}

#[test]
fn access_denied() {
    let bench = Bench::new();
    let denied = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
    let basic = || vec![("www-authenticate", r#"Basic realm="private""#.to_owned())];
    bench.registry.fault("/v2/", Fault::Answer(401, basic(), denied.into()));
    assert_snapshot!("unauthorized_without_credentials", bench.pull("n", &[]));
    let sandbox = Sandbox::new().variable("SEALIFT_PASSWORD", "hunter2");
    let sandbox = sandbox.redact(bench.registry.port(), "PORT");
    let shown = sandbox.run(&["pull", "-u", "me", &format!("{}/n", bench.registry.address())]);
    assert!(!shown.contains("hunter2"));
    assert_snapshot!("unauthorized_with_credentials", shown);
    bench.registry.heal();
    bench.registry.fault(
        "/v2/",
        Fault::Answer(403, vec![], r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#.into()),
    );
    assert_snapshot!("forbidden", bench.pull("n", &[]));
}

#[test]
fn ways_of_access_that_lead_nowhere() {
    let bench = Bench::new();
    let challenged = |challenge: &str| {
        bench.registry.heal();
        let challenge = vec![("www-authenticate", challenge.to_owned())];
        bench.registry.fault("/v2/", Fault::Answer(401, challenge, String::new()));
    };
    challenged("Negotiate");
    assert_snapshot!("unknown_challenge", bench.pull("n", &[]));
    challenged(r#"Bearer realm="nowhere""#);
    assert_snapshot!("bad_challenge", bench.pull("n", &[]));
    challenged(r#"Bearer realm="http://auth.example/token""#);
    assert_snapshot!("realm_on_plain_http", bench.pull("n", &[]));
    challenged(r#"Bearer realm="/token""#);
    bench.registry.fault("/token", Fault::Answer(200, vec![], "<html>".to_owned()));
    assert_snapshot!("no_token", bench.pull("n", &[]));
    challenged(r#"Bearer realm="/token""#);
    let denied = |message| format!(r#"{{"errors":[{{"code":"DENIED","message":"{message}"}}]}}"#);
    // GHCR, of what does not exist.
    let refused = denied("requested access to the resource is denied");
    bench.registry.fault("/token", Fault::Answer(403, vec![], refused));
    assert_snapshot!("token_refused", bench.pull("n", &[]));
    bench.registry.heal();
    bench.registry.fault("/v2/", Fault::Answer(418, vec![], "no coffee".to_owned()));
    assert_snapshot!("unexpected_status", bench.pull("n", &[]));
}

/// ECR's passwords are good for twelve hours, and then refused with 403.
#[test]
fn credentials_that_expired() {
    let bench = Bench::new();
    let sandbox =
        Sandbox::new().variable("SEALIFT_PASSWORD", "hunter2").redact(bench.registry.port(), "PORT");
    let basic = vec![("www-authenticate", r#"Basic realm="ecr""#.to_owned())];
    bench.registry.fault_times(1, "/manifests/", Fault::Answer(401, basic, String::new()));
    let expired = "Your authorization token has expired. Reauthenticate and try again.";
    let expired = format!(r#"{{"errors":[{{"code":"DENIED","message":"{expired}"}}]}}"#);
    bench.registry.fault("/manifests/", Fault::Answer(403, vec![], expired));
    let shown = sandbox.run(&["pull", "-u", "AWS", &format!("{}/n", bench.registry.address())]);
    assert_snapshot!("credentials_expired", shown);
}

#[test]
fn manifests_that_lie() {
    let bench = Bench::new();
    let (layer, config) = (b"layer".as_slice(), b"{}".as_slice());
    assert_snapshot!("manifest_not_json", bench.pull_manifest("manifest? no."));
    let with_layer = |field: &str, value: serde_json::Value| {
        let mut manifest = manifest(&MediaType::OciConfig, config, &[layer]);
        manifest["layers"][0][field] = value;
        manifest.to_string()
    };
    assert_snapshot!("negative_size", bench.pull_manifest(with_layer("size", json!(-5))));
    assert_snapshot!("path_for_a_digest", bench.pull_manifest(with_layer("digest", json!("sha256:../../x"))));
    let image = push(&bench.registry, "lie", "linux/amd64", &[b"layer"]);
    bench.registry.fault(
        "manifests/latest",
        Fault::Header("docker-content-digest", Digest::of(b"another").to_string()),
    );
    assert_snapshot!("wrong_content_digest", bench.pull("lie", &[]));
    bench.registry.heal();
    bench.registry.fault("GET /v2/lie/manifests/", Fault::Flip);
    assert_snapshot!("wrong_digest", bench.pull(&format!("lie@{}", image.manifest), &[]));
}

#[test]
fn documents_with_two_readings() {
    let bench = Bench::new();
    let image = push(&bench.registry, "n", "linux/amd64", &[b"layer"]);
    let manifest = String::from_utf8(bench.registry.manifest_bytes("n", "latest").to_vec()).unwrap();
    let with = |from: &str, to: &str| {
        assert!(manifest.contains(from), "{manifest}");
        manifest.replacen(from, to, 1)
    };
    assert_snapshot!("layers_twice", bench.pull_manifest(with(r#""layers""#, r#""layers":[],"layers""#)));
    assert_snapshot!(
        "layers_in_capitals_too",
        bench.pull_manifest(with(r#""layers""#, r#""Layers":[],"layers""#))
    );
    let digest = format!(r#""DIGEST":"{}","digest""#, Digest::of(b"another"));
    assert_snapshot!("digest_in_capitals_too", bench.pull_manifest(with(r#""digest""#, &digest)));
    let configured = |config: &str| {
        bench.registry.blob(config.to_owned());
        let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        manifest["config"] = descriptor(MediaType::OciConfig.as_str(), config.as_bytes());
        bench.pull_manifest(manifest.to_string())
    };
    let layer = &image.layers[0];
    assert_snapshot!(
        "rootfs_twice",
        configured(&format!(r#"{{"rootfs":{{"diff_ids":["{layer}"]}},"rootfs":{{"diff_ids":[]}}}}"#))
    );
    assert_snapshot!(
        "diff_ids_in_capitals",
        configured(&format!(r#"{{"rootfs":{{"Diff_IDs":["{layer}"]}}}}"#))
    );
}

#[test]
fn indexes_that_lead_nowhere() {
    let bench = Bench::new();
    let index = |manifests: &[serde_json::Value]| {
        json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": manifests}).to_string()
    };
    let entry = |json: &str| descriptor(MediaType::OciIndex.as_str(), json.as_bytes());
    let put = |tag: &str, json: &str| {
        bench.registry.manifest("n", tag, &MediaType::OciIndex, json.to_owned());
    };
    let mut nested = index(&[]);
    for level in 0..6 {
        put(&level.to_string(), &nested);
        nested = index(&[entry(&nested)]);
    }
    put("latest", &nested);
    assert_snapshot!("nested_indexes", bench.pull("n", &[]));
    // No index can hold its own digest, so a registry that leads in a circle has to lie.
    put("latest", &index(&[entry("something")]));
    let circle = Fault::Answer(200, vec![], index(&[entry("something")]));
    bench.registry.fault("/v2/n/manifests/sha256", circle);
    assert_snapshot!("index_that_names_itself", bench.pull("n", &[]));
    bench.registry.heal();
    // Each of three levels has twelve indexes: 1,884 in all, were they followed.
    let mut level: Vec<String> = (0..12).map(|at| index(&[json!({"at": at})])).collect();
    for depth in 0..2 {
        let entries: Vec<serde_json::Value> = level.iter().map(|json| entry(json)).collect();
        level.iter().enumerate().for_each(|(at, json)| put(&format!("{depth}-{at}"), json));
        level = (0..12).map(|at| index(&[entries.clone(), vec![json!({"at": at})]].concat())).collect();
    }
    level.iter().enumerate().for_each(|(at, json)| put(&format!("top-{at}"), json));
    put("latest", &index(&level.iter().map(|json| entry(json)).collect::<Vec<_>>()));
    let before = bench.registry.requests().len();
    assert_snapshot!("indexes_without_end", bench.pull("n", &[]));
    let requests = bench.registry.requests().len() - before;
    assert!(requests < 100, "{requests} requests");
}

#[test]
fn foreign_texts_that_are_long_or_steer() {
    let bench = Bench::new();
    let platforms = |count: usize, os: &str| {
        let entries = (0..count).map(|at| {
            let mut entry = descriptor(MediaType::OciManifest.as_str(), b"x");
            entry["platform"] = json!({"os": os, "architecture": format!("a{at}")});
            entry
        });
        let index = json!({"schemaVersion": 2, "manifests": entries.collect::<Vec<_>>()});
        bench.registry.manifest("n", "latest", &MediaType::OciIndex, index.to_string());
        bench.pull("n", &[])
    };
    assert_snapshot!("escapes_in_a_platform", platforms(2, "\u{1b}[2J\u{202e}\r"));
    let shown = platforms(2_000, "linux");
    assert!(shown.contains("linux/a39 and 1960 more"), "{shown}");
    assert!(shown.len() < 2_000, "{shown}");
    let image = push(&bench.registry, "n", "linux/amd64", &[b"layer"]);
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&bench.registry.manifest_bytes("n", "latest")).unwrap();
    manifest["layers"][0]["size"] = json!("9\u{1b}]0;".repeat(100_000));
    let shown = bench.pull_manifest(manifest.to_string());
    assert!(shown.starts_with("exit code: 3") && shown.contains('…'), "{shown}");
    assert!(shown.len() < 2_000 && !shown.contains('\u{1b}'), "{shown}");
    // Annotations are anybody's, and are nobody's business.
    manifest["layers"][0]["size"] = json!(5);
    let many: serde_json::Map<_, _> =
        (0..10_000).map(|at| (format!("\u{1b}{at}"), json!("é".repeat(100)))).collect();
    manifest["layers"][0]["annotations"] = json!(many);
    manifest["annotations"] = json!({"layers": [], "Layers": null, "x": "y".repeat(100_000)});
    bench.registry.manifest("n", "latest", &MediaType::OciManifest, manifest.to_string());
    let shown = bench.sandbox.run(&["pull", &image.reference]);
    assert!(shown.starts_with("exit code: 0") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn configs_that_no_image_has() {
    let bench = Bench::new();
    let image = push(&bench.registry, "n", "linux/amd64", &[b"layer"]);
    bench.registry.fault(&image.config.to_string(), Fault::Long(20 << 20));
    assert_snapshot!("config_longer_than_stated", bench.pull("n", &[]));
    bench.registry.heal();
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&bench.registry.manifest_bytes("n", "latest")).unwrap();
    manifest["config"]["size"] = json!(100 << 20);
    let before = bench.registry.requests().len();
    assert_snapshot!("config_of_100_mb", bench.pull_manifest(manifest.to_string()));
    let config = image.config.to_string();
    let asked = bench.registry.requests().split_off(before);
    assert!(!asked.iter().any(|request| request.contains(&config)), "refused before it is fetched");
}

#[test]
fn sizes_that_no_image_has() {
    let bench = Bench::new();
    let image = push(&bench.registry, "n", "linux/amd64", &[b"layer"]);
    let bytes = bench.registry.manifest_bytes("n", "latest");
    let sized = |size: u64| {
        let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        manifest["layers"][0]["size"] = size.into();
        manifest.to_string()
    };
    assert_snapshot!("absurd_size", bench.pull_manifest(sized(i64::MAX as u64)));
    let shown = bench.pull_manifest(sized(1 << 60));
    let free = shown.split_once("its disk has ").unwrap().1.split(' ').next().unwrap();
    assert_snapshot!("no_room", shown.replace(free, "[FREE]"));
    let layer = image.layers[0].to_string();
    assert!(
        !bench.registry.requests().iter().any(|request| request.contains(&layer)),
        "told before the first layer byte"
    );
    let huge = vec![b' '; 100 << 20];
    assert_snapshot!("manifest_of_100_mb", bench.pull_manifest(huge));
}

#[test]
fn configs_that_are_not_what_they_should_be() {
    let bench = Bench::new();
    let image = push(&bench.registry, "n", "linux/amd64", &[b"layer"]);
    bench.registry.fault(&image.config.to_string(), Fault::Flip);
    assert_snapshot!("flipped_config", bench.pull("n", &[]));
}

#[test]
fn outputs_that_cannot_be_written() {
    let bench = Bench::new();
    push(&bench.registry, "n", "linux/amd64", &[b"layer"]);
    assert_snapshot!("no_output_folder", bench.pull("n", &["-o", "no/such/"]));
    assert_snapshot!("no_folder_of_output_file", bench.pull("n", &["-o", "no/such.tar"]));
    #[cfg(target_os = "linux")]
    assert_snapshot!("read_only_folder", bench.pull("n", &["-o", "/sys/x.tar"]));
    let name = format!("127.0.0.1_{}_n_latest_amd64.tar", bench.registry.port());
    std::fs::create_dir(bench.sandbox.out().join(&name)).unwrap();
    let shown = bench.sandbox.run(&["pull", &format!("{}/n", bench.registry.address())]);
    assert_snapshot!("output_is_a_folder", shown);
    assert_eq!(bench.sandbox.files(), [name]);
}

#[test]
fn what_is_typed_wrong() {
    let sandbox = Sandbox::new();
    for (name, arguments) in [
        ("reference_upper_case", vec!["pull", "quay.io/org/busyBox:latest"]),
        ("reference_url", vec!["pull", "https://quay.io/org/name"]),
        ("reference_short_digest", vec!["pull", "name@sha256:12"]),
        ("bad_platform", vec!["pull", "x", "--platform", "amd64"]),
        ("password_without_user", vec!["pull", "x", "--password-stdin"]),
        (
            "user_of_two_registries",
            vec!["pull", "-u", "me", "a.example/x", "b.example/x", "--password-stdin"],
        ),
        ("user_without_password", vec!["pull", "-u", "me", "x"]),
        ("no_image", vec!["pull"]),
        ("unknown_option", vec!["pull", "x", "--platfrom", "linux/amd64"]),
        ("no_ca_file", vec!["pull", "x", "--ca", "none.pem"]),
    ] {
        let shown = sandbox.run(&arguments);
        assert!(shown.starts_with("exit code: 2\n"), "{name}: {shown}");
        assert_snapshot!(name, shown);
    }
}

#[test]
fn configurations_that_are_wrong() {
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("config.json");
    let shown = |text: &str| {
        std::fs::write(&file, text).unwrap();
        sandbox.run(&["--config", file.to_str().unwrap(), "pull", "x"])
    };
    assert_snapshot!("config_unknown_key", shown(r#"{"conections": 3}"#));
    assert_snapshot!("config_not_json", shown("{connections"));
    assert_snapshot!("config_missing", sandbox.run(&["--config", "none.json", "pull", "x"]));
}
