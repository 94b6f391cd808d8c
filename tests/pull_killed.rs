//! Pulls that are killed or interrupted at any moment, layers kept or inflated: the final name is absent or right, and
//! the next run completes, with nothing fetched twice but what was on its way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::bench::{Bench, MODES, Way, stderr};
use support::image::random;
use support::registry::Fault;
#[cfg(unix)]
use {rustix::process::Signal, support::sandbox::signalled};

const MIB: u64 = 1 << 20;

/// Waits until something is so, while the pull runs.
fn wait_until(child: &mut Child, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() && child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_mins(1), "it stands still");
        sleep(Duration::from_millis(1));
    }
}

/// Kills a pull at so many moments of its life, the last ones while it inflates and commits.
fn kill_at(mode: &'static str, moments: u64) {
    let bench = Bench::new(&[5 << 20, 2 << 20]);
    let way = Way { mode, output: "x.tar" };
    let total_bytes = bench.layer_bytes();
    let mut resumed = 0;
    for moment in 0..moments {
        let what = format!("moment {moment}");
        let mut random = random(moment);
        let connections = 2 + random.next().unwrap() % 3;
        let options = ["--connections", &connections.to_string()];
        let after_bytes = random.next().unwrap() % (total_bytes * 9 / 8);
        let later = Duration::from_millis(after_bytes.saturating_sub(total_bytes) * 100 / (total_bytes / 8));
        bench.registry.fault("/blobs/", Fault::Trickle(Duration::from_millis(1)));
        let before_bytes = bench.sent_bytes();
        let sent_bytes = || bench.sent_bytes() - before_bytes;
        let mut child = bench.start(way, &options);
        wait_until(&mut child, || sent_bytes() >= after_bytes.min(total_bytes));
        sleep(later);
        child.kill().unwrap();
        child.wait().unwrap();
        if bench.sandbox.files().contains(&"x.tar".to_owned()) {
            bench.assert_right_file(way, &what);
        }
        bench.registry.heal();
        let output = bench.pull(way, &options);
        resumed += u64::from(stderr(&output).contains("an earlier run left"));
        let sent = sent_bytes();
        bench.assert_right(way, &output, &what);
        // Beside the part of a MiB that was not written down, what the sockets held is lost.
        assert!(sent <= total_bytes + connections * 5 * MIB / 4, "{what}: {sent} bytes for {total_bytes}");
    }
    assert!(resumed >= moments / 2, "{resumed} of {moments} carried on");
}

#[test]
fn killed_at_20_moments() {
    kill_at("keep", 20);
}

#[test]
fn killed_at_20_moments_while_layers_are_inflated() {
    kill_at("plain", 20);
}

#[test]
#[ignore = "slow: tests/run --long"]
fn killed_at_200_moments() {
    kill_at("keep", 200);
}

#[test]
#[ignore = "slow: tests/run --long"]
fn killed_at_200_moments_while_layers_are_inflated() {
    kill_at("plain", 200);
}

/// What is there when Ctrl-C or SIGTERM comes stays, and the first layer is not fetched again.
#[cfg(unix)]
#[test]
fn interrupted_the_next_run_carries_on() {
    let bench = Bench::new(&[3 << 20, 1 << 20]);
    for mode in MODES {
        let way = Way { mode, output: "x.tar" };
        let partial = if mode == "keep" { "x.tar.partial" } else { "x.tar.layers.partial" };
        let left = [partial.to_owned(), format!("{partial}.journal")];
        let asked_for_second = || bench.registry.headers(&bench.layer(1)).len();
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            bench.registry.fault(&bench.layer(1), Fault::Stall(1000));
            let before = asked_for_second();
            let mut child = bench.start(way, &["--connections", "1"]);
            // With one connection the second layer is asked for when the first is there.
            wait_until(&mut child, || asked_for_second() > before);
            assert_eq!(signalled(child, &[signal]).status.code(), Some(code), "{way:?}");
            assert_eq!(bench.sandbox.files(), left, "{way:?}");
            bench.registry.heal();
            let first_bytes = bench.registry.sent_bytes(&bench.layer(0));
            let output = bench.pull(way, &[]);
            bench.assert_right(way, &output, &format!("{signal:?}"));
            assert_eq!(bench.registry.sent_bytes(&bench.layer(0)), first_bytes, "{way:?}: it was there");
        }
    }
}
