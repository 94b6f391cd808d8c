//! Lines that give little to each connection, or break: the pull is as fast as its connections together, carries on, and
//! the bytes are right.

use std::time::{Duration, Instant};

use crate::command::output_of;
use crate::front::{Front, are_the_same};
use crate::images::LARGE;
use crate::running::{Running, events};
use crate::sealift::Layers;

/// What a connection gets, where there is a limit.
const RATE: &str = "limit_rate 1m;";
const RATE_BYTES: u64 = 1 << 20;

#[test]
fn eight_connections_are_faster_than_one_may_be() {
    let mut front = Front::start("slow");
    let right = front.right_archive(&LARGE, Layers::Auto);
    front.set("", RATE);
    let bytes = std::fs::metadata(&right).unwrap().len();
    let begin = Instant::now();
    output_of(&mut front.pull(&LARGE, &["--connections", "8"]));
    let one_alone = Duration::from_secs(bytes / RATE_BYTES);
    assert!(begin.elapsed() < one_alone / 3, "{:?}, one alone {one_alone:?}", begin.elapsed());
    are_the_same(&right, &front.folder.join("image.tar"));
}

/// Pulls while the line does what it does: the archive is right, and something was tried again.
fn carries_on(front: &Front, meanwhile: impl FnOnce(&mut Running)) {
    let right = front.folder.join("right-Auto.tar");
    let mut pull = Running::start(&front.folder, &mut front.pull(&LARGE, &["--retry-delay", "1"]));
    meanwhile(&mut pull);
    let said = pull.end().well();
    assert!(events(&said).iter().any(|event| event["event"] == "retrying"), "nothing broke: {said}");
    are_the_same(&right, &front.folder.join("image.tar"));
}

#[test]
fn a_server_that_drops_all_but_two_connections_gives_the_whole() {
    let mut front = Front::start("dropped");
    front.right_archive(&LARGE, Layers::Auto);
    let dropping =
        format!("{RATE} limit_conn all 2; error_page 503 = @drop; location @drop {{ return 444; }}");
    front.set("limit_conn_zone $server_addr zone=all:64k;", &dropping);
    carries_on(&front, |_| {});
}

#[test]
fn workers_that_are_killed_cost_no_more_than_another_try() {
    let mut front = Front::start("killed-workers");
    front.right_archive(&LARGE, Layers::Auto);
    front.set("", RATE);
    carries_on(&front, |pull| {
        for megabytes in [4, 10, 16] {
            pull.await_bytes(megabytes << 20);
            front.nginx.kill_workers();
        }
    });
}

#[test]
fn a_server_that_is_stopped_and_comes_back_gives_the_rest() {
    let mut front = Front::start("stopped");
    let right = front.right_archive(&LARGE, Layers::Auto);
    front.set("", RATE);
    front.nginx.requests();
    let mut pull = Running::start(&front.folder, &mut front.pull(&LARGE, &["--retry-delay", "1"]));
    pull.await_bytes(8 << 20);
    front.nginx.stop();
    pull.await_event("retrying");
    front.nginx.start_again();
    pull.end().well();
    are_the_same(&right, &front.folder.join("image.tar"));
    let sent = front.layer_bytes(&LARGE);
    // What was on its way when it stopped is lost: eight connections' buffers.
    let whole = std::fs::metadata(&right).unwrap().len();
    assert!(sent < whole + (8 << 20), "{sent} bytes of {whole} were sent: it began anew");
}

#[test]
fn a_kept_connection_that_was_closed_meanwhile_is_no_failure() {
    let mut front = Front::start("closed-connections");
    let right = front.right_archive(&LARGE, Layers::Auto);
    front.set("", "keepalive_requests 2; keepalive_timeout 1;");
    output_of(&mut front.pull(&LARGE, &["--retry-times", "0"]));
    are_the_same(&right, &front.folder.join("image.tar"));
}
