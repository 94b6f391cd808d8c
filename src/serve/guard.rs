//! What every request passes: whose server it means, which page sent it, who asks; and what every answer carries.
//!
//! Threats: a page that a browser of this machine or network shows. By DNS rebinding it would read under a name of its own:
//! `Host` must be an address, `localhost` or a name the server was told. By forged requests it would write: what changes
//! something must be of this origin, by `Origin` and `Sec-Fetch-Site`, and cookies are `SameSite=Strict`. By framing it
//! would steer clicks, by foreign names it would run scripts: the content security policy has neither.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Host;

use super::App;
use super::answer::Refusal;
use super::listener::Peer;
use super::log::Asker;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Of every request and answer.
pub(super) async fn guard(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    peer.head_came();
    let is_registry = is_of_registry(request.uri());
    let mut response = match check(&app, request.uri(), request.headers(), request.method()) {
        Ok(()) => {
            request.extensions_mut().insert(Asker::new(None, peer.address.ip()));
            next.run(request).await
        }
        Err(refusal) => refused(refusal, is_registry),
    };
    app.metrics.answered(response.status().as_u16());
    let is_stranger = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    if is_registry {
        // Registry clients log in when they are asked to.
        if is_stranger {
            set(header::WWW_AUTHENTICATE, "Basic realm=\"sealift\"");
        }
    } else {
        set(header::CONTENT_SECURITY_POLICY, POLICY);
        set(header::X_FRAME_OPTIONS, "DENY");
        set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

/// Lets through whoever may use the server, and says who it is.
pub(super) async fn only_users(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let from = peer.address.ip();
    match user(&app, request.headers(), from).await {
        Ok(user) if user.is_some() || app.access.is_open() => {
            request.extensions_mut().insert(Asker::new(user.as_deref(), from));
            next.run(request).await
        }
        other => {
            let stranger = Refusal::Unauthorized("login_first", "log in first");
            refused(other.err().unwrap_or(stranger), is_of_registry(request.uri()))
        }
    }
}

fn refused(refusal: Refusal, is_registry: bool) -> Response {
    if is_registry { refusal.into_registry_response() } else { refusal.into_response() }
}

fn is_of_registry(uri: &Uri) -> bool {
    uri.path() == "/v2" || uri.path().starts_with("/v2/")
}

/// Who asks; a wrong login is counted and told.
pub(super) async fn user(app: &App, headers: &HeaderMap, from: IpAddr) -> Result<Option<String>, Refusal> {
    if app.access.is_open() {
        return Ok(None);
    }
    let user = app.access.user(headers, from).await;
    if let Err(refusal) = &user {
        app.wrong_login(refusal, "", from);
    }
    user
}

fn check(app: &App, uri: &Uri, headers: &HeaderMap, method: &Method) -> Result<(), Refusal> {
    let stated = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    // A request for a proxy has the host in its first line, and that counts (RFC 9112).
    let host = uri.authority().map(axum::http::uri::Authority::as_str).or(stated);
    let host = host.ok_or(Refusal::WrongHost)?;
    if headers.get_all(header::HOST).iter().count() > 1 || !is_own_name(host, &app.hosts) {
        return Err(Refusal::WrongHost);
    }
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        return Ok(());
    }
    if let Some(origin) = headers.get(header::ORIGIN)
        && !is_own_origin(origin.to_str().unwrap_or_default(), host)
    {
        return Err(Refusal::Foreign);
    }
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Err(Refusal::Foreign);
    }
    Ok(())
}

/// Is a page of this origin one of `host`? A port that the scheme has by itself may be there or not.
fn is_own_origin(origin: &str, host: &str) -> bool {
    let schemes = [("https://", ":443"), ("http://", ":80")];
    schemes.iter().any(|(scheme, port)| {
        let bare = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
        origin.strip_prefix(scheme).is_some_and(|authority| bare(authority) == bare(host))
    })
}

/// True if the page came over TLS: a reverse proxy may have ended it.
pub(super) fn is_of_https(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// A name of the server's own, with a port or without, as browsers send it; none for what can't be one.
pub(super) fn own_name(told: &str) -> Option<String> {
    let name = without_port(told);
    let host = Host::parse(name).ok()?.to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._[:]".contains(c);
    host.chars().all(is_plain).then(|| format!("{host}{}", &told[name.len()..]))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// An address can't be rebound; a name must be one that was told.
fn is_own_name(host: &str, names: &[String]) -> bool {
    let name = without_port(host);
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    name.parse::<std::net::Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|own| own.eq_ignore_ascii_case(name) || own.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_goes_without_saying_makes_no_other_origin() {
        for (origin, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://Images.example", "images.example:443"),
            ("http://images.example:80", "images.example"),
        ] {
            assert!(is_own_origin(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://images.example", "images.example:443"),
            ("https://images.example:8443", "images.example"),
            ("https://evil.example", "images.example"),
            ("null", "images.example"),
            ("", ""),
        ] {
            assert!(!is_own_origin(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn own_names_are_as_browsers_send_them() {
        for (told, sent) in [
            ("Images.Example", "images.example"),
            ("images.example:8443", "images.example:8443"),
            ("plant_7", "plant_7"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(own_name(told).as_deref(), Some(sent));
        }
        for bad in
            ["", "http://images.example", "images.example/", "two names", "*.example", "::1", "a:b", ":80"]
        {
            assert_eq!(own_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_addresses_and_own_names_are_hosts() {
        let names = ["images.example".to_owned()];
        for good in
            ["127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "localhost:1", "LOCALHOST", "Images.Example:80"]
        {
            assert!(is_own_name(good, &names), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "localhost.",
            "::1",
            "[::1",
            "images.example.evil",
            "evil.example:8080",
            "127.1:80:80",
            "0x7f.1",
        ] {
            assert!(!is_own_name(bad, &names), "{bad}");
        }
    }
}
