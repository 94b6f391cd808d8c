//! What sealift is built from: licences, sources, banned and duplicate crates, held over `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "Apache-2.0 WITH LLVM-exception",
];
/// Crates that must not be in the tree, and why.
const BANNED: &[(&str, &str)] = &[
    ("miniz_oxide", "slower; flate2 uses zlib-rs"),
    ("openssl-sys", "TLS is rustls"),
    ("native-tls", "TLS is rustls"),
    ("ring", "without release since March 2025; aws-lc-rs is used"),
    ("tokio-tar", "CVE-2025-62518"),
    ("async-compression", "blobs arrive as they are"),
];
/// Crates that are there in two versions because others have not moved yet.
const DUPLICATES: &[&str] = &["base64", "syn"];
const MAX_DIRECT: usize = 35;

#[test]
fn licences_sources_and_banned_crates() {
    let metadata = metadata();
    let packages = used_packages(&metadata);
    assert!(packages.len() > 50, "the tree was not read");
    let mut problems = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_allowed(licence) {
            problems.push(format!("{name}: licence {licence}"));
        }
        let source = package["source"].as_str();
        if name != "sealift" && !source.is_some_and(|source| source.starts_with("registry+")) {
            problems.push(format!("{name}: source {source:?}"));
        }
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            problems.push(format!("{name} is banned: {why}"));
        }
    }
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &packages {
        versions
            .entry(package["name"].as_str().unwrap())
            .or_default()
            .insert(package["version"].as_str().unwrap());
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !DUPLICATES.contains(name) {
            problems.push(format!("{name} is there as {versions:?}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let dependencies: Vec<&str> = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .take_while(|line| *line != "[profile.release]")
        .filter(|line| line.contains(" = ") && !line.starts_with(['[', '#']))
        .collect();
    assert!(dependencies.len() > 20, "Cargo.toml was not read");
    for line in &dependencies {
        assert!(line.contains("# "), "no reason beside it: {line}");
    }
    let sealift = metadata();
    let sealift =
        sealift["packages"].as_array().unwrap().iter().find(|package| package["name"] == "sealift").unwrap();
    let direct =
        sealift["dependencies"].as_array().unwrap().iter().filter(|one| one["kind"].is_null()).count();
    assert!(direct <= MAX_DIRECT, "{direct} direct dependencies; {MAX_DIRECT} are enough");
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The packages that end up in the binary, on this platform: no dev-dependencies.
fn used_packages(metadata: &Value) -> Vec<&Value> {
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    let mut open = vec![metadata["resolve"]["root"].as_str().unwrap()];
    let mut used = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !used.insert(id) {
            continue;
        }
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            if dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev") {
                open.push(dependency["pkg"].as_str().unwrap());
            }
        }
    }
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().filter(|package| used.contains(package["id"].as_str().unwrap())).collect()
}

/// SPDX expressions as they occur: `A OR B`, `A AND B`, parentheses, the old `A/B`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], "");
    expression.split(" AND ").all(|all| all.split(" OR ").any(|one| LICENCES.contains(&one.trim())))
}
