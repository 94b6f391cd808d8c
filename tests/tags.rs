//! `sealift tags`, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use insta::assert_snapshot;
use sealift::registry::server::ManifestReference;
use support::image::push;
use support::registry::{Fault, TestRegistry};
use support::sandbox::Sandbox;

fn bench(tags: &[&str]) -> (TestRegistry, Sandbox, String) {
    let registry = TestRegistry::start();
    for tag in tags {
        assert!(tag.parse::<ManifestReference>().is_ok());
        push(&registry, &format!("n:{tag}"), "linux/amd64", &[b"layer"]);
    }
    let sandbox = Sandbox::new().redact(registry.port(), "PORT");
    let name = format!("{}/n", registry.address());
    (registry, sandbox, name)
}

#[test]
fn tags_are_listed_a_line_for_each_or_as_json() {
    let (_registry, sandbox, name) = bench(&["2.0", "latest", "1.0"]);
    assert_snapshot!("tags", sandbox.run(&["tags", &name]));
    assert_snapshot!("tags_json", sandbox.run(&["tags", &name, "--json"]));
    assert_snapshot!("tags_limit", sandbox.run(&["tags", &name, "--limit", "2"]));
}

#[test]
fn what_can_not_be_listed_is_told() {
    let (registry, sandbox, name) = bench(&["1"]);
    assert_snapshot!("tags_of_nothing", sandbox.run(&["tags", &name.replace("/n", "/none")]));
    assert_snapshot!("tags_of_a_tag", sandbox.run(&["tags", &format!("{name}:1")]));
    let elsewhere = Fault::Header("link", "<https://elsewhere.example/?key=secret>; rel=next".to_owned());
    registry.fault("/tags/list", elsewhere);
    assert_snapshot!("tags_elsewhere", sandbox.run(&["tags", &name]));
    registry.heal();
    registry.fault("/tags/list", Fault::Answer(200, vec![], r#"{"tags":[]}"#.to_owned()));
    assert_snapshot!("no_tags", sandbox.run(&["tags", &name]));
}
