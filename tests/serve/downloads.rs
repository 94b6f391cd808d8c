//! Many downloads at once: all whole, and memory flat.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::thread;

use crate::server::Served;
use crate::support::image::{noise, push};
use crate::support::registry::TestRegistry;
use crate::support::sandbox::Sandbox;

/// What the server may take at most.
const MOST_KIB: u64 = 100 << 10;

#[test]
fn fifty_downloads_at_once_take_little_memory() {
    download_at_once(50, 50);
}

#[test]
#[ignore = "slow: tests/run --long"]
fn two_hundred_large_downloads_at_once_take_little_memory() {
    download_at_once(200, 500);
}

fn download_at_once(count: usize, mebibytes: u64) {
    let sandbox = Sandbox::new();
    let path = sandbox.out().join("downloads/a.tar");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let mut file = File::create(&path).unwrap();
    pieces(mebibytes).for_each(|piece| file.write_all(&piece).unwrap());
    let server = Served::start(&sandbox, &[]);
    get_at_once(&server, "/downloads/a.tar", count, mebibytes);
}

#[test]
fn many_nodes_that_pull_a_layer_at_once_take_little_memory() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let layer: Vec<u8> = pieces(20).flatten().collect();
    let image = push(&registry, "app:1", "linux/amd64", &[&layer]);
    fs::create_dir(sandbox.out().join("downloads")).unwrap();
    assert!(sandbox.output(&["pull", &image.reference, "-o", "downloads/a.tar"]).status.success());
    let server = Served::start(&sandbox, &["--registry"]);
    get_at_once(&server, &format!("/v2/app/blobs/{}", image.layers[0]), 120, 20);
}

/// So many mebibytes. Each begins with its number: a mixture of them is not the whole.
fn pieces(mebibytes: u64) -> impl Iterator<Item = Vec<u8>> {
    let piece = noise(5, 1 << 20);
    (0..mebibytes).map(move |index| [&index.to_be_bytes(), &piece[8..]].concat())
}

/// All of them are under way before the first of them ends, and each gets the pieces.
fn get_at_once(server: &Served, path: &str, count: usize, mebibytes: u64) {
    let begun: Vec<_> = (0..count)
        .map(|_| {
            let mut stream = server.connect();
            let host = &server.address;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
            stream
        })
        .collect();
    thread::scope(|scope| {
        for mut stream in begun {
            scope.spawn(move || {
                let mut found = vec![0; 1 << 20];
                for (index, piece) in pieces(mebibytes).enumerate() {
                    stream.read_exact(&mut found).unwrap();
                    assert!(found == piece, "piece {index}");
                }
                assert_eq!(stream.read(&mut found).unwrap(), 0);
            });
        }
    });
    let status = fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak_kib: u64 = peak.unwrap().trim().parse().unwrap();
    assert!(peak_kib <= MOST_KIB, "{peak_kib} KiB");
}
