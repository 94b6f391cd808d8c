//! Whose certificates are believed, and who is shown ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use sealift::registry::{CertsFolders, ClientCertificate, Failure, Kind, ProxyRules};

use crate::scripted::{Reply, Scripted};
use crate::*;

/// A certificate with its key, in files.
struct Made {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Made {
    fn self_signed(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own folder")]
    fn write(&self, certificate: &Path, key: Option<&Path>) -> PathBuf {
        std::fs::write(certificate, self.certificate.pem()).unwrap();
        if let Some(key) = key {
            std::fs::write(key, self.key.serialize_pem()).unwrap();
        }
        certificate.to_owned()
    }

    /// A server that shows it, and wants a client's that `clients` vouches for.
    async fn serve(
        &self,
        clients: Option<&Made>,
        reply: impl Fn() -> Reply + Send + Sync + 'static,
    ) -> Scripted {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(authority.certificate.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let key = rustls::pki_types::PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = builder.with_single_cert(vec![self.certificate.der().clone()], key).unwrap();
        Scripted::tls(Arc::new(config), move |_| reply()).await
    }
}

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = is_ca;
    params
}

/// As `openssl req -x509` makes them: a CA's.
fn as_docker_says(name: &str) -> CertificateParams {
    params(name, IsCa::Ca(BasicConstraints::Unconstrained))
}

fn trusting(file: PathBuf) -> Client {
    Client::new(ClientOptions { ca_files: vec![file], ..ClientOptions::default() }).unwrap()
}

fn failure(error: &RegistryError) -> Failure {
    match error {
        RegistryError::Unreachable { failure, .. } => *failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_believed_when_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::ExplicitNoCa, IsCa::NoCa] {
        let made = Made::self_signed(&params("127.0.0.1", is_ca));
        let server = made.serve(None, || Reply::ok(MANIFEST)).await;
        let repository = repository(server.address);
        let error = fetch_tag(&client(), &repository).await.unwrap_err();
        assert_eq!(failure(&error), Failure::Certificate, "{is_ca:?}");
        let file = made.write(&folder.path().join("own.pem"), None);
        fetch_tag(&trusting(file), &repository).await.unwrap_or_else(|error| panic!("{is_ca:?}: {error:?}"));
    }
}

#[tokio::test]
async fn a_given_certificate_is_believed_for_its_name_its_time_and_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.pem");
    let mut expired = as_docker_says("127.0.0.1");
    expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let wrong =
        [(as_docker_says("registry.test"), Failure::CertificateName), (expired, Failure::CertificateTime)];
    for (wrong, expected) in wrong {
        let made = Made::self_signed(&wrong);
        let server = made.serve(None, || Reply::ok(MANIFEST)).await;
        let error =
            fetch_tag(&trusting(made.write(&own, None)), &repository(server.address)).await.unwrap_err();
        assert_eq!(failure(&error), expected, "{error:?}");
        assert!(server.requests().is_empty());
    }
    // Another of the same key and name, which was not given.
    let made = Made::self_signed(&as_docker_says("127.0.0.1"));
    let mut other = as_docker_says("127.0.0.1");
    other.serial_number = Some(7_u64.into());
    let other = Made { certificate: other.self_signed(&made.key).unwrap(), key: made.key };
    let given = Made::self_signed(&as_docker_says("127.0.0.1")).write(&own, None);
    let server = other.serve(None, || Reply::ok(MANIFEST)).await;
    let error = fetch_tag(&trusting(given), &repository(server.address)).await.unwrap_err();
    assert_eq!(failure(&error), Failure::Certificate, "{error:?}");
}

/// A CA for clients and a certificate of it, in `folder`.
fn client_certificate(folder: &Path) -> (Made, ClientCertificate) {
    let authority = Made::self_signed(&as_docker_says("clients.test"));
    let issuer = Issuer::new(as_docker_says("clients.test"), &authority.key);
    let key = KeyPair::generate().unwrap();
    let certificate = params("me", IsCa::NoCa).signed_by(&key, &issuer).unwrap();
    let files = ClientCertificate { certificate: folder.join("client.cert"), key: folder.join("client.key") };
    Made { certificate, key }.write(&files.certificate, Some(&files.key));
    (authority, files)
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_its_registry_and_to_nobody_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, files) = client_certificate(folder.path());
    let made = Made::self_signed(&as_docker_says("127.0.0.1"));
    let ca = made.write(&folder.path().join("ca.pem"), None);
    let server = made.serve(Some(&authority), || Reply::ok(MANIFEST)).await;
    let with = |server: &Scripted| {
        Client::new(ClientOptions {
            ca_files: vec![ca.clone()],
            client_certificates: vec![(registry(server.address), files.clone())],
            ..ClientOptions::default()
        })
        .unwrap()
    };
    fetch_tag(&with(&server), &repository(server.address)).await.unwrap();

