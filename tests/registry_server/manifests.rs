//! Manifests, indexes and their tags.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, StatusCode};
use sealift::image::{Digest, MediaType};
use sealift::registry::server::{ServerError, Store};
use serde_json::{Value, json};

use super::{OCI_INDEX, OCI_MANIFEST, Registry, expected, header, refusal, sha512};

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

#[tokio::test]
async fn manifests_put_without_a_request_must_have_their_digest_and_a_name() {
    let store = Store::memory();
    let digest = Digest::of(b"another").to_string();
    let error = store.put_manifest("a", &digest, MediaType::OciIndex, "{}").await.unwrap_err();
    assert!(matches!(error, ServerError::DigestMismatch { .. }), "{error}");
    let error = store.put_manifest("../a", "x", MediaType::OciIndex, "{}").await.unwrap_err();
    assert!(matches!(error, ServerError::NameInvalid { .. }), "{error}");
}
