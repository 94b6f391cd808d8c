//! Attacks: names that lead out, pages of others, bodies and connections without end.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{Answer, Served, names};
use crate::support::image::push;
use crate::support::registry::{Fault, TestRegistry};
use crate::support::sandbox::Sandbox;

#[test]
fn no_name_leads_out_of_the_folder() {
    let sandbox = Sandbox::new();
    let downloads = sandbox.out().join("downloads");
    fs::create_dir_all(downloads.join("sub")).unwrap();
    fs::write(sandbox.out().join("secret.tar"), "secret").unwrap();
    fs::write(downloads.join("sub/in.tar"), "in").unwrap();
    fs::write(downloads.join("notes.txt"), "notes").unwrap();
    fs::write(downloads.join("half.tar.partial"), "half").unwrap();
    std::os::unix::fs::symlink(sandbox.out().join("secret.tar"), downloads.join("link.tar")).unwrap();
    std::os::unix::fs::symlink(sandbox.out(), downloads.join("out.tar")).unwrap();
    let server = Served::start(&sandbox, &[]);
    let absolute = format!("{}/secret.tar", sandbox.out().display());
    for name in [
        "../secret.tar",
        "..%2fsecret.tar",
        "..%2Fsecret.tar",
        "%2e%2e/secret.tar",
        "%2e%2e%2fsecret.tar",
        "..%5csecret.tar",
        "..%252fsecret.tar",
        "....//secret.tar",
        "sub/in.tar",
        "sub%2fin.tar",
        "./notes.txt",
        "notes.txt",
        "half.tar.partial",
        "link.tar",
        "out.tar",
        "out.tar%2fsecret.tar",
        ".sealift/log.jsonl",
        ".sealift%2flog.jsonl",
        "%00.tar",
        "a%00.tar",
        "%ff.tar",
        "",
        ".",
        "..",
        &absolute,
        &absolute.replace('/', "%2f"),
    ] {
        for (method, path) in [
            ("GET", format!("/downloads/{name}")),
            ("DELETE", format!("/api/files/{name}")),
            ("GET", format!("/api/files/{name}/script")),
            ("GET", format!("/api/files/{name}/sha256")),
        ] {
            let answer = server.send(method, &path, &[], b"");
            assert!([400, 404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
            assert!(!String::from_utf8_lossy(&answer.body).contains("secret\n"), "{method} {path}");
        }
    }
    assert_eq!(server.get("/api/files").json()["files"], json!([]));
    server.post("/api/files/cleanup", &json!({"max_files": 0}));
    assert_eq!(names(&downloads), ["half.tar.partial", "link.tar", "notes.txt", "out.tar", "sub"]);
    assert_eq!(fs::read_to_string(sandbox.out().join("secret.tar")).unwrap(), "secret");
}

#[test]
fn what_others_plant_in_the_folder_is_not_written_through() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "app:1", "linux/amd64", &[b"layer"]);
    registry.fault("/v2/app/blobs/", Fault::Answer(403, vec![], String::new()));
    let server = Served::start(&sandbox, &[]);
    let id = server.export(&json!({"images": [image.reference]}));
    let failed = server.wait(&id, &["failed"]);
    let file = failed["archives"][0]["file"].as_str().unwrap();
    let (downloads, victim) = (sandbox.out().join("downloads"), sandbox.out().join("victim"));
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, downloads.join(file)).unwrap();
    registry.heal();
    assert_eq!(server.send("POST", &format!("/api/exports/{id}/retry"), &[], b"").status, 200);
    let done = server.wait(&id, &["done", "failed"]);
    assert_eq!(done["state"], "done", "{done:#}");
    assert_ne!(done["archives"][0]["file"], file);
    assert_eq!(server.get(&format!("/downloads/{file}")).status, 404);
    assert!(server.stop().success());
    // The log is one of a name that anybody knows.
    let log = downloads.join(".sealift/log.jsonl");
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(&victim, &log).unwrap();
    let refused = sandbox.output(&["serve", "--listen", "127.0.0.1:0", "--dir", "downloads"]);
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn pages_of_other_origins_change_nothing() {
    let sandbox = Sandbox::new();
    let downloads = sandbox.out().join("downloads");
    fs::create_dir_all(&downloads).unwrap();
    fs::write(downloads.join("a.tar"), "a").unwrap();
    let server = Served::start(&sandbox, &[]);
    let own = format!("Origin: http://{}", server.address);
    let port = server.address.rsplit(':').next().unwrap();
    for headers in [
        &["Origin: http://evil.example"][..],
        &["Origin: null"],
        &["Origin: http://127.0.0.1:1"],
        &[&format!("Origin: http://127.0.0.1.evil.example:{port}")],
        &[&format!("Origin: ftp://{}", server.address)],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &[&own, "Sec-Fetch-Site: cross-site"],
    ] {
        for (method, path) in [
            ("DELETE", "/api/files/a.tar"),
            ("POST", "/api/files/cleanup"),
            ("POST", "/api/exports"),
            ("POST", "/api/session"),
            ("DELETE", "/api/session"),
        ] {
            let answer = server.send(method, path, headers, b"");
            assert_eq!(answer.status, 403, "{method} {path} {headers:?}");
        }
    }
    // What a form can send is no JSON.
    let form =
        server.send("POST", "/api/files/cleanup", &["Content-Type: text/plain"], br#"{"max_files":0}"#);
    assert_eq!(form.status, 415);
    assert_eq!(names(&downloads), ["a.tar"]);
    let answer = server.send("DELETE", "/api/files/a.tar", &[&own, "Sec-Fetch-Site: same-origin"], b"");
    assert_eq!(answer.status, 200);
}

#[test]
fn other_names_than_its_own_are_not_answered_to() {
    let sandbox = Sandbox::new();
    let settings = sandbox.path().join("config.json");
    std::fs::write(&settings, r#"{"serve_hosts": ["nodes.example"]}"#).unwrap();
    let server =
        Served::start(&sandbox, &["--host", "images.example", "--config", settings.to_str().unwrap()]);
    for host in
        ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "images.example.evil"]
    {
        let answer = server.send("GET", "/api/files", &[&format!("Host: {host}")], b"");
        assert_eq!(answer.status, 421, "{host}");
    }
    let twice = server.send("GET", "/api/files", &["Host: images.example", "Host: evil.example"], b"");
    assert!([400, 421].contains(&twice.status));
    let whole = server.send("GET", "http://evil.example/api/files", &["Host: images.example"], b"");
    assert_eq!(whole.status, 421);
    for host in
        ["images.example", "nodes.example:8080", "IMAGES.example:8443", "localhost", "[::1]:80", "10.0.0.1"]
    {
        assert_eq!(server.send("GET", "/api/files", &[&format!("Host: {host}")], b"").status, 200, "{host}");
    }
}

#[test]
fn every_answer_tells_browsers_to_run_nothing() {
    let sandbox = Sandbox::new();
    let server = Served::start(&sandbox, &[]);
    for path in ["/api/files", "/nothing", "/api/session", "/%3Cscript%3E"] {
        let answer = server.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options").unwrap(), "nosniff");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let bad = "<img src=x onerror=alert(1)>";
    let answer = server.post("/api/exports", &json!({"images": [bad]}));
    assert_eq!((answer.status, answer.header("content-type").unwrap().as_str()), (400, "application/json"));
    let export = server.export(&json!({"images": ["x.example/a:1"], "archive": "one", "name": bad}));
    let export = server.wait(&export, &["failed"]);
    let file = export["archives"][0]["file"].as_str().unwrap();
    assert!(file.starts_with("_img_src_x_onerror_alert_1__"), "{file}");
}

#[test]
fn bodies_and_lists_have_limits() {
    let sandbox = Sandbox::new();
    let server = Served::start(&sandbox, &[]);
    let json_type = "Content-Type: application/json";
    // 100 MB that are announced, and 100 MB that are not.
    let mut stream = server.connect();
    let head = format!("POST /api/exports HTTP/1.1\r\nHost: {}\r\n{json_type}\r\n", server.address);
    write!(stream, "{head}Content-Length: 100000000\r\n\r\n").unwrap();
    assert_eq!(Answer::read(stream).status, 413);
    let mut stream = server.connect();
    write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    let sent = (0..100).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(sent < 100, "all of it was taken");
    let many = |count: usize| {
        let images: Vec<_> = (0..count).map(|index| format!("x.example/a:{index}")).collect();
        server.post("/api/exports", &json!({"images": images}))
    };
    let answer = many(10_000);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("at most 1000 images"), "{}", answer.text());
    let checked = server.post("/api/lists", &json!({"text": "x.example/a:1\n".repeat(10_000)}));
    assert_eq!(checked.json()["images"].as_array().unwrap().len(), 10_000);
    for (body, status) in [
        (&b"{"[..], 400),
        (b"[]", 400),
        (br#"{"images":[]}"#, 400),
        (br#"[["x.example/a:1"]]"#, 400),
        (br#"{"images":["x"],"source_auth":["ann","secret"]}"#, 400),
        (br#"{"images":["x"],"unknown":1}"#, 400),
        (br#"{"images":["x"],"platform":"windows 95"}"#, 400),
        (br#"{"images":["x"],"layers":"best"}"#, 400),
        (br#"{"images":["x"],"proxy_config":{"https_proxy":"ftp://x"}}"#, 400),
        (br#"{"images":["x"],"name":"both"}"#, 400),
        (&[0xff, 0xfe][..], 400),
    ] {
        let answer = server.send("POST", "/api/exports", &[json_type], body);
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(body));
        assert!(answer.json()["error"].is_string() && answer.json()["code"].is_string());
    }
    // A password in the wrong place is not sent back, nor written down.
    for body in [
        json!({"images": ["x"], "source_auth": "ann:hunter2"}),
        json!({"images": ["ann:hunter2@x.example/a:1"]}),
        json!({"images": ["x"], "proxy_config": {"https_proxy": "ftp://ann:hunter2@x:1"}}),
    ] {
        let answer = server.post("/api/exports", &body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(!answer.text().contains("hunter2"), "{}", answer.text());
    }
    assert!(!server.said().contains("hunter2"));
    assert_eq!(server.get("/api/exports").json()["exports"], json!([]));
}

#[test]
fn five_hundred_slow_connections_keep_nobody_out_and_are_cut() {
    let sandbox = Sandbox::new();
    let server = Served::start(&sandbox, &[]);
    let begun = Instant::now();
    let mut slow: Vec<_> = (0..500)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /api/files HTTP/1.1\r\nHo").unwrap();
            stream
        })
        .collect();
    let asked = Instant::now();
    assert_eq!(server.get("/api/files").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    for stream in &mut slow {
        // A byte now and then gains no time.
        let _ = stream.write_all(b"s");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
}

#[test]
fn a_registry_can_not_write_into_the_log_or_the_page() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let body = r#"{"errors":[{"code":"DENIED","message":"<script>alert(1)</script>\u001b[2J\n{}"}]}"#;
    registry.fault("/v2/evil/", Fault::Answer(403, vec![], body.to_owned()));
    let server = Served::start(&sandbox, &[]);
    let image = format!("{}/evil:1", registry.address());
    let answer = server.get(&format!("/api/exports/{}", {
        let id = server.export(&json!({"images": [image]}));
        server.wait(&id, &["failed"]);
        id
    }));
    assert_eq!(answer.header("content-type").unwrap(), "application/json");
    let text = answer.text();
    assert!(!text.contains('\u{1b}') && !text.contains("\n{}"), "{text}");
    assert!(!server.said().contains('\u{1b}'));
}
