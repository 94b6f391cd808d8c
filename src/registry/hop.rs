//! Where one server may send us to, be it by a redirect, as the realm of its tokens or as the URL of a layer: the rule,
//! in one place.
//!
//! Threats: all are foreign words, and what they name is asked from here: behind the firewall, on this machine. So,
//! seen from the server that says it (of a chain of redirects the last one):
//!
//! - hosts that were declared insecure may be led to, over plain HTTP too;
//! - this machine only by a server that is on it, which may name plain HTTP on loopback;
//! - all others over HTTPS.
//!
//! Hosts are judged by what they are called: a name that resolves to this machine is asked over HTTPS, certificate
//! and all. What goes along is not decided here ([`super::transport`], [`super::token`]).

use url::{Host, Url};

use crate::foreign::shown;
use crate::secret::SafeUrl;

use super::redirect::RedirectProblem;

/// Says whether the server at `from` may lead to `to`, which is `to_insecure` if it was declared so.
pub(super) fn check(from: &Url, to: &Url, to_insecure: bool) -> Result<(), RedirectProblem> {
    if !matches!(to.scheme(), "http" | "https") {
        return Err(RedirectProblem::Scheme(shown(to.scheme())));
    }
    if to_insecure {
        return Ok(());
    }
    if is_this_machine(to) && !is_this_machine(from) {
        return Err(RedirectProblem::ThisMachine(SafeUrl::from(to.clone())));
    }
    if to.scheme() == "http" && !is_loopback(to) {
        return Err(RedirectProblem::PlainHttp(SafeUrl::from(to.clone())));
    }
    Ok(())
}

/// True for `localhost` and the loopback addresses.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// True for loopback by any other name as well: RFC 6761's `*.localhost`, IPv4 within IPv6, and the unspecified
/// address, which Linux connects to itself.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified()
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_leads_to_https_or_to_its_own_machine() {
        const REMOTE: &str = "https://reg.example/v2/";
        const LOCAL: &str = "http://localhost:5000/v2/";
        for (from, to, allowed) in [
            (REMOTE, "https://cdn.example/a", true),
            (REMOTE, "https://10.0.0.1/a", true),
            (REMOTE, "http://cdn.example/a", false),
            (REMOTE, "http://127.0.0.1/a", false),
            (REMOTE, "https://127.0.0.1/a", false),
            (REMOTE, "https://LOCALHOST./a", false),
            (REMOTE, "https://a.localhost/a", false),
            (REMOTE, "https://[::1]/a", false),
            (REMOTE, "https://[::ffff:127.0.0.1]/a", false),
            (REMOTE, "https://0.0.0.0/a", false),
            (REMOTE, "https://[::]/a", false),
            (REMOTE, "file:///etc/passwd", false),
            ("http://reg.example/v2/", "http://127.0.0.1/a", false),
            ("http://reg.example/v2/", "https://cdn.example/a", true),
            (LOCAL, "http://127.0.0.1:9000/a", true),
            (LOCAL, "https://127.0.0.1:9000/a", true),
            (LOCAL, "https://cdn.example/a", true),
            (LOCAL, "http://cdn.example/a", false),
            ("https://127.0.0.1/v2/", "http://[::1]:9000/a", true),
        ] {
            let (from_url, to_url) = (Url::parse(from).unwrap(), Url::parse(to).unwrap());
            assert_eq!(check(&from_url, &to_url, false).is_ok(), allowed, "{from} {to}");
            let is_http = to.starts_with("http");
            assert_eq!(check(&from_url, &to_url, true).is_ok(), is_http, "{from} {to}, insecure");
        }
    }
}
