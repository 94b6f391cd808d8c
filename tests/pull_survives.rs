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
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use support::image::{TestImage, noise, push};
use support::registry::{Fault, TestRegistry};
use support::sandbox::Sandbox;

const MIB: u64 = 1 << 20;

struct Bench {
    registry: TestRegistry,
    sandbox: Sandbox,
    image: TestImage,
    right: Vec<u8>,
}

impl Bench {
    /// An image of two layers of these sizes, and what its archive has to be.
    fn new(sizes: [usize; 2]) -> Self {
        let registry = TestRegistry::start();
        let layers = sizes.map(|size| noise(size as u64, size));
        let image = push(&registry, "n", "linux/amd64", &[&layers[0], &layers[1]]);
        let sandbox = Sandbox::new().variable("SEALIFT_RETRY_TIMES", "3");
        let output = sandbox.output(&["pull", &image.reference, "-o", "right.tar", "-q"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let right = fs::read(sandbox.out().join("right.tar")).unwrap();
        fs::remove_file(sandbox.out().join("right.tar")).unwrap();
        Self { registry, sandbox, image, right }
    }

    fn arguments(&self) -> Vec<&str> {
        vec!["pull", &self.image.reference, "-o", "x.tar", "--retry-delay", "0.01", "--progress", "plain"]
    }

    fn pull(&self, options: &[&str]) -> Output {
        self.sandbox.output(&[&self.arguments()[..], options].concat())
    }

    fn start(&self, options: &[&str]) -> Child {
        let mut command = self.sandbox.command(&[&self.arguments()[..], options].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What went out of layers so far.
    fn sent_bytes(&self) -> u64 {
        self.registry.sent_bytes("/blobs/") - self.registry.sent_bytes(&self.image.config.to_string())
    }

    fn assert_right(&self, output: &Output, what: &str) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {stderr}");
        assert!(fs::read(self.sandbox.out().join("x.tar")).unwrap() == self.right, "{what}: {stderr}");
        assert_eq!(self.sandbox.files(), ["x.tar"], "{what}");
        fs::remove_file(self.sandbox.out().join("x.tar")).unwrap();
        self.registry.heal();
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_passes_is_tried_again_from_where_it_stopped() {
    let bench = Bench::new([3_000_000, 700_000]);
    let layer = format!("GET /v2/n/blobs/{}", bench.image.layers[0]);
    let server_error = |status| Fault::Answer(status, vec![], "broken".into());
    for (what, fault, times) in [
        ("cut", Fault::Cut(1_000_000), 1),
        ("cut three times", Fault::Cut(1_000_000), 3),
        ("short", Fault::Short(1_000_000), 2),
        ("500", server_error(500), 1),
        ("502", server_error(502), 3),
        ("503", server_error(503), 2),
        ("429", Fault::Answer(429, vec![("retry-after", "0".into())], "slow down".into()), 2),
    ] {
        let before_bytes = bench.sent_bytes();
        bench.registry.fault_times(times, &layer, fault);
        let output = bench.pull(&[]);
        assert!(stderr(&output).contains("trying again in"), "{what}: {}", stderr(&output));
        bench.assert_right(&output, what);
        // What broke off was on its way; what had come is not asked for again.
        let sent = bench.sent_bytes() - before_bytes;
        assert!(sent <= 3_700_000 + 100_000, "{what}: {sent}");
        bench.registry.fault_times(times, &layer, Fault::Cut(500_000));
        let piped =
            bench.sandbox.output(&["pull", &bench.image.reference, "-o", "-", "--retry-delay", "0.01"]);
        assert!(piped.status.success() && piped.stdout == bench.right, "{what}: {}", stderr(&piped));
        bench.registry.heal();
    }
}

#[test]
fn a_manifest_that_fails_once_is_asked_for_again() {
    let bench = Bench::new([1000, 1000]);
    bench.registry.fault_times(2, "/manifests/", Fault::Answer(503, vec![], String::new()));
    bench.assert_right(&bench.pull(&[]), "manifest");
    bench.registry.fault_times(2, &bench.image.config.to_string(), Fault::Answer(503, vec![], String::new()));
    bench.assert_right(&bench.pull(&[]), "config");
}

#[test]
fn what_does_not_pass_is_told_with_how_often_it_was_tried() {
    let bench = Bench::new([3_000_000, 1000]);
    let layer = bench.image.layers[0].to_string();
    bench.registry.fault(&layer, Fault::Answer(503, vec![], String::new()));
    let asked = || bench.registry.requests().iter().filter(|request| request.contains(&layer)).count();
    let before = asked();
    let output = bench.pull(&["--retry-times", "2"]);
    assert_eq!(output.status.code(), Some(6));
    assert!(stderr(&output).contains("it failed 3 times in "), "{}", stderr(&output));
    assert_eq!(asked() - before, 3);
    let before = asked();
    bench.registry.heal();
    bench.registry.fault(&layer, Fault::Answer(404, vec![], String::new()));
    assert_eq!(bench.pull(&["--retry-times", "2"]).status.code(), Some(4));
    assert_eq!(asked() - before, 1, "what is not there is not there");
}

#[test]
fn progress_begins_a_new_row_of_tries() {
    let bench = Bench::new([3_000_000, 1000]);
    // Ten breaks, each after some progress, are more than three tries.
    bench.registry.fault_times(10, &bench.image.layers[0].to_string(), Fault::Cut(200_000));
    bench.assert_right(&bench.pull(&["--retry-times", "1"]), "ten breaks");
}

#[test]
fn who_knows_no_ranges_still_serves() {
    let bench = Bench::new([9 << 20, 1000]);
    let layer = bench.image.layers[0].to_string();
    bench.registry.fault(&layer, Fault::IgnoreRange);
    bench.assert_right(&bench.pull(&[]), "ranges ignored");
    // And after a break all of it comes again, of which the first part is skipped.
    bench.registry.fault_times(2, &layer, Fault::Cut(3_000_000));
    bench.registry.fault(&layer, Fault::IgnoreRange);
    bench.assert_right(&bench.pull(&[]), "ranges ignored, and a break");
    bench.registry.fault(&layer, Fault::Header("content-range", "bytes 0-1/2".into()));
    bench.assert_right(&bench.pull(&[]), "another range than was asked for");
}

#[test]
fn several_connections_serve_one_layer() {
    let bench = Bench::new([12 << 20, 1000]);
    let layer = bench.image.layers[0].to_string();
    bench.registry.fault(&layer, Fault::Trickle(Duration::from_millis(2)));
    bench.assert_right(&bench.pull(&[]), "parts");
    let ranges =
        bench.registry.headers(&layer).into_iter().filter(|headers| headers.contains_key("range")).count();
    assert!(ranges >= 3, "{ranges} parts");
}

/// Killed at any moment: no final name, and the next run completes, with nothing fetched twice but what was on its way.
#[test]
fn killed_at_any_moment_the_next_run_carries_on() {
    let bench = Bench::new([12 << 20, 5 << 20]);
    let total = 17 * MIB;
    bench.registry.fault("/blobs/", Fault::Trickle(Duration::from_millis(1)));
    let mut resumed = 0;
    for moment in 0..20u64 {
        let options: &[&str] =
            if moment % 2 == 0 { &["--connections", "2"] } else { &["--connections", "4"] };
        let before_bytes = bench.sent_bytes();
        let mut child = bench.start(options);
        let until = before_bytes + total * (moment + 1) / 22;
        let started = Instant::now();
        while bench.sent_bytes() < until && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_mins(1));
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!bench.sandbox.files().contains(&"x.tar".to_owned()));
        let output = bench.pull(options);
        resumed += usize::from(stderr(&output).contains("an earlier run left"));
        let sent = bench.sent_bytes() - before_bytes;
        // Beside the part of a MiB that was not written down, what the sockets held is lost.
        let connections = if moment % 2 == 0 { 2 } else { 4 };
        assert!(sent <= total + connections * 5 * MIB / 4, "{moment}: {sent} bytes for {total}");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(fs::read(bench.sandbox.out().join("x.tar")).unwrap() == bench.right);
        assert_eq!(bench.sandbox.files(), ["x.tar"]);
        fs::remove_file(bench.sandbox.out().join("x.tar")).unwrap();
    }
    assert!(resumed >= 15, "{resumed} of 20 carried on");
}

#[test]
fn what_an_earlier_run_left_is_hashed_before_it_is_believed() {
    let bench = Bench::new([5 << 20, 3 << 20]);
    bench.registry.fault(&bench.image.layers[1].to_string(), Fault::Answer(404, vec![], String::new()));
    assert_eq!(bench.pull(&["--connections", "1"]).status.code(), Some(4));
    let partial = bench.sandbox.out().join("x.tar.partial");
    let mut left = fs::read(&partial).unwrap();
    let middle = 3 << 20;
    left[middle] ^= 1;
    fs::write(&partial, left).unwrap();
    bench.registry.heal();
    let output = bench.pull(&[]);
    assert!(stderr(&output).contains("is something else; fetching it anew"), "{}", stderr(&output));
    bench.assert_right(&output, "altered");
}

#[test]
fn what_was_of_another_archive_is_begun_anew() {
    let bench = Bench::new([5 << 20, 3 << 20]);
    bench.registry.fault(&bench.image.layers[1].to_string(), Fault::Answer(404, vec![], String::new()));
    assert_eq!(bench.pull(&["--connections", "1"]).status.code(), Some(4));
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
    bench.assert_right(&bench.pull(&[]), "a foreign journal");
}
