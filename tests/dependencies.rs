//! What sealift is built from: licences, sources, banned and duplicate crates, held over `cargo tree` and Cargo.lock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

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
    let packages = packages_in_the_binary();
    assert!(packages.len() > 50, "the tree was not read");
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Package { name, version, licence } in &packages {
        versions.entry(name).or_default().insert(version);
        if !is_allowed(licence) {
            problems.push(format!("{name}: licence {licence}"));
        }
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| banned == name) {
            problems.push(format!("{name} is banned: {why}"));
        }
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !DUPLICATES.contains(name) {
            problems.push(format!("{name} is there as {versions:?}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_crate_comes_from_the_registry() {
    for (path, own) in [("Cargo.lock", 1), ("fuzz/Cargo.lock", 2)] {
        let lock = std::fs::read_to_string(path).unwrap();
        let sources: BTreeSet<&str> =
            lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
        assert_eq!(
            sources.into_iter().collect::<Vec<_>>(),
            ["\"registry+https://github.com/rust-lang/crates.io-index\""]
        );
        let packages = lock.split("[[package]]").skip(1);
        let without_source = packages.filter(|package| !package.contains("source = "));
        assert_eq!(without_source.count(), own, "{path}: only sealift and its fuzz targets have no source");
    }
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let dependencies = direct_dependencies(&manifest);
    assert!(dependencies.len() > 20, "Cargo.toml was not read");
    let fuzz = std::fs::read_to_string("fuzz/Cargo.toml").unwrap();
    for line in direct_dependencies(&fuzz) {
        assert!(line.contains("# "), "no reason beside it: {line}");
    }
    for line in &dependencies {
        assert!(line.contains("# "), "no reason beside it: {line}");
    }
    let runtime = dependencies.iter().take_while(|line| !line.starts_with("assert_cmd")).count();
    assert!(runtime <= MAX_DIRECT, "{runtime} direct dependencies; {MAX_DIRECT} are enough");
}

fn direct_dependencies(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .take_while(|line| !line.starts_with("[profile.") && *line != "[[bin]]")
        .filter(|line| line.contains(" = ") && !line.starts_with(['[', '#']))
        .collect()
}

struct Package {
    name: String,
    version: String,
    licence: String,
}

/// What is built into the binary, on this platform: no dev-dependencies.
fn packages_in_the_binary() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}|{l}",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: BTreeSet<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let package = |line: &String| {
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|')?;
        let mut words = package.split(' ');
        let (name, version) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Package { name, version, licence: licence.to_owned() })
    };
    lines.iter().filter_map(package).collect()
}

/// SPDX expressions as they occur: `A OR B`, `A AND B`, parentheses, the old `A/B`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], "");
    expression.split(" AND ").all(|all| all.split(" OR ").any(|one| LICENCES.contains(&one.trim())))
}
