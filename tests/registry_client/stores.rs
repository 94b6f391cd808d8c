//! Registries as they are, on the way to a blob: redirects to stores, links that expire, framing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealift::registry::{Kind, RedirectProblem, Retry};

use crate::access::{BASIC, with_password};
use crate::network::{Authority, through};
use crate::scripted::{Reply, Scripted, connect_proxy};
use crate::*;

/// A store that takes a link once, as if it had expired then, and refuses requests that bring a second
/// `Authorization`, as S3 does.
async fn store() -> Scripted {
    let last = AtomicUsize::new(0);
    Scripted::plain(move |request| {
        let link = request.target.rsplit_once("signature=").and_then(|(_, number)| number.parse().ok());
        match link {
            _ if request.authorization().is_some() => {
                Reply::new(400, "<Error><Code>InvalidArgument</Code></Error>")
            }
            _ if request.method != "GET" => Reply::new(405, ""),
            Some(number) if number > last.fetch_max(number, Ordering::SeqCst) => Reply::ok(BLOB),
            _ => Reply::new(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message>"),
        }
    })
    .await
}

#[tokio::test]
async fn docker_hub_redirects_to_two_stores_with_links_that_expire() {
    let (one, other) = (store().await, store().await);
    let hosts = [format!("127.0.0.1:{}", one.address.port()), format!("localhost:{}", other.address.port())];
    let given = Arc::new(AtomicUsize::new(0));
    let links = Arc::clone(&given);
    let hub = Scripted::plain(move |request| match request.authorization() {
        Some(BASIC) => {
            // Every third link was given before.
            let number = links.fetch_add(1, Ordering::SeqCst);
            let (host, signature) = (&hosts[number / 3 % 2], number + usize::from(number % 3 != 2));
            Reply::redirect(format!("http://{host}/blob?signature={signature}"))
        }
        _ => Reply::challenge("Basic realm=x"),
    })
    .await;
    let (client, repository) = (with_password(hub.address), repository(hub.address));
    for _ in 0..2 {
        assert_eq!(fetch_blob(&client, &repository, 0).await.unwrap(), BLOB);
        assert_eq!(fetch_blob(&client, &repository, 0).await.unwrap(), BLOB);
        let error = fetch_blob(&client, &repository, 0).await.unwrap_err();
        assert!(matches!(error, RegistryError::StoreRefused { status: 403, .. }), "{error:?}");
        assert_eq!((error.kind(), error.retry()), (Kind::Network, Retry::Soon));
        assert!(!everything(&error).contains("signature"), "{error:?}");
    }
    for store in [&one, &other] {
        assert_eq!(store.requests().len(), 3);
        assert!(store.requests().iter().all(|request| request.method == "GET"), "HEAD is refused there");
        assert!(store.requests().iter().all(|request| request.authorization().is_none()));
    }
}

#[tokio::test]
async fn stores_say_in_many_ways_that_a_link_is_no_good() {
    for (status, kind, body) in [
        (403, "application/xml", "<Error><Code>AuthenticationFailed</Code></Error>"),
        (400, "application/xml", "<Error><Code>ExpiredToken</Code></Error>"),
        (401, "", ""),
        (403, "text/html", "<html>The request could not be satisfied</html>"),
    ] {
        let store = Scripted::plain(move |_| Reply::new(status, body).with("Content-Type", kind)).await;
        let location = format!("http://{}/blob", store.address);
        let server = Scripted::plain(move |_| Reply::redirect(location.clone())).await;
        let error = fetch_blob(&client(), &repository(server.address), 0).await.unwrap_err();
        assert!(matches!(error, RegistryError::StoreRefused { .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::Soon);
    }
    // The registry's own word is another matter.
    let server = Scripted::plain(|_| Reply::new(400, "")).await;
    let error = fetch_blob(&client(), &repository(server.address), 0).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never, "{error:?}");
}

#[tokio::test]
async fn artifact_registry_redirects_blobs_to_a_path_of_its_own() {
    let server = Scripted::plain(|request| match (request.target.as_str(), request.authorization()) {
        (_, None) => Reply::challenge("Basic realm=x"),
        ("/v2/org/app/manifests/1", _) => Reply::ok(MANIFEST),
        (target, _) if target.starts_with("/v2/") => Reply::redirect("/artifacts-downloads/ABC=?x=y"),
        ("/artifacts-downloads/ABC=?x=y", Some(BASIC)) => Reply::ok(BLOB),
        _ => Reply::new(404, ""),
    })
    .await;
    let client = with_password(server.address);
    assert_eq!(fetch_blob(&client, &repository(server.address), 0).await.unwrap(), BLOB);
}

#[tokio::test]
async fn harbors_proxy_cache_gives_chunks_without_a_length_for_ranges_too() {
    let server = Scripted::plain(|request| match request.header("range") {
        Some("bytes=7-19") => Reply::new(206, &BLOB[7..]).with("Content-Range", "bytes 7-19/20").chunked(),
        _ => Reply::ok(BLOB).chunked(),
    })
    .await;
    for from_bytes in [0, 7_u8] {
        let blob = fetch_blob(&client(), &repository(server.address), u64::from(from_bytes)).await.unwrap();
        assert_eq!(blob, &BLOB[from_bytes.into()..]);
    }
}

#[tokio::test]
async fn a_registry_behind_tls_that_redirects_to_itself_in_plain_http_is_told_and_not_followed() {
    // Artifactory, where the proxy before it sends no `X-Forwarded-Proto`.
    let authority = Authority::new();
    let server = Scripted::tls(Arc::clone(&authority.server), |request| match request.authorization() {
        None if request.target == "/v2/org/app/manifests/1" => Reply::challenge("Basic realm=x"),
        _ => Reply::redirect("http://registry.test/artifactory/blob?key=hunter2"),
    })
    .await;
    let (proxy, asked) = connect_proxy(server.address, None).await;
    let client = through(&proxy.to_string(), None, authority.file());
    let error = fetch_blob(&client, &named("registry.test/org/app"), 0).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::BadRedirect { problem: RedirectProblem::PlainHttp(_), .. }),
        "{error:?}"
    );
    assert_eq!(error.retry(), Retry::Never);
    assert!(!everything(&error).contains("hunter2"));
    assert_eq!(*asked.lock().unwrap(), ["CONNECT registry.test:443"], "nothing went out in the clear");
}
