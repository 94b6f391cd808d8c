//! Layers that the registry does not hold: who is asked for them, with what, and what is said when nobody has them.

use sealift::registry::Kind;
use sealift::secret::SafeUrl;

use crate::access::{BASIC, PASSWORD, with_password};
use crate::network::through;
use crate::scripted::{Reply, Request, Scripted};
use crate::*;

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const GONE: &str = r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;

/// [`BLOB`] as a layer of this media type, with these URLs.
fn layer(media_type: &str, urls: &[String]) -> Descriptor {
    let urls = urls.iter().map(|url| SafeUrl::from(url.parse::<url::Url>().unwrap())).collect();
    Descriptor { media_type: MediaType::of(media_type), urls, ..blob_of(BLOB) }
}

async fn fetch(
    client: &Client,
    repository: &Repository,
    layer: &Descriptor,
    from_bytes: u64,
) -> Result<Vec<u8>, RegistryError> {
    let stream =
        client.open_blob(repository, layer, from_bytes..layer.size_bytes).await.map_err(only_registry)?;
    Ok(stream.try_collect::<Vec<_>>().await.map_err(only_registry)?.concat())
}

/// A registry that lacks the layer.
async fn lacking() -> Scripted {
    Scripted::plain(|_| Reply::new(404, GONE)).await
}

/// A host that has [`BLOB`] at `/layer`, and more or less elsewhere.
async fn host() -> Scripted {
    Scripted::plain(|request: &Request| match request.target.split('?').next().unwrap() {
        "/layer" => match request.header("range") {
            Some(range) => {
                let (first, _) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                let first: usize = first.parse().unwrap();
                let last = BLOB.len() - 1;
                Reply::new(206, &BLOB[first..])
                    .with("Content-Range", format!("bytes {first}-{last}/{}", BLOB.len()))
            }
            None => Reply::ok(BLOB),
        },
        "/away" => Reply::redirect("/layer?key=hunter2"),
        "/file" => Reply::redirect("file:///etc/passwd"),
        "/others" => Reply::ok(b"twenty bytes of blab"),
        "/shorter" => Reply::ok(&BLOB[..19]).chunked(),
        "/longer" => Reply::ok(b"twenty bytes of blob!").chunked(),
        "/stated" => Reply::ok(&BLOB[..19]),
        "/private" => Reply::challenge(r#"Basic realm="x""#),
        "/broken" => Reply::new(503, "upstream"),
        _ => Reply::new(404, ""),
    })
    .await
}

fn at(host: &Scripted, path: &str) -> String {
    format!("http://{}{path}", host.address)
}

#[tokio::test]
async fn a_layer_that_the_registry_lacks_comes_from_its_url() {
    let (registry, host) = (lacking().await, host().await);
    let repository = repository(registry.address);
    for media_type in [
        FOREIGN,
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.oci.image.layer.v1.tar+gzip",
    ] {
        for path in ["/layer", "/away"] {
            let layer = layer(media_type, &[at(&host, path)]);
            assert_eq!(fetch(&client(), &repository, &layer, 0).await.unwrap(), BLOB, "{media_type} {path}");
            assert_eq!(fetch(&client(), &repository, &layer, 7).await.unwrap(), &BLOB[7..]);
        }
    }
}

#[tokio::test]
async fn a_layer_that_the_registry_has_is_asked_of_nobody_else() {
    let (registry, host) = (Scripted::plain(|_| Reply::ok(BLOB)).await, host().await);
    let layer = layer(FOREIGN, &[at(&host, "/layer")]);
    assert_eq!(fetch(&client(), &repository(registry.address), &layer, 0).await.unwrap(), BLOB);
    assert_eq!(host.requests().len(), 0);
}

#[tokio::test]
async fn only_a_registry_that_lacks_it_leads_to_urls() {
    let host = host().await;
    for (status, kind) in [(500, Kind::Network), (429, Kind::Network), (403, Kind::Access)] {
        let registry = Scripted::plain(move |_| Reply::new(status, "")).await;
        let layer = layer(FOREIGN, &[at(&host, "/layer")]);
        let error = fetch(&client(), &repository(registry.address), &layer, 0).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error:?}");
    }
    let registry = lacking().await;
    let config = layer(MediaType::OciConfig.as_str(), &[at(&host, "/layer")]);
    let error = fetch(&client(), &repository(registry.address), &config, 0).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "a config has no other place: {error:?}");
    assert_eq!(host.requests().len(), 0);
}

