//! Pulls over lines that drop: retries, parts, and what a later run makes of what an earlier one left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::fs;
use std::process::Output;
use std::time::Duration;

use insta::assert_snapshot;
use support::bench::{Bench, Way, stderr};
use support::image::{noise, push};
use support::registry::Fault;

const WAY: Way = Way { mode: "keep", output: "x.tar" };
const TRIES: [&str; 2] = ["--retry-times", "3"];

fn pull(bench: &Bench, options: &[&str]) -> Output {
    bench.pull(WAY, options)
}

#[test]
fn a_manifest_that_fails_once_is_asked_for_again() {
    let bench = Bench::new(&[1000, 1000]);
    bench.registry.fault_times(2, "/manifests/", Fault::Answer(503, vec![], String::new()));
    bench.assert_right(WAY, &pull(&bench, &TRIES), "manifest");
    bench.registry.fault_times(2, &bench.image.config.to_string(), Fault::Answer(503, vec![], String::new()));
    bench.assert_right(WAY, &pull(&bench, &TRIES), "config");
}

#[test]
fn what_does_not_pass_is_told_with_how_often_it_was_tried() {
    let bench = Bench::new(&[3_000_000, 1000]);
    let layer = bench.image.layers[0].to_string();
    bench.registry.fault(&layer, Fault::Answer(503, vec![], String::new()));
    let asked = || bench.registry.requests().iter().filter(|request| request.contains(&layer)).count();
    let before = asked();
    let output = pull(&bench, &["--retry-times", "2"]);
    assert_eq!(output.status.code(), Some(6));
    assert_snapshot!("gave_up", bench.error(&output));
    assert_eq!(asked() - before, 3);
    let before = asked();
    bench.registry.heal();
    bench.registry.fault(&layer, Fault::Answer(404, vec![], String::new()));
    assert_eq!(pull(&bench, &["--retry-times", "2"]).status.code(), Some(4));
    assert_eq!(asked() - before, 1, "what is not there is not there");
}

#[test]
fn who_knows_no_ranges_still_serves() {
    let bench = Bench::new(&[9 << 20, 1000]);
    let layer = bench.image.layers[0].to_string();
    bench.registry.fault(&layer, Fault::IgnoreRange);
    bench.assert_right(WAY, &pull(&bench, &TRIES), "ranges ignored");
    // And after a break all of it comes again, of which the first part is skipped.
    bench.registry.fault_times(2, &layer, Fault::Cut(3_000_000));
    bench.registry.fault(&layer, Fault::IgnoreRange);
    bench.assert_right(WAY, &pull(&bench, &TRIES), "ranges ignored, and a break");
    bench.registry.fault(&layer, Fault::Header("content-range", "bytes 0-1/2".into()));
    bench.assert_right(WAY, &pull(&bench, &TRIES), "another range than was asked for");
}

#[test]
fn several_connections_serve_one_layer() {
    let bench = Bench::new(&[12 << 20, 1000]);
    let layer = bench.image.layers[0].to_string();
    bench.registry.fault(&layer, Fault::Trickle(Duration::from_millis(2)));
    bench.assert_right(WAY, &pull(&bench, &[]), "parts");
    let ranges =
        bench.registry.headers(&layer).into_iter().filter(|headers| headers.contains_key("range")).count();
    assert!(ranges >= 3, "{ranges} parts");
}

#[test]
fn what_an_earlier_run_left_is_hashed_before_it_is_believed() {
    let bench = Bench::new(&[5 << 20, 3 << 20]);
    bench.registry.fault(&bench.image.layers[1].to_string(), Fault::Answer(404, vec![], String::new()));
    assert_eq!(pull(&bench, &["--connections", "1"]).status.code(), Some(4));
    let partial = bench.sandbox.out().join("x.tar.partial");
    let mut left = fs::read(&partial).unwrap();
    let middle = 3 << 20;
    left[middle] ^= 1;
    fs::write(&partial, left).unwrap();
    bench.registry.heal();
    let output = pull(&bench, &[]);
    assert!(stderr(&output).contains("is something else; fetching it anew"), "{}", stderr(&output));
    bench.assert_right(WAY, &output, "altered");
}

#[test]
fn what_was_of_another_archive_is_begun_anew() {
    let bench = Bench::new(&[5 << 20, 3 << 20]);
    bench.registry.fault(&bench.image.layers[1].to_string(), Fault::Answer(404, vec![], String::new()));
    assert_eq!(pull(&bench, &["--connections", "1"]).status.code(), Some(4));
    assert_eq!(bench.sandbox.files(), ["x.tar.partial", "x.tar.partial.journal"]);
    bench.registry.heal();
    let other = push(&bench.registry, "other", "linux/amd64", &[&noise(7, 5 << 20)]);
    let output = bench.sandbox.output(&["pull", &other.reference, "-o", "x.tar"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("it is begun anew"), "{}", stderr(&output));
    assert_eq!(bench.sandbox.files(), ["x.tar"]);
    // A journal without its file, or with another's, means nothing.
    fs::remove_file(bench.sandbox.out().join("x.tar")).unwrap();
    fs::write(bench.sandbox.out().join("x.tar.partial"), "something").unwrap();
    fs::write(bench.sandbox.out().join("x.tar.partial.journal"), "sealift-journal 1 a b c 1\n+ 0 9\n")
        .unwrap();
    bench.assert_right(WAY, &pull(&bench, &[]), "a foreign journal");
}
