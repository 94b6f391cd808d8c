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
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use support::bench::{Bench, MODES, Way, stderr};
use support::image::{noise, push};
use support::registry::Fault;

const WAY: Way = Way { mode: "keep", output: "x.tar" };
const TRIES: [&str; 2] = ["--retry-times", "3"];

fn pull(bench: &Bench, options: &[&str]) -> Output {
    bench.pull(WAY, options)
}

/// What a run said of an earlier one.
fn said_of_earlier_run(bench: &Bench, output: &Output) -> String {
    let said = bench.sandbox.redacted(&stderr(output));
    said.lines().filter(|line| line.contains("earlier run")).collect::<Vec<_>>().join("\n")
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

/// What less than a MiB came of is not kept, and of a pipe nothing is: nobody is told that it carries on.
#[test]
fn only_what_stays_is_promised() {
    let give_up = |sizes: [usize; 2], way: Way| {
        let bench = Bench::new(&sizes);
        let layer = bench.image.layers[0].to_string();
        bench.registry.fault_times(1, &layer, Fault::Cut(sizes[0] / 2));
        bench.registry.fault(&layer, Fault::Answer(503, vec![], String::new()));
        let output = bench.pull(way, &["--retry-times", "1"]);
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        (bench.error(&output), bench.sandbox.files())
    };
    let (error, files) = give_up([3_000_000, 1000], WAY);
    assert_snapshot!("gave_up_and_keeps", error);
    assert_eq!(files, ["x.tar.partial", "x.tar.partial.journal"]);
    for mode in MODES {
        let (error, files) = give_up([300_000, 1000], Way { mode, output: "x.tar" });
        assert_snapshot!("gave_up_with_little", error);
        assert_eq!(files, Vec::<String>::new(), "{mode}");
        let (error, files) = give_up([3_000_000, 1000], Way { mode, output: "-" });
        assert_snapshot!("gave_up_before_a_pipe", error);
        assert_eq!(files, Vec::<String>::new(), "{mode}");
    }
}

/// All connections share one wait and one row of tries; what one of them brings begins a new row for all.
#[test]
fn a_registry_that_wants_fewer_requests_is_left_alone_by_all() {
    let sizes = [100_000, 90_000, 80_000, 70_000, 60_000, 50_000, 40_000, 30_000, 20_000, 10_000];
    let bench = Bench::new(&sizes);
    let refuse = |times: usize| {
        // The config is none of the layers.
        bench.registry.fault(&bench.image.config.to_string(), Fault::Header("x-config", "1".to_owned()));
        let again = vec![("retry-after", "1".to_owned())];
        bench.registry.fault_times(times, "GET /v2/n/blobs/", Fault::Answer(429, again, String::new()));
    };
    let pull = |tries: &str| {
        let before = bench.registry.requests().len();
        let started = Instant::now();
        let output = pull(&bench, &["--connections", "4", "--retry-times", tries]);
        let asked = bench.registry.requests().split_off(before);
        let asked = asked.iter().filter(|request| request.contains("/blobs/")).count() - 1;
        (output, asked, started.elapsed())
    };
    refuse(8);
    let (output, asked, elapsed) = pull("5");
    let said = stderr(&output);
    let waits: Vec<&str> = said.lines().filter(|line| line.contains("trying again")).collect();
    assert!((2..=4).contains(&waits.len()), "one for each wait, not for each refusal: {said}");
    let shown = bench.sandbox.redacted(waits[0]);
    let (url, problem) = shown.split_once("/blobs/").unwrap();
    let (_, problem) = problem.split_once(": ").unwrap();
    assert_snapshot!("registry_waited_for", format!("{url}/blobs/[ANY]: {problem}"));
    assert_eq!(asked, sizes.len() + 8, "four at once were refused, twice: {said}");
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
    bench.assert_right(WAY, &output, "left alone");
    refuse(usize::MAX);
    let (output, asked, _) = pull("1");
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(asked <= 8, "{asked} requests: four at once, and all again; {}", stderr(&output));
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
    assert_snapshot!("left_over_that_was_altered", said_of_earlier_run(&bench, &output));
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
    assert_snapshot!("left_over_of_another", said_of_earlier_run(&bench, &output));
    assert_eq!(bench.sandbox.files(), ["x.tar"]);
    // A journal without its file, or with another's, means nothing.
    fs::remove_file(bench.sandbox.out().join("x.tar")).unwrap();
    fs::write(bench.sandbox.out().join("x.tar.partial"), "something").unwrap();
    fs::write(bench.sandbox.out().join("x.tar.partial.journal"), "sealift-journal 1 a b c 1\n+ 0 9\n")
        .unwrap();
    bench.assert_right(WAY, &pull(&bench, &[]), "a foreign journal");
}
