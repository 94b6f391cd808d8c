//! The embedded registry over HTTP: each test runs against both stores.

#![allow(clippy::unwrap_used, reason = "in a helper as in a test, what cannot be is a failure of the test")]

mod manifests;
mod push;
mod reach;
mod store;
mod uploads;

use std::net::SocketAddr;

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, LOCATION, RANGE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use sealift::image::{Algorithm, Digest, Hasher};
use sealift::registry::server::{self, Server, Store};
use serde_json::Value;
use tempfile::TempDir;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A running server and what it runs on.
struct Registry {
    server: Server,
    store: Store,
    client: Client,
    /// `None` in memory.
    folder: Option<TempDir>,
}

impl Registry {
    async fn start(store: Store, folder: Option<TempDir>) -> Self {
        let server = Server::start(server::router(store.clone()), loopback()).await.unwrap();
        Self { server, store, client: Client::new(), folder }
    }

    /// One of each store.
    async fn each() -> [Self; 2] {
        let folder = tempfile::tempdir().unwrap();
        let directory = Store::directory(folder.path()).unwrap();
        [Self::start(Store::memory(), None).await, Self::start(directory, Some(folder)).await]
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.server.address()))
    }

    fn fetch(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// Begins an upload and returns its location.
    async fn begin_upload(&self) -> String {
        let response = self.request(Method::POST, "/v2/a/b/blobs/uploads/").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(header(&response, "range"), "0-0");
        assert!(header(&response, LOCATION.as_str()).ends_with(header(&response, "docker-upload-uuid")));
        header(&response, LOCATION.as_str()).to_owned()
    }

    async fn chunk(&self, location: &str, range: &str, bytes: &'static [u8]) -> Response {
        let request = self.request(Method::PATCH, location).body(bytes);
        let request = if range.is_empty() { request } else { request.header(CONTENT_RANGE, range) };
        request.send().await.unwrap()
    }

    async fn put_manifest(&self, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> Response {
        self.request(Method::PUT, path).header(CONTENT_TYPE, media_type).body(body).send().await.unwrap()
    }

    /// The files of a directory store, but for blobs that are whole.
    fn unfinished_files(&self) -> usize {
        self.folder
            .as_ref()
            .map_or(0, |folder| std::fs::read_dir(folder.path().join("uploads")).unwrap().count())
    }
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The status and the code in the specification's error body.
async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(header(&response, "docker-distribution-api-version"), "registry/2.0");
    let body: Value = response.json().await.unwrap();
    assert!(!body["errors"][0]["message"].as_str().unwrap().is_empty(), "{body}");
    (status, body["errors"][0]["code"].as_str().unwrap().to_owned())
}

fn expected(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn sha512(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

#[tokio::test]
async fn the_root_says_which_api_it_is() {
    for registry in Registry::each().await {
        let response = registry.fetch("/v2/").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "docker-distribution-api-version"), "registry/2.0");
        let response = registry.request(Method::PUT, "/v2/").send().await.unwrap();
        assert_eq!(header(&response, "allow"), "GET, HEAD");
        assert_eq!(refusal(response).await, expected(405, "UNSUPPORTED"));
    }
}

#[tokio::test]
async fn parts_of_a_blob_are_served() {
    for registry in Registry::each().await {
        // Over several chunks of a file.
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|number| (number % 251) as u8).collect();
        let digest = registry.store.put_blob(bytes.clone()).await.unwrap();
        let path = format!("/v2/a/blobs/{digest}");
        for (range, from, to) in [
            ("bytes=0-0", 0, 1),
            ("bytes=262143-262144", 262_143, 262_145),
            ("bytes=300000-", 300_000, 1_000_003),
            ("bytes=-5", 999_998, 1_000_003),
            ("bytes=5-99999999", 5, 1_000_003),
        ] {
            let part = registry.fetch(&path).header(RANGE, range).send().await.unwrap();
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            assert_eq!(header(&part, "content-range"), format!("bytes {from}-{}/1000003", to - 1));
            assert_eq!(header(&part, "content-length"), (to - from).to_string());
            assert_eq!(part.bytes().await.unwrap(), bytes[from..to], "{range}");
        }
        let head = registry.request(Method::HEAD, &path).header(RANGE, "bytes=1-2").send().await.unwrap();
        assert_eq!(header(&head, "content-length"), "2");
        for whole in [("bytes=0-1,5-6", ""), ("bytes=0-1", "\"another\"")] {
            let request = registry.fetch(&path).header(RANGE, whole.0);
            let request = if whole.1.is_empty() { request } else { request.header(IF_RANGE, whole.1) };
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.bytes().await.unwrap(), bytes);
        }
        let past = registry.fetch(&path).header(RANGE, "bytes=1000003-").send().await.unwrap();
        assert_eq!(header(&past, "content-range"), "bytes */1000003");
        assert_eq!(refusal(past).await, expected(416, "SIZE_INVALID"));
    }
}
