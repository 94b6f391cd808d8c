//! The embedded registry over HTTP: each test runs against both stores.

#![allow(clippy::unwrap_used, reason = "in a helper as in a test, what cannot be is a failure of the test")]
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, IF_RANGE, LINK, LOCATION, RANGE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use sealift::image::{Algorithm, Digest, Hasher, MediaType};
use sealift::registry::server::{self, Server, ServerError, StartError, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

fn descriptor(media_type: &str, digest: &Digest) -> Value {
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": 5 })
}

fn manifest(config: &Digest, layers: &[(&str, &Digest)]) -> String {
    let layers: Vec<_> = layers.iter().map(|(media_type, digest)| descriptor(media_type, digest)).collect();
    let config = descriptor("application/vnd.oci.image.config.v1+json", config);
    // The odd spacing is kept or the digest changes.
    format!(
        r#"{{"schemaVersion": 2,  "mediaType":"{OCI_MANIFEST}","config":{config},"layers":{}}}"#,
        json!(layers)
    )
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
async fn a_blob_is_pushed_in_one_request_and_pulled() {
    for registry in Registry::each().await {
        for digest in [Digest::of(b"hello"), sha512(b"hello")] {
            let path = format!("/v2/a/b/blobs/uploads/?digest={digest}");
            let response = registry.request(Method::POST, &path).body("hello").send().await.unwrap();
            assert_eq!(response.status(), StatusCode::CREATED);
            assert_eq!(header(&response, "docker-content-digest"), digest.to_string());
            let location = header(&response, "location").to_owned();
            assert_eq!(location, format!("/v2/a/b/blobs/{digest}"));

            let head = registry.request(Method::HEAD, &location).send().await.unwrap();
            assert_eq!((head.status(), header(&head, "content-length")), (StatusCode::OK, "5"));
            assert_eq!(header(&head, "accept-ranges"), "bytes");
            // Some clients escape the colon.
            let escaped = registry.fetch(&location.replace(':', "%3A")).send().await.unwrap();
            assert_eq!(header(&escaped, "docker-content-digest"), digest.to_string());
            assert_eq!(escaped.bytes().await.unwrap(), "hello");
        }
        assert_eq!(registry.unfinished_files(), 0);
    }
}

#[tokio::test]
async fn a_blob_is_pushed_in_chunks_in_order() {
    for registry in Registry::each().await {
        let location = registry.begin_upload().await;
        let first = registry.chunk(&location, "0-4", b"hello").await;
        assert_eq!((first.status(), header(&first, "range")), (StatusCode::ACCEPTED, "0-4"));

        let again = registry.chunk(&location, "0-4", b"hello").await;
        assert_eq!((header(&again, "range"), header(&again, "location")), ("0-4", location.as_str()));
        assert_eq!(refusal(again).await, expected(416, "BLOB_UPLOAD_INVALID"));
        let gap = registry.chunk(&location, "6-7", b"oo").await;
        assert_eq!(refusal(gap).await, expected(416, "BLOB_UPLOAD_INVALID"));
        let short = registry.chunk(&location, "5-9", b"o").await;
        assert_eq!(refusal(short).await, expected(400, "SIZE_INVALID"));
        let odd = registry.chunk(&location, "five", b"o").await;
        assert_eq!(refusal(odd).await, expected(400, "BLOB_UPLOAD_INVALID"));

        let status = registry.fetch(&location).send().await.unwrap();
        assert_eq!((status.status(), header(&status, "range")), (StatusCode::NO_CONTENT, "0-4"));
        let unplaced = registry.chunk(&location, "", b", wor").await;
        assert_eq!(header(&unplaced, "range"), "0-9");

        let digest = Digest::of(b"hello, world");
        let finish = format!("{location}?digest={digest}");
        let request = registry.request(Method::PUT, &finish).header(CONTENT_RANGE, "10-11").body("ld");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::CREATED);
        let pulled = registry.fetch(&format!("/v2/other/blobs/{digest}")).send().await.unwrap();
        assert_eq!(pulled.bytes().await.unwrap(), "hello, world");
        let gone = registry.fetch(&location).send().await.unwrap();
        assert_eq!(refusal(gone).await, expected(404, "BLOB_UPLOAD_UNKNOWN"));
        assert_eq!(registry.unfinished_files(), 0);
    }
}

#[tokio::test]
async fn chunks_are_finished_under_either_algorithm() {
    for registry in Registry::each().await {
        for (start, digest) in [("", sha512(b"hello")), ("?digest-algorithm=sha512", Digest::of(b"hello"))] {
            let path = format!("/v2/a/b/blobs/uploads/{start}");
            let begun = registry.request(Method::POST, &path).send().await.unwrap();
            let location = header(&begun, "location").to_owned();
            registry.chunk(&location, "", b"hello").await;
            let finish = format!("{location}?digest={digest}");
            let response = registry.request(Method::PUT, &finish).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::CREATED);
            let pulled = registry.fetch(header(&response, "location")).send().await.unwrap();
            assert_eq!(pulled.bytes().await.unwrap(), "hello");
        }
    }
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    for registry in Registry::each().await {
        let location = registry.begin_upload().await;
        let finish = format!("{location}?digest={}", Digest::of(b""));
        let response = registry.request(Method::PUT, &finish).send().await.unwrap();
        let pulled = registry.fetch(header(&response, "location")).send().await.unwrap();
        assert_eq!((pulled.status(), header(&pulled, "content-length")), (StatusCode::OK, "0"));
    }
}

