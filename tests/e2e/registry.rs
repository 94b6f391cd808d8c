//! The session's docker-registry, spoken to directly: what was pushed is read back byte for byte.

use std::path::Path;
use std::sync::LazyLock;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Client, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::session::session;

pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A manifest or index as the registry holds it.
pub(crate) struct Document {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) json: Value,
}

/// What a name stands for: the index if there is one, and this machine's manifest.
pub(crate) struct Resolved {
    pub(crate) index: Option<Document>,
    pub(crate) manifest: Document,
}

impl Resolved {
    /// The digest of what the name resolved to.
    pub(crate) fn digest(&self) -> &str {
        &self.index.as_ref().unwrap_or(&self.manifest).digest
    }

    pub(crate) fn config_digest(&self) -> &str {
        self.manifest.json["config"]["digest"].as_str().unwrap()
    }
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static CLIENT: LazyLock<Client> = LazyLock::new(|| Client::builder().no_proxy().build().unwrap());

/// Runs a future on the tests' runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// The digest of bytes, as the field writes it.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    written(&Sha256::digest(bytes))
}

/// A SHA-256 as the field writes it.
pub(crate) fn written(hash: &[u8]) -> String {
    hash.iter().fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn address(repository: &str, rest: &str) -> String {
    format!("http://{}/v2/{repository}/{rest}", session().registry)
}

async fn succeeded(response: Result<Response, reqwest::Error>) -> Response {
    let response = response.unwrap();
    let (status, url) = (response.status(), response.url().clone());
    if status.is_success() {
        return response;
    }
    panic!("{url}: {status}: {}", response.text().await.unwrap())
}

async fn upload(repository: &str, digest: &str, body: Body) {
    let begin = CLIENT.post(address(repository, "blobs/uploads/")).send().await;
    let begin = succeeded(begin).await;
    let place = begin.headers()[LOCATION].to_str().unwrap().to_owned();
    let put = CLIENT.put(format!("{place}&digest={digest}")).body(body);
    succeeded(put.send().await).await;
}

/// Pushes a blob from memory; its digest.
pub(crate) fn push_blob(repository: &str, bytes: &[u8]) -> String {
    let digest = digest_of(bytes);
    RUNTIME.block_on(upload(repository, &digest, bytes.to_vec().into()));
    digest
}

/// Pushes a blob from a file, without holding it in memory.
pub(crate) fn push_blob_file(repository: &str, digest: &str, file: &Path) {
    RUNTIME.block_on(async {
        let file = tokio::fs::File::open(file).await.unwrap();
        let stream = tokio_util::io::ReaderStream::with_capacity(file, 1 << 20);
        upload(repository, digest, Body::wrap_stream(stream)).await;
    });
}

/// Pushes a manifest or index under a tag or digest; its digest.
pub(crate) fn push_manifest(repository: &str, reference: &str, media_type: &str, bytes: &[u8]) -> String {
    let put = CLIENT.put(address(repository, &format!("manifests/{reference}")));
    let put = put.header(CONTENT_TYPE, media_type).body(bytes.to_vec());
    RUNTIME.block_on(async { succeeded(put.send().await).await });
    digest_of(bytes)
}

/// A manifest or index, by tag or digest.
pub(crate) fn manifest(repository: &str, reference: &str) -> Document {
    RUNTIME.block_on(async {
        let mut request = CLIENT.get(address(repository, &format!("manifests/{reference}")));
        for media_type in [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX] {
            request = request.header(ACCEPT, media_type);
        }
        let response = succeeded(request.send().await).await;
        let media_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let bytes = response.bytes().await.unwrap().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap();
        Document { media_type, digest: digest_of(&bytes), bytes, json }
    })
}

/// A blob's bytes.
pub(crate) fn blob(repository: &str, digest: &str) -> Vec<u8> {
    RUNTIME.block_on(async {
        let get = CLIENT.get(address(repository, &format!("blobs/{digest}")));
        succeeded(get.send().await).await.bytes().await.unwrap().to_vec()
    })
}

/// What a tag or digest stands for on linux/amd64.
pub(crate) fn resolve(repository: &str, reference: &str) -> Resolved {
    let top = manifest(repository, reference);
    let Some(manifests) = top.json["manifests"].as_array() else {
        return Resolved { index: None, manifest: top };
    };
    let chosen = manifests
        .iter()
        .find(|entry| entry["platform"]["os"] == "linux" && entry["platform"]["architecture"] == "amd64");
    let digest = chosen.expect("linux/amd64 in the index")["digest"].as_str().unwrap();
    let manifest = manifest(repository, digest);
    Resolved { index: Some(top), manifest }
}
