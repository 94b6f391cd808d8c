//! Who and what gets through: addresses, paths, web pages.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use sealift::image::Digest;
use sealift::registry::server::{self, Server, StartError, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Registry, expected, loopback, refusal};

/// The status line and body of a request as it is written here: clients would tidy up the path.
async fn raw(address: SocketAddr, request_line: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn no_path_leads_out_of_the_store() {
    for registry in Registry::each().await {
        let before = registry.folder.as_ref().map(|folder| files_below(folder.path()));
        let hex = Digest::of(b"").hex().to_owned();
        for (path, code) in [
            ("../../etc/manifests/latest".to_owned(), "NAME_INVALID"),
            ("%2e%2e/%2e%2e/etc/manifests/latest".to_owned(), "NAME_INVALID"),
            ("a%2f..%2f..%2fb/manifests/latest".to_owned(), "NAME_INVALID"),
            ("a//b/manifests/latest".to_owned(), "NAME_INVALID"),
            ("/etc/manifests/latest".to_owned(), "NAME_INVALID"),
            ("a%00/manifests/latest".to_owned(), "NAME_INVALID"),
            ("A/manifests/latest".to_owned(), "NAME_INVALID"),
            ("_tags/manifests/latest".to_owned(), "NAME_INVALID"),
            ("a/_manifests/blobs/uploads/".to_owned(), "NAME_INVALID"),
            (format!("{}/manifests/latest", "a/".repeat(300)), "NAME_INVALID"),
            ("a/manifests/..".to_owned(), "MANIFEST_UNKNOWN"),
            ("a/manifests/%2e%2e%2fx".to_owned(), "UNSUPPORTED"),
            ("a/manifests/sha256:..".to_owned(), "DIGEST_INVALID"),
            ("a/blobs/sha256:..%2f..%2fx".to_owned(), "UNSUPPORTED"),
            (format!("a/blobs/sha256:{}", hex.to_uppercase()), "DIGEST_INVALID"),
            (format!("a/blobs/md5:{hex}"), "DIGEST_INVALID"),
            ("a/blobs/uploads/..".to_owned(), "BLOB_UPLOAD_UNKNOWN"),
            ("a/%ff/manifests/latest".to_owned(), "UNSUPPORTED"),
            ("a".to_owned(), "UNSUPPORTED"),
        ] {
            for method in ["GET", "PUT", "DELETE"] {
                let answer = raw(registry.server.address(), &format!("{method} /v2/{path}")).await;
                assert!(answer.starts_with("HTTP/1.1 4"), "{method} {path}: {answer}");
                let refused = answer.contains(code) || (method != "GET" && answer.contains("UNSUPPORTED"));
                assert!(refused, "{method} {path}: {answer}");
            }
        }
        assert_eq!(registry.folder.as_ref().map(|folder| files_below(folder.path())), before);
    }
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { 1 + files_below(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn web_pages_are_refused() {
    for registry in Registry::each().await {
        let request =
            registry.request(Method::POST, "/v2/a/blobs/uploads/").header("origin", "http://page.example");
        assert_eq!(refusal(request.send().await.unwrap()).await, expected(403, "DENIED"));
    }
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let router = server::router(Store::memory());
        let error = Server::start(router, address.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, StartError::NotLoopback(_)), "{error}");
    }
    let server = Server::start(server::router(Store::memory()), loopback()).await.unwrap();
    let taken = Server::start(server::router(Store::memory()), server.address()).await.unwrap_err();
    assert!(matches!(taken, StartError::Bind { .. }), "{taken}");
}

#[tokio::test]
async fn a_dropped_server_stops_listening() {
    let server = Server::start(server::router(Store::memory()), loopback()).await.unwrap();
    let address = server.address();
    drop(server);
    for _ in 0..100 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still listening on {address}");
}
