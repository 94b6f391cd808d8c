//! The images in the folder as a registry.

use serde_json::json;

use crate::server::{Served, until};
use crate::start::add_user;
use crate::support::image::{noise, push};
use crate::support::layer::{Layer, push_layers, text};
use crate::support::registry::TestRegistry;
use crate::support::sandbox::Sandbox;

#[test]
fn exported_images_are_pulled_from_the_archives_by_their_digests() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "org/app:1", "linux/amd64", &[&noise(1, 300_000), b"two"]);
    let server = Served::start(&sandbox, &["--registry", "--base-path", "/page"]);
    let begun = server.post("/page/api/exports", &json!({"images": [image.reference]})).json();
    let path = format!("/page/api/exports/{}", begun["id"].as_str().unwrap());
    until(|| server.get(&path).json()["state"] == "done");
    let manifest = server.get("/v2/org/app/manifests/1");
    assert_eq!(manifest.header("docker-content-digest").unwrap(), image.manifest.to_string());
    assert_eq!(manifest.body, registry.manifest_bytes("org/app", "1"));
    let layer = format!("/v2/org/app/blobs/{}", image.layers[0]);
    assert!(server.get(&layer).body == noise(1, 300_000));
    let part = server.send("GET", &layer, &["Range: bytes=1000-1999"], b"");
    assert_eq!((part.status, &part.body[..]), (206, &noise(1, 300_000)[1000..2000]));
    let again = sandbox.output(&["pull", &format!("{}/org/app:1", server.address), "-o", "again.tar"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(server.get("/v2/org/app/tags/list").json(), json!({"name": "org/app", "tags": ["1"]}));
    assert_eq!(server.get("/v2/_catalog").json(), json!({"repositories": ["org/app"]}));
    // As containerd asks a mirror.
    let host = registry.address().replace(':', "%3A");
    assert_eq!(server.get(&format!("/v2/org/app/manifests/1?ns={host}")).status, 200);
    assert_eq!(server.get("/v2/org/app/manifests/1?ns=docker.io").status, 404);
    assert_eq!(server.get("/v2/org/app/manifests/2").status, 404);
    let put = server.send(
        "PUT",
        "/v2/org/app/manifests/2",
        &["Content-Type: application/vnd.oci.image.manifest.v1+json"],
        &manifest.body,
    );
    assert_eq!(put.status, 405);
    assert_eq!(server.send("POST", "/v2/org/app/blobs/uploads/", &[], b"").status, 405);
    assert_eq!(server.delete(&format!("/v2/org/app/manifests/{}", image.manifest)).status, 405);
}

#[test]
fn of_two_archives_with_one_name_the_newest_is_taken_and_that_is_said() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let server = Served::start(&sandbox, &["--registry"]);
    let first = push(&registry, "app:1", "linux/amd64", &[b"one"]);
    server.wait(&server.export(&json!({"images": [first.reference]})), &["done"]);
    let old = sandbox.out().join("downloads");
    for entry in std::fs::read_dir(old).unwrap().filter_map(Result::ok).filter(|entry| entry.path().is_file())
    {
        let hour = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
        std::fs::File::options().write(true).open(entry.path()).unwrap().set_modified(hour).unwrap();
    }
    let second = push(&registry, "app:1", "linux/amd64", &[b"two"]);
    server.wait(&server.export(&json!({"images": [second.reference]})), &["done"]);
    let found = server.get("/v2/app/manifests/1");
    assert_eq!(found.header("docker-content-digest").unwrap(), second.manifest.to_string());
    assert!(server.said().contains("2 archives have `app:1`: the newest is taken"), "{}", server.said());
    let old = server.get(&format!("/v2/app/manifests/{}", first.manifest));
    assert_eq!(old.status, 200, "the older is there by its digest");
}

#[test]
fn an_archive_without_a_manifest_gets_the_same_each_time() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push_layers(&registry, "app", &[Layer::gzip(text(1, 1000))]);
    std::fs::create_dir(sandbox.out().join("downloads")).unwrap();
    let pulled =
        sandbox.output(&["pull", &image.reference, "--layers", "plain", "-o", "downloads/plain.tar"]);
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    let digest = |server: &Served| server.get("/v2/app/manifests/latest").header("docker-content-digest");
    let first = digest(&Served::start(&sandbox, &["--registry"]));
    assert!(first.is_some());
    assert_eq!(digest(&Served::start(&sandbox, &["--registry"])), first);
}

#[test]
fn what_is_packed_is_not_handed_out_and_what_is_deleted_is_let_go() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "app:1", "linux/amd64", &[&noise(1, 300_000)]);
    let downloads = sandbox.out().join("downloads");
    std::fs::create_dir(&downloads).unwrap();
    assert!(sandbox.output(&["pull", &image.reference, "-o", "downloads/a.tar"]).status.success());
    let gzip =
        std::process::Command::new("gzip").args(["-k", "-S", ".gz"]).arg(downloads.join("a.tar")).status();
    assert!(gzip.unwrap().success());
    std::fs::rename(downloads.join("a.tar.gz"), downloads.join("packed.tar")).unwrap();
    let server = Served::start(&sandbox, &["--registry"]);
    let blob = format!("/v2/app/blobs/{}", image.layers[0]);
    assert_eq!(server.get(&blob).body, noise(1, 300_000));
    assert_eq!(server.get(&format!("/v2/other/blobs/{}", image.layers[0])).status, 404);
    let open = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", server.process())).unwrap();
        let files = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        files.filter(|path| path.to_string_lossy().contains(".tar")).count()
    };
    until(|| open() == 1);
    assert_eq!(server.delete("/api/files/a.tar").status, 200);
    until(|| open() == 0);
    for _ in 0..2 {
        assert_eq!(server.get("/v2/app/manifests/1").status, 404);
    }
    until(|| server.said().matches("packed as a whole").count() == 1);
}

#[test]
fn the_registry_has_the_same_users_and_is_not_there_unasked() {
    let sandbox = Sandbox::new();
    assert_eq!(Served::start(&sandbox, &[]).get("/v2/").status, 404);
    assert!(add_user(&sandbox, "ann", "correct horse").status.success());
    let server = Served::start(&sandbox, &["--registry", "--user-file", "users"]);
    let stranger = server.get("/v2/");
    assert_eq!(
        (stranger.status, stranger.header("www-authenticate").unwrap().as_str()),
        (401, "Basic realm=\"sealift\"")
    );
    assert_eq!(stranger.json()["errors"][0]["code"], "UNAUTHORIZED");
    let basic = "Authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U="; // ann:correct horse
    assert_eq!(server.send("GET", "/v2/", &[basic], b"").status, 200);
    let foreign = server.send("GET", "/v2/", &[basic, "Host: evil.example"], b"");
    assert_eq!((foreign.status, &foreign.json()["errors"][0]["code"]), (421, &json!("DENIED")));
}
