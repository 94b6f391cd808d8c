//! `sealift config import`: files as DockerOps has them become settings that sealift takes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use insta::assert_snapshot;
use support::sandbox::Sandbox;

fn fixture(name: &str) -> String {
    format!("{}/fixtures/dockerops/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn files_of_dockerops_are_converted_and_what_means_nothing_is_named() {
    let sandbox = Sandbox::new();
    for name in ["public-mirrors", "behind-a-gap"] {
        let shown = sandbox.run(&["config", "import", &fixture(name)]);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_snapshot!(name.replace('-', "_"), shown);
    }
}

#[test]
fn what_was_imported_is_a_config_of_sealift() {
    let sandbox = Sandbox::new();
    let import = |file: &str| sandbox.output(&["config", "import", &fixture("behind-a-gap"), "-o", file]);
    let output = import("own.json");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "own.json\n");
    let shown = sandbox.output(&["--config", "own.json", "config", "show"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["platform"], "linux/arm64");
    let mirrors = &shown["registries"]["docker.io"]["mirrors"];
    assert_eq!(mirrors[0], "https://harbor.corp.example/v2/hub");
    assert_eq!(shown["insecure"], serde_json::json!(["registry.corp.example:5000"]));
    assert_eq!(import("own.json").status.code(), Some(7), "what is there is not overwritten");
    assert_eq!(sandbox.files(), ["own.json"]);
}

#[test]
fn files_that_are_not_of_dockerops() {
    let sandbox = Sandbox::new();
    let shown = |text: &str| {
        std::fs::write(sandbox.out().join("x.json"), text).unwrap();
        sandbox.run(&["config", "import", "x.json"])
    };
    assert_snapshot!("import_of_sealifts_own", shown(include_str!("../config.json")));
    assert_snapshot!("import_of_no_json", shown("registries:\n- url: docker.io\n"));
    assert_snapshot!("import_of_no_file", sandbox.run(&["config", "import", "none.json"]));
}
