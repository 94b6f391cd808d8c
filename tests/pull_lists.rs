//! Lists of images: what real files name, and pulling what they name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use insta::assert_snapshot;
use sealift::image_list::ImageList;
use support::image::push;
use support::registry::TestRegistry;
use support::sandbox::Sandbox;

fn read(name: &str) -> ImageList {
    let bytes = fs::read(format!("fixtures/lists/{name}")).unwrap();
    ImageList::read(name, &bytes).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn real_files_name_their_images() {
    let manifests = [
        (
            "images.txt",
            vec![
                "docker.io/library/nginx:1.27-alpine",
                "docker.io/library/redis:7.4",
                "ghcr.io/fluxcd/source-controller:v1.4.1",
                "registry.k8s.io/pause:3.10",
                "quay.io/prometheus/node-exporter@sha256:\
                 4cb2b9019f1757be8482419002cb7afe028fdba35d47958829e4cfeaf6246d80",
            ],
        ),
        (
            "compose.yaml",
            vec![
                "docker.io/library/traefik:v3.1",
                "registry.example.com/shop/worker:2.8.1",
                "docker.io/library/postgres:16-alpine",
                "docker.io/library/redis:7.4-alpine@sha256:\
                 de13e74e14b98eb96bdf886791ae47686c3c5d29f9d5f85ea55206843e3fce26",
                "docker.io/axllent/mailpit:latest",
            ],
        ),
        (
            "deployment.yaml",
            vec![
                "docker.io/gitea/gitea:1.22.3-rootless",
                "docker.io/library/busybox:1.36",
                "docker.io/fluent/fluent-bit:3.1.9",
                "registry.example.com/gitea/themes:2",
            ],
        ),
        (
            "application.yaml",
            vec![
                "docker.io/library/redis:6.0.5",
                "us-docker.pkg.dev/google-samples/containers/gke/gb-frontend:v5",
                "quay.io/prometheus/node-exporter:v1.8.2",
                "quay.io/brancz/kube-rbac-proxy:v0.18.1",
            ],
        ),
        (
            "cronjob.yaml",
            vec![
                "docker.io/library/postgres:16.4-bookworm",
                "docker.io/rclone/rclone:1.68",
                "registry.example.com:5000/shop/migrations@sha256:\
                 9f3c5e1b2a4d6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8",
            ],
        ),
        (
            "statefulset.yaml",
            vec![
                "docker.io/bitnami/os-shell:12-debian-12-r30",
                "docker.io/bitnami/kafka:3.8.0-debian-12-r3",
                "docker.io/bitnami/jmx-exporter:1.0.1-debian-12-r4",
            ],
        ),
        (
            "list.yaml",
            vec![
                "quay.io/jetstack/cert-manager-controller:v1.16.1",
                "docker.io/library/alpine:3.20",
                "docker.io/nicolaka/netshoot:v0.13",
                "registry.k8s.io/pause:3.10",
            ],
        ),
    ];
    for (name, expected) in manifests {
        let found: Vec<String> = read(name).references.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{name}");
    }
    let notes: Vec<String> = read("compose.yaml").notes.iter().map(ToString::to_string).collect();
    assert_snapshot!("notes_of_a_compose_file", notes.join("\n"));
}

/// A registry with `names`, and a sandbox that shows its port as `PORT`.
fn bench(names: &[&str]) -> (TestRegistry, Sandbox) {
    let registry = TestRegistry::start();
    for name in names {
        push(&registry, name, "linux/amd64", &[name.as_bytes()]);
    }
    let port = registry.address().split_once(':').unwrap().1.to_owned();
    (registry, Sandbox::new().redact(port, "PORT"))
}

#[test]
fn two_images_of_a_list_and_an_argument_give_three_files() {
    let (registry, sandbox) = bench(&["a:1", "b:1", "c:1"]);
    let address = registry.address();
    let list = format!("# two of three\n{address}/a:1 # the first\n\n{address}/b:1\n{address}/a:1\n");
    fs::write(sandbox.out().join("list.txt"), list).unwrap();
    let compose = format!("services: {{web: {{image: '{address}/b:${{TAG:-1}}'}}, own: {{build: .}}}}\n");
    fs::write(sandbox.out().join("compose.yaml"), compose).unwrap();
    let argument = format!("{address}/c:1");
    let shown = sandbox.run(&[
        "pull",
        &argument,
        "--file",
        "list.txt",
        "--file",
        "compose.yaml",
        "-o",
        "..",
        "--progress",
        "none",
    ]);
    let untimed: Vec<&str> = shown.lines().filter(|line| !line.contains("docker load")).collect();
    assert_snapshot!("three_files", untimed.join("\n"));
    let tars = fs::read_dir(sandbox.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(tars.filter(|name| name.to_str().unwrap().ends_with("_1_amd64.tar")).count(), 3);
}

#[test]
fn a_list_comes_from_stdin() {
    let (registry, sandbox) = bench(&["a:1"]);
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: '{}/a:1'}}]}}\n",
        registry.address()
    );
    let mut command = sandbox.command(&["pull", "--file", "-", "-q"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "-q says nothing");
    assert_eq!(sandbox.files(), [String::from_utf8(output.stdout).unwrap().trim_end()]);
}

#[test]
fn a_password_is_for_the_one_registry_of_lists_and_arguments() {
    let sandbox = Sandbox::new().variable("SEALIFT_PASSWORD", "hunter2");
    fs::write(sandbox.out().join("list.txt"), "a.example/x\n").unwrap();
    let shown = sandbox.run(&["pull", "-u", "me", "b.example/x", "--file", "list.txt", "-q"]);
    assert_snapshot!("user_of_two_registries_in_a_list", shown);
}

#[test]
fn lists_that_can_not_be_used() {
    let sandbox = Sandbox::new();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n";
    for (name, text) in [
        ("unresolved_variable", "services:\n  web:\n    image: registry.example/web:${TAG}\n".to_owned()),
        ("unresolved_in_a_manifest", format!("{pod}  - name: app\n    image: app:$TAG\n")),
        ("template", format!("{pod}  - name: app\n    image: \"{{{{ .Values.image }}}}\"\n")),
        ("bad_reference_in_line_3", "# ours\nnginx:1.27\n  quay.io/org/busyBox:latest # typo\n".to_owned()),
        ("broken_yaml", "services:\n  web:\n    image: nginx\n   ports: [80\n".to_owned()),
        ("empty_list", "# nothing yet\n\n".to_owned()),
        ("only_built", "services:\n  web: {build: .}\n".to_owned()),
        ("another_kind_of_yaml", "image:\n  repository: nginx\n  tag: '1'\n".to_owned()),
    ] {
        fs::write(sandbox.out().join("list"), text).unwrap();
        let shown = sandbox.run(&["pull", "--file", "list"]);
        assert!(shown.starts_with("exit code: 2\n"), "{name}: {shown}");
        assert_snapshot!(name, shown);
    }
    assert_snapshot!("no_such_list", sandbox.run(&["pull", "--file", "none.txt"]));
    for (name, options) in [
        ("stdin_twice", ["--file", "-", "--file", "-"]),
        ("stdin_for_list_and_password", ["--file", "-", "-ume", "--password-stdin"]),
    ] {
        assert_snapshot!(name, sandbox.run(&[&["pull"], options.as_slice()].concat()));
    }
}
