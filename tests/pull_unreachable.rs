//! Registries that are not reached, or not believed: each cause is told apart, with what to do about it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

#[path = "support/scripted.rs"]
#[allow(dead_code, clippy::format_push_string, reason = "each test binary uses its own part")]
mod scripted;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use insta::assert_snapshot;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};
use scripted::{Reply, Scripted, connect_proxy};
use support::sandbox::Sandbox;
use tokio::runtime::Runtime;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A sandbox that shows the port of `address` as `PORT`.
fn sandbox(address: SocketAddr) -> Sandbox {
    Sandbox::new().redact(address.port().to_string(), "PORT")
}

/// Where nobody listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that does the same with each connection.
fn server(talk: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(talk));
    address
}

/// What says these words, each to what it is sent next.
fn in_turn(words: &'static [&[u8]]) -> impl Fn(TcpStream) + Send {
    move |mut client| {
        for word in words {
            let _ = client.read(&mut [0; 16 << 10]);
            let _ = client.write_all(word);
        }
        // Whoever closes with bytes unread resets the connection.
        let _ = client.shutdown(Shutdown::Write);
        let _ = client.read_to_end(&mut Vec::new());
    }
}

/// A certificate's CA, and a server that shows one of it.
struct Authority {
    pem: String,
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), certificate, issuer: Issuer::new(params, key) }
    }

    /// A server of this name, whose certificate is good until that year; it may want one of its clients.
    async fn serve(&self, name: &str, until_year: i32, wants_clients: bool) -> Scripted {
        Scripted::tls(self.certified(name, until_year, wants_clients), |_| Reply::new(407, "")).await
    }

    fn certified(&self, name: &str, until_year: i32, wants_clients: bool) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until_year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_clients {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.certificate.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap())
    }
}

#[test]
fn certificates_that_are_not_believed() {
    let (runtime, authority) = (runtime(), Authority::new());
    let pull = |name: &str, until_year: i32, wants_clients: bool, options: &[&str]| {
        let server = runtime.block_on(authority.serve(name, until_year, wants_clients));
        let sandbox = sandbox(server.address);
        fs::write(sandbox.out().join("ca.pem"), &authority.pem).unwrap();
        let shown = sandbox.run(&[&["pull", &format!("{}/x", server.address)], options].concat());
        assert!(server.requests().is_empty(), "nothing was asked: {shown}");
        shown
    };
    let trusting = ["--ca", "ca.pem"];
    assert_snapshot!("unknown_ca", pull("127.0.0.1", 2999, false, &[]));
    assert_snapshot!("certificate_of_another_name", pull("other.example", 2999, false, &trusting));
    let shown = pull("127.0.0.1", 2020, false, &trusting);
    let times = shown.split_once("certificate expired: ").unwrap().1.lines().next().unwrap();
    assert_snapshot!("certificate_that_expired", shown.replace(times, "[TIMES]"));
    // Which of the first two requests finds the reason out is a matter of moments.
    let shown = pull("127.0.0.1", 2999, true, &trusting).replace("/v2/x/manifests/latest", "/v2/");
    assert_snapshot!("client_certificate_wanted", shown);
}

/// Even on loopback, where plain HTTP is allowed: what ended after the handshake may have been about anything.
#[test]
fn who_took_the_tls_handshake_is_not_asked_in_the_clear() {
    let authority = Authority::new();
    let config = authority.certified("127.0.0.1", 2999, false);
    let asked_in_the_clear = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&asked_in_the_clear);
    let address = server(move |mut client| {
        let mut first = [0];
        if client.peek(&mut first).is_ok() && first != [0x16] {
            heard.store(true, Ordering::SeqCst);
            return;
        }
        let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        while tls.is_handshaking() && tls.complete_io(&mut client).is_ok() {}
        let _ = client.shutdown(Shutdown::Write);
        let _ = client.read_to_end(&mut Vec::new());
    });
    let sandbox = sandbox(address);
    fs::write(sandbox.out().join("ca.pem"), &authority.pem).unwrap();
    let arguments = ["pull", &format!("{address}/x"), "--ca", "ca.pem", "--retry-times", "0"];
    let shown = sandbox.run(&arguments);
    assert!(shown.contains("/v2/x/manifests/latest: the connection was closed early"), "{shown}");
    assert!(!asked_in_the_clear.load(Ordering::SeqCst));
}

