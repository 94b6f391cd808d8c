//! Exports: what they write, what they tell, and how they are stopped and carried on with.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Served, archives, names, until};
use crate::support::image::{noise, push};
use crate::support::registry::{Fault, TestRegistry};
use crate::support::sandbox::Sandbox;

#[test]
fn an_export_writes_an_archive_its_checksum_and_its_script_for_each_image() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let one = push(&registry, "one:1", "linux/amd64", &[&noise(1, 100_000)]);
    let two = push(&registry, "org/two", "linux/amd64", &[b"two"]);
    let server = Served::start(&sandbox, &[]);
    let body = json!({"images": [one.reference, two.reference, one.reference], "target_registry": "x.example", "replace_level": "1"});
    let id = server.export(&body);
    let export = server.wait(&id, &["done", "failed"]);
    assert_eq!(export["state"], "done", "{export:#}");
    let downloads = sandbox.out().join("downloads");
    let files: Vec<String> =
        export["archives"].as_array().unwrap().iter().map(|archive| text(&archive["file"])).collect();
    assert_eq!(files.len(), 2, "an image that is named twice is exported once");
    let mut expected: Vec<String> = Vec::new();
    for file in &files {
        let stem = file.strip_suffix(".tar").unwrap();
        expected.extend([file.clone(), format!("{file}.sha256"), format!("tag_{stem}.sh")]);
    }
    expected.sort();
    assert_eq!(names(&downloads), expected);
    let host = registry.address().replace(':', "_");
    assert!(files[0].starts_with(&format!("{host}_one_1_20")), "{files:?}");
    let sums = Command::new("sha256sum")
        .arg("-c")
        .arg(format!("{}.sha256", files[0]))
        .current_dir(&downloads)
        .output();
    assert!(sums.unwrap().status.success());
    let verified =
        sandbox.run(&["verify", &format!("downloads/{}", files[0]), &format!("downloads/{}", files[1])]);
    assert!(verified.contains("exit code: 0"), "{verified}");
    let log: Vec<String> = export["log"].as_array().unwrap().iter().map(|line| text(&line["text"])).collect();
    for ignored in ["`target_registry` means nothing", "`replace_level` means nothing"] {
        assert!(log.iter().any(|line| line.contains(ignored)), "{log:?}");
    }
    // The list has what was exported, by the seed's names.
    let listed = server.get("/api/files").json();
    let file =
        listed["files"].as_array().unwrap().iter().find(|file| file["name"] == files[0]).unwrap().clone();
    assert_eq!(file["images"], json!([one.reference]));
    assert_eq!(file["load_command"], format!("docker load < {}", files[0]));
    assert_eq!(file["download_url"], format!("/downloads/{}", files[0]));
    assert_eq!(file["sha256"], export["archives"][0]["sha256"]);
    assert!(file["size"].as_u64().unwrap() > 100_000 && file["size_mb"].as_f64().unwrap() > 0.09);
    let script = server.get(&format!("/api/files/{}/script", files[0]));
    assert_eq!(
        script.body,
        std::fs::read(downloads.join(
            &expected
                [expected.iter().position(|name| name.contains("tag_") && name.contains("one")).unwrap()]
        ))
        .unwrap()
    );
    assert!(script.text().contains(&format!("archive='{}'", files[0])), "{}", script.text());
    let sum = server.get(&format!("/api/files/{}/sha256", files[0])).text();
    assert_eq!(sum, format!("{}  {}\n", text(&file["sha256"]), files[0]));
}

#[test]
fn one_archive_of_many_and_an_archive_for_each_platform_can_be_asked_for() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let one = push(&registry, "one:1", "linux/amd64", &[b"one"]);
    let arm = push(&registry, "arm:1", "linux/arm64", &[b"arm"]);
    let two = push(&registry, "two:1", "linux/amd64", &[b"two"]);
    let server = Served::start(&sandbox, &[]);
    let body = json!({"images": [one.reference, two.reference], "archive": "one", "name": "release 7", "platform": "linux/amd64", "layers": "keep"});
    let export = server.wait(&server.export(&body), &["done", "failed"]);
    assert_eq!(export["state"], "done", "{export:#}");
    let file = text(&export["archives"][0]["file"]);
    assert!(file.starts_with("release_7_20"), "{file}");
    let inspected = sandbox.run(&["inspect", &format!("downloads/{file}")]);
    assert!(inspected.contains("one:1") && inspected.contains("two:1"), "{inspected}");
    let export = server
        .wait(&server.export(&json!({"images": [arm.reference], "platform": "arm64"})), &["done", "failed"]);
    assert!(text(&export["archives"][0]["file"]).contains("_arm_1_arm64_20"), "{export:#}");
}