#[tokio::test]
async fn no_credentials_go_to_a_url() {
    let registry = Scripted::plain(|request| match request.authorization() {
        Some(BASIC) => Reply::new(404, GONE).with("Set-Cookie", "session=hunter2"),
        _ => Reply::challenge(r#"Basic realm="registry""#),
    })
    .await;
    let host = host().await;
    // Neither the registry's, nor what the manifest would have us send.
    let url = format!("http://user:{PASSWORD}@{}/away", host.address);
    for url in [url, format!("http://localhost:{}/private", host.address.port())] {
        let layer = layer(FOREIGN, &[url, at(&host, "/layer")]);
        let client = with_password(registry.address);
        assert_eq!(fetch(&client, &repository(registry.address), &layer, 0).await.unwrap(), BLOB);
    }
    assert!(registry.requests().iter().any(|request| request.authorization() == Some(BASIC)));
    assert_eq!(host.requests().len(), 4, "a refusal is not answered with credentials");
    for request in host.requests() {
        for header in ["authorization", "proxy-authorization", "cookie", "referer"] {
            assert_eq!(request.header(header), None, "{} {header}", request.target);
        }
    }
}

#[tokio::test]
async fn urls_are_asked_in_their_order_until_one_has_it() {
    let (registry, host) = (lacking().await, host().await);
    let mut urls = ["/none", "/broken", "/stated", "/file", "/layer", "/away"].map(|path| at(&host, path));
    let layer_of = |urls: &[String]| layer(FOREIGN, urls);
    let client = client();
    let repository = repository(registry.address);
    assert_eq!(fetch(&client, &repository, &layer_of(&urls), 0).await.unwrap(), BLOB);
    let asked: Vec<_> = host.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(asked, ["/none", "/broken", "/stated", "/file", "/layer"]);
    urls[4] = "ftp://h.example/a".to_owned();
    urls[5] = "file:///etc/hosts".to_owned();
    let error = fetch(&client, &repository, &layer_of(&urls), 0).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    let text = error.source().unwrap().to_string();
    for said in [
        "/none does not have it; ",
        "/broken: the server failed with status 503; ",
        "has the wrong length at",
        "is not followed: it leads to a `file:` URL; a `ftp:` URL is not asked; a `file:` URL is not asked",
    ] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
}

#[tokio::test]
async fn what_all_urls_said_decides_what_it_is_about() {
    let (registry, host) = (lacking().await, host().await);
    let repository = repository(registry.address);
    for (paths, kind) in [
        (vec![], Kind::NotFound),
        (vec!["/none"], Kind::NotFound),
        (vec!["/none", "/stated"], Kind::Integrity),
        (vec!["/stated", "/private"], Kind::Network),
    ] {
        let urls: Vec<String> = paths.iter().map(|path| at(&host, path)).collect();
        let error = fetch(&client(), &repository, &layer(FOREIGN, &urls), 0).await.unwrap_err();
        assert!(matches!(error, RegistryError::LayerNowhere { is_foreign: true, .. }), "{error:?}");
        assert_eq!(error.kind(), kind, "{paths:?}: {error:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_the_layer_are_told_with_their_host() {
    let (registry, host) = (lacking().await, host().await);
    for (path, said, kind) in [
        ("/others", "got sha256:", Kind::Integrity),
        ("/shorter", "stopped after 19 bytes", Kind::Network),
        ("/longer", "20 bytes were promised, 21 come", Kind::Integrity),
    ] {
        let url = format!("{}?key={PASSWORD}", at(&host, path));
        let error =
            fetch(&client(), &repository(registry.address), &layer(FOREIGN, &[url]), 0).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(&at(&host, path)), "{error}");
        let text = everything(&error);
        assert!(text.contains(said) && !text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test]
async fn a_public_registry_does_not_lead_to_this_machine_by_a_layers_url() {
    let local = host().await;
    // A forward proxy, behind which everything is `plain.test`.
    let proxy = Scripted::plain(|request| match request.method.as_str() {
        "CONNECT" => Reply::new(403, ""),
        _ => Reply::new(404, GONE),
    })
    .await;
    let client = through(&proxy.address.to_string(), Some("plain.test"), Vec::new());
    let port = local.address.port();
    let urls = [
        format!("http://127.0.0.1:{port}/layer"),
        format!("http://localhost:{port}/layer"),
        format!("https://[::ffff:127.0.0.1]:{port}/layer"),
        format!("http://0.0.0.0:{port}/layer"),
        "http://plain.example/layer".to_owned(),
    ];
    let error = fetch(&client, &named("plain.test/a/b"), &layer(FOREIGN, &urls), 0).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let text = error.source().unwrap().to_string();
    assert_eq!(text.matches("is on this machine, the registry is not").count(), 4, "{text}");
    assert!(text.ends_with("http://plain.example/layer is not asked: it is plain HTTP"), "{text}");
    assert_eq!((local.requests().len(), proxy.count("http://plain.example")), (0, 0));
}

#[tokio::test]
async fn the_registry_is_asked_once_for_all_parts_of_a_layer() {
    let slow = || Scripted::plain(|_| Reply::new(404, GONE).after(std::time::Duration::from_millis(100)));
    let (registry, host) = (slow().await, host().await);
    let repository = repository(registry.address);
    let (client, layer) = (client(), layer(FOREIGN, &[at(&host, "/layer")]));
    let parts = (0..8).map(|from| fetch(&client, &repository, &layer, from));
    for (from, part) in futures::future::join_all(parts).await.into_iter().enumerate() {
        assert_eq!(part.unwrap(), &BLOB[from..]);
    }
    assert_eq!((registry.count("/v2/org/"), host.count("/layer")), (1, 8));

    // What was not said is asked for again.
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let registry = Scripted::plain(move |request| {
        let is_first = request.target.contains("/blobs/")
            && calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        if is_first { Reply::new(503, "") } else { Reply::new(404, GONE) }
    })
    .await;
    let repository = crate::repository(registry.address);
    assert_eq!(fetch(&client, &repository, &layer, 0).await.unwrap_err().kind(), Kind::Network);
    assert_eq!(fetch(&client, &repository, &layer, 0).await.unwrap(), BLOB);
}
