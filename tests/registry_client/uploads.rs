//! Pushing: what is asked for and with which token, where an upload may lead, and what goes along there.

use futures::stream;
use sealift::registry::{Begun, Kind, RegistryError, SendError, Upload};

use crate::access::{BASIC, with_password};
use crate::scripted::{Reply, Request, Scripted};
use crate::*;

fn digest() -> Digest {
    Digest::of(BLOB)
}

async fn send(upload: &mut Upload, from_bytes: u64, to_bytes: u64) -> Result<u64, RegistryError> {
    let piece = BLOB[usize::try_from(from_bytes).unwrap()..usize::try_from(to_bytes).unwrap()].to_vec();
    let body = stream::iter([Ok::<_, ()>(piece.into())]);
    let sent = upload.send(from_bytes..to_bytes, BLOB.len() as u64, body).await;
    sent.map_err(|error| match error {
        SendError::Registry(error) => error,
        SendError::Body(()) => panic!("the body is there"),
    })
}

/// Sends all of the blob in one request.
async fn push(client: &Client, repository: &Repository) -> Result<u64, RegistryError> {
    let mut upload = client.begin_upload(repository, &digest()).await?;
    send(&mut upload, 0, BLOB.len() as u64).await
}

fn accepted(place: impl Into<String>) -> Reply {
    Reply::new(202, "").with("Location", place)
}