#[test]
fn an_image_that_fails_says_why_and_leaves_nothing_and_stops_no_other() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let good = push(&registry, "good", "linux/amd64", &[b"good"]);
    let bad = push(&registry, "bad", "linux/amd64", &[b"bad"]);
    registry.fault(&format!("GET /v2/bad/blobs/{}", bad.layers[0]), Fault::Flip);
    let server = Served::start(&sandbox, &[]);
    let none = format!("{}/none:1", registry.address());
    let export = server
        .wait(&server.export(&json!({"images": [bad.reference, none, good.reference]})), &["done", "failed"]);
    assert_eq!(export["state"], "failed");
    let states: Vec<_> =
        export["archives"].as_array().unwrap().iter().map(|one| text(&one["state"])).collect();
    assert_eq!(states, ["failed", "failed", "done"]);
    assert!(text(&export["archives"][0]["error"]).contains("failed verification"), "{export:#}");
    assert!(text(&export["archives"][1]["error"]).contains("none"), "{export:#}");
    let codes: Vec<_> = (0..3).map(|index| &export["archives"][index]["error_code"]).collect();
    assert_eq!(codes, [&json!("damaged"), &json!("not_found"), &json!(null)]);
    let files = names(&sandbox.out().join("downloads"));
    assert_eq!(files.len(), 3, "an archive and what stands beside it: {files:?}");
    assert!(files.iter().all(|file| file.contains("good")));
    // What was wrong is mended, and only what failed is fetched again.
    registry.heal();
    push(&registry, "none:1", "linux/amd64", &[b"none"]);
    let id = text(&export["id"]);
    let before = registry.requests().iter().filter(|request| request.contains("/good/")).count();
    assert_eq!(server.post(&format!("/api/exports/{id}/retry"), &json!({})).status, 200);
    assert_eq!(server.wait(&id, &["done", "failed"])["state"], "done");
    assert_eq!(registry.requests().iter().filter(|request| request.contains("/good/")).count(), before);
    assert_eq!(names(&sandbox.out().join("downloads")).len(), 9);
}

#[test]
fn an_export_is_cancelled_and_a_retry_carries_on_where_it_stood() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "large", "linux/amd64", &[&noise(3, 6 << 20)]);
    let blob = format!("GET /v2/large/blobs/{}", image.layers[0]);
    registry.fault(&blob, Fault::Trickle(Duration::from_millis(25)));
    let server = Served::start(&sandbox, &["--connections", "1"]);
    let id = server.export(&json!({"images": [image.reference]}));
    let path = format!("/api/exports/{id}");
    until(|| server.get(&path).json()["done_bytes"].as_u64() >= Some(3 << 20));
    let running = server.get(&path).json();
    assert_eq!((&running["state"], &running["total_bytes"]), (&json!("running"), &json!(6 << 20)));
    assert!(running["archives"][0]["blobs"][0]["done_bytes"].as_u64() >= Some(3 << 20), "{running:#}");
    let cancelled = server.send("POST", &format!("{path}/cancel"), &[], b"");
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
    assert_eq!(server.send("POST", &format!("{path}/cancel"), &[], b"").status, 409);
    assert_eq!(archives(&sandbox.out().join("downloads")), [""; 0]);
    registry.heal();
    let before = registry.sent_bytes(&blob);
    assert_eq!(server.send("POST", &format!("{path}/retry"), &[], b"").status, 200);
    let done = server.wait(&id, &["done", "failed"]);
    assert_eq!(done["state"], "done", "{done:#}");
    let again = registry.sent_bytes(&blob) - before;
    // What came is written down a MiB at a time.
    assert!(again < 5 << 20, "{again} bytes were fetched again");
    assert_eq!(server.send("POST", &format!("{path}/retry"), &[], b"").status, 409);
}