#[tokio::test]
async fn a_mount_needs_the_blob_and_begins_an_upload_without_it() {
    for registry in Registry::each().await {
        let digest = registry.store.put_blob("hello").await.unwrap();
        let mount = |digest: &Digest| {
            format!("/v2/new/blobs/uploads/?mount={}&from=a/b", digest.to_string().replace(':', "%3A"))
        };
        let response = registry.request(Method::POST, &mount(&digest)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(header(&response, "location"), format!("/v2/new/blobs/{digest}"));
        let missing = Digest::of(b"missing");
        let response = registry.request(Method::POST, &mount(&missing)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert!(header(&response, "location").starts_with("/v2/new/blobs/uploads/"));
    }
}

#[tokio::test]
async fn bytes_with_another_digest_are_thrown_away() {
    for registry in Registry::each().await {
        let digest = Digest::of(b"hello");
        let at_once = format!("/v2/a/b/blobs/uploads/?digest={digest}");
        let response = registry.request(Method::POST, &at_once).body("hullo").send().await.unwrap();
        assert_eq!(refusal(response).await, expected(400, "DIGEST_INVALID"));

        let location = registry.begin_upload().await;
        registry.chunk(&location, "", b"hullo").await;
        let response = registry.request(Method::PUT, &location).send().await.unwrap();
        assert_eq!(refusal(response).await, expected(400, "DIGEST_INVALID"));
        let finish = format!("{location}?digest={digest}");
        let response = registry.request(Method::PUT, &finish).send().await.unwrap();
        assert_eq!(refusal(response).await, expected(400, "DIGEST_INVALID"));

        let response = registry.fetch(&format!("/v2/a/b/blobs/{digest}")).send().await.unwrap();
        assert_eq!(refusal(response).await, expected(404, "BLOB_UNKNOWN"));
        let response = registry.request(Method::PUT, &finish).body("hello").send().await.unwrap();
        assert_eq!(refusal(response).await, expected(404, "BLOB_UPLOAD_UNKNOWN"));
        assert_eq!(registry.unfinished_files(), 0);
    }
}

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
async fn send_and_hang_up(address: SocketAddr, request_line: &str, part: &[u8]) {
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

#[tokio::test]
async fn a_manifest_is_kept_byte_for_byte() {
    for registry in Registry::each().await {
        let (config, layer) =
            (registry.store.put_blob("{}").await.unwrap(), registry.store.put_blob("layer").await.unwrap());
        let text = manifest(&config, &[("application/vnd.oci.image.layer.v1.tar+gzip", &layer)]);
        let digest = Digest::of(text.as_bytes());
        let response = registry.put_manifest("/v2/a/b/c/manifests/latest", OCI_MANIFEST, text.clone()).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(header(&response, "docker-content-digest"), digest.to_string());
        assert_eq!(header(&response, "location"), format!("/v2/a/b/c/manifests/{digest}"));
        for reference in ["latest", &digest.to_string()] {
            let path = format!("/v2/a/b/c/manifests/{reference}");
            let head = registry.request(Method::HEAD, &path).send().await.unwrap();
            assert_eq!(header(&head, "content-length"), text.len().to_string());
            let pulled = registry.fetch(&path).send().await.unwrap();
            assert_eq!(header(&pulled, "content-type"), OCI_MANIFEST);
            assert_eq!(header(&pulled, "docker-content-digest"), digest.to_string());
            assert_eq!(pulled.bytes().await.unwrap(), text);
        }
        let elsewhere = registry.fetch(&format!("/v2/a/b/manifests/{digest}")).send().await.unwrap();
        assert_eq!(refusal(elsewhere).await, expected(404, "MANIFEST_UNKNOWN"));
    }
}

#[tokio::test]
async fn a_manifest_by_digest_must_have_it() {
    for registry in Registry::each().await {
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
        for digest in [Digest::of(text.as_bytes()), sha512(text.as_bytes())] {
            let path = format!("/v2/a/manifests/{digest}");
            let response = registry.put_manifest(&path, OCI_INDEX, text.clone()).await;
            assert_eq!(response.status(), StatusCode::CREATED);
            assert_eq!(registry.fetch(&path).send().await.unwrap().bytes().await.unwrap(), text);
        }
        let path = format!("/v2/a/manifests/{}", Digest::of(b"another"));
        let response = registry.put_manifest(&path, OCI_INDEX, text).await;
        assert_eq!(refusal(response).await, expected(400, "DIGEST_INVALID"));
    }
}

#[tokio::test]
async fn a_manifest_waits_for_its_blobs_but_not_for_foreign_ones() {
    for registry in Registry::each().await {
        let config = registry.store.put_blob("{}").await.unwrap();
        let missing = Digest::of(b"missing");
        let text = manifest(&config, &[("application/vnd.oci.image.layer.v1.tar", &missing)]);
        let response = registry.put_manifest("/v2/a/manifests/x", OCI_MANIFEST, text).await;
        assert_eq!(refusal(response).await, expected(404, "MANIFEST_BLOB_UNKNOWN"));
        let response =
            registry.put_manifest("/v2/a/manifests/x", OCI_MANIFEST, manifest(&missing, &[])).await;
        assert_eq!(refusal(response).await, expected(404, "MANIFEST_BLOB_UNKNOWN"));

        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let text = manifest(&config, &[(foreign, &missing)]);
        let response = registry.put_manifest("/v2/a/manifests/x", OCI_MANIFEST, text).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor(OCI_MANIFEST, &missing)] });
        let response = registry.put_manifest("/v2/a/manifests/sparse", OCI_INDEX, index.to_string()).await;
        assert_eq!(response.status(), StatusCode::CREATED);
    }
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    for registry in Registry::each().await {
        let invalid = expected(400, "MANIFEST_INVALID");
        for (media_type, body) in [
            (OCI_MANIFEST, "<html>"),
            (OCI_MANIFEST, "{}"),
            (OCI_MANIFEST, r#"{"config":{"mediaType":"x","digest":"sha256:../../x","size":1},"layers":[]}"#),
            (OCI_INDEX, r#"{"manifests":[],"layers":[]}"#),
            (OCI_MANIFEST, r#"{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#),
            ("application/vnd.docker.distribution.manifest.v1+json", r#"{"schemaVersion":1}"#),
            ("application/vnd.x+json", "{}"),
        ] {
            let response = registry.put_manifest("/v2/a/manifests/x", media_type, body).await;
            assert_eq!(refusal(response).await, invalid, "{body}");
        }
        let response = registry.put_manifest("/v2/a/manifests/x", OCI_INDEX, vec![b' '; (4 << 20) + 1]).await;
        assert_eq!(refusal(response).await, expected(413, "MANIFEST_INVALID"));
    }
}

#[tokio::test]
async fn deleting_a_manifest_takes_its_tags_along() {
    for registry in Registry::each().await {
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        let mut digest = Digest::of(b"");
        for tag in ["one", "two", "three"] {
            digest = registry.store.put_manifest("a", tag, MediaType::OciIndex, index).await.unwrap();
        }
        let remove = async |reference: &str| {
            let path = format!("/v2/a/manifests/{reference}");
            registry.request(Method::DELETE, &path).send().await.unwrap()
        };
        assert_eq!(remove("one").await.status(), StatusCode::ACCEPTED);
        assert_eq!(refusal(remove("one").await).await, expected(404, "MANIFEST_UNKNOWN"));
        let tags: Value = registry.fetch("/v2/a/tags/list").send().await.unwrap().json().await.unwrap();
        assert_eq!(tags["tags"], json!(["three", "two"]));
        assert_eq!(remove(&digest.to_string()).await.status(), StatusCode::ACCEPTED);
        let tags: Value = registry.fetch("/v2/a/tags/list").send().await.unwrap().json().await.unwrap();
        assert_eq!(tags["tags"], json!([]));
        let blob = registry.request(Method::DELETE, &format!("/v2/a/blobs/{digest}")).send().await.unwrap();
        assert_eq!(refusal(blob).await, expected(405, "UNSUPPORTED"));
    }
}

#[tokio::test]
async fn tags_and_repositories_are_listed_by_pages() {
    for registry in Registry::each().await {
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        for tag in ["b", "a", "C", "d", "e"] {
            registry.store.put_manifest("x/y", tag, MediaType::OciIndex, index).await.unwrap();
        }
        registry.store.put_manifest("x", "a", MediaType::OciIndex, index).await.unwrap();
        let (mut path, mut pages) = ("/v2/x/y/tags/list?n=2".to_owned(), Vec::new());
        loop {
            let response = registry.fetch(&path).send().await.unwrap();
            let next = next_page(response.headers());
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["name"], "x/y");
            pages.push(body["tags"].clone());
            let Some(next) = next else { break };
            path = next;
        }
        assert_eq!(json!(pages), json!([["C", "a"], ["b", "d"], ["e"]]));

        let list =
            async |path: &str| -> Value { registry.fetch(path).send().await.unwrap().json().await.unwrap() };
        assert_eq!(list("/v2/x/y/tags/list?last=b").await["tags"], json!(["d", "e"]));
        assert_eq!(list("/v2/x/y/tags/list?n=0").await["tags"], json!([]));
        assert_eq!(list("/v2/_catalog").await["repositories"], json!(["x", "x/y"]));
        assert_eq!(list("/v2/_catalog?n=1&last=x").await["repositories"], json!(["x/y"]));
        let response = registry.fetch("/v2/z/tags/list").send().await.unwrap();
        assert_eq!(refusal(response).await, expected(404, "NAME_UNKNOWN"));
        let response = registry.fetch("/v2/x/y/tags/list?n=many").send().await.unwrap();
        assert_eq!(refusal(response).await, expected(400, "UNSUPPORTED"));
    }
}

fn next_page(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().unwrap();
    Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

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
            ("a/manifests/%2e%2e%2fx".to_owned(), "NAME_INVALID"),
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
async fn uploads_run_side_by_side() {
    for registry in Registry::each().await {
        let bytes = vec![7; 3 << 20];
        let digest = Digest::of(&bytes);
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let pushes = (0..16).map(|_| registry.request(Method::POST, &path).body(bytes.clone()).send());
        for response in futures::future::join_all(pushes).await {
            assert_eq!(response.unwrap().status(), StatusCode::CREATED);
        }
        let pulled = registry.fetch(&format!("/v2/a/blobs/{digest}")).send().await.unwrap();
        assert_eq!(pulled.bytes().await.unwrap(), bytes);
        assert_eq!(registry.unfinished_files(), 0);
    }
}

#[tokio::test]
async fn a_directory_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    let store = Store::directory(folder.path()).unwrap();
    store.put_manifest("a/b", "x", MediaType::OciIndex, index).await.unwrap();
    drop(store);
    let registry = Registry::start(Store::directory(folder.path()).unwrap(), Some(folder)).await;
    let response = registry.fetch("/v2/a/b/manifests/x").send().await.unwrap();
    assert_eq!(header(&response, "content-type"), OCI_INDEX);
    assert_eq!(response.text().await.unwrap(), index);
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

#[tokio::test]
async fn manifests_put_without_a_request_must_have_their_digest_and_a_name() {
    let store = Store::memory();
    let digest = Digest::of(b"another").to_string();
    let error = store.put_manifest("a", &digest, MediaType::OciIndex, "{}").await.unwrap_err();
    assert!(matches!(error, ServerError::DigestMismatch { .. }), "{error}");
    let error = store.put_manifest("../a", "x", MediaType::OciIndex, "{}").await.unwrap_err();
    assert!(matches!(error, ServerError::NameInvalid { .. }), "{error}");
}
