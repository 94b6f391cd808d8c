//! What a server leaves when it stops or dies, and what the next one makes of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Served, archives, until};
use crate::support::image::{TestImage, noise, push};
use crate::support::registry::{Fault, TestRegistry};
use crate::support::sandbox::Sandbox;

/// A registry with an image whose large layer comes slowly.
fn slow() -> (TestRegistry, TestImage, String) {
    let registry = TestRegistry::start();
    let image = push(&registry, "large", "linux/amd64", &[&noise(3, 6 << 20)]);
    let blob = format!("GET /v2/large/blobs/{}", image.layers[0]);
    registry.fault(&blob, Fault::Trickle(Duration::from_millis(25)));
    (registry, image, blob)
}

fn begun(server: &Served, image: &TestImage) -> String {
    let id = server.export(&json!({"images": [image.reference]}));
    until(|| server.get(&format!("/api/exports/{id}")).json()["done_bytes"].as_u64() >= Some(3 << 20));
    id
}

#[test]
fn a_server_that_is_killed_leaves_nothing_half_and_what_can_be_carried_on_with() {
    let ((registry, image, blob), sandbox) = (slow(), Sandbox::new());
    let server = Served::start(&sandbox, &["--connections", "1"]);
    let id = begun(&server, &image);
    server.kill();
    let downloads = sandbox.out().join("downloads");
    assert_eq!(archives(&downloads), [""; 0]);
    registry.heal();
    let server = Served::start(&sandbox, &["--connections", "1"]);
    let path = format!("/api/exports/{id}");
    let export = server.get(&path).json();
    assert_eq!(
        (&export["state"], &export["archives"][0]["state"]),
        (&json!("interrupted"), &json!("waiting"))
    );
    assert_eq!(server.get("/api/files").json()["files"], json!([]));
    let before = registry.sent_bytes(&blob);
    assert_eq!(server.send("POST", &format!("{path}/retry"), &[], b"").status, 200);
    let export = server.wait(&id, &["done", "failed"]);
    assert_eq!(export["state"], "done", "{export:#}");
    let again = registry.sent_bytes(&blob) - before;
    // What came is written down a MiB at a time.
    assert!(again < 5 << 20, "{again} bytes were fetched again");
    let file = export["archives"][0]["file"].as_str().unwrap();
    assert!(sandbox.output(&["verify", &format!("downloads/{file}")]).status.success());
    let log = server.get("/api/log").json();
    let what: Vec<_> =
        log["entries"].as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["exported", "retry", "start", "export", "start"], "the log outlives the server");
    let entry = &log["entries"][1];
    let image = &image.reference;
    assert_eq!((&entry["on"], &entry["export"]), (&json!(image), &json!(id)), "by what people know it");
}

#[test]
fn a_server_that_is_stopped_pauses_and_the_next_carries_on_by_itself() {
    let ((registry, image, blob), sandbox) = (slow(), Sandbox::new());
    let server = Served::start(&sandbox, &["--connections", "1"]);
    let id = begun(&server, &image);
    let status = server.stop();
    assert!(status.success(), "{status}");
    registry.heal();
    let before = registry.sent_bytes(&blob);
    let server = Served::start(&sandbox, &["--connections", "1"]);
    let export = server.wait(&id, &["done", "failed"]);
    assert_eq!(export["state"], "done", "{export:#}");
    assert!(registry.sent_bytes(&blob) - before < 5 << 20);
    assert!(export["log"].to_string().contains("paused: the server is stopping"));
}

