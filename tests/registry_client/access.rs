//! Tokens and Basic: what is asked for, how often, and where credentials go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use sealift::registry::{Credential, Credentials, Denial, Kind, Retry};
use sealift::secret::Secret;

use crate::scripted::{Reply, Request, Scripted};
use crate::*;

pub(crate) const PASSWORD: &str = "hunter2";
/// `user:hunter2`
pub(crate) const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

pub(crate) fn with(address: SocketAddr, credential: Credential) -> Client {
    let credentials = Credentials::default().with(registry(address), credential);
    Client::new(ClientOptions { credentials, ..ClientOptions::default() }).unwrap()
}

pub(crate) fn with_password(address: SocketAddr) -> Client {
    with(address, Credential::Password { username: "user".to_owned(), password: Secret::new(PASSWORD) })
}

fn challenge(request: &Request) -> Reply {
    let host = request.header("host").unwrap();
    Reply::challenge(format!(
        r#"Bearer realm="http://{host}/token",service="reg, istry",scope="repository:org/app:pull,push""#
    ))
}

/// A registry with its own token server, which gives tokens as `token` makes them.
async fn with_tokens(token: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Scripted {
    Scripted::plain(move |request| match request.authorization() {
        _ if request.target.starts_with("/token") => token(request),
        Some("Bearer good") if request.target.contains("/blobs/") => Reply::ok(BLOB),
        Some("Bearer good") => Reply::ok(MANIFEST),
        _ => challenge(request),
    })
    .await
}

#[tokio::test]
async fn one_token_serves_eight_parallel_blobs() {
    let server =
        with_tokens(|_| Reply::ok(r#"{"token":"good","expires_in":300}"#).after(Duration::from_millis(100)))
            .await;
    let (client, repository) = (client(), repository(server.address));
    let blobs = join_all((0..8).map(|_| fetch_blob(&client, &repository, 0))).await;
    assert!(blobs.into_iter().all(|blob| blob.unwrap() == BLOB));
    fetch_tag(&client, &repository).await.unwrap();
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn an_anonymous_token_is_asked_for_with_service_and_scope() {
    let server = with_tokens(|_| Reply::ok(r#"{"access_token":"good"}"#)).await;
    fetch_tag(&client(), &repository(server.address)).await.unwrap();
    let requests = server.requests();
    let token = requests.iter().find(|request| request.target.starts_with("/token")).unwrap();
    assert_eq!(token.target, "/token?service=reg%2C+istry&scope=repository%3Aorg%2Fapp%3Apull%2Cpush");
    assert_eq!(token.authorization(), None);
}

#[tokio::test]
async fn a_challenge_without_scope_is_answered_with_the_repositorys() {
    let server = Scripted::plain(|request| match request.authorization() {
        _ if request.target.starts_with("/token") => Reply::ok(r#"{"token":"good"}"#),
        Some(_) => Reply::ok(MANIFEST),
        None => {
            Reply::challenge(format!(r#"Bearer realm="http://{}/token""#, request.header("host").unwrap()))
        }
    })
    .await;
    fetch_tag(&client(), &repository(server.address)).await.unwrap();
    assert_eq!(server.requests()[1].target, "/token?scope=repository%3Aorg%2Fapp%3Apull");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_request_replayed() {
    let given = Arc::new(AtomicUsize::new(0));
    let latest = Arc::clone(&given);
    let server = Scripted::plain(move |request| {
        if request.target.starts_with("/token") {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::ok(format!(r#"{{"token":"token-{number}","expires_in":300}}"#));
        }
        // The first token is revoked after one use.
        match request.authorization() {
            Some("Bearer token-1") if request.target.contains("/manifests/") => Reply::ok(MANIFEST),
            Some("Bearer token-2") => Reply::ok(BLOB),
            _ => challenge(request),
        }
    })
    .await;
    let (client, repository) = (client(), repository(server.address));
    fetch_tag(&client, &repository).await.unwrap();
    let blobs = join_all((0..4).map(|_| fetch_blob(&client, &repository, 0))).await;
    assert!(blobs.into_iter().all(|blob| blob.unwrap() == BLOB));
    assert_eq!(latest.load(Ordering::SeqCst), 2, "one renewal for four refusals");
}

#[tokio::test]
async fn scopes_that_a_registry_asks_for_in_turn_are_asked_for_together() {
    // It wants one scope for manifests and another for blobs, and refuses tokens with less.
    let server = Scripted::plain(|request| {
        if let Some((_, query)) = request.target.split_once("/token?") {
            let both = query.contains("scope=a%3Apull") && query.contains("scope=b%3Apull");
            let token = if both {
                "both"
            } else if query.contains("b%3Apull") {
                "b"
            } else {
                "a"
            };
            return Reply::ok(format!(r#"{{"token":"{token}","expires_in":300}}"#));
        }
        let is_blob = request.target.contains("/blobs/");
        match (request.authorization(), is_blob) {
            (Some("Bearer both"), true) => Reply::ok(BLOB),
            (Some("Bearer both" | "Bearer a"), false) => Reply::ok(MANIFEST),
            _ => Reply::challenge(format!(
                r#"Bearer realm="/token",scope="{}:pull""#,
                if is_blob { "b" } else { "a" }
            )),
        }
    })
    .await;
    let (client, repository) = (client(), repository(server.address));
    for _ in 0..3 {
        fetch_tag(&client, &repository).await.unwrap();
        fetch_blob(&client, &repository, 0).await.unwrap();
    }
    assert_eq!(server.count("/token"), 2);
}

#[tokio::test]
async fn a_token_server_that_moves_is_followed() {
    let [first, second] = ["first", "second"]
        .map(|name| Scripted::plain(move |_| Reply::ok(format!(r#"{{"token":"{name}","expires_in":300}}"#))));
    let (first, second) = (first.await, second.await);
    let realms = [first.address, second.address];
    let server = Scripted::plain(move |request| match request.authorization() {
        Some("Bearer first") if request.target.contains("/manifests/") => Reply::ok(MANIFEST),
        Some("Bearer second") => Reply::ok(BLOB),
        given => {
            let realm = realms[usize::from(given.is_some())];
            Reply::challenge(format!(r#"Bearer realm="http://{realm}/token",scope="x""#))
        }
    })
    .await;
    let (client, repository) = (with_password(server.address), repository(server.address));
    fetch_tag(&client, &repository).await.unwrap();
    assert_eq!(fetch_blob(&client, &repository, 0).await.unwrap(), BLOB);
    for realm in [first, second] {
        let requests = realm.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].authorization(), Some(BASIC));
    }
}

#[tokio::test]
async fn an_ending_token_is_renewed_before_it_is_refused() {
    let server = with_tokens(|_| Reply::ok(r#"{"token":"good","expires_in":1}"#)).await;
    let (client, repository) = (client(), repository(server.address));
    fetch_tag(&client, &repository).await.unwrap();
    tokio::time::sleep(Duration::from_millis(800)).await;
    fetch_tag(&client, &repository).await.unwrap();
    assert_eq!(server.count("/token"), 2);
    assert_eq!(server.requests().iter().filter(|request| request.authorization().is_none()).count(), 3);
}

#[tokio::test]
async fn a_password_goes_to_the_token_server_and_not_to_the_registry() {
    let server = with_tokens(|request| match request.authorization() {
        Some(BASIC) => Reply::ok(r#"{"token":"good"}"#),
        _ => Reply::new(401, ""),
    })
    .await;
    fetch_tag(&with_password(server.address), &repository(server.address)).await.unwrap();
    for request in server.requests() {
        let is_token = request.target.starts_with("/token");
        assert_eq!(request.authorization() == Some(BASIC), is_token, "{request:?}");
        assert!(!is_token || request.target.contains("account=user"));
        assert!(!request.target.contains(PASSWORD));
    }
}

#[tokio::test]
async fn an_identity_token_is_traded_in_a_form() {
    let server = with_tokens(|request| {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/token"));
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        for part in
            ["grant_type=refresh_token", "refresh_token=refresh%2Fme", "service=reg%2C+istry", "scope=repo"]
        {
            assert!(request.body.contains(part), "{}", request.body);
        }
        Reply::ok(r#"{"access_token":"good"}"#)
    })
    .await;
    let client = with(server.address, Credential::IdentityToken(Secret::new("refresh/me")));
    fetch_tag(&client, &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn an_identity_token_goes_to_token_servers_without_post_as_a_password() {
    for status in [404, 405] {
        let server = with_tokens(move |request| match request.method.as_str() {
            "POST" => Reply::new(status, ""),
            // `<token>:refresh`
            _ if request.authorization() == Some("Basic PHRva2VuPjpyZWZyZXNo") => {
                assert!(!request.target.contains("account="), "{}", request.target);
                Reply::ok(r#"{"token":"good"}"#)
            }
            _ => Reply::new(401, ""),
        })
        .await;
        let client = with(server.address, Credential::IdentityToken(Secret::new("refresh")));
        fetch_tag(&client, &repository(server.address)).await.unwrap();
    }
}

#[tokio::test]
async fn credentials_are_used_where_strangers_are_told_that_nothing_exists() {
    for status in [403, 404] {
        let server =
            Scripted::plain(move |request| match (request.target.as_str(), request.authorization()) {
                ("/v2/", None) => Reply::challenge("Basic realm=x"),
                (_, Some(BASIC)) if request.target.contains("/blobs/") => Reply::ok(BLOB),
                (_, Some(BASIC)) => Reply::ok(MANIFEST),
                _ => Reply::new(status, ""),
            })
            .await;
        let (client, repository) = (with_password(server.address), repository(server.address));
        fetch_tag(&client, &repository).await.unwrap();
        fetch_blob(&client, &repository, 0).await.unwrap();
        assert_eq!(server.requests().len(), 4, "once known, they are sent at once: {:?}", server.requests());
    }
}

#[tokio::test]
async fn the_scope_of_v2_is_not_that_of_the_image() {
    // GHCR's names `repository:user/image:pull`, whatever is wanted.
    let server = Scripted::plain(|request| match (request.target.as_str(), request.authorization()) {
        ("/v2/", None) => Reply::challenge(r#"Bearer realm="/token",scope="repository:user/image:pull""#),
        (token, Some(BASIC)) if token.contains("scope=repository%3Aorg%2Fapp%3Apull") => {
            Reply::ok(r#"{"token":"good"}"#)
        }
        (_, Some("Bearer good")) => Reply::ok(MANIFEST),
        _ => Reply::new(404, ""),
    })
    .await;
    fetch_tag(&with_password(server.address), &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn what_does_not_exist_is_asked_for_once_without_credentials_or_a_challenge() {
    let server = Scripted::plain(|_| Reply::new(404, "")).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (Kind::NotFound, 1));
    let error = fetch_tag(&with_password(server.address), &repository(server.address)).await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (Kind::NotFound, 3), "`/v2/` was asked too");
}

#[tokio::test]
async fn challenge_token_and_answer_share_one_connection() {
    let server = with_tokens(|_| Reply::ok(r#"{"token":"good"}"#)).await;
    let (client, repository) = (client(), repository(server.address));
    fetch_tag(&client, &repository).await.unwrap();
    fetch_blob(&client, &repository, 0).await.unwrap();
    assert_eq!(server.connections(), 2, "one more for the TLS that it does not speak");
}

#[tokio::test]
async fn basic_is_sent_to_the_registry_after_it_asked() {
    let server = Scripted::plain(|request| match request.authorization() {
        Some(BASIC) => Reply::ok(MANIFEST),
        _ => Reply::challenge(r#"Basic realm="registry""#),
    })
    .await;
    let client = with_password(server.address);
    for _ in 0..2 {
        fetch_tag(&client, &repository(server.address)).await.unwrap();
    }
    let sent: Vec<_> = server.requests().iter().map(|request| request.authorization().is_some()).collect();
    assert_eq!(sent, [false, true, true]);
}

#[tokio::test]
async fn authorization_never_follows_a_redirect_to_another_origin() {
    let elsewhere = Scripted::plain(|request| match request.target.as_str() {
        "/back" => Reply::redirect(request.header("x-unused").unwrap_or("/blob").to_owned()),
        _ => Reply::ok(BLOB),
    })
    .await;
    // Another port of the same address, and another name of it.
    for host in ["127.0.0.1", "localhost"] {
        let target = format!("http://{host}:{}/back", elsewhere.address.port());
        let server = Scripted::plain(move |request| match request.authorization() {
            Some(BASIC) if request.target.contains("/blobs/") => Reply::redirect("/moved"),
            Some(BASIC) => Reply::redirect(target.clone()),
            _ => Reply::challenge("Basic realm=x"),
        })
        .await;
        let client = with_password(server.address);
        assert_eq!(fetch_blob(&client, &repository(server.address), 0).await.unwrap(), BLOB);
        let moved = server.requests().into_iter().find(|request| request.target == "/moved").unwrap();
        assert_eq!(moved.authorization(), Some(BASIC), "the same origin keeps it");
    }
    assert_eq!(elsewhere.requests().len(), 4);
    assert!(elsewhere.requests().iter().all(|request| request.authorization().is_none()));
}

#[tokio::test]
async fn a_redirect_that_comes_back_gets_no_authorization_either() {
    let elsewhere = Scripted::plain(|request| {
        let (_, back) = request.target.split_once("?to=").unwrap();
        Reply::redirect(format!("http://{back}/steal"))
    })
    .await;
    let address = elsewhere.address;
    let server = Scripted::plain(move |request| match (request.target.as_str(), request.authorization()) {
        ("/steal", _) => Reply::ok(BLOB),
        (_, Some(BASIC)) => {
            Reply::redirect(format!("http://{address}/?to={}", request.header("host").unwrap()))
        }
        _ => Reply::challenge("Basic realm=x"),
    })
    .await;
    fetch_blob(&with_password(server.address), &repository(server.address), 0).await.unwrap();
    let stolen = server.requests().into_iter().find(|request| request.target == "/steal").unwrap();
    assert_eq!(stolen.authorization(), None);
}

#[tokio::test]
async fn a_blob_store_that_refuses_is_not_the_registry_refusing() {
    let store = Scripted::plain(|_| Reply::new(403, "<Error><Code>AccessDenied</Code></Error>")).await;
    let location = format!("http://{}/signed?X-Amz-Signature={PASSWORD}", store.address);
    let server = Scripted::plain(move |_| Reply::redirect(location.clone())).await;
    let error = fetch_blob(&client(), &repository(server.address), 0).await.unwrap_err();
    assert!(matches!(error, RegistryError::StoreRefused { status: 403, .. }), "{error:?}");
    assert!(!everything(&error).contains(PASSWORD), "signed links are not shown");
}

#[tokio::test]
async fn denials_say_whether_credentials_were_missing_or_wrong() {
    let refusing = || Scripted::plain(|_| Reply::challenge("Basic realm=x"));
    let forbidding = || {
        Scripted::plain(|request| match request.authorization() {
            Some(_) => Reply::new(403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#),
            None => Reply::challenge("Basic realm=x"),
        })
    };
    for (server, with_password_too, expected) in [
        (refusing().await, false, Denial::NoCredentials),
        (refusing().await, true, Denial::CredentialsRefused),
        (forbidding().await, true, Denial::Forbidden),
    ] {
        let client = if with_password_too { with_password(server.address) } else { client() };
        let error = fetch_tag(&client, &repository(server.address)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Access);
        assert!(
            matches!(&error, RegistryError::AccessDenied { denial, .. } if *denial == expected),
            "{error:?}"
        );
        assert!(!everything(&error).contains(PASSWORD) && !everything(&error).contains(BASIC));
    }
}

#[tokio::test]
async fn a_denial_after_a_token_says_that_it_may_not_exist() {
    // Docker Hub, for what does not exist: a token that allows nothing, and 401 again.
    let server = Scripted::plain(|request| match request.target.as_str() {
        token if token.starts_with("/token") => Reply::ok(r#"{"token":"useless"}"#),
        _ => challenge(request),
    })
    .await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::AccessDenied { denial: Denial::NoCredentials, may_not_exist: true, .. }
        ),
        "{error:?}"
    );
    assert_eq!(server.count("/token"), 1);
    assert!(!everything(&error).contains("useless"));
}

#[tokio::test]
async fn the_token_servers_own_refusal_is_told() {
    let server = with_tokens(|_| Reply::new(401, r#"{"details":"incorrect username or password"}"#)).await;
    for (client, expected) in
        [(client(), Denial::NoCredentials), (with_password(server.address), Denial::CredentialsRefused)]
    {
        let error = fetch_tag(&client, &repository(server.address)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Access);
        assert!(
            matches!(&error, RegistryError::TokenRefused { denial, .. } if *denial == expected),
            "{error:?}"
        );
        let text = everything(&error);
        assert!(text.contains("incorrect username") && !text.contains(PASSWORD), "{text}");
    }
    let server = with_tokens(|_| Reply::new(429, "").with("Retry-After", "30")).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(matches!(error, RegistryError::RateLimited { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(30)));
    let server = with_tokens(|_| Reply::ok("<html>")).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(matches!(error, RegistryError::NoToken { .. }), "{error:?}");
}

#[tokio::test]
async fn an_unknown_way_of_authentication_is_named() {
    let server = Scripted::plain(|_| Reply::challenge("Negotiate")).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(error.to_string().contains("`Negotiate`"), "{error}");
}

#[tokio::test]
async fn a_challenge_that_makes_no_sense_is_said_to_be_unreadable() {
    let server = Scripted::plain(|_| Reply::challenge("Bearer realm=\"nowhere\"")).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(error.to_string().contains("`WWW-Authenticate` header could not be read"), "{error}");
    assert_eq!(error.kind(), Kind::Access);
}

#[tokio::test]
async fn challenges_are_answered_though_they_break_the_grammar() {
    for challenge in ["Basic realm=\"Übung\"", "Negotiate abc==, Basic realm=My Registry"] {
        let server = Scripted::plain(move |request| match request.authorization() {
            Some(BASIC) => Reply::ok(MANIFEST),
            _ => Reply::challenge(challenge),
        })
        .await;
        fetch_tag(&with_password(server.address), &repository(server.address)).await.unwrap();
    }
    let server = Scripted::plain(|request| match request.authorization() {
        _ if request.target == "/token?service=host%3A5000&scope=repository%3Ax%3Apull" => {
            Reply::ok(r#"{"token":"good"}"#)
        }
        Some("Bearer good") => Reply::ok(MANIFEST),
        _ => Reply::challenge("Bearer realm=\"/token\",service=host:5000,scope=repository:x:pull"),
    })
    .await;
    fetch_tag(&client(), &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn a_realm_on_plain_http_elsewhere_is_not_spoken_to() {
    let server = Scripted::plain(|_| Reply::challenge(r#"Bearer realm="http://auth.example/token""#)).await;
    let error = fetch_tag(&with_password(server.address), &repository(server.address)).await.unwrap_err();
    assert!(matches!(error, RegistryError::BadRealm { .. }), "{error:?}");
}

#[tokio::test]
async fn options_show_no_secret() {
    let credential = Credential::Password { username: "user".to_owned(), password: Secret::new(PASSWORD) };
    let environment = [("SEALIFT_PASSWORD", PASSWORD)].into_iter().collect();
    let credentials =
        Credentials::of_environment(&environment).with(named("reg.example/a").registry().clone(), credential);
    let options = ClientOptions { credentials, ..ClientOptions::default() };
    assert!(!format!("{options:?} {environment:?}").contains(PASSWORD));
}

/// Debug pages and proxies do that; the first with a text so long that it is cut within the secret.
#[tokio::test]
async fn a_server_that_repeats_what_it_was_sent_does_not_make_us_show_it() {
    let padding = "x".repeat(150);
    let repeating = move |request: &Request| {
        let sent = request.authorization().unwrap_or_default();
        let password = if sent == BASIC { PASSWORD } else { "" };
        let error = |message: String| format!(r#"{{"errors":[{{"code":"DENIED","message":"{message}"}}]}}"#);
        let text = format!("you sent {sent} and {password}, {}", request.body);
        Reply::new(403, error(if sent.starts_with("Bearer") { format!("{padding} {sent}") } else { text }))
    };
    let asking = |challenge: &'static str| {
        let repeating = repeating.clone();
        move |request: &Request| match request.authorization() {
            _ if request.target.starts_with("/token") && request.target.contains("service=give") => {
                Reply::ok(r#"{"token":"s3cret-token-of-the-server"}"#)
            }
            None if !request.target.starts_with("/token") => Reply::challenge(challenge),
            _ => repeating(request),
        }
    };
    for (challenge, hidden) in [
        ("Basic realm=x", "***"),
        (r#"Bearer realm="/token",service="refuse""#, "***"),
        (r#"Bearer realm="/token",service="give""#, "xxx"),
    ] {
        let server = Scripted::plain(asking(challenge)).await;
        let error = fetch_tag(&with_password(server.address), &repository(server.address)).await.unwrap_err();
        let text = everything(&error);
        assert!(text.contains(hidden), "{challenge}: {text}");
        for secret in [PASSWORD, BASIC.split_once(' ').unwrap().1, "s3cret"] {
            assert!(!text.contains(secret), "{challenge}: {text}");
        }
    }
    let server = Scripted::plain(asking(r#"Bearer realm="/token",service="refuse""#)).await;
    let token = Credential::IdentityToken(Secret::new("refresh-me"));
    let error = fetch_tag(&with(server.address, token), &repository(server.address)).await.unwrap_err();
    let text = everything(&error);
    assert!(text.contains("refresh_token=***") && !text.contains("refresh-me"), "{text}");
}
