//! Files and downloads: whole and in part, listed, deleted, cleaned up.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::server::{Served, names, until};
use crate::support::image::{noise, push};
use crate::support::layer::{Layer, push_layers};
use crate::support::registry::TestRegistry;
use crate::support::sandbox::Sandbox;

/// A folder with these files in it, so many days old.
fn folder(sandbox: &Sandbox, files: &[(&str, &[u8], u64)]) -> PathBuf {
    let downloads = sandbox.out().join("downloads");
    fs::create_dir_all(&downloads).unwrap();
    for (name, bytes, days) in files {
        let path = downloads.join(name);
        fs::write(&path, bytes).unwrap();
        let time = SystemTime::now() - Duration::from_secs(days * 86_400 + 60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    downloads
}

#[test]
fn a_file_is_handed_out_whole_in_part_and_not_again() {
    let sandbox = Sandbox::new();
    let bytes = noise(7, 1_000_000);
    folder(
        &sandbox,
        &[("a b.tar", &bytes, 0), ("tag_a b.sh", b"#!/bin/sh\n", 0), ("a b.tar.sha256", b"00  a b.tar\n", 0)],
    );
    let server = Served::start(&sandbox, &[]);
    let path = "/downloads/a%20b.tar";
    let whole = server.get(path);
    assert_eq!((whole.status, whole.body == bytes), (200, true));
    let header = |name: &str| whole.header(name).unwrap();
    assert_eq!(header("content-length"), "1000000");
    assert_eq!(header("content-type"), "application/x-tar");
    assert_eq!(header("accept-ranges"), "bytes");
    assert_eq!(header("content-disposition"), "attachment; filename=\"a b.tar\"; filename*=UTF-8''a%20b.tar");
    let tag = header("etag");
    let part = |range: &str, more: &str| server.send("GET", path, &[&format!("Range: {range}"), more], b"");
    for (range, from, to) in
        [("bytes=0-9", 0, 10), ("bytes=999990-", 999_990, 1_000_000), ("bytes=-5", 999_995, 1_000_000)]
    {
        let answer = part(range, &format!("If-Range: {tag}"));
        assert_eq!((answer.status, &answer.body[..]), (206, &bytes[from..to]), "{range}");
        assert_eq!(answer.header("content-range").unwrap(), format!("bytes {from}-{}/1000000", to - 1));
    }
    assert_eq!(part("bytes=0-9", "If-Range: \"other\"").body.len(), 1_000_000);
    let beyond = part("bytes=1000000-", "X: y");
    assert_eq!((beyond.status, beyond.header("content-range").unwrap().as_str()), (416, "bytes */1000000"));
    assert_eq!(server.send("GET", path, &[&format!("If-None-Match: {tag}")], b"").status, 304);
    let head = server.send("HEAD", path, &[], b"");
    assert_eq!(
        (head.status, head.header("content-length").unwrap().as_str(), head.body.len()),
        (200, "1000000", 0)
    );
    for (path, content_type) in
        [("tag_a%20b.sh", "text/x-shellscript"), ("a%20b.tar.sha256", "text/plain; charset=utf-8")]
    {
        let answer = server.get(&format!("/downloads/{path}"));
        assert_eq!((answer.status, answer.header("content-type").unwrap().as_str()), (200, content_type));
    }
    fs::write(sandbox.out().join("downloads/a b.tar"), "other").unwrap();
    assert_ne!(server.get(path).header("etag").unwrap(), tag);
}

#[test]
fn who_downloads_a_file_that_is_deleted_gets_all_of_it() {
    let sandbox = Sandbox::new();
    let bytes = noise(7, 64 << 20);
    let downloads = folder(
        &sandbox,
        &[("a.tar", &bytes, 0), ("tag_a.sh", b"x", 0), ("a.tar.sha256", b"x", 0), ("b.tar", b"b", 0)],
    );
    let server = Served::start(&sandbox, &[]);
    let mut stream = server.connect();
    write!(stream, "GET /downloads/a.tar HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address)
        .unwrap();
    let mut read = vec![0; 100_000];
    stream.read_exact(&mut read).unwrap();
    let deleted = server.delete("/api/files/a.tar").json();
    assert_eq!(deleted["deleted"][0]["name"], "a.tar");
    assert_eq!(names(&downloads), ["b.tar"]);
    assert_eq!((server.get("/downloads/a.tar").status, server.delete("/api/files/a.tar").status), (404, 404));
    stream.read_to_end(&mut read).unwrap();
    assert!(read.ends_with(&bytes[bytes.len() - 1000..]) && read.len() > bytes.len(), "{}", read.len());
    let body = read.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert!(read[body..] == bytes);
}

#[test]
fn a_cleanup_says_what_would_go_and_then_it_goes() {
    let sandbox = Sandbox::new();
    let files: Vec<(&str, &[u8], u64)> = vec![
        ("new.tar", b"1234", 0),
        ("week.tar", b"123", 6),
        ("old.tar", b"12", 8),
        ("older.tar", b"1", 30),
        ("tag_older.sh", b"x", 30),
        ("notes.txt", b"mine", 90),
    ];
    let downloads = folder(&sandbox, &files);
    let server = Served::start(&sandbox, &[]);
    let clean = |body| server.post("/api/files/cleanup", &body).json();
    let gone = |answer: &serde_json::Value| {
        answer["deleted"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| file["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let would = clean(json!({"max_age_days": 7, "dry_run": true}));
    assert_eq!(
        (gone(&would), &would["freed_bytes"]),
        (vec!["old.tar".to_owned(), "older.tar".to_owned()], &json!(3))
    );
    assert_eq!(names(&downloads).len(), 6);
    assert_eq!(gone(&clean(json!({}))), [""; 0], "nothing was asked for");
    assert_eq!(gone(&clean(json!({"max_age_days": 7}))), ["old.tar", "older.tar"]);
    assert_eq!(names(&downloads), ["new.tar", "notes.txt", "week.tar"]);
    assert_eq!(gone(&clean(json!({"max_files": 1}))), ["week.tar"]);
    for bad in [json!({"max_age_days": -1}), json!({"max_files": -1}), json!({"max_age": 7}), json!([])] {
        assert_eq!(server.post("/api/files/cleanup", &bad).status, 400, "{bad}");
    }
    let log = server.get("/api/log").json();
    let cleaned: Vec<_> =
        log["entries"].as_array().unwrap().iter().filter(|entry| entry["what"] == "cleanup").collect();
    assert_eq!(cleaned.len(), 3, "{log:#}");
}

#[test]
fn archives_go_by_themselves_when_they_are_too_old_or_too_many() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "new", "linux/amd64", &[b"new"]);
    let downloads = folder(&sandbox, &[("a.tar", b"a", 0), ("b.tar", b"b", 1), ("old.tar", b"old", 40)]);
    let server = Served::start(&sandbox, &["--max-age", "30", "--max-files", "2"]);
    until(|| names(&downloads) == ["a.tar", "b.tar"]);
    let export = server.wait(&server.export(&json!({"images": [image.reference]})), &["done"]);
    let file = export["archives"][0]["file"].as_str().unwrap().to_owned();
    until(|| !names(&downloads).contains(&"b.tar".to_owned()));
    assert!(names(&downloads).contains(&file));
}

#[test]
fn an_export_that_would_take_more_than_the_disk_budget_fails_before_it_begins() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "large", "linux/amd64", &[&noise(1, 1 << 20)]);
    let downloads = folder(&sandbox, &[("a.tar", &noise(2, 1 << 20), 0)]);
    let server = Served::start(&sandbox, &["--max-disk", "2MiB"]);
    let export = server.wait(&server.export(&json!({"images": [image.reference]})), &["done", "failed"]);
    assert!(export["archives"][0]["error"].as_str().unwrap().contains("--max-disk"), "{export:#}");
    assert_eq!(registry.sent_bytes("/large/blobs/") >> 20, 0);
    assert_eq!(names(&downloads), ["a.tar"]);
    assert_eq!(server.delete("/api/files/a.tar").status, 200);
    let id = export["id"].as_str().unwrap();
    assert_eq!(server.send("POST", &format!("/api/exports/{id}/retry"), &[], b"").status, 200);
    server.wait(id, &["done"]);
}

#[test]
fn layers_that_inflate_to_more_than_the_disk_budget_are_stopped_before_they_are_written() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let inflated = |seed| noise(seed, 4096).repeat(2048); // 8 MiB, some 200 times its blob
    let fits = push_layers(&registry, "fits", &[Layer::gzip(inflated(1))]);
    let kinds = [Layer::gzip, Layer::zstd, Layer::members];
    let layers: Vec<Layer> = kinds.into_iter().zip(1..).map(|(kind, seed)| kind(inflated(seed))).collect();
    let large = push_layers(&registry, "large", &layers);
    let server = Served::start(&sandbox, &["--max-disk", "20MiB"]);
    // A server that wrote beyond that would be killed by the system.
    let most = rustix::process::Rlimit { current: Some(20 << 20), maximum: Some(20 << 20) };
    let process = rustix::process::Pid::from_raw(server.process().try_into().unwrap());
    rustix::process::prlimit(process, rustix::process::Resource::Fsize, most).unwrap();
    let export = |image: &str| {
        let id = server.export(&json!({"images": [image], "layers": "plain"}));
        server.wait(&id, &["done", "failed"])
    };
    let failed = export(&large.reference);
    let archive = &failed["archives"][0];
    assert_eq!(archive["error_code"], "over_budget", "{failed:#}");
    assert!(archive["error"].as_str().unwrap().contains("--max-disk"), "{failed:#}");
    assert_eq!(names(&sandbox.out().join("downloads")), [""; 0], "nothing is left of it");
    let written = export(&fits.reference);
    assert_eq!(written["state"], "done", "{written:#}");
    assert!(written["archives"][0]["size"].as_u64() > Some(8 << 20), "{written:#}");
}

#[test]
fn what_others_put_into_the_folder_is_listed_hashed_and_scripted() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "n:1", "linux/amd64", &[b"layer"]);
    folder(&sandbox, &[("junk.tar", b"this is no tar", 1)]);
    assert!(sandbox.output(&["pull", &image.reference, "-o", "downloads/it's mine.tar"]).status.success());
    let server = Served::start(&sandbox, &[]);
    let files = server.get("/api/files").json()["files"].clone();
    assert_eq!((&files[0]["name"], &files[0]["sha256"]), (&json!("it's mine.tar"), &json!(null)));
    assert_eq!(files[0]["images"], json!([image.reference]));
    assert_eq!(files[0]["load_command"], r"docker load < 'it'\''s mine.tar'");
    assert_eq!((&files[1]["name"], &files[1]["images"]), (&json!("junk.tar"), &json!([])));
    assert!(files[1]["problem"].is_string(), "{files:#}");
    let path = "/api/files/it%27s%20mine.tar";
    let line = server.get(&format!("{path}/sha256")).text();
    let files = server.get("/api/files").json()["files"].clone();
    assert_eq!(line, format!("{}  it's mine.tar\n", files[0]["sha256"].as_str().unwrap()));
    let script = server.get(&format!("{path}/script"));
    assert_eq!(script.status, 200);
    let home = sandbox.path().join("elsewhere");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("tag.sh"), &script.body).unwrap();
    fs::write(home.join("it's mine.tar"), server.get("/downloads/it%27s%20mine.tar").body).unwrap();
    let dry =
        std::process::Command::new("sh").args(["tag.sh", "--help"]).current_dir(&home).output().unwrap();
    assert!(dry.status.success(), "{}", String::from_utf8_lossy(&dry.stderr));
    assert_eq!(server.get("/api/files/junk.tar/script").status, 409);
    assert_eq!(server.get("/api/files/none.tar/script").status, 404);
}

#[test]
fn five_thousand_files_are_listed_and_known_after_a_restart() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "n:1", "linux/amd64", &[b"layer"]);
    let downloads = folder(&sandbox, &[]);
    assert!(sandbox.output(&["pull", &image.reference, "-o", "downloads/0000.tar"]).status.success());
    for index in 1..5000 {
        fs::hard_link(downloads.join("0000.tar"), downloads.join(format!("{index:04}.tar"))).unwrap();
    }
    let server = Served::start(&sandbox, &[]);
    let all_known = |server: &Served| {
        let asked = Instant::now();
        let answer = server.get("/api/files");
        let took = asked.elapsed();
        // Wanted are 100 ms of a quiet machine and a release build (benches/serve.sh).
        assert!(took < Duration::from_secs(2), "{took:?}");
        let files = answer.json()["files"].clone();
        let files = files.as_array().unwrap();
        assert_eq!(files.len(), 5000);
        files.iter().all(|file| file["images"] == json!([image.reference]))
    };
    until(|| all_known(&server));
    assert!(server.stop().success());
    assert!(all_known(&Served::start(&sandbox, &[])), "what was found out is kept");
}