#[test]
fn credentials_do_not_outlive_the_server_and_are_asked_for_again() {
    let ((registry, image, _), sandbox) = (slow(), Sandbox::new());
    let server = Served::start(&sandbox, &["--connections", "1"]);
    let auth = json!({"username": "ann", "password": "hunter2"});
    let id = server.export(&json!({"images": [image.reference], "source_auth": auth}));
    let path = format!("/api/exports/{id}");
    until(|| server.get(&path).json()["done_bytes"].as_u64() >= Some(3 << 20));
    assert_eq!(server.get(&path).json()["needs_credentials"], false);
    assert!(server.stop().success());
    registry.heal();
    let server = Served::start(&sandbox, &[]);
    let export = server.get(&path).json();
    assert_eq!((&export["state"], &export["needs_credentials"]), (&json!("paused"), &json!(true)));
    assert_eq!(server.send("POST", &format!("{path}/retry"), &[], b"").status, 409);
    assert_eq!(server.post(&format!("{path}/retry"), &json!({})).status, 409);
    assert_eq!(server.post(&format!("{path}/retry"), &json!({"source_auth": auth})).status, 200);
    server.wait(&id, &["done"]);
}

#[test]
fn an_export_whose_credentials_are_gone_goes_on_without_if_that_is_said() {
    let ((registry, image, _), sandbox) = (slow(), Sandbox::new());
    let server = Served::start(&sandbox, &["--connections", "1"]);
    let auth = json!({"username": "robot", "password": "hunter2"});
    let id = server.export(&json!({"images": [image.reference], "source_auth": auth}));
    let path = format!("/api/exports/{id}");
    until(|| server.get(&path).json()["done_bytes"].as_u64() >= Some(3 << 20));
    server.kill();
    registry.heal();
    let server = Served::start(&sandbox, &[]);
    let retried = |body: &Value| server.post(&format!("{path}/retry"), body).status;
    assert_eq!(retried(&json!({})), 409);
    registry.fault(
        "GET /v2/large/",
        Fault::Answer(401, vec![("www-authenticate", "Basic realm=\"r\"".to_owned())], String::new()),
    );
    assert_eq!(retried(&json!({"source_auth": null})), 200);
    let export = server.wait(&id, &["failed"]);
    assert_eq!(export["archives"][0]["error_code"], "unauthorized", "{export:#}");
    assert_eq!(export["needs_credentials"], false);
    // Of what is in memory null lets go, too.
    assert_eq!(retried(&json!({"source_auth": auth})), 200);
    let export = server.wait(&id, &["failed"]);
    assert_eq!(export["archives"][0]["error_code"], "wrong_credentials", "{export:#}");
    assert_eq!(retried(&json!({"proxy_config": null})), 200);
    assert_eq!(server.wait(&id, &["failed"])["archives"][0]["error_code"], "unauthorized");
    registry.heal();
    assert_eq!(retried(&json!({})), 200);
    server.wait(&id, &["done"]);
}

/// A server in the middle of a download.
fn downloading(sandbox: &Sandbox, bytes: &[u8]) -> (Served, TcpStream) {
    let downloads = sandbox.out().join("downloads");
    std::fs::create_dir_all(&downloads).unwrap();
    std::fs::write(downloads.join("a.tar"), bytes).unwrap();
    let server = Served::start(sandbox, &[]);
    let mut stream = server.connect();
    let host = &server.address;
    let asked = format!("GET /downloads/a.tar HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    (server, stream)
}

#[test]
fn sessions_end_with_the_server_and_downloads_come_to_their_end() {
    let sandbox = Sandbox::new();
    let bytes = noise(9, 32 << 20);
    let (server, mut stream) = downloading(&sandbox, &bytes);
    let stopping = std::thread::spawn(move || server.stop());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(&bytes[bytes.len() - 1000..]), "{} of {} bytes came", rest.len(), bytes.len());
    assert!(stopping.join().unwrap().success());
}

#[test]
fn who_stops_twice_waits_for_nobody() {
    let sandbox = Sandbox::new();
    let (server, _stream) = downloading(&sandbox, &noise(9, 64 << 20));
    server.terminate();
    until(|| TcpStream::connect(&server.address).is_err());
    let begun = Instant::now();
    assert_eq!(server.stop().code(), Some(143));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
