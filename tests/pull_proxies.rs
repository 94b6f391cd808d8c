//! Pulls through proxies that ask for credentials, or die.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use insta::assert_snapshot;
use support::bench::{Bench, stderr, ways};
use support::proxy::Proxy;
use support::registry::Fault;
use support::sandbox::Sandbox;

const SIZES: [usize; 2] = [1_100_000, 200_000];
/// `user:hunter2`
const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

/// A registry on plain HTTP that is reached through a proxy only, which has to be shown `credentials`.
fn bench_behind(credentials: &str) -> (Bench, Proxy) {
    let mut proxy = None;
    let bench = Bench::with(&SIZES, |mut bench| {
        "plain.test/n:latest".clone_into(&mut bench.image.reference);
        bench.options = ["--insecure", "plain.test", "--connections", "1"].map(str::to_owned).to_vec();
        let Proxy { address, .. } = proxy.insert(Proxy::start(bench.registry.address()));
        let (_, port) = address.split_once(':').unwrap();
        let sandbox = bench.sandbox.redact(port, "PROXY");
        bench.sandbox = sandbox.variable("ALL_PROXY", format!("http://{credentials}{address}"));
        bench
    });
    (bench, proxy.unwrap())
}

#[test]
fn a_proxy_that_asks_for_credentials() {
    let (bench, proxy) = bench_behind("user:hunter2@");
    for way in ways() {
        bench.registry.fault("", Fault::Unless("proxy-authorization", BASIC, 407));
        for (name, credentials) in [("proxy_login", ""), ("proxy_login_refused", "user:hunter3@")] {
            let proxy = format!("http://{credentials}{}", proxy.address);
            let output = bench.pull(way, &["--retry-times", "3", "--proxy", &proxy]);
            let said = stderr(&output);
            // Who tries a wrong password again may be locked out.
            assert!(!said.contains("trying again") && !said.contains("hunter3"), "{way:?}: {said}");
            assert_snapshot!(name, bench.error(&output));
        }
        let output = bench.pull(way, &[]);
        assert!(!stderr(&output).contains("hunter2"), "{way:?}: {}", stderr(&output));
        bench.assert_right(way, &output, "with credentials");
    }
}

#[test]
fn a_proxy_that_is_down() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sandbox = Sandbox::new().redact(free.port().to_string(), "PROXY");
    let proxy = format!("http://user:hunter2@{free}");
    assert_snapshot!("proxy_down", sandbox.run(&["pull", "registry.test/n", "--proxy", &proxy]));
}

#[test]
fn a_proxy_that_dies_and_comes_back() {
    let (bench, proxy) = bench_behind("");
    for way in ways() {
        proxy.die_after(500_000, 2);
        let before_bytes = bench.sent_bytes();
        let output = bench.pull(way, &["--retry-times", "4"]);
        // The death and two connections after it; one more where another one was idle then, and is found dead when it is used.
        let tries = stderr(&output).matches("trying again").count();
        assert!((3..=4).contains(&tries), "{way:?}: {}", stderr(&output));
        bench.assert_right(way, &output, "it came back");
        // What the proxy was sent and had not passed on is lost.
        let sent_bytes = bench.sent_bytes() - before_bytes;
        let lost_bytes = (tries as u64 - 2) * (bench.sizes[0] - 490_000);
        assert!(sent_bytes <= bench.layer_bytes() + lost_bytes, "{way:?}: {sent_bytes} bytes");
    }
}

#[test]
fn a_proxy_that_dies_for_good() {
    let (bench, proxy) = bench_behind("");
    for way in ways() {
        // The first layer is through, and a part of the second.
        proxy.die_after(1_250_000, usize::MAX);
        let output = bench.pull(way, &["--retry-times", "1"]);
        assert_eq!(output.status.code(), Some(6), "{way:?}: {}", stderr(&output));
        let name = if way.output == "-" { "proxy_that_died_before_a_pipe" } else { "proxy_that_died" };
        assert_snapshot!(name, bench.error(&output));
        proxy.die_after(usize::MAX, 0);
        let first_bytes = bench.registry.sent_bytes(&bench.layer(0));
        let output = bench.pull(way, &[]);
        bench.assert_right(way, &output, "the next run");
        let again_bytes = bench.registry.sent_bytes(&bench.layer(0)) - first_bytes;
        assert!(way.output == "-" || again_bytes == 0, "{way:?}: it was there");
    }
}
