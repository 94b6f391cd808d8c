//! The house holds: nouns know nothing of verbs, the library knows nothing of the command line, and files stay small.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const NOUNS: &[&str] = &[
    "archive",
    "archived",
    "blob",
    "bolt",
    "config",
    "containerd_store",
    "daemon",
    "event",
    "foreign",
    "fsio",
    "image",
    "image_list",
    "layer_file",
    "overlay",
    "registry",
    "reuse",
    "secret",
    "sidecar",
    "source",
];
const VERBS: &[&str] =
    &["container_layer", "demo", "grab", "inspect", "load", "mirror", "pull", "push", "serve", "verify"];
/// What joins nouns for the verbs' use.
const JOINTS: &[&str] = &["attempts", "error"];

#[test]
fn every_module_of_the_library_is_a_noun_or_a_verb() {
    let library = fs::read_to_string("src/lib.rs").unwrap();
    let declared: Vec<&str> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut known: Vec<&str> = [NOUNS, VERBS, JOINTS].concat();
    known.sort_unstable();
    assert_eq!(declared, known, "lib.rs has modules that this test does not know, or out of order");
    assert!(!library.contains("fn "), "lib.rs is a map, without logic");
}

#[test]
fn nouns_know_nothing_of_verbs_and_the_library_nothing_of_the_command_line() {
    for (module, file, source) in sources() {
        for named in modules_named_in(&source) {
            let from_noun = NOUNS.contains(&module.as_str());
            let to_verb = VERBS.contains(&named.as_str()) || JOINTS.contains(&named.as_str());
            assert!(!(from_noun && to_verb), "{} names `crate::{named}`", file.display());
        }
        if module != "cli" && module != "main" {
            assert!(!source.contains("clap") && !source.contains("indicatif"), "{}", file.display());
        }
    }
}

#[test]
fn pure_nouns_do_no_io() {
    for (_, file, source) in sources() {
        let is_pure = file.starts_with("src/image")
            || file.starts_with("src/bolt")
            || (file.starts_with("src/archive")
                && !["writer.rs", "existing.rs", "source.rs"].iter().any(|io| file.ends_with(io)));
        let code = source.split("#[cfg(test)]").next().unwrap();
        for io in ["std::fs", "std::net::Tcp", "tokio", "reqwest", "std::time", "std::env"] {
            assert!(!(is_pure && code.contains(io)), "{} uses {io}", file.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    let mut lengths = Vec::new();
    for (_, file, source) in sources() {
        assert!(
            source.starts_with("//!") || file.ends_with("tests.rs"),
            "{} has no module doc",
            file.display()
        );
        let lines = source.lines().count();
        assert!(lines <= 600, "{} has {lines} lines: is it still one room with one name?", file.display());
        lengths.push(lines);
    }
    lengths.sort_unstable();
    assert!(lengths[lengths.len() * 9 / 10] <= 400, "nine in ten files have at most 400 lines");
}

/// Each source file with the top-level module it belongs to.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut folders = vec![PathBuf::from("src")];
    let mut files = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.insert(path.clone(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let module = |path: &Path| {
        let first = path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    };
    files.into_iter().map(|(path, source)| (module(&path), path, source)).collect()
}

/// The top-level modules that `crate::…` paths name, in `use` lists too.
fn modules_named_in(source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut named = Vec::new();
    for after in code.split("crate::").skip(1) {
        if let Some(list) = after.strip_prefix('{') {
            let list = list.split(';').next().unwrap();
            named.extend(list.split([',', '{', '}']).map(|item| first_word(item.trim())));
        } else {
            named.push(first_word(after));
        }
    }
    named
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn the_reader_of_paths_reads_lists() {
    let source = "use crate::{blob::X, pull};\nlet x = crate::image::Y; // crate::\n/// crate::demo";
    let named = modules_named_in(source);
    assert!(
        ["blob", "pull", "image"].iter().all(|module| named.contains(&(*module).to_owned())),
        "{named:?}"
    );
    assert!(!named.contains(&"demo".to_owned()));
}
