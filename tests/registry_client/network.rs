//! TLS, plain HTTP, proxies, timeouts: how the other side is reached.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealift::registry::{Credential, Credentials, Failure, Kind, ProxyRules, Retry, Timeouts};
use sealift::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::scripted::{Reply, Scripted, connect_proxy, socks_proxy};
use crate::*;

/// A CA, and a server certificate of it for the names tests use.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    pub(crate) server: Arc<rustls::ServerConfig>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);

        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["localhost", "127.0.0.1", "registry.test"].map(str::to_owned);
        let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test's own folder")]
        std::fs::write(folder.path().join("ca.pem"), ca_certificate.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        Self { folder, server: Arc::new(server) }
    }

    pub(crate) fn file(&self) -> Vec<PathBuf> {
        vec![self.folder.path().join("ca.pem")]
    }
}

fn client_with(options: ClientOptions) -> Client {
    Client::new(options).unwrap()
}

fn failure(error: &RegistryError) -> Failure {
    match error {
        RegistryError::Unreachable { failure, .. } => *failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_private_ca_is_believed_only_when_it_is_given() {
    let authority = Authority::new();
    let server = Scripted::tls(Arc::clone(&authority.server), |_| Reply::ok(MANIFEST)).await;
    let repository = repository(server.address);
    let error = fetch_tag(&client(), &repository).await.unwrap_err();
    assert_eq!((failure(&error), error.kind()), (Failure::Certificate, Kind::Network), "{error:?}");
    assert!(server.requests().is_empty(), "nothing was sent, over TLS or plain");

    let trusting = client_with(ClientOptions { ca_files: authority.file(), ..ClientOptions::default() });
    fetch_tag(&trusting, &repository).await.unwrap();
}

#[tokio::test]
async fn an_insecure_host_is_not_verified_and_another_is() {
    let authority = Authority::new();
    let server = Scripted::tls(Arc::clone(&authority.server), |_| Reply::ok(MANIFEST)).await;
    let insecure = |host: &str| {
        client_with(ClientOptions { insecure_hosts: vec![host.parse().unwrap()], ..ClientOptions::default() })
    };
    let repository = repository(server.address);
    fetch_tag(&insecure("127.0.0.1"), &repository).await.unwrap();
    fetch_tag(&insecure(&server.address.to_string()), &repository).await.unwrap();
    for other in ["localhost", "127.0.0.1:1", "127.0.0.2"] {
        let error = fetch_tag(&insecure(other), &repository).await.unwrap_err();
        assert_eq!(failure(&error), Failure::Certificate, "{other}");
    }
}

#[tokio::test]
async fn credentials_of_an_https_registry_do_not_go_to_a_plain_http_realm() {
    let authority = Authority::new();
    let realm = Scripted::plain(|_| Reply::ok(r#"{"token":"good"}"#)).await;
    let challenge = format!(r#"Bearer realm="http://{}/token""#, realm.address);
    let server =
        Scripted::tls(Arc::clone(&authority.server), move |_| Reply::challenge(challenge.clone())).await;
    let credential = Credential::Password { username: "user".to_owned(), password: Secret::new("hunter2") };
    let client = client_with(ClientOptions {
        credentials: Credentials::default().with(registry(server.address), credential),
        ca_files: authority.file(),
        ..ClientOptions::default()
    });
    let error = fetch_tag(&client, &repository(server.address)).await.unwrap_err();
    assert!(matches!(error, RegistryError::BadRealm { .. }), "{error:?}");
    assert!(realm.requests().is_empty());
}

#[tokio::test]
async fn nothing_listening_is_a_failed_connection() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = fetch_tag(&client(), &repository(address)).await.unwrap_err();
    assert_eq!(failure(&error), Failure::Connect, "{error:?}");
    assert!(everything(&error).contains("refused"), "{}", everything(&error));
}

#[tokio::test]
async fn a_name_without_address_is_told_from_a_failed_connection() {
    // No resolver knows a name below `invalid` (RFC 6761 section 6.4).
    let (client, repository) = (client(), named("registry.invalid/org/app"));
    let fetched = tokio::time::timeout(Duration::from_secs(20), fetch_tag(&client, &repository)).await;
    let error = fetched.expect("the resolver answers").unwrap_err();
    assert_eq!(failure(&error), Failure::Dns, "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let error = fetch_tag(&client(), &repository(address)).await.unwrap_err();
    assert_eq!(failure(&error), Failure::NotHttp, "{error:?}");
}

#[tokio::test]
async fn a_plain_server_that_is_silent_at_a_tls_hello_is_found_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut start = [0; 4];
                stream.read_exact(&mut start).await.unwrap();
                if start == *b"GET " {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                        MANIFEST.len()
                    );
                    stream.write_all(format!("{head}{MANIFEST}").as_bytes()).await.unwrap();
                }
                // It waits for the rest of the line, which never comes.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    let (client, repository) = (client(), repository(address));
    let fetched = tokio::time::timeout(Duration::from_secs(10), fetch_tag(&client, &repository)).await;
    assert_eq!(fetched.expect("soon").unwrap().bytes(), MANIFEST);
}

#[tokio::test]
async fn a_slow_server_is_not_taken_for_a_plain_one() {
    let authority = Authority::new();
    let server = Scripted::tls(Arc::clone(&authority.server), |request| match request.target.as_str() {
        "/v2/" => Reply::ok("{}").after(Duration::from_secs(5)),
        _ => Reply::ok(MANIFEST),
    })
    .await;
    let client = client_with(ClientOptions { ca_files: authority.file(), ..ClientOptions::default() });
    fetch_tag(&client, &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let server = Scripted::plain(|_| Reply::ok(MANIFEST).after(Duration::from_secs(5))).await;
    let timeouts = Timeouts { read: Duration::from_millis(200), ..Timeouts::default() };
    let client = client_with(ClientOptions { timeouts, ..ClientOptions::default() });
    let error = fetch_tag(&client, &repository(server.address)).await.unwrap_err();
    assert_eq!(failure(&error), Failure::TimedOut, "{error:?}");
}

#[tokio::test]
async fn a_body_that_nobody_needs_may_not_trickle_for_ever() {
    let server = Scripted::plain(|request| match request.target.as_str() {
        "/moved" => Reply::new(404, "no ").trickling(),
        _ if request.authorization().is_some() => {
            Reply::new(307, "moved ").with("Location", "/moved").trickling()
        }
        _ => Reply::new(401, "who? ").with("WWW-Authenticate", r#"Basic realm="r""#).trickling(),
    })
    .await;
    let credential = Credential::Password { username: "user".to_owned(), password: Secret::new("hunter2") };
    let client = client_with(ClientOptions {
        credentials: Credentials::default().with(registry(server.address), credential),
        ..ClientOptions::default()
    });
    let started = std::time::Instant::now();
    let repository = repository(server.address);
    let fetched = tokio::time::timeout(Duration::from_secs(20), fetch_tag(&client, &repository)).await;
    let error = fetched.expect("it ends").unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_document_may_not_trickle_for_ever() {
    // A byte each 50 ms: no read ever times out.
    let challenge = r#"Bearer realm="/token",service="s""#;
    for slow in ["/manifests/", "/blobs/", "/token"] {
        let server = Scripted::plain(move |request| match request.target.as_str() {
            target if target.contains(slow) && slow != "/token" => Reply::ok(MANIFEST).trickling(),
            target if target.starts_with("/token") => Reply::ok(r#"{"token":"t"}"#).trickling(),
            _ if slow == "/token" => Reply::challenge(challenge),
            _ => Reply::ok(MANIFEST),
        })
        .await;
        let timeouts = Timeouts { trickle: Duration::from_millis(300), ..Timeouts::default() };
        let client = client_with(ClientOptions { timeouts, ..ClientOptions::default() });
        let repository = repository(server.address);
        let fetched = async {
            fetch_tag(&client, &repository).await?;
            fetch_blob(&client, &repository, 0).await
        };
        let error =
            tokio::time::timeout(Duration::from_secs(20), fetched).await.expect("it ends").unwrap_err();
        let failure = match &error {
            RegistryError::Unreachable { failure, .. } | RegistryError::Interrupted { failure, .. } => {
                *failure
            }
            other => panic!("{slow}: {other:?}"),
        };
        assert_eq!((failure, error.retry()), (Failure::TooSlow, Retry::Soon), "{slow}");
        let text = everything(&error);
        assert!(text.contains("too slowly") && text.contains("100 bytes a second"), "{slow}: {text}");
    }
}

pub(crate) fn through(proxy: &str, insecure: Option<&str>, ca_files: Vec<PathBuf>) -> Client {
    let environment = [("ALL_PROXY", proxy), ("NO_PROXY", "0.0.0.0")].into_iter().collect();
    client_with(ClientOptions {
        proxies: ProxyRules::from_environment(&environment).unwrap(),
        insecure_hosts: insecure.into_iter().map(|host| host.parse().unwrap()).collect(),
        ca_files,
        ..ClientOptions::default()
    })
}

#[tokio::test]
async fn https_goes_through_a_tunnel_with_the_proxys_credentials() {
    let authority = Authority::new();
    let server = Scripted::tls(Arc::clone(&authority.server), |_| Reply::ok(MANIFEST)).await;
    // `us er:hunter2`, percent-encoded in the URL.
    let (proxy, asked) = connect_proxy(server.address, Some("dXMgZXI6aHVudGVyMg==")).await;
    let repository = named("registry.test/org/app");
    let client = through(&format!("http://us%20er:hunter2@{proxy}"), None, authority.file());
    fetch_tag(&client, &repository).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["CONNECT registry.test:443"]);
    assert!(server.requests().iter().all(|request| request.header("proxy-authorization").is_none()));

    let client = through(&format!("http://user:wrong-hunter2@{proxy}"), None, authority.file());
    let error = fetch_tag(&client, &repository).await.unwrap_err();
    assert_eq!(failure(&error), Failure::Proxy, "{error:?}");
    let text = everything(&error);
    assert!(text.contains(&proxy.to_string()) && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_redirect_of_a_public_host_does_not_reach_services_on_loopback() {
    let authority = Authority::new();
    let local = Scripted::plain(|_| Reply::ok(MANIFEST)).await;
    let location = format!("http://{}/shutdown", local.address);
    let server =
        Scripted::tls(Arc::clone(&authority.server), move |_| Reply::redirect(location.clone())).await;
    let (proxy, _) = connect_proxy(server.address, None).await;
    let client = through(&proxy.to_string(), None, authority.file());
    let error = fetch_tag(&client, &named("registry.test/org/app")).await.unwrap_err();
    assert!(matches!(error, RegistryError::BadRedirect { .. }), "{error:?}");
    assert!(local.requests().is_empty());
    // A registry on loopback may use a store there.
    let client = client_with(ClientOptions { ca_files: authority.file(), ..ClientOptions::default() });
    fetch_tag(&client, &repository(server.address)).await.unwrap();
}

/// A registry on plain HTTP at `plain.test`, which was declared insecure, and a service on this machine.
async fn insecure_registry_and_local_service(
    reply: impl Fn(SocketAddr) -> Reply + Send + Sync + 'static,
) -> (Client, Scripted) {
    let local = Scripted::plain(|_| Reply::ok(r#"{"access_token":"of this machine"}"#)).await;
    let address = local.address;
    let proxy = Scripted::plain(move |request| match request.method.as_str() {
        "CONNECT" => Reply::new(403, ""),
        _ => reply(address),
    })
    .await;
    (through(&proxy.address.to_string(), Some("plain.test"), Vec::new()), local)
}

#[tokio::test]
async fn an_insecure_host_does_not_lead_to_services_on_loopback_either() {
    let (client, local) = insecure_registry_and_local_service(|local| {
        Reply::challenge(format!(r#"Bearer realm="http://{local}/admin""#))
    })
    .await;
    let error = fetch_tag(&client, &named("plain.test/a/b")).await.unwrap_err();
    assert!(matches!(error, RegistryError::BadRealm { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Access);
    assert!(local.requests().is_empty());

    let (client, local) =
        insecure_registry_and_local_service(|local| Reply::redirect(format!("http://{local}/admin"))).await;
    let error = fetch_tag(&client, &named("plain.test/a/b")).await.unwrap_err();
    assert!(error.to_string().contains("leads to this machine"), "{error}");
    assert!(local.requests().is_empty());

    // A registry on loopback may lead there, but not what it led to.
    let first = Scripted::plain(|_| Reply::redirect("http://plain.test/a")).await;
    let error = fetch_tag(&client, &repository(first.address)).await.unwrap_err();
    assert!(matches!(error, RegistryError::BadRedirect { .. }), "{error:?}");
    assert!(local.requests().is_empty());
}

#[tokio::test]
async fn a_public_host_does_not_lead_to_loopback_over_https_either() {
    let authority = Authority::new();
    let local = Scripted::tls(Arc::clone(&authority.server), |_| Reply::ok(MANIFEST)).await;
    let location = format!("https://{}/admin", local.address);
    let server =
        Scripted::tls(Arc::clone(&authority.server), move |_| Reply::redirect(location.clone())).await;
    let (proxy, _) = connect_proxy(server.address, None).await;
    let client = through(&proxy.to_string(), None, authority.file());
    let error = fetch_tag(&client, &named("registry.test/org/app")).await.unwrap_err();
    assert!(matches!(error, RegistryError::BadRedirect { .. }), "{error:?}");
    assert!(local.requests().is_empty());
}

#[tokio::test]
async fn a_socks_proxy_is_given_the_name_and_its_credentials() {
    let authority = Authority::new();
    let server = Scripted::tls(Arc::clone(&authority.server), |_| Reply::ok(MANIFEST)).await;
    let (proxy, asked) = socks_proxy(server.address, "user", "hunter2").await;
    let client = through(&format!("socks5h://user:hunter2@{proxy}"), None, authority.file());
    fetch_tag(&client, &named("registry.test/org/app")).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["registry.test:443"]);
}

#[tokio::test]
async fn a_name_is_looked_up_here_for_socks5_and_never_given_to_the_proxy() {
    let server = Scripted::plain(|_| Reply::ok(MANIFEST)).await;
    let (proxy, asked) = socks_proxy(server.address, "user", "hunter2").await;
    let client = through(&format!("socks5://user:hunter2@{proxy}"), None, Vec::new());
    // No resolver knows a name below `invalid`.
    let repository = named("registry.invalid/org/app");
    let fetched = tokio::time::timeout(Duration::from_secs(20), fetch_tag(&client, &repository)).await;
    let error = fetched.expect("the resolver answers").unwrap_err();
    assert!(!everything(&error).contains("hunter2"));
    assert_eq!(*asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_certificate_is_checked_through_a_tunnel_too() {
    let authority = Authority::new();
    let server = Scripted::tls(Arc::clone(&authority.server), |_| Reply::ok(MANIFEST)).await;
    let (proxy, _) = connect_proxy(server.address, None).await;
    let error = fetch_tag(&through(&proxy.to_string(), None, Vec::new()), &named("registry.test/a/b")).await;
    assert_eq!(failure(&error.unwrap_err()), Failure::Certificate);
}

#[tokio::test]
async fn plain_http_of_an_insecure_host_is_forwarded_with_the_proxys_credentials() {
    // The proxy allows no CONNECT to the plain port, as squid by default.
    let proxy = Scripted::plain(|request| match request.method.as_str() {
        "CONNECT" => Reply::new(403, ""),
        _ if request.header("proxy-authorization") != Some("Basic dXNlcjpodW50ZXIy") => Reply::new(407, ""),
        _ => Reply::ok(MANIFEST),
    })
    .await;
    let repository = named("plain.test:5000/org/app");
    let url = format!("http://user:hunter2@{}", proxy.address);
    fetch_tag(&through(&url, Some("plain.test"), Vec::new()), &repository).await.unwrap();
    assert_eq!(proxy.requests().last().unwrap().target, "http://plain.test:5000/v2/org/app/manifests/1");

    let url = format!("http://user:wrong@{}", proxy.address);
    let error = fetch_tag(&through(&url, Some("plain.test"), Vec::new()), &repository).await.unwrap_err();
    assert_eq!(failure(&error), Failure::Proxy, "{error:?}");
    assert!(everything(&error).contains("407"));
}

#[tokio::test]
async fn plain_http_is_never_spoken_unasked_to_another_host() {
    let server = Scripted::plain(|_| Reply::ok(MANIFEST)).await;
    let (proxy, _) = connect_proxy(server.address, None).await;
    let error = fetch_tag(&through(&proxy.to_string(), None, Vec::new()), &named("plain.test/a/b")).await;
    let error = error.unwrap_err();
    assert_eq!(failure(&error), Failure::PlainHttp, "{error:?}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_host_in_no_proxy_and_loopback_are_reached_directly() {
    let server = Scripted::plain(|_| Reply::ok(MANIFEST)).await;
    let client = through("http://127.0.0.1:9", None, Vec::new());
    fetch_tag(&client, &repository(server.address)).await.unwrap();
    // No loopback address, though connections to it stay here and are refused.
    let error = fetch_tag(&client, &named("0.0.0.0:9/a/b")).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Unreachable { proxy: None, .. }), "{error:?}");
    let error = fetch_tag(&client, &named("registry.test/a/b")).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::Unreachable { proxy: Some(_), failure: Failure::Proxy, .. }),
        "{error:?}"
    );
}
