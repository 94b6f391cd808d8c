//! Manifests, blobs, redirects: what is believed and what is not.

use sealift::image::{Algorithm, Digest};
use sealift::registry::{Kind, Missing, RegistryError};
use sealift::source::{Selector, Source as _};

use crate::scripted::{Reply, Scripted};
use crate::*;

#[tokio::test]
async fn a_tag_is_fetched_over_plain_http_on_loopback() {
    let server = Scripted::plain(|_| {
        Reply::ok(MANIFEST).with("Content-Type", "application/vnd.oci.image.manifest.v1+json")
    })
    .await;
    let document = fetch_tag(&client(), &repository(server.address)).await.unwrap();
    assert_eq!(document.bytes(), MANIFEST);
    let requests = server.requests();
    assert_eq!(requests[0].target, "/v2/org/app/manifests/1");
    assert!(requests[0].header("user-agent").unwrap().starts_with("sealift/"));
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
    assert_eq!(requests.len(), 1, "no ping: {requests:?}");
}

#[tokio::test]
async fn every_media_type_of_manifests_is_asked_for() {
    let server = Scripted::plain(|_| Reply::ok(MANIFEST)).await;
    fetch_tag(&client(), &repository(server.address)).await.unwrap();
    let accept = server.requests()[0].header("accept").unwrap().to_owned();
    for kind in MediaType::ACCEPT_MANIFESTS {
        assert!(accept.contains(kind), "{accept}");
    }
}

