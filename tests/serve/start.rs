//! What a server refuses to start with, and how it listens.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::server::Served;
use crate::support::sandbox::Sandbox;

const PASSWORD: &str = "correct horse";

pub(crate) fn add_user(sandbox: &Sandbox, name: &str, password: &str) -> std::process::Output {
    let mut command = sandbox.command(&["serve", "--user-file", "users", "--add-user", name]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn other_addresses_want_users_or_a_token() {
    let sandbox = Sandbox::new();
    assert_snapshot!("unguarded", sandbox.run(&["serve", "--listen", "0.0.0.0:0"]));
    assert_snapshot!("unguarded_v6", sandbox.run(&["serve", "--listen", "[::]:0"]));
    fs::write(sandbox.out().join("token"), "short").unwrap();
    assert_snapshot!("short_token", sandbox.run(&["serve", "--listen", "0.0.0.0:0", "--token", "token"]));
    fs::write(sandbox.out().join("token"), "0123456789abcdef0123\n").unwrap();
    let server = Served::start(&sandbox, &["--listen", "0.0.0.0:0", "--token", "token"]);
    assert_eq!(server.get("/api/files").status, 401);
    let with = "Authorization: Bearer 0123456789abcdef0123";
    assert_eq!(server.send("GET", "/api/files", &[with], b"").status, 200);
}

#[test]
fn users_are_added_and_what_is_wrong_with_them_is_told() {
    let sandbox = Sandbox::new();
    assert_snapshot!("user_added", sandbox.shown(&add_user(&sandbox, "ann", PASSWORD)));
    assert_snapshot!("short_password", sandbox.shown(&add_user(&sandbox, "bob", "short")));
    assert_snapshot!("bad_name", sandbox.shown(&add_user(&sandbox, "b:ob", PASSWORD)));
    let text = fs::read_to_string(sandbox.out().join("users")).unwrap();
    assert!(text.starts_with("ann:$argon2id$") && !text.contains(PASSWORD), "{text}");
    fs::write(sandbox.out().join("users"), "ann:secret\n").unwrap();
    assert_snapshot!("bad_user_file", sandbox.run(&["serve", "--user-file", "users"]));
    fs::write(sandbox.out().join("users"), "").unwrap();
    assert_snapshot!("no_users", sandbox.run(&["serve", "--user-file", "users"]));
}

#[test]
fn what_can_not_be_served_is_told() {
    let sandbox = Sandbox::new();
    let server = Served::start(&sandbox, &[]);
    let sandbox = sandbox.redact(server.address.rsplit(':').next().unwrap(), "PORT");
    assert_snapshot!("port_taken", sandbox.run(&["serve", "--listen", &server.address]));
    assert_snapshot!(
        "bad_base_path",
        sandbox.run(&["serve", "--listen", "127.0.0.1:0", "--base-path", "/../x"])
    );
    assert_snapshot!(
        "no_certificate",
        sandbox.run(&["serve", "--listen", "127.0.0.1:0", "--cert", "none.pem"])
    );
    assert_snapshot!(
        "bad_host_name",
        sandbox.run(&["serve", "--listen", "127.0.0.1:0", "--host", "http://images.example"])
    );
    fs::write(sandbox.out().join("file"), "").unwrap();
    assert_snapshot!("no_folder", sandbox.run(&["serve", "--listen", "127.0.0.1:0", "--dir", "file"]));
    fs::write(sandbox.out().join("r.yaml"), "- name: a\n  url: x.example\n  pasword: hunter2\n").unwrap();
    assert_snapshot!(
        "bad_registries",
        sandbox.run(&["serve", "--listen", "127.0.0.1:0", "--registries", "r.yaml"])
    );
}

#[test]
fn the_folder_may_come_from_registries_yaml() {
    let sandbox = Sandbox::new();
    let text = "- {name: files, type: local_file, url: images, description: for the plant}\n";
    fs::write(sandbox.out().join("registries.yaml"), text).unwrap();
    // `--dir` goes before it.
    let server = Served::start(&sandbox, &["--registries", "registries.yaml"]);
    let session = server.get("/api/session").json();
    assert_eq!(session["description"], "for the plant");
    assert!(session["folder"].as_str().unwrap().ends_with("/downloads"), "{session}");
}

#[test]
fn below_a_base_path_is_all_and_elsewhere_nothing() {
    let sandbox = Sandbox::new();
    let server = Served::start(&sandbox, &["--base-path", "/images/"]);
    assert_eq!(server.get("/images/api/files").status, 200);
    assert_eq!((server.get("/api/files").status, server.get("/healthz").status), (404, 404));
    assert_eq!(server.get("/images/healthz").json()["status"], "ok");
}

#[test]
fn https_is_served_with_a_certificate() {
    let sandbox = Sandbox::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    fs::write(sandbox.out().join("server.pem"), pem).unwrap();
    let server = Served::start(&sandbox, &["--cert", "server.pem"]);
    let port = server.address.rsplit(':').next().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let trusted = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().unwrap();
        client
            .get(format!("https://localhost:{port}/api/files"))
            .send()
            .await
            .map(|answer| answer.status().as_u16())
    });
    assert_eq!(status.unwrap(), 200);
}

#[test]
fn the_unit_and_the_compose_file_use_options_that_are_there() {
    let help = Sandbox::new().run(&["serve", "--help"]);
    for path in ["docs/serve/sealift.service", "docs/serve/compose.yaml"] {
        let text = fs::read_to_string(path).unwrap();
        let is_of_option = |c: char| c == '-' || c.is_ascii_lowercase();
        // Of the server, not of what is told beside it.
        let lines = text.lines().filter(|line| line.contains("serve"));
        let words = lines.flat_map(|line| line.split(|c| !is_of_option(c)));
        let options: Vec<_> = words.filter(|word| word.starts_with("--")).collect();
        assert!(options.contains(&"--listen") && options.contains(&"--user-file"), "{path}: {options:?}");
        for option in options {
            assert!(help.contains(&format!("{option} ")), "{path}: {option}");
        }
    }
}