#[test]
fn a_forgotten_export_takes_what_it_left_unfinished_with_it() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "large", "linux/amd64", &[&noise(3, 6 << 20)]);
    registry.fault(
        &format!("GET /v2/large/blobs/{}", image.layers[0]),
        Fault::Trickle(Duration::from_millis(25)),
    );
    let server = Served::start(&sandbox, &["--connections", "1"]);
    let id = server.export(&json!({"images": [image.reference]}));
    let path = format!("/api/exports/{id}");
    until(|| server.get(&path).json()["done_bytes"].as_u64() >= Some(3 << 20));
    assert_eq!(server.delete(&path).status, 409, "it is under way");
    assert_eq!(server.send("POST", &format!("{path}/cancel"), &[], b"").status, 200);
    let downloads = sandbox.out().join("downloads");
    assert!(!names(&downloads).is_empty());
    assert_eq!(server.delete(&path).status, 204);
    assert_eq!((server.get(&path).status, server.delete(&path).status), (404, 404));
    assert_eq!(names(&downloads), [""; 0]);
}

#[test]
fn what_a_cancelled_export_left_goes_when_it_is_too_old() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "large", "linux/amd64", &[&noise(3, 6 << 20)]);
    let small = push(&registry, "small", "linux/amd64", &[b"small"]);
    registry.fault(
        &format!("GET /v2/large/blobs/{}", image.layers[0]),
        Fault::Trickle(Duration::from_millis(25)),
    );
    // A tenth of a second; times are told in seconds.
    let server = Served::start(&sandbox, &["--connections", "1", "--max-age", "0.000001"]);
    let id = server.export(&json!({"images": [image.reference]}));
    let path = format!("/api/exports/{id}");
    until(|| server.get(&path).json()["done_bytes"].as_u64() >= Some(3 << 20));
    assert_eq!(server.send("POST", &format!("{path}/cancel"), &[], b"").status, 200);
    let downloads = sandbox.out().join("downloads");
    until(|| {
        // It cleans up after each export.
        server.wait(&server.export(&json!({"images": [small.reference]})), &["done"]);
        names(&downloads).iter().all(|name| !name.contains("_large_"))
    });
}

/// The first of the server-sent events there, and those that come then.
fn watched(server: &Served, path: &str) -> ((String, Value), impl Iterator<Item = (String, Value)> + use<>) {
    let mut stream = server.connect();
    let host = &server.address;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut name = String::new();
    let mut events = BufReader::new(stream).lines().filter_map(move |line| {
        let line = line.unwrap();
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut name);
        }
        Some((name.clone(), serde_json::from_str(line.strip_prefix("data: ")?).unwrap()))
    });
    (events.next().unwrap(), events)
}

#[test]
fn events_tell_progress_lines_and_the_end() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "slow", "linux/amd64", &[&noise(3, 1 << 20)]);
    let blob = format!("/slow/blobs/{}", image.layers[0]);
    registry.fault(&format!("GET /v2{blob}"), Fault::Trickle(Duration::from_millis(40)));
    let server = Served::start(&sandbox, &["--connections", "1"]);
    let id = server.export(&json!({"images": [image.reference]}));
    let (begun, events) = watched(&server, &format!("/api/exports/{id}/events"));
    let events: Vec<_> = [begun].into_iter().chain(events).collect();
    assert_eq!(
        (events.last().unwrap().0.as_str(), &events.last().unwrap().1["state"]),
        ("job", &json!("done"))
    );
    assert_eq!(events[0].0, "job");
    let bytes: Vec<u64> = events.iter().filter_map(|(_, event)| event["done_bytes"].as_u64()).collect();
    assert!(bytes.is_sorted() && bytes.last().unwrap() > &(1 << 20), "{bytes:?}");
    let progress: Vec<_> = events.iter().filter(|(name, _)| name == "progress").collect();
    assert!(!progress.is_empty(), "{events:#?}");
    assert!(progress.iter().any(|(_, event)| event["bytes_per_second"].as_u64() > Some(0)));
}

