//! Registries as they are: each one's own way of access, as it was seen or is documented.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealift::registry::{Credential, Denial, Kind};
use sealift::secret::Secret;

use crate::access::with;
use crate::scripted::{Reply, Request, Scripted};
use crate::*;

fn user(name: &str, password: &str) -> Credential {
    Credential::Password { username: name.to_owned(), password: Secret::new(password) }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{name}:{password}")))
}

fn denied(code: &str, status: u16) -> Reply {
    Reply::new(status, format!(r#"{{"errors":[{{"code":"{code}","message":"denied"}}]}}"#))
}

/// A registry with tokens of the server at `realm`; `query` is what a request for one has to hold.
async fn with_realm(
    realm: &'static str,
    service: &'static str,
    token: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Scripted {
    Scripted::plain(move |request| {
        if request.target.starts_with(realm) {
            return token(request);
        }
        match request.authorization() {
            Some("Bearer good") if request.target.contains("/blobs/") => Reply::ok(BLOB),
            Some("Bearer good") => Reply::ok(MANIFEST),
            _ => Reply::challenge(format!(
                r#"Bearer realm="http://{}{realm}",service="{service}",scope="repository:org/app:pull""#,
                request.header("host").unwrap()
            )),
        }
    })
    .await
}

#[tokio::test]
async fn ecr_takes_basic_of_user_aws_and_its_store_refuses_a_second_authorization() {
    let store = store_that_refuses(400, "InvalidArgument").await;
    let signed = format!("http://{}/blob?X-Amz-Signature=s", store.address);
    let expected = basic("AWS", "eyJwYXlsb2FkIjoi");
    let server = Scripted::plain(move |request| match request.authorization() {
        Some(given) if given == expected && request.target.contains("/blobs/") => {
            Reply::redirect(signed.clone())
        }
        Some(given) if given == expected => Reply::ok(MANIFEST),
        _ => Reply::challenge(
            r#"Basic realm="https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#,
        ),
    })
    .await;
    let client = with(server.address, user("AWS", "eyJwYXlsb2FkIjoi"));
    let repository = repository(server.address);
    fetch_tag(&client, &repository).await.unwrap();
    assert_eq!(fetch_blob(&client, &repository, 0).await.unwrap(), BLOB);
    assert_eq!(store.requests().len(), 1);
}

#[tokio::test]
async fn acr_trades_its_refresh_token_at_oauth2_token() {
    let server = with_realm("/oauth2/token", "org.azurecr.io", |request| {
        let form = ["grant_type=refresh_token", "refresh_token=eyJ-refresh", "service=org.azurecr.io"];
        match request.method.as_str() {
            "POST" if form.iter().all(|part| request.body.contains(part)) => {
                Reply::ok(r#"{"access_token":"good"}"#)
            }
            _ => denied("UNAUTHORIZED", 401),
        }
    })
    .await;
    let client = with(server.address, Credential::IdentityToken(Secret::new("eyJ-refresh")));
    fetch_tag(&client, &repository(server.address)).await.unwrap();

    // `az acr login --expose-token` gives the same token as a password of this user.
    let nobody = "00000000-0000-0000-0000-000000000000";
    let expected = basic(nobody, "eyJ-refresh");
    let server = with_realm("/oauth2/token", "org.azurecr.io", move |request| {
        if request.authorization() == Some(&expected) {
            Reply::ok(r#"{"access_token":"good"}"#)
        } else {
            denied("UNAUTHORIZED", 401)
        }
    })
    .await;
    let client = with(server.address, user(nobody, "eyJ-refresh"));
    fetch_tag(&client, &repository(server.address)).await.unwrap();
}

/// A store that says as S3 or Azure does that one `Authorization` beside the link's signature is too many.
async fn store_that_refuses(status: u16, code: &'static str) -> Scripted {
    Scripted::plain(move |request| match request.authorization() {
        Some(_) => Reply::new(status, format!("<Error><Code>{code}</Code></Error>")),
        None => Reply::ok(BLOB),
    })
    .await
}

#[tokio::test]
async fn acrs_store_refuses_a_second_authorization_too() {
    let store = store_that_refuses(403, "AuthenticationFailed").await;
    let signed = format!("http://{}/blob?sig=s", store.address);
    let server = Scripted::plain(move |request| match request.authorization() {
        _ if request.target.starts_with("/oauth2/token") => Reply::ok(r#"{"access_token":"good"}"#),
        Some("Bearer good") => Reply::redirect(signed.clone()),
        _ => Reply::challenge(r#"Bearer realm="/oauth2/token",service="org.azurecr.io""#),
    })
    .await;
    let client = with(server.address, Credential::IdentityToken(Secret::new("eyJ-refresh")));
    assert_eq!(fetch_blob(&client, &repository(server.address), 0).await.unwrap(), BLOB);
    assert_eq!(store.requests().len(), 1);
}

#[tokio::test]
async fn ghcr_says_403_of_what_does_not_exist() {
    let server = with_realm("/token", "ghcr.io", |_| denied("DENIED", 403)).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::TokenRefused { denial: Denial::NoCredentials, may_not_exist: true, .. }
        ),
        "{error:?}"
    );
    assert_eq!(error.kind(), Kind::Access);
}

#[tokio::test]
async fn quay_says_401_of_what_does_not_exist_and_has_users_with_a_plus() {
    let expected = basic("org+robot", "p");
    let server = with_realm("/v2/auth", "quay.io", move |request| match request.authorization() {
        Some(given) if given == expected => {
            assert!(request.target.contains("account=org%2Brobot"), "{}", request.target);
            Reply::ok(r#"{"token":"good"}"#)
        }
        _ => Reply::ok(r#"{"token":"of nobody"}"#),
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
    let client = with(server.address, user("org+robot", "p"));
    fetch_tag(&client, &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn gitlabs_token_server_is_another_host_and_gets_the_credentials() {
    let expected = basic("gitlab-ci-token", "job");
    let gitlab = Scripted::plain(move |request| match request.authorization() {
        Some(given) if given == expected && request.target.starts_with("/jwt/auth?") => {
            Reply::ok(r#"{"token":"good","expires_in":300}"#)
        }
        _ => denied("DENIED", 403),
    })
    .await;
    let realm = gitlab.address;
    let server = Scripted::plain(move |request| match request.authorization() {
        Some("Bearer good") => Reply::ok(MANIFEST),
        _ => Reply::challenge(format!(
            r#"Bearer realm="http://{realm}/jwt/auth",service="container_registry",scope="repository:org/app:pull""#
        )),
    })
    .await;
    let client = with(server.address, user("gitlab-ci-token", "job"));
    for _ in 0..3 {
        fetch_tag(&client, &repository(server.address)).await.unwrap();
    }
    assert_eq!(gitlab.requests().len(), 1, "a token of five minutes is used again");
    let to_registry = server.requests();
    assert!(to_registry.iter().all(|request| !request.authorization().unwrap_or("").starts_with("Basic")));
}

#[tokio::test]
async fn harbors_robots_have_a_dollar_in_their_names() {
    let expected = basic("robot$org+pull", "p");
    let server = with_realm("/service/token", "harbor-registry", move |request| {
        assert_eq!(request.authorization(), Some(expected.as_str()));
        assert!(request.target.contains("account=robot%24org%2Bpull"), "{}", request.target);
        Reply::ok(r#"{"token":"good","access_token":"","expires_in":1800}"#)
    })
    .await;
    let client = with(server.address, user("robot$org+pull", "p"));
    fetch_tag(&client, &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn nexus_challenges_strangers_with_basic() {
    let expected = basic("reader", "p");
    let server = Scripted::plain(move |request| match request.authorization() {
        Some(given) if given == expected => Reply::ok(MANIFEST),
        _ => Reply::challenge(r#"BASIC realm="Sonatype Nexus Repository Manager""#),
    })
    .await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(matches!(error, RegistryError::AccessDenied { denial: Denial::NoCredentials, .. }), "{error:?}");
    let client = with(server.address, user("reader", "p"));
    fetch_tag(&client, &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn artifactory_has_its_repositories_below_a_key_and_its_tokens_below_a_path() {
    const TOKEN: &str = "/artifactory/api/docker/docker-remote/v2/token";
    let server = Scripted::plain(|request| match (request.target.as_str(), request.authorization()) {
        (target, _) if target.starts_with(TOKEN) => {
            assert!(target.contains("scope=repository%3Alibrary%2Fapp%3Apull"), "{target}");
            Reply::ok(r#"{"token":"good","expires_in":3600}"#)
        }
        ("/v2/docker-remote/library/app/manifests/1", Some("Bearer good")) => Reply::ok(MANIFEST),
        (target, Some("Bearer good")) if target.starts_with("/v2/docker-remote/library/app/blobs/") => {
            Reply::redirect(target.replacen("/v2/docker-remote", "/artifactory/docker-remote/.layers", 1))
        }
        (target, Some("Bearer good")) if target.starts_with("/artifactory/docker-remote/") => Reply::ok(BLOB),
        _ => Reply::challenge(format!(
            r#"Bearer realm="http://{}{TOKEN}",service="artifactory",scope="repository:library/app:pull""#,
            request.header("host").unwrap()
        )),
    })
    .await;
    let repository = named(&format!("{}/docker-remote/library/app", server.address));
    let client = client();
    fetch_tag(&client, &repository).await.unwrap();
    assert_eq!(fetch_blob(&client, &repository, 0).await.unwrap(), BLOB);
    assert_eq!(server.count(TOKEN), 1);
}
