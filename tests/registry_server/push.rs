//! Blobs on their way in.

use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, StatusCode};
use sealift::image::Digest;

use super::{Registry, expected, header, refusal, sha512};

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
async fn uploads_run_side_by_side() {
    for registry in Registry::each().await {
        let bytes = vec![7; 300 << 10];
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