    let error = fetch_tag(&trusting(ca.clone()), &repository(server.address)).await.unwrap_err();
    assert_eq!((failure(&error), error.kind()), (Failure::ClientCertificate, Kind::Network), "{error:?}");

    // Another port is another server, and would be shown it if it were not held to one.
    let location = format!("https://{}/elsewhere", server.address);
    let leading = made.serve(None, move || Reply::redirect(location.clone())).await;
    let error = fetch_tag(&with(&leading), &repository(leading.address)).await.unwrap_err();
    assert_eq!(failure(&error), Failure::ClientCertificate, "{error:?}");
}

#[tokio::test]
async fn certificates_of_a_host_are_found_in_certs_d() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::self_signed(&as_docker_says("127.0.0.1"));
    let other = made.serve(None, || Reply::ok(MANIFEST)).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (authority, files) = client_certificate(elsewhere.path());
    let server = made.serve(Some(&authority), || Reply::ok(MANIFEST)).await;
    let host = folder.path().join(server.address.to_string());
    std::fs::create_dir(&host).unwrap();
    made.write(&host.join("ca.crt"), None);
    std::fs::copy(&files.certificate, host.join("client.cert")).unwrap();
    std::fs::copy(&files.key, host.join("client.key")).unwrap();
    let client = || {
        let certs_folders = CertsFolders::of(vec![folder.path().to_owned()]);
        Client::new(ClientOptions { certs_folders, ..ClientOptions::default() }).unwrap()
    };
    fetch_tag(&client(), &repository(server.address)).await.unwrap();
    let error = fetch_tag(&client(), &repository(other.address)).await.unwrap_err();
    assert_eq!(failure(&error), Failure::Certificate, "the CA is for its host only");

    std::fs::remove_file(host.join("client.key")).unwrap();
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert!(everything(&error).contains("client.key is missing"), "{error:?}");
    assert_eq!(error.kind(), Kind::Setup);
}

#[test]
fn a_client_certificate_that_can_not_be_used_is_named_and_its_key_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (_, files) = client_certificate(folder.path());
    let other = Made::self_signed(&params("other", IsCa::NoCa));
    let other_key = folder.path().join("other.key");
    other.write(&folder.path().join("other.pem"), Some(&other_key));
    let own = |certificate: &Path, key: &Path| ClientCertificate {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    for (files, said) in [
        (own(Path::new("/nowhere"), &files.key), "can't be read"),
        (own(&files.key, &files.key), "no PEM certificate"),
        (own(&files.certificate, &files.certificate), "no private key"),
        (own(&files.certificate, &other_key), "don't go together"),
    ] {
        let client = Client::new(ClientOptions {
            client_certificates: vec![(named("reg.example/a").registry().clone(), files)],
            ..ClientOptions::default()
        });
        let error = client.err().unwrap();
        let text = everything(&error);
        assert!(text.contains(said), "{text}");
        assert!(!text.contains("PRIVATE KEY"), "{text}");
    }
}

#[tokio::test]
async fn a_client_certificate_that_nginx_misses_is_told_from_a_web_page() {
    let page = "<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>";
    let server = Scripted::plain(move |_| Reply::new(400, page).with("Content-Type", "text/html")).await;
    let error = fetch_tag(&client(), &repository(server.address)).await.unwrap_err();
    assert_eq!(failure(&error), Failure::ClientCertificate, "{error:?}");
}

#[tokio::test]
async fn a_proxy_on_the_way_to_an_insecure_host_is_verified() {
    let made = Made::self_signed(&as_docker_says("127.0.0.1"));
    let folder = tempfile::tempdir().unwrap();
    let proxy = made.serve(None, || Reply::new(407, "")).await;
    let through = |ca_files: Vec<PathBuf>| {
        let url = format!("https://user:hunter2@{}", proxy.address);
        Client::new(ClientOptions {
            insecure_hosts: vec!["plain.test".parse().unwrap()],
            proxies: ProxyRules::none().with_all("test", &url).unwrap(),
            ca_files,
            ..ClientOptions::default()
        })
        .unwrap()
    };
    let repository = named("plain.test/org/app");
    let error = fetch_tag(&through(vec![]), &repository).await.unwrap_err();
    assert_eq!(failure(&error), Failure::Certificate, "{error:?}");
    assert!(proxy.requests().is_empty(), "nobody got the proxy's password");
    let trusted = made.write(&folder.path().join("proxy.pem"), None);
    let error = fetch_tag(&through(vec![trusted]), &repository).await.unwrap_err();
    assert_eq!(failure(&error), Failure::Proxy, "{error:?}");
    assert!(!proxy.requests().is_empty());
}