/// A registry with its own token server; its uploads are at `place`.
async fn with_tokens() -> Scripted {
    Scripted::plain(|request| match (request.method.as_str(), request.authorization()) {
        _ if request.target.starts_with("/token") => {
            let scopes = request.target.split_once('?').unwrap().1.replace("%3A", ":").replace("%2F", "/");
            let scopes = scopes.replace("%2C", ",").replace("scope=", "");
            Reply::ok(format!(r#"{{"token":"{scopes}","expires_in":300}}"#))
        }
        (_, None) => Reply::challenge(format!(
            r#"Bearer realm="http://{}/token",scope="repository:org/app:pull""#,
            request.header("host").unwrap()
        )),
        ("HEAD", _) => Reply::new(404, ""),
        ("POST", _) if request.target.contains("mount=") => Reply::new(201, ""),
        ("POST", _) => accepted("/v2/org/app/blobs/uploads/1?_state=a%2Fb"),
        _ => Reply::new(201, ""),
    })
    .await
}

#[tokio::test]
async fn one_token_to_push_serves_looks_uploads_and_manifests() {
    let server = with_tokens().await;
    let (client, repository) = (client(), repository(server.address));
    assert!(!client.has_blob(&repository, &digest()).await.unwrap());
    push(&client, &repository).await.unwrap();
    let document = Document::of(MANIFEST.into(), MediaType::OciManifest);
    client.put_manifest(&repository, &tag(), &document, &MediaType::OciManifest).await.unwrap();
    assert_eq!(server.count("/token"), 1);
    let requests = server.requests();
    let with = requests.iter().filter_map(Request::authorization);
    assert!(with.into_iter().all(|header| header == "Bearer repository:org/app:pull,push"));
    let put = requests.last().unwrap();
    assert_eq!((put.target.as_str(), put.body.as_str()), ("/v2/org/app/manifests/1", MANIFEST));
    assert_eq!(put.header("content-type"), Some("application/vnd.oci.image.manifest.v1+json"));
}

#[tokio::test]
async fn a_mount_is_asked_for_with_a_token_for_both_repositories() {
    let server = with_tokens().await;
    let from = named(&format!("{}/base/image", server.address));
    let begun = client().mount_blob(&from, &repository(server.address), &digest()).await.unwrap();
    assert!(matches!(begun, Begun::Mounted));
    let requests = server.requests();
    let last = requests.last().unwrap();
    assert_eq!(
        last.target,
        format!("/v2/org/app/blobs/uploads/?mount=sha256%3A{}&from=base%2Fimage", digest().hex())
    );
    let token = "Bearer repository:org/app:pull,push&repository:base/image:pull";
    assert_eq!(last.authorization(), Some(token));
}

#[tokio::test]
async fn where_an_upload_is_is_taken_as_it_is_said() {
    for place in ["/v2/org/app/blobs/uploads/1?_state=a%2Fb", "1?_state=a%2Fb", "absolute"] {
        let server = Scripted::plain(move |request| match request.method.as_str() {
            "POST" if place == "absolute" => {
                let host = request.header("host").unwrap();
                accepted(format!("http://{host}/v2/org/app/blobs/uploads/1?_state=a%2Fb"))
            }
            "POST" => accepted(place),
            _ => Reply::new(201, ""),
        })
        .await;
        push(&client(), &repository(server.address)).await.unwrap();
        let requests = server.requests();
        let put = requests.last().unwrap();
        let digest = digest();
        let target = format!("/v2/org/app/blobs/uploads/1?_state=a%2Fb&digest=sha256%3A{}", digest.hex());
        assert_eq!((put.method.as_str(), &put.target), ("PUT", &target), "{place}");
        assert_eq!(put.body.as_bytes(), BLOB);
        assert_eq!(put.header("content-length"), Some("20"));
        assert_eq!((put.header("transfer-encoding"), put.header("content-range")), (None, None));
        let post = requests.iter().find(|request| request.method == "POST").unwrap();
        assert_eq!(post.header("content-length"), Some("0"), "or some servers answer 411");
    }
}

#[tokio::test]
async fn an_upload_elsewhere_gets_no_credentials() {
    let elsewhere = Scripted::plain(|_| Reply::new(201, "")).await;
    let place = format!("http://user:pass@{}/store/1?signature=x", elsewhere.address);
    let server = Scripted::plain(move |request| match request.authorization() {
        None => Reply::challenge(r#"Basic realm="r""#),
        Some(_) => accepted(place.clone()),
    })
    .await;
    push(&with_password(server.address), &repository(server.address)).await.unwrap();
    assert_eq!(server.requests().last().unwrap().authorization(), Some(BASIC));
    let [put] = &elsewhere.requests()[..] else { panic!("one request") };
    assert_eq!(put.authorization(), None);
    assert!(put.target.starts_with("/store/1?signature=x&digest="), "{}", put.target);
}

#[tokio::test]
async fn who_refuses_an_upload_elsewhere_gets_none_either() {
    let elsewhere = Scripted::plain(|_| Reply::challenge(r#"Basic realm="r""#)).await;
    let place = format!("http://{}/store/1", elsewhere.address);
    let server = Scripted::plain(move |request| match request.authorization() {
        None => Reply::challenge(r#"Basic realm="r""#),
        Some(_) => accepted(place.clone()),
    })
    .await;
    let client = with_password(server.address);
    let mut upload = client.begin_upload(&repository(server.address), &digest()).await.unwrap();
    let error = send(&mut upload, 0, 20).await.unwrap_err();
    assert!(matches!(error, RegistryError::StoreRefused { status: 401, .. }), "{error}");
    upload.received_bytes().await.unwrap_err();
    upload.cancel().await;
    assert!(elsewhere.requests().iter().all(|request| request.authorization().is_none()));
}

#[tokio::test]
async fn an_upload_does_not_lead_to_plain_http_or_off_this_machine_unasked() {
    for place in ["http://elsewhere.example/x?key=hunter2", "ftp://127.0.0.1/x", "http://", ""] {
        let server = Scripted::plain(move |_| accepted(place)).await;
        let error =
            client().begin_upload(&repository(server.address), &digest()).await.map(drop).unwrap_err();
        assert!(matches!(error, RegistryError::BadUploadPlace { .. }), "{place}: {error}");
        assert_eq!(error.kind(), Kind::Network);
        assert!(!everything(&error).contains("hunter2"));
    }
}

#[tokio::test]
async fn pieces_say_where_they_belong_and_the_registry_how_far_it_is() {
    let server = Scripted::plain(|request| match request.method.as_str() {
        "POST" => accepted("/up/1").with("OCI-Chunk-Min-Length", "7"),
        // It takes less than it is sent.
        "PATCH" => accepted("/up/2").with("Range", "0-4"),
        "GET" => Reply::new(204, "").with("Location", "/up/3").with("Range", "0-9"),
        _ => Reply::new(201, ""),
    })
    .await;
    let mut upload = client().begin_upload(&repository(server.address), &digest()).await.unwrap();
    assert_eq!(upload.min_piece_bytes(), 7);
    assert_eq!(send(&mut upload, 0, 8).await.unwrap(), 5);
    assert_eq!(upload.received_bytes().await.unwrap(), 10);
    assert_eq!(send(&mut upload, 10, 20).await.unwrap(), 20);
    let requests = server.requests();
    let sent: Vec<_> = requests.iter().filter(|request| request.header("content-range").is_some()).collect();
    assert_eq!((sent[0].target.as_str(), sent[0].header("content-range")), ("/up/1", Some("0-7")));
    assert!(sent[1].target.starts_with("/up/3?digest="), "{}", sent[1].target);
    assert_eq!((sent[1].method.as_str(), sent[1].header("content-range")), ("PUT", Some("10-19")));
    assert_eq!(requests.iter().find(|request| request.method == "GET").unwrap().target, "/up/2");
}

#[tokio::test]
async fn a_registry_that_has_more_than_was_sent_has_lost_it() {
    let server = Scripted::plain(|request| match request.method.as_str() {
        "POST" => accepted("/up/1"),
        _ => accepted("/up/1").with("Range", "0-18"),
    })
    .await;
    let mut upload = client().begin_upload(&repository(server.address), &digest()).await.unwrap();
    let error = send(&mut upload, 0, 8).await.unwrap_err();
    assert!(matches!(error, RegistryError::UploadLost { .. }), "{error}");
}

#[tokio::test]
async fn a_write_follows_a_redirect_only_as_the_same_write() {
    for (status, follows) in [(307, true), (308, true), (301, false), (302, false), (303, false)] {
        let server = Scripted::plain(move |request| match request.target.as_str() {
            "/v2/org/app/blobs/uploads/" => Reply::new(status, "").with("Location", "/moved"),
            "/moved" => accepted("/up/1"),
            _ => Reply::ok("{}"),
        })
        .await;
        let begun = client().begin_upload(&repository(server.address), &digest()).await;
        assert_eq!(begun.is_ok(), follows, "{status}");
        let moved: Vec<_> =
            server.requests().into_iter().filter(|request| request.target == "/moved").collect();
        assert!(moved.iter().all(|request| request.method == "POST"), "{status}");
        assert_eq!(moved.len(), usize::from(follows), "{status}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_and_not_again() {
    let server = Scripted::plain(|_| Reply::challenge(r#"Basic realm="r""#)).await;
    let client = with_password(server.address);
    let error = client.has_blob(&repository(server.address), &digest()).await.unwrap_err();
    assert!(matches!(error, RegistryError::AccessDenied { .. }), "{error}");
    let shown = server.requests().iter().filter(|request| request.authorization().is_some()).count();
    assert_eq!(shown, 1);
}
