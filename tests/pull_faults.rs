//! The matrix of faults: whatever a registry or the line does to a blob, kept or inflated, to a file or a pipe, the
//! archive is right, or the error is told and the next run makes it right. At the server: what had come does not go out
//! again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use support::archive::is_believable;
use support::bench::{Bench, MODES, Way, stderr, ways};
use support::image::random;
use support::layer::{Layer, push_layers};
use support::registry::{Fault, TestRegistry};
use support::sandbox::Sandbox;

/// One connection: the first layer is there when the second goes wrong.
const OPTIONS: [&str; 2] = ["--connections", "1"];
/// Enough of the first layer for the next run to carry on from.
const SIZES: [usize; 2] = [1_100_000, 200_000];

fn answer(status: u16, headers: &[(&'static str, &str)]) -> Fault {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Fault::Answer(status, headers, String::new())
}

/// Pulls in every way while requests for the second layer go wrong as `faults` say, each so often, and holds that it
/// comes right. `again_bytes` may go out a second time.
fn assert_passes(bench: &Bench, what: &str, faults: &[(usize, Fault)], again_bytes: u64) {
    ways().for_each(|way| assert_passes_in(bench, way, what, faults, again_bytes));
}

fn assert_passes_in(bench: &Bench, way: Way, what: &str, faults: &[(usize, Fault)], again_bytes: u64) {
    for (times, fault) in faults {
        bench.registry.fault_times(*times, &bench.layer(1), fault.clone());
    }
    let before_bytes = bench.sent_bytes();
    let output = bench.pull(way, &[&OPTIONS[..], &["--retry-times", "3"]].concat());
    bench.assert_right(way, &output, what);
    let sent_bytes = bench.sent_bytes() - before_bytes;
    assert!(sent_bytes <= bench.layer_bytes() + again_bytes, "{what}, {way:?}: {sent_bytes} bytes");
}

/// Pulls in every way while each request for the second layer goes wrong: the same is said with this exit code each
/// time, nothing is taken for an archive, and the next run fetches no more than what is missing and `again_bytes`. What
/// is said goes into a snapshot.
fn assert_fails(bench: &Bench, code: i32, fault: &Fault, again_bytes: u64) -> String {
    the_same(ways().map(|way| assert_fails_in(bench, way, code, fault, again_bytes)).collect())
}

fn assert_fails_in(bench: &Bench, way: Way, code: i32, fault: &Fault, again_bytes: u64) -> String {
    bench.registry.fault(&bench.layer(1), fault.clone());
    let before_bytes = bench.sent_bytes();
    let output = bench.pull(way, &OPTIONS);
    assert_eq!(output.status.code(), Some(code), "{way:?}: {}", stderr(&output));
    let error = bench.error(&output);
    bench.registry.heal();
    let files = bench.sandbox.files();
    if way.output == "-" {
        assert!(!is_believable(&output.stdout), "{way:?}");
        assert!(files.is_empty(), "{way:?}: {files:?}");
        return error;
    }
    assert!(!files.contains(&"x.tar".to_owned()), "{way:?}: {files:?}");
    let output = bench.pull(way, &[]);
    assert!(stderr(&output).contains("an earlier run left"), "{way:?}: {}", stderr(&output));
    bench.assert_right(way, &output, "the next run");
    let sent_bytes = bench.sent_bytes() - before_bytes;
    assert!(sent_bytes <= bench.layer_bytes() + again_bytes, "{way:?}: {sent_bytes} bytes");
    error
}

fn the_same(mut errors: Vec<String>) -> String {
    errors.dedup();
    assert_eq!(errors.len(), 1, "{}", errors.join("\n"));
    errors.remove(0)
}

/// A test in every way at once, each with a registry of its own: for those that wait more than they work.
fn at_once<T: Send>(test: impl Fn(&mut Bench, Way) -> T + Sync) -> Vec<T> {
    let test = &test;
    thread::scope(|scope| {
        let start = |way| scope.spawn(move || test(&mut Bench::new(&SIZES), way));
        let running: Vec<_> = ways().map(start).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn lines_that_break() {
    let bench = Bench::new(&SIZES);
    assert_passes(&bench, "cut", &[(1, Fault::Cut(150_000))], 0);
    assert_passes(&bench, "cut in a row", &[(3, Fault::Cut(60_000))], 0);
    assert_passes(&bench, "cut before the first byte", &[(3, Fault::Cut(0))], 0);
    assert_passes(&bench, "cut before the last bytes", &[(1, Fault::Cut(200_000))], 0);
    assert_snapshot!("cut", assert_fails(&bench, 6, &Fault::Cut(150_000), 0));
}

#[test]
fn lines_that_stand_still() {
    let errors = at_once(|bench, way| {
        bench.options = ["--stall-timeout", "1"].map(str::to_owned).to_vec();
        assert_passes_in(bench, way, "stall", &[(1, Fault::Stall(0)), (1, Fault::Stall(150_000))], 0);
        assert_fails_in(bench, way, 6, &Fault::Stall(150_000), 0)
    });
    assert_snapshot!("stall", the_same(errors));
}

#[test]
fn a_line_that_breaks_every_mib() {
    let bench = Bench::new(&[6 << 20, 100_000]);
    for way in ways() {
        bench.registry.fault(&bench.layer(0), Fault::Cut(1 << 20));
        let before_bytes = bench.sent_bytes();
        // Each try gets on, so none is the second in a row.
        let output = bench.pull(way, &["--retry-times", "1"]);
        bench.assert_right(way, &output, "cut every MiB");
        assert_eq!(bench.sent_bytes() - before_bytes, bench.layer_bytes(), "{way:?}");
    }
}

/// A hundred images, each cut off once, at a byte that its seed says.
#[test]
fn lines_that_break_at_any_byte() {
    const SEEDS: u64 = 100;
    let registry = TestRegistry::start();
    let layers: Vec<[Layer; 2]> =
        (0..SEEDS).map(|seed| [Layer::tar(seed, 30_000), Layer::tar(seed + SEEDS, 9000)]).collect();
    let images: Vec<_> = (0..)
        .zip(&layers)
        .map(|(seed, layers): (u64, _)| push_layers(&registry, &format!("n{seed}"), layers))
        .collect();
    for mode in MODES {
        let sandbox = Sandbox::new();
        let pull = |output: &str| {
            let mut arguments = vec![
                "pull",
                "--layers",
                mode,
                "-o",
                output,
                "--retry-times",
                "1",
                "--retry-delay",
                "0",
                "-q",
            ];
            arguments.extend(images.iter().map(|image| &*image.reference));
            let output = sandbox.output(&arguments);
            assert!(output.status.success(), "{mode}: {}", stderr(&output));
            output.stdout
        };
        let cut = || {
            for ((seed, image), layers) in (0..).zip(&images).zip(&layers) {
                let mut random = random(seed);
                let layer = usize::from(random.next().unwrap() % 2 == 1);
                let at = random.next().unwrap() % layers[layer].blob.len() as u64;
                let cut = Fault::Cut(usize::try_from(at).unwrap());
                registry.fault_times(1, &image.layers[layer].to_string(), cut);
            }
        };
        fs::create_dir(sandbox.out().join("right")).unwrap();
        fs::create_dir(sandbox.out().join("cut")).unwrap();
        pull("right/");
        let right = pull("-");
        cut();
        pull("cut/");
        for seed in 0..SEEDS {
            let name = format!("127.0.0.1_{}_n{seed}_latest_amd64.tar", registry.port());
            let read = |folder| fs::read(sandbox.out().join(folder).join(&name)).unwrap();
            assert!(read("cut") == read("right"), "{mode}, seed {seed}");
        }
        cut();
        assert!(pull("-") == right, "{mode}: a pipe of all images");
    }
}

#[test]
fn bodies_of_other_bytes_or_lengths() {
    let bench = Bench::new(&SIZES);
    let second = bench.sizes[1];
    assert_passes(&bench, "no length, as Harbor's proxy cache", &[(usize::MAX, Fault::Long(0))], 0);
    assert_passes(&bench, "too short", &[(3, Fault::Short(60_000))], 0);
    assert_passes(&bench, "empty", &[(3, Fault::Short(0))], 0);
    assert_passes(&bench, "empty, and said so", &[(3, answer(200, &[]))], 0);
    assert_passes(&bench, "too long", &[(1, Fault::Long(1))], second + 1);
    assert_snapshot!("short", assert_fails(&bench, 6, &Fault::Short(150_000), 0));
    assert_snapshot!("empty", assert_fails(&bench, 3, &answer(200, &[]), 0));
    assert_snapshot!("long", assert_fails(&bench, 3, &Fault::Long(1), second + 1));
    assert_snapshot!("flip", assert_fails(&bench, 3, &Fault::Flip, second));
}

#[test]
fn ranges_that_are_not_kept() {
    let bench = Bench::new(&SIZES);
    // What comes from the start again is skipped; before that one answer is left as it comes.
    let again_bytes = 150_000 + bench.sizes[1];
    let cut = || (1, Fault::Cut(150_000));
    assert_passes(&bench, "range ignored", &[cut(), (usize::MAX, Fault::IgnoreRange)], again_bytes);
    let another = || Fault::Header("content-range", "bytes 0-1/2".to_owned());
    assert_passes(&bench, "another range", &[cut(), (usize::MAX, another())], again_bytes);
}

#[test]
fn registries_that_refuse() {
    let bench = Bench::new(&SIZES);
    let errors = [500, 502, 503].map(|status| (1, answer(status, &[])));
    assert_passes(&bench, "server errors", &errors, 0);
    assert_snapshot!("status_503", assert_fails(&bench, 6, &answer(503, &[]), 0));
    assert_snapshot!("status_401", assert_fails(&bench, 5, &answer(401, &[]), 0));
    assert_snapshot!("status_403", assert_fails(&bench, 5, &answer(403, &[]), 0));
    assert_snapshot!("status_404", assert_fails(&bench, 4, &answer(404, &[]), 0));
    let to_itself = answer(307, &[("location", &bench.layer(1)["GET ".len()..])]);
    assert_snapshot!("redirect_loop", assert_fails(&bench, 6, &to_itself, 0));
}

/// In seconds, and as a date by the server's own clock.
#[test]
fn registries_that_ask_for_time() {
    let clock = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let date = [clock, ("retry-after", "Sun, 06 Nov 1994 08:49:38 GMT")];
    at_once(|bench, way| {
        let headers = if way.output == "-" { &date[..] } else { &[("retry-after", "1")] };
        let started = Instant::now();
        assert_passes_in(bench, way, "too many requests", &[(1, answer(429, headers))], 0);
        assert!(started.elapsed() >= Duration::from_secs(1), "{way:?}: a second was asked for");
    });
    let bench = Bench::new(&SIZES);
    assert_snapshot!("status_429", assert_fails(&bench, 6, &answer(429, &[("retry-after", "90")]), 0));
    let date = [clock, ("retry-after", "Sun, 06 Nov 1994 10:49:37 GMT")];
    assert_snapshot!("status_429_until_a_date", assert_fails(&bench, 6, &answer(429, &date), 0));
}

/// A token is refused between two requests of one blob: one new token, and the request once more.
#[test]
fn tokens_that_end_within_a_blob() {
    let bench = Bench::new(&SIZES);
    for way in ways() {
        // The manifest, the config, the first layer and a part of the second.
        bench.registry.want_tokens(4, 300);
        bench.registry.fault_times(1, &bench.layer(1), Fault::Cut(150_000));
        let before_bytes = bench.sent_bytes();
        let output = bench.pull(way, &[&OPTIONS[..], &["--retry-times", "1"]].concat());
        bench.assert_right(way, &output, "a token that ends");
        assert_eq!(bench.sent_bytes() - before_bytes, bench.layer_bytes(), "{way:?}");
        assert_eq!(bench.registry.tokens(), (2, 2), "{way:?}: given and refused");
    }
}

/// Docker Hub, ECR, ACR, GHCR and the like: blobs are at stores, by links that end. A link that is refused is asked for
/// anew, from where the blob stopped; no store sees a token, or anything but GET; the manifest is asked for once.
#[test]
fn stores_whose_links_end() {
    let mut bench = Bench::new(&SIZES);
    let stores = [TestRegistry::start(), TestRegistry::start()];
    for store in &stores {
        push_layers(
            store,
            "n",
            &[Layer::tar(SIZES[0] as u64, SIZES[0]), Layer::tar(SIZES[1] as u64, SIZES[1])],
        );
    }
    let at = |store: &TestRegistry| Fault::Elsewhere(format!("http://localhost:{}", store.port()));
    let sent = |layer: usize| stores.iter().map(|store| store.sent_bytes(&bench.layer(layer))).sum::<u64>();
    let expired = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    for way in ways() {
        bench.registry.want_tokens(usize::MAX, 300);
        bench.registry.fault_times(2, "/blobs/", at(&stores[0]));
        bench.registry.fault(&bench.layer(1), at(&stores[1]));
        // At the second store the blob breaks off, and its link has ended when the rest is asked for.
        stores[1].fault_times(1, &bench.layer(1), Fault::Cut(150_000));
        stores[1].fault_times(1, &bench.layer(1), Fault::Answer(403, vec![], expired.to_owned()));
        let (requests, sent_bytes) = (bench.registry.requests().len(), sent(0) + sent(1));
        let output = bench.pull(way, &[&OPTIONS[..], &["--retry-times", "2"]].concat());
        bench.assert_right(way, &output, "a link that ends");
        let requests = bench.registry.requests().split_off(requests);
        let count = |text: &str| requests.iter().filter(|request| request.contains(text)).count();
        assert_eq!(count("/manifests/"), 2, "{way:?}: refused without a token, and then answered");
        assert_eq!(
            count(&bench.layer(1)),
            3,
            "{way:?}: a link for each part, and one for the one that ended"
        );
        assert_eq!(sent(0) + sent(1) - sent_bytes, bench.layer_bytes() + expired.len() as u64, "{way:?}");
    }
    for store in &stores {
        assert!(
            !store.requests().is_empty()
                && store.requests().iter().all(|request| request.starts_with("GET "))
        );
        assert!(store.headers("").iter().all(|headers| !headers.contains_key("authorization")));
        store.fault(&bench.layer(1), Fault::Answer(403, vec![], expired.to_owned()));
    }
    bench.sandbox = bench.sandbox.redact(stores[1].port(), "STORE");
    assert_snapshot!("link_that_ended", assert_fails(&bench, 6, &at(&stores[1]), 0));
}

/// A token is replaced before it ends, though nobody refused it.
#[test]
fn tokens_that_are_said_to_end() {
    at_once(|bench, way| {
        bench.registry.want_tokens(usize::MAX, 1);
        bench.registry.fault(&bench.layer(0), Fault::Pause(100_000, Duration::from_secs(1)));
        let output = bench.pull(way, &["--connections", "1"]);
        bench.assert_right(way, &output, "a short token");
        let (given, refused) = bench.registry.tokens();
        assert!(given >= 2 && refused == 1, "{way:?}: {given} given, {refused} refused");
    });
}
