//! Push, seen from outside: archives that the binary pulled, to an embedded registry with faults.

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

use insta::assert_snapshot;
use sealift::image::{Digest, MediaType};
use serde_json::{Value, json};
use support::bench::stderr;
use support::image::{OCI_LAYER, TestImage, descriptor, noise, push as put};
use support::registry::{Fault, TestRegistry};
use support::sandbox::Sandbox;

/// A registry to pull from, one to push to, and the archive on its way.
struct Site {
    from: TestRegistry,
    to: TestRegistry,
    sandbox: Sandbox,
}

impl Site {
    fn new() -> Self {
        let (from, to) = (TestRegistry::start(), TestRegistry::start());
        let sandbox = Sandbox::new().redact(from.address(), "[FROM]").redact(to.address(), "[TO]");
        Self { from, to, sandbox }
    }

    fn with_image(layers: &[&[u8]]) -> (Self, TestImage) {
        let site = Self::new();
        let image = put(&site.from, "n", "linux/amd64", layers);
        site.pull(&[&image.reference]);
        (site, image)
    }

    /// Pulls into `x.tar`.
    fn pull(&self, arguments: &[&str]) {
        let output = self.sandbox.output(&[&["pull", "-q", "-o", "x.tar"], arguments].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn arguments<'a>(to: &'a str, options: &[&'a str]) -> Vec<&'a str> {
        let quickly = ["--retry-delay", "0.01", "--progress", "plain"];
        [&["push", "x.tar", to], &quickly[..], options].concat()
    }

    fn push(&self, options: &[&str]) -> Output {
        self.sandbox.output(&Self::arguments(&self.to.address(), options))
    }

    fn shown(&self, path: &str, options: &[&str]) -> String {
        self.sandbox.run(&Self::arguments(&format!("{}{path}", self.to.address()), options))
    }

    /// What was asked of the registry by these methods.
    fn requests(&self, methods: &[&str]) -> Vec<String> {
        let is_one = |line: &String| methods.iter().any(|method| line.starts_with(method));
        self.to.requests().into_iter().filter(is_one).collect()
    }

    /// Holds that the registry has under `name` what the other one has as `n`, to the last byte.
    fn assert_same(&self, name: &str) {
        let (theirs, ours) =
            (self.from.manifest_bytes("n", "latest"), self.to.manifest_bytes(name, "latest"));
        assert_eq!(theirs, ours);
    }

    /// Holds that a push succeeds although this goes wrong, and the image is there.
    fn assert_passes(&self, what: &str) {
        let output = self.push(&["--retry-times", "3"]);
        assert!(output.status.success(), "{what}: {}", stderr(&output));
        self.assert_same("n");
        self.to.heal();
    }
}

fn json_lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How nginx says that a body is larger than its `client_max_body_size`.
const NGINX_PAGE: &str = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n</html>";

const WRITES: [&str; 4] = ["POST", "PATCH", "PUT", "DELETE"];

#[test]
fn an_archive_goes_to_a_registry_with_its_digest_and_only_once() {
    let (site, image) = Site::with_image(&[&noise(1, 3_000_000), &noise(2, 512), b"", &noise(1, 3_000_000)]);
    let output = site.push(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let name = format!("{}/n:latest@{}", site.to.address(), image.manifest);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{name}\n"));
    site.assert_same("n");
    // What it takes to pull it from there: everything.
    let again = site.sandbox.output(&["pull", "-q", &name, "-o", "y.tar"]);
    assert!(again.status.success(), "{}", stderr(&again));
    let writes = site.requests(&WRITES).len();
    let output = site.push(&["--json"]);
    assert_eq!(site.requests(&WRITES).len(), writes, "nothing is sent again");
    let [line] = &json_lines(&output)[..] else { panic!("one image") };
    assert_eq!(line["already_there"], true);
    assert_eq!((&line["sent_bytes"], &line["digest"]), (&json!(0), &json!(image.manifest)));
    assert_eq!(line["destination"], format!("{}/n:latest", site.to.address()));
}

#[test]
fn what_is_there_is_not_sent() {
    let (site, image) = Site::with_image(&[&noise(1, 100_000), &noise(2, 100_000)]);
    site.to.blob(noise(1, 100_000));
    let output = site.push(&["--json"]);
    assert_eq!(json_lines(&output)[0]["already_there"], false);
    let config = site.from.manifest_bytes("n", "latest");
    let config: Value = serde_json::from_slice(&config).unwrap();
    let sent = 100_000 + config["config"]["size"].as_u64().unwrap();
    assert_eq!(json_lines(&output)[0]["sent_bytes"], sent);
    assert_eq!(site.requests(&["POST"]).len(), 2);
    assert!(!site.requests(&["HEAD"]).is_empty());
    site.assert_same("n");
    assert_eq!(image.layers.len(), 2);
}

#[test]
fn how_it_is_told() {
    let (site, _) = Site::with_image(&[b"layer"]);
    assert_snapshot!("dry_run", site.shown("/mirror", &["--dry-run"]));
    assert!(site.requests(&WRITES).is_empty(), "a dry run sends nothing");
    assert_snapshot!("pushed", site.shown("/mirror", &[]));
    assert_snapshot!("already_there", site.shown("/mirror", &[]));
    assert_snapshot!("dry_run_of_what_is_there", site.shown("/mirror", &["--dry-run"]));
    site.to.blob("layer");
    assert_snapshot!("only_the_manifest", site.shown("/other", &["-q", "--dry-run"]));
}

#[test]
fn names_are_what_was_asked_for() {
    let site = Site::new();
    let images = ["org/app:1", "tool"].map(|name| put(&site.from, name, "linux/amd64", &[name.as_bytes()]));
    site.pull(&images.each_ref().map(|image| image.reference.as_str()));
    let host = site.from.address();
    let rule = format!("{host}/org=team");
    let named = |path: &str, options: &[&str]| {
        let to = format!("{}{path}", site.to.address());
        let output = site.sandbox.output(&[&["push", "x.tar", &to, "--dry-run", "--json"], options].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let lines = json_lines(&output);
        let names = lines.iter().map(|line| line["destination"].as_str().unwrap().to_owned());
        names.map(|name| name.replace(&site.to.address(), "")).collect::<Vec<_>>()
    };
    assert_eq!(named("", &[]), ["/org/app:1", "/tool:latest"]);
    assert_eq!(named("/a/", &["--prefix", "b"]), ["/a/b/org/app:1", "/a/b/tool:latest"]);
    assert_eq!(named("", &["--rename", &rule]), ["/team/app:1", "/tool:latest"]);
    let asked = site.to.requests().len();
    let one = format!("{host}/tool:latest=org/app:1");
    assert_snapshot!("two_of_one_name", site.shown("", &["--rename", &one]));
    assert_snapshot!("unused_rule", site.shown("", &["--rename", "busybox=x"]));
    assert_snapshot!("no_rule", site.shown("", &["--rename", "busybox"]));
    assert_snapshot!("one_name_for_two", site.shown("/app:1", &[]));
    assert_snapshot!("rule_for_a_name", site.shown("/app:1", &["--rename", &rule]));
    assert_snapshot!("prefix_of_a_name", site.shown("/app:1", &["--prefix", "x"]));
    assert_snapshot!("upper_case", site.shown("/App", &[]));
    assert_snapshot!("no_registry", site.sandbox.run(&["push", "x.tar", "mirror/app"]));
    assert_eq!(site.to.requests().len(), asked, "before all else");
}

#[test]
fn a_whole_name_is_for_the_one_image() {
    let (site, _) = Site::with_image(&[b"layer"]);
    let output = site.sandbox.output(&["push", "x.tar", &format!("{}/team/app:1.4", site.to.address())]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(site.to.manifest_bytes("team/app", "1.4"), site.from.manifest_bytes("n", "latest"));
}

#[test]
fn what_is_no_archive_of_images() {
    let site = Site::new();
    assert_snapshot!("no_archive", site.shown("", &[]));
    fs::write(site.sandbox.out().join("x.tar"), noise(1, 100_000)).unwrap();
    assert_snapshot!("no_tar", site.shown("", &[]));
    let tar = tar::Builder::new(Vec::new()).into_inner().unwrap();
    fs::write(site.sandbox.out().join("x.tar"), tar).unwrap();
    assert_snapshot!("no_images", site.shown("", &[]));
}

/// Puts images of these platforms and an index of them there; the index.
fn put_index(registry: &TestRegistry, platforms: &[&str]) -> Digest {
    let entries: Vec<Value> = platforms
        .iter()
        .map(|platform| {
            let name = format!("n:{}", platform.replace('/', "-"));
            put(registry, &name, platform, &[platform.as_bytes()]);
            let bytes = registry.manifest_bytes("n", name.split_once(':').unwrap().1);
            let mut entry = descriptor(MediaType::OciManifest.as_str(), &bytes);
            let (os, architecture) = platform.split_once('/').unwrap();
            entry["platform"] = json!({"os": os, "architecture": architecture});
            entry
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": entries});
    registry.manifest("n", "latest", &MediaType::OciIndex, index.to_string())
}

#[test]
fn an_index_goes_with_all_it_names_or_not_at_all() {
    let site = Site::new();
    put_index(&site.from, &["linux/amd64", "linux/arm64"]);
    let name = format!("{}/n", site.from.address());
    site.pull(&[&name, "--platform", "linux/amd64", "--platform", "linux/arm64"]);
    assert!(site.push(&[]).status.success());
    site.assert_same("n");

    site.pull(&[&name, "--platform", "linux/arm64"]);
    let output = site.sandbox.run(&["push", "x.tar", &format!("{}/one", site.to.address())]);
    assert_eq!(site.to.manifest_bytes("one/n", "latest"), site.from.manifest_bytes("n", "linux-arm64"));
    assert_snapshot!("one_of_two_platforms", output);
}

#[test]
fn of_several_platforms_but_not_all_a_new_index_is_made() {
    let site = Site::new();
    put_index(&site.from, &["linux/amd64", "linux/arm64", "linux/riscv64"]);
    let name = format!("{}/n", site.from.address());
    site.pull(&[&name, "--platform", "linux/amd64", "--platform", "linux/arm64"]);
    let output = site.push(&[]);
    let said = stderr(&output);
    assert!(said.contains("2 of the 3 images") && said.contains("whose digest is new"), "{said}");
    let index: Value = serde_json::from_slice(&site.to.manifest_bytes("n", "latest")).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let amd64 = Digest::of(&site.from.manifest_bytes("n", "linux-amd64"));
    assert_eq!(entries[0]["digest"], amd64.to_string());
    assert_eq!(entries[0]["platform"]["architecture"], "amd64");
    assert_eq!(site.push(&[]).stdout, output.stdout, "the same again");
}

#[test]
fn plain_layers_get_a_manifest_that_is_always_the_same_and_this_is_said() {
    let site = Site::new();
    let layers = [support::layer::Layer::tar(1, 50_000), support::layer::Layer::tar(2, 40_000)];
    let image = support::layer::push_layers(&site.from, "n", &layers);
    site.pull(&[&image.reference, "--layers", "plain"]);
    let output = site.push(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the digest is new"), "{}", stderr(&output));
    let manifest = site.to.manifest_bytes("n", "latest");
    let read: Value = serde_json::from_slice(&manifest).unwrap();
    for (entry, layer) in read["layers"].as_array().unwrap().iter().zip(&layers) {
        assert_eq!(entry["digest"], Digest::of(&layer.inflated).to_string());
        assert_eq!(entry["mediaType"], OCI_LAYER);
    }
    assert_eq!(read["config"]["digest"], image.config.to_string());
    let again = site.push(&["--prefix", "again", "--json"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(json_lines(&again)[0]["digest_is_new"], true);
    assert_eq!(site.to.manifest_bytes("again/n", "latest"), manifest);
}

fn two_on_one_base(site: &Site) -> Vec<u8> {
    let base = noise(1, 300_000);
    let images = ["one", "two"].map(|name| put(&site.from, name, "linux/amd64", &[&base, name.as_bytes()]));
    site.pull(&images.each_ref().map(|image| image.reference.as_str()));
    base
}

#[test]
fn what_images_share_is_sent_once_and_mounted() {
    let site = Site::new();
    let base = two_on_one_base(&site);
    let output = site.push(&["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&output);
    let sent: u64 = lines.iter().map(|line| line["sent_bytes"].as_u64().unwrap()).sum();
    let mounted: u64 = lines.iter().map(|line| line["mounted_blobs"].as_u64().unwrap()).sum();
    assert_eq!(mounted, 1);
    assert!((base.len() as u64..base.len() as u64 + 2000).contains(&sent), "{sent}");
    for name in ["one", "two"] {
        assert_eq!(site.to.manifest_bytes(name, "latest"), site.from.manifest_bytes(name, "latest"));
    }
}

#[test]
fn where_mounts_are_refused_blobs_are_sent() {
    let refusals = [
        Fault::WithoutQuery,
        Fault::Refuse(405, String::new()),
        Fault::Refuse(401, String::new()),
        Fault::Refuse(404, String::new()),
    ];
    for (number, refusal) in refusals.into_iter().enumerate() {
        let site = Site::new();
        two_on_one_base(&site);
        site.to.fault("/blobs/uploads/?mount=", refusal);
        let output = site.push(&["--json"]);
        assert!(output.status.success(), "{number}: {}", stderr(&output));
        let mounted: u64 =
            json_lines(&output).iter().map(|line| line["mounted_blobs"].as_u64().unwrap()).sum();
        assert_eq!(mounted, 0, "{number}");
        assert_eq!(site.requests(&["PUT"]).len(), 8, "{number}: three blobs and a manifest of each");
        assert_eq!(site.to.manifest_bytes("two", "latest"), site.from.manifest_bytes("two", "latest"));
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    let answer = |status| Fault::Refuse(status, String::new());
    for (what, request, fault) in [
        ("a look fails", "HEAD /v2/n/blobs/", answer(503)),
        ("the registry has no time", "POST /v2/n/blobs/uploads/", answer(429)),
        ("an upload fails", "PUT /v2/n/blobs/uploads/", answer(500)),
        ("an answer is lost", "PUT /v2/n/blobs/uploads/", Fault::NoAnswer),
        ("a manifest fails", "PUT /v2/n/manifests/", answer(502)),
        ("a name is asked for in vain", "HEAD /v2/n/manifests/", answer(500)),
    ] {
        let (site, _) = Site::with_image(&[&noise(1, 100_000)]);
        site.to.fault_times(2, request, fault);
        let output = site.push(&["--retry-times", "3"]);
        assert!(output.status.success(), "{what}: {}", stderr(&output));
        assert!(stderr(&output).contains("trying again"), "{what}: {}", stderr(&output));
        site.assert_same("n");
    }
}

/// The request that completes a layer.
fn completion(image: &TestImage) -> String {
    format!("?digest=sha256%3A{}", image.layers[0].hex())
}

/// Where the last bytes of uploads began.
fn resumed_at(site: &Site, method: &str) -> Vec<u64> {
    let headers = site.to.headers(&format!("{method} /v2/n/blobs/uploads/"));
    let ranges = headers.iter().filter_map(|headers| headers.get("content-range"));
    ranges.map(|range| range.to_str().unwrap().split_once('-').unwrap().0.parse().unwrap()).collect()
}

#[test]
fn a_cut_upload_is_carried_on_from_where_the_registry_is() {
    let (site, image) = Site::with_image(&[&noise(1, 17_000_000)]);
    site.to.fault_times(1, &completion(&image), Fault::CutRequest(5_000_000));
    site.assert_passes("cut");
    assert_eq!(resumed_at(&site, "PUT"), [5_000_000]);
}

#[test]
fn where_the_registry_forgets_a_cut_upload_it_is_begun_anew_in_pieces() {
    let (site, image) = Site::with_image(&[&noise(1, 17_000_000)]);
    let unknown = r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"blob upload invalid"}]}"#;
    site.to.fault_times(1, &completion(&image), Fault::CutRequest(5_000_000));
    site.to.fault("GET /v2/n/blobs/uploads/", Fault::Answer(404, vec![], unknown.to_owned()));
    site.assert_passes("forgotten");
    assert_eq!(resumed_at(&site, "PATCH"), [0, 8 << 20], "and the last piece is the PUT's");
    assert_eq!(resumed_at(&site, "PUT"), [16 << 20]);
}

#[test]
fn a_cut_piece_costs_that_piece() {
    let (site, image) = Site::with_image(&[&noise(1, 17_000_000)]);
    site.to.fault_times(1, &completion(&image), Fault::Refuse(413, NGINX_PAGE.to_owned()));
    site.to.fault_times(1, "PATCH /v2/n/blobs/uploads/", Fault::CutRequest(3_000_000));
    site.assert_passes("a piece is cut");
    let at = resumed_at(&site, "PATCH");
    assert_eq!(at[..2], [0, 3_000_000], "{at:?}");
}

#[test]
fn a_registry_without_pieces_gets_the_whole() {
    let (site, image) = Site::with_image(&[&noise(1, 17_000_000)]);
    let too_large = "the request body is too large and exceeds the maximum permissible limit of 4.00MiB";
    site.to.fault_times(1, &completion(&image), Fault::Refuse(413, NGINX_PAGE.to_owned()));
    site.to.fault("PATCH /v2/n/blobs/uploads/", Fault::Refuse(416, too_large.to_owned()));
    site.assert_passes("no pieces");
    assert_eq!(resumed_at(&site, "PUT"), Vec::<u64>::new());
}

#[test]
fn a_registry_that_takes_nothing_more_is_given_up() {
    let (site, image) = Site::with_image(&[&noise(1, 30_000_000)]);
    site.to.fault(&completion(&image), Fault::StallRequest(1_000_000));
    let output = site.push(&["--stall-timeout", "1"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing came for too long"), "{}", stderr(&output));
}

#[test]
fn what_goes_wrong_for_good_is_told() {
    let other = Digest::of(b"other").to_string();
    let error = |status, text: &str| Fault::Refuse(status, text.to_owned());
    let unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#;
    let invalid = r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}"#;
    for (name, request, fault) in [
        ("upload_refused", "POST /v2/n/blobs/uploads/", error(403, "")),
        ("no_such_project", "POST /v2/n/blobs/uploads/", error(404, unknown)),
        ("too_large_for_a_proxy", "PUT /v2/n/blobs/uploads/", error(413, NGINX_PAGE)),
        ("upload_fails", "PUT /v2/n/blobs/uploads/", error(500, "")),
        ("registry_got_something_else", "PUT /v2/n/blobs/uploads/", error(400, invalid)),
        (
            "registry_keeps_another_blob",
            "PUT /v2/n/blobs/uploads/",
            Fault::Header("docker-content-digest", other.clone()),
        ),
        (
            "registry_keeps_another_manifest",
            "PUT /v2/n/manifests/",
            Fault::Header("docker-content-digest", other.clone()),
        ),
        ("manifest_refused", "PUT /v2/n/manifests/", error(400, "quota")),
        (
            "upload_elsewhere",
            "POST /v2/n/blobs/uploads/",
            Fault::Header("location", "http://elsewhere.example/x?key=secret".to_owned()),
        ),
        ("no_place_for_an_upload", "POST /v2/n/blobs/uploads/", Fault::Header("location", String::new())),
    ] {
        let (site, image) = Site::with_image(&[&noise(1, 100_000)]);
        // The config and the layer are under way at the same time: it is the layer that fails.
        let of_layer = completion(&image);
        site.to.fault(if request.starts_with("PUT /v2/n/blobs/") { &of_layer } else { request }, fault);
        let output = site.push(&[]);
        let shown = site.sandbox.shown(&output);
        assert!(!shown.contains("secret"), "{shown}");
        let error = &shown[shown.find("error:").unwrap_or_else(|| panic!("{name}: {shown}"))..];
        let code = output.status.code().unwrap();
        assert_snapshot!(name, without_ids(&format!("exit code: {code}\n{error}")));
    }
}

/// Uploads have IDs of their own.
fn without_ids(text: &str) -> String {
    let mut parts = text.split("/blobs/uploads/");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        let id = if rest.len() == part.len() { "" } else { "[ID]" };
        format!("{text}/blobs/uploads/{id}{rest}")
    })
}

#[test]
fn an_archive_that_lies_leaves_nothing() {
    let (site, image) = Site::with_image(&[&noise(1, 500_000)]);
    let file = site.sandbox.out().join("x.tar");
    let mut archive = fs::read(&file).unwrap();
    let layer = noise(1, 500_000);
    let at = archive.windows(1000).position(|window| window == &layer[..1000]).unwrap();
    archive[at + 250_000] ^= 1;
    fs::write(&file, archive).unwrap();
    let output = site.push(&["--retry-times", "3"]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("a blob of x.tar failed verification"), "{said}");
    assert!(said.contains(&format!("expected {}", image.layers[0])), "{said}");
    assert_eq!(site.requests(&["DELETE"]).len(), 1, "the upload is ended");
    assert!(!site.requests(&["PUT"]).iter().any(|line| line.contains("/manifests/")));
}

#[test]
fn one_that_fails_does_not_stop_the_others() {
    let site = Site::new();
    let images = ["one", "two", "three"].map(|name| put(&site.from, name, "linux/amd64", &[name.as_bytes()]));
    site.pull(&images.each_ref().map(|image| image.reference.as_str()));
    site.to.fault("POST /v2/two/blobs/uploads/", Fault::Answer(403, vec![], String::new()));
    let shown = site.shown("", &[]);
    assert_snapshot!("one_of_three_fails", shown);
    for name in ["one", "three"] {
        assert_eq!(site.to.manifest_bytes(name, "latest"), site.from.manifest_bytes(name, "latest"));
    }
}

#[test]
fn tokens_that_end_are_got_anew() {
    let (site, _) = Site::with_image(&[&noise(1, 100_000), &noise(2, 100_000), &noise(3, 100_000)]);
    site.to.want_tokens(3, 300);
    let output = site.push(&["--connections", "1", "--retry-times", "3"]);
    assert!(output.status.success(), "{}", stderr(&output));
    site.assert_same("n");
    let (given, refused) = site.to.tokens();
    assert!(given > 2 && refused >= given, "{given} {refused}");
}
