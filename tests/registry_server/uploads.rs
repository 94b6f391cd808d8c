//! Uploads that are given up, break off or are forgotten.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, StatusCode};
use sealift::image::Digest;
use sealift::registry::server::Store;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Registry, expected, header, refusal};

#[tokio::test]
async fn a_cancelled_upload_leaves_nothing() {
    for registry in Registry::each().await {
        let location = registry.begin_upload().await;
        registry.chunk(&location, "", b"hello").await;
        let elsewhere = location.replace("/a/b/", "/c/");
        let response = registry.request(Method::DELETE, &elsewhere).send().await.unwrap();
        assert_eq!(refusal(response).await, expected(404, "BLOB_UPLOAD_UNKNOWN"));
        let response = registry.request(Method::DELETE, &location).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(registry.fetch(&location).send().await.unwrap().status(), StatusCode::NOT_FOUND);
        assert_eq!(registry.unfinished_files(), 0);
    }
}

/// Sends the head of a request and part of its body, then hangs up.
pub(super) async fn send_and_hang_up(address: SocketAddr, request_line: &str, part: &[u8]) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!("{request_line} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(part).await.unwrap();
    connection.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_chunk_that_breaks_off_is_carried_on() {
    for registry in Registry::each().await {
        let location = registry.begin_upload().await;
        send_and_hang_up(registry.server.address(), &format!("PATCH {location}"), b"hello").await;
        let status = registry.fetch(&location).send().await.unwrap();
        assert_eq!(header(&status, "range"), "0-4");
        let finish = format!("{location}?digest={}", Digest::of(b"hello!"));
        let request = registry.request(Method::PUT, &finish).header(CONTENT_RANGE, "5-5").body("!");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::CREATED);
    }
}

#[tokio::test]
async fn a_push_in_one_request_that_breaks_off_leaves_nothing() {
    for registry in Registry::each().await {
        let line = format!("POST /v2/a/blobs/uploads/?digest={}", Digest::of(b"hello"));
        send_and_hang_up(registry.server.address(), &line, b"hello").await;
        for _ in 0..100 {
            if registry.unfinished_files() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert_eq!(registry.unfinished_files(), 0);
        let path = format!("/v2/a/blobs/{}", Digest::of(b"hello"));
        assert_eq!(registry.fetch(&path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn abandoned_uploads_go_with_the_server_and_with_the_next_start() {
    let [_, registry] = Registry::each().await;
    registry.begin_upload().await;
    assert_eq!(registry.unfinished_files(), 1);
    let uploads = registry.folder.as_ref().unwrap().path().join("uploads");
    // Another store over the same directory leaves the living alone and removes the dead.
    std::fs::rename(dead_file(), uploads.join("0123456789abcdef")).unwrap();
    Store::directory(registry.folder.as_ref().unwrap().path()).unwrap();
    assert_eq!(registry.unfinished_files(), 1);
    drop(registry.client);
    registry.server.shutdown().await;
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0);
}

fn dead_file() -> std::path::PathBuf {
    tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap()
}