#[test]
fn one_stream_tells_of_all_that_are_under_way_and_of_those_that_begin_meanwhile() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "slow", "linux/amd64", &[&noise(3, 1 << 20)]);
    let blob = format!("GET /v2/slow/blobs/{}", image.layers[0]);
    registry.fault(&blob, Fault::Cut(300_000));
    let server = Served::start(&sandbox, &["--connections", "1", "--retry-times", "9", "--retry-delay", "1"]);
    assert_eq!(server.get("/api/events").text(), "", "nothing is under way");
    let exported = || server.export(&json!({"images": [image.reference]}));
    let first = exported();
    let ((name, job), events) = watched(&server, "/api/events");
    assert_eq!((name.as_str(), &job["id"]), ("job", &json!(first)));
    let second = exported();
    // It ends with the last of them.
    let events: Vec<_> = events.collect();
    for id in [first, second] {
        let told = |wanted: &str, key: &str| {
            let of = events.iter().filter(|(name, event)| name == wanted && event[key] == *id);
            of.map(|(_, event)| event).collect::<Vec<_>>()
        };
        let jobs = told("job", "id");
        assert_eq!(jobs.last().unwrap()["state"], "done", "{jobs:#?}");
        assert!(jobs.iter().all(|job| job["log"].is_array()));
        assert!(!told("progress", "id").is_empty(), "{events:#?}");
        let lines = told("log", "export");
        assert!(
            lines.iter().any(|line| line["text"].as_str().unwrap().contains("trying again")),
            "{events:#?}"
        );
    }
}

#[test]
fn so_many_exports_run_as_were_allowed_and_the_others_wait_their_turn() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let slow = push(&registry, "slow", "linux/amd64", &[b"slow"]);
    let next = push(&registry, "next", "linux/amd64", &[b"next"]);
    registry.fault(&format!("GET /v2/slow/blobs/{}", slow.layers[0]), Fault::Stall(0));
    let server = Served::start(&sandbox, &["--max-jobs", "1"]);
    let first = server.export(&json!({"images": [slow.reference]}));
    server.wait(&first, &["running"]);
    let second = server.export(&json!({"images": [next.reference]}));
    assert_eq!(server.get(&format!("/api/exports/{second}")).json()["state"], "queued");
    let all = server.get("/api/exports").json();
    assert_eq!((&all["exports"][0]["id"], &all["exports"][1]["id"]), (&json!(second), &json!(first)));
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("sealift_exports{state=\"queued\"} 1"), "{metrics}");
    assert_eq!(server.send("POST", &format!("/api/exports/{first}/cancel"), &[], b"").status, 200);
    server.wait(&second, &["done"]);
}

#[test]
fn credentials_go_to_their_registry_and_nowhere_else() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "private", "linux/amd64", &[b"x"]);
    registry.want_tokens(100, 60);
    let server = Served::start(&sandbox, &[]);
    let other = json!({"username": "ann", "password": "hunter2-secret", "registry": "other.example"});
    let refused = server.post("/api/exports", &json!({"images": [image.reference], "source_auth": other}));
    assert_eq!(refused.status, 400);
    let several = json!({"images": [image.reference, "quay.io/x/y:1"], "source_auth": {"username": "ann", "password": "hunter2-secret"}});
    assert_eq!(server.post("/api/exports", &several).status, 400);
    let auth = json!({"username": "ann", "password": "hunter2-secret"});
    let id = server.export(&json!({"images": [image.reference], "source_auth": auth, "proxy_config": {"https_proxy": "http://ann:hunter2-secret@proxy.example:3128"}}));
    let export = server.wait(&id, &["done", "failed"]);
    assert_eq!(export["state"], "done", "{export:#}");
    let sent: Vec<_> =
        registry.headers("GET /token").iter().map(|headers| headers.get("authorization").cloned()).collect();
    assert_eq!(sent, [Some("Basic YW5uOmh1bnRlcjItc2VjcmV0".parse().unwrap())]);
    let everything = format!("{export}{}{}{}", refused.text(), server.said(), server.get("/api/log").text());
    assert!(!everything.contains("hunter2"), "{everything}");
    let state = sandbox.out().join("downloads/.sealift");
    let found = Command::new("grep").args(["-r", "hunter2"]).arg(state).output().unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}