#[test]
fn servers_that_speak_something_else() {
    let pull = |address: SocketAddr| sandbox(address).run(&["pull", &format!("{address}/x")]);
    assert_snapshot!("not_http", pull(server(in_turn(&[b"220 mail.example ESMTP\r\n"]))));
    // A TLS alert: no version or cipher in common.
    assert_snapshot!("no_tls_in_common", pull(server(in_turn(&[b"\x15\x03\x03\x00\x02\x02\x28"]))));
    assert_snapshot!("hung_up", pull(server(in_turn(&[b""]))));
}

#[test]
fn a_plain_registry_that_nobody_declared() {
    let runtime = runtime();
    let plain = runtime.block_on(Scripted::plain(|_| Reply::ok("{}")));
    let (proxy, _) = runtime.block_on(connect_proxy(plain.address, None));
    let shown = sandbox(proxy).run(&["pull", "registry.test/x", "--proxy", &format!("http://{proxy}")]);
    assert_snapshot!("plain_http", shown);
    assert!(plain.requests().is_empty());
}

#[test]
fn a_registry_that_does_not_answer() {
    let runtime = runtime();
    let silent = runtime.block_on(Scripted::plain(|request| match request.target.as_str() {
        "/v2/" => Reply::ok("{}"),
        _ => Reply::ok("{}").after(Duration::from_mins(1)),
    }));
    let image = format!("{}/x", silent.address);
    assert_snapshot!("silent", sandbox(silent.address).run(&["pull", &image, "--stall-timeout", "2"]));
}

#[test]
fn a_name_that_nobody_knows() {
    // No resolver knows a name below `invalid` (RFC 6761 section 6.4); how it says so is its own matter.
    let shown = Sandbox::new().run(&["pull", "registry.invalid/x"]);
    let resolver = shown.split_once("lookup address information: ").unwrap().1.lines().next().unwrap();
    assert_snapshot!("no_such_name", shown.replace(resolver, "[RESOLVER]"));
}

#[test]
fn a_token_server_that_is_down() {
    let (runtime, down) = (runtime(), nowhere());
    let challenge = format!(r#"Bearer realm="http://{down}/token",service="s""#);
    let registry = runtime.block_on(Scripted::plain(move |_| Reply::challenge(challenge.clone())));
    let sandbox = sandbox(registry.address).redact(down.port().to_string(), "DOWN");
    assert_snapshot!("token_server_down", sandbox.run(&["pull", &format!("{}/x", registry.address)]));
}

#[test]
fn proxies_that_do_not_let_through() {
    let (runtime, authority) = (runtime(), Authority::new());
    let pull = |address: SocketAddr, scheme: &str, user: &str| {
        let proxy = format!("{scheme}://{user}{address}");
        let shown = sandbox(address).run(&["pull", "registry.test/x", "--proxy", &proxy]);
        assert!(!shown.contains("hunter"), "{shown}");
        shown
    };
    assert_snapshot!("socks_down", pull(nowhere(), "socks5h", ""));
    // It takes users with a password only (RFC 1929), and not this one.
    let asking = server(in_turn(&[b"\x05\xff"]));
    assert_snapshot!("socks_login", pull(asking, "socks5h", ""));
    let refusing = server(in_turn(&[b"\x05\x02", b"\x01\x01"]));
    assert_snapshot!("socks_login_refused", pull(refusing, "socks5h", "user:hunter3@"));
    // The registry is down, the proxy is not.
    let refused = server(in_turn(&[b"\x05\x00", b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"]));
    assert_snapshot!("socks_to_nowhere", pull(refused, "socks5h", ""));
    let unreachable = server(in_turn(&[b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"]));
    assert_snapshot!("proxy_to_nowhere", pull(unreachable, "http", ""));
    let tls = runtime.block_on(authority.serve("127.0.0.1", 2999, false));
    assert_snapshot!("proxy_of_an_unknown_ca", pull(tls.address, "https", "user:hunter2@"));
    assert!(tls.requests().is_empty(), "nobody got the proxy's password");
}