#[tokio::test]
async fn a_manifest_by_digest_must_hash_to_it_in_sha256_and_sha512() {
    let server = Scripted::plain(|_| Reply::ok(MANIFEST)).await;
    let repository = repository(server.address);
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let right = Digest::by(algorithm, MANIFEST.as_bytes());
        let document = client().fetch_manifest(&repository, &Selector::Digest(right.clone())).await.unwrap();
        assert_eq!(*document.digest(), right);
        let wrong = Selector::Digest(Digest::by(algorithm, b"another"));
        let error = client().fetch_manifest(&repository, &wrong).await.unwrap_err();
        assert!(error.to_string().contains(&right.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_tags_digest_header_may_be_missing_but_not_wrong() {
    for (header, refused) in [
        (Some(Digest::of(MANIFEST.as_bytes()).to_string()), None),
        (Some(Digest::by(Algorithm::Sha512, MANIFEST.as_bytes()).to_string()), None),
        (None, None),
        (Some(Digest::of(b"another").to_string()), Some(Kind::Integrity)),
        (Some("sha256:../../x".to_owned()), Some(Kind::Network)),
        (Some("nonsense".to_owned()), Some(Kind::Network)),
        (Some(String::new()), None),
        (Some(" ".to_owned()), None),
    ] {
        let stated = header.clone();
        let server = Scripted::plain(move |_| match &stated {
            Some(digest) => Reply::ok(MANIFEST).with("Docker-Content-Digest", digest),
            None => Reply::ok(MANIFEST),
        })
        .await;
        let result = fetch_tag(&client(), &repository(server.address)).await;
        assert_eq!(result.err().map(|error| error.kind()), refused, "{header:?}");
    }
}

#[tokio::test]
async fn schema_1_is_refused_by_name_though_its_digest_is_not_of_its_bytes() {
    // The digest is of the payload without signatures.
    const SCHEMA_1: &str = r#"{"schemaVersion":1,"name":"n","tag":"1","fsLayers":[],"signatures":[]}"#;
    let payload = Digest::of(b"the payload");
    let stated = payload.to_string();
    let server = Scripted::plain(move |_| {
        Reply::ok(SCHEMA_1)
            .with("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
            .with("Docker-Content-Digest", stated.clone())
    })
    .await;
    for selector in [tag(), Selector::Digest(payload)] {
        let error = client().fetch_manifest(&repository(server.address), &selector).await.unwrap_err();
        let sealift::source::SourceError::Registry(error) = error else { panic!("{error:?}") };
        assert!(matches!(error, RegistryError::Schema1 { .. }), "{error:?}");
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(everything(&error).contains("schema 1"), "{error}");
    }
}

#[tokio::test]
async fn what_is_called_schema_1_and_is_not_must_still_hash_to_its_digest() {
    let server = Scripted::plain(|_| {
        Reply::ok(MANIFEST)
            .with("Content-Type", "application/vnd.docker.distribution.manifest.v1+json")
            .with("Docker-Content-Digest", Digest::of(b"another").to_string())
    })
    .await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error:?}");
}

#[tokio::test]
async fn a_manifest_over_the_limit_is_refused_whatever_its_framing() {
    let huge = || vec![b' '; 5 << 20];
    for reply in
        [|huge| Reply::ok(huge), |huge| Reply::ok(huge).chunked(), |huge| Reply::ok(huge).until_close()]
    {
        let server = Scripted::plain(move |_| reply(huge())).await;
        let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
        assert!(matches!(error, RegistryError::ManifestTooLarge { .. }), "{error:?}");
    }
    let server = Scripted::plain(|_| Reply::ok("{}").stating(100 << 20)).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(matches!(error, RegistryError::ManifestTooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_web_page_is_recognised() {
    for (status, kind) in [(200, "text/html; charset=utf-8"), (200, ""), (400, "text/html")] {
        let server = Scripted::plain(move |_| {
            Reply::new(status, "<!DOCTYPE html><title>hello</title>").with("Content-Type", kind)
        })
        .await;
        let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
        assert!(matches!(error, RegistryError::WebPage { .. }), "{error:?}");
        assert!(error.to_string().contains("web page"), "{error}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_told_apart() {
    for (code, expected) in [("NAME_UNKNOWN", Missing::Repository), ("MANIFEST_UNKNOWN", Missing::Manifest)] {
        let server = Scripted::plain(move |_| {
            Reply::new(404, format!(r#"{{"errors":[{{"code":"{code}","message":"un\u001bknown"}}]}}"#))
        })
        .await;
        let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(matches!(error, RegistryError::NotFound { missing, .. } if missing == expected), "{error:?}");
        assert!(!everything(&error).contains('\u{1b}'));
    }
    let page = || Reply::new(404, "<html>not here</html>").with("Content-Type", "text/html");
    let server = Scripted::plain(move |_| page()).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error:?}");
    assert!(everything(&error).contains("web page") && !everything(&error).contains("not here"));
    let server = Scripted::plain(|_| Reply::new(404, "")).await;
    let error = fetch_blob(&client(), &repository(server.address), 0).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { missing: Missing::Blob, .. }), "{error:?}");
}

#[tokio::test]
async fn other_statuses_are_told_apart() {
    for (status, check) in [
        (
            429,
            (|error| matches!(error, RegistryError::RateLimited { retry_after: Some(_), .. }))
                as fn(&RegistryError) -> bool,
        ),
        (503, |error| matches!(error, RegistryError::ServerError { status: 503, retry_after: Some(_), .. })),
        (418, |error| matches!(error, RegistryError::UnexpectedStatus { status: 418, .. })),
    ] {
        let server = Scripted::plain(move |_| Reply::new(status, "no").with("Retry-After", "7")).await;
        let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
        assert!(check(&error), "{error:?}");
    }
}

#[tokio::test]
async fn a_blob_is_streamed_whole_or_from_an_offset() {
    let server = Scripted::plain(|request| match request.header("range") {
        None => Reply::ok(BLOB),
        Some("bytes=7-19") => Reply::new(206, &BLOB[7..]).with("Content-Range", "bytes 7-19/20"),
        other => panic!("{other:?}"),
    })
    .await;
    let (client, repository) = (client(), repository(server.address));
    assert_eq!(fetch_blob(&client, &repository, 0).await.unwrap(), BLOB);
    assert_eq!(fetch_blob(&client, &repository, 7).await.unwrap(), &BLOB[7..]);
    assert_eq!(fetch_blob(&client, &repository, 20).await.unwrap(), b"");
    assert_eq!(server.requests().len(), 2, "what is all there is not asked for");
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let server = Scripted::plain(|_| Reply::ok("")).await;
    let (repository, blob) = (repository(server.address), blob_of(b""));
    let stream = client().open_blob(&repository, &blob, 0..blob.size_bytes).await.unwrap();
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().concat(), b"");
}

#[tokio::test]
async fn a_blob_without_length_is_fine() {
    for reply in [|| Reply::ok(BLOB).chunked(), || Reply::ok(BLOB).until_close()] {
        let server = Scripted::plain(move |_| reply()).await;
        assert_eq!(fetch_blob(&client(), &repository(server.address), 0).await.unwrap(), BLOB);
    }
}

#[tokio::test]
async fn a_blob_of_another_length_is_refused_before_its_first_byte() {
    for length in [0, 19, 21, 1 << 40] {
        let server = Scripted::plain(move |_| Reply::ok(BLOB).stating(length)).await;
        let (repository, blob) = (repository(server.address), blob_of(BLOB));
        let error = client().open_blob(&repository, &blob, 0..blob.size_bytes).await.err().unwrap();
        assert!(
            matches!(error, sealift::source::SourceError::Registry(RegistryError::WrongLength { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_blob_that_ends_early_says_how_far_it_came() {
    let server = Scripted::plain(move |_| Reply::ok(&BLOB[..5]).stating(20)).await;
    let error = fetch_blob(&client(), &repository(server.address), 0).await.unwrap_err();
    assert!(matches!(error, RegistryError::Interrupted { received_bytes: 5, .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Network);
}

#[tokio::test]
async fn a_range_that_is_not_the_one_asked_for_is_refused() {
    for range in ["bytes 6-19/20", "bytes 7-18/20", "bytes 7-19/21", "nonsense", ""] {
        let server = Scripted::plain(move |_| Reply::new(206, &BLOB[7..]).with("Content-Range", range)).await;
        let error = fetch_blob(&client(), &repository(server.address), 7).await.unwrap_err();
        assert!(matches!(error, RegistryError::BadHeader { header: "Content-Range", .. }), "{error:?}");
    }
    let server = Scripted::plain(|_| Reply::ok(BLOB)).await;
    let error = fetch_blob(&client(), &repository(server.address), 7).await.unwrap_err();
    assert!(matches!(error, RegistryError::RangeIgnored { from_bytes: 7, .. }), "{error:?}");
}

#[tokio::test]
async fn relative_redirects_are_followed_on_the_same_host() {
    let server = Scripted::plain(|request| match request.target.as_str() {
        "/v2/org/app/manifests/1" => Reply::redirect("../elsewhere/1?key=x"),
        "/v2/org/app/elsewhere/1?key=x" => Reply::redirect("/absolute"),
        _ => Reply::ok(MANIFEST),
    })
    .await;
    fetch_tag(&client(), &repository(server.address)).await.unwrap();
    assert_eq!(server.requests().last().unwrap().target, "/absolute");
}

#[tokio::test]
async fn a_redirect_loop_ends_with_an_error() {
    let server = Scripted::plain(|request| Reply::redirect(request.target.clone())).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(matches!(error, RegistryError::RedirectLoop { hops: 10, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 11);
}

#[tokio::test]
async fn redirects_to_plain_http_on_other_hosts_and_to_other_schemes_are_refused() {
    for (location, expected) in [
        ("http://cdn.example/a?secret=hunter2", "it leads to plain HTTP: http://cdn.example/a"),
        ("file:///etc/passwd", "it leads to a `file:` URL"),
        ("", "it has no valid `Location`"),
    ] {
        let server = Scripted::plain(move |_| match location {
            "" => Reply::new(307, ""),
            _ => Reply::redirect(location),
        })
        .await;
        let error = fetch_blob(&client(), &repository(server.address), 0).await.unwrap_err();
        assert!(!everything(&error).contains("hunter2"));
        match error {
            RegistryError::BadRedirect { problem, .. } => assert_eq!(problem.to_string(), expected),
            other => panic!("{other:?}"),
        }
    }
}
