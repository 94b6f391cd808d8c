//! Single bytes, flipped: each is found, and the part it is in is named.

use std::fs;
use std::path::Path;

use sealift::archived::Measuring;
use sealift::blob::Limits;
use sealift::verify::Verify;
use serde_json::Value;

use crate::pieces::{app, other};
use crate::support::forged::Forged;
use crate::support::image::random;
use crate::support::makers;

/// What is wrong with the archive at `path`, a line each; empty if nothing is.
fn problems(path: &Path) -> String {
    let measuring = Measuring { limits: Limits::default(), progress: &|_| () };
    match (Verify { measuring, platform: None, loaders: &[] }).archive(path) {
        Ok(report) => {
            let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
            problems.join("\n")
        }
        Err(error) => error.to_string(),
    }
}

/// Flips so many bytes, one at a time.
fn flip(archive: &Forged, seed: u64, trials: usize, is_excused: impl Fn(&str, &[u8], &[u8]) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let whole = archive.bytes();
    fs::write(&path, &whole).unwrap();
    assert_eq!(problems(&path), "");
    let parts = archive.parts();
    let mut numbers = random(seed);
    let mut below = |limit: usize| usize::try_from(numbers.next().unwrap() >> 8).unwrap() % limit;
    let (mut tried, mut missed) = (0, Vec::new());
    while tried < trials {
        // Padding is zeros that nobody reads.
        let at = below(parts.last().unwrap().3);
        let Some((name, header, content, end)) = parts.iter().find(|part| (part.1..part.3).contains(&at))
        else {
            continue;
        };
        tried += 1;
        let mut bytes = whole.clone();
        bytes[at] ^= u8::try_from(1 + below(255)).unwrap();
        fs::write(&path, &bytes).unwrap();
        let found = problems(&path);
        let hex = name.split(['/', '.']).max_by_key(|word| word.len()).unwrap();
        let names = [&name[..], hex, &format!("at byte {header}")];
        let is_named = names.iter().any(|name| found.contains(name)) || found.contains("is no archive")
            // Names stand in one document: what is said of them is said of it.
            || name == "index.json" && found.contains("name");
        let is_harmless = match at.checked_sub(*content) {
            // Readers end a checksum at its first zero, and skip spaces before it.
            None => (148..156).contains(&((at - header) % 512)),
            Some(_) => is_excused(name, &whole[*content..*end], &bytes[*content..*end]),
        };
        if !(is_named || found.is_empty() && is_harmless) {
            let (from, to) = (whole[at], bytes[at]);
            missed.push(format!("byte {at} of `{name}`, {from:#x} made {to:#x}: {found:?}"));
        }
    }
    assert!(missed.is_empty(), "{} of {trials} missed: {missed:#?}", missed.len());
}

/// What a document says that matters: digests, sizes, and which layer is on which.
fn essence(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| ["id", "parent", "digest", "size", "manifests"].contains(&key.as_str()));
            map.values_mut().for_each(essence);
        }
        Value::Array(list) => list.iter_mut().for_each(essence),
        _ => {}
    }
}

/// True if two documents say the same of that.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let mut value = serde_json::from_slice(bytes).ok()?;
        essence(&mut value);
        Some(value)
    };
    read(one).is_some_and(|one| Some(one) == read(other))
}

#[test]
fn every_flip_in_what_sealift_writes_is_found() {
    // Nothing is excused: every byte has one value it can have.
    let not_excused = |_: &str, _: &[u8], _: &[u8]| false;
    flip(&makers::sealift(&[&app().under_index(), &other()]), 1, 500, not_excused);
}

/// The metadata of layers says when each was made and the like, which nothing reads and nothing else says; where it says
/// nothing of a layer and its parent, it contradicts nothing.
fn is_metadata(name: &str, one: &[u8], other: &[u8]) -> bool {
    let read = |bytes: &[u8]| serde_json::from_str::<Value>(&String::from_utf8_lossy(bytes)).ok();
    let (Some(one), Some(other)) = (read(one), read(other)) else { return false };
    name.ends_with("/json")
        && ["id", "parent"].iter().all(|key| other[key].is_null() || one[key] == other[key])
}

#[test]
fn every_flip_that_matters_in_what_docker_saved_is_found() {
    flip(&makers::docker_save(&[&app(), &other()]), 2, 300, is_metadata);
}

#[test]
fn every_flip_that_matters_in_skopeos_docker_archives_is_found() {
    flip(&makers::skopeo_docker_archive(&[&app()]), 3, 300, is_metadata);
}

#[test]
fn every_flip_that_matters_in_oci_archives_is_found() {
    // A name stands in `index.json` alone: it is another one then. Schema versions and media types are not looked at
    // where the document says itself what it is.
    let is_excused = |name: &str, one: &[u8], other: &[u8]| name == "index.json" && is_same(one, other);
    flip(&makers::oci_archive(&[&app().under_index()]), 4, 300, is_excused);
}
