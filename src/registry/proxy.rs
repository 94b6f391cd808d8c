//! Which proxy a request goes through, by the rules of Docker (Go's `golang.org/x/net/http/httpproxy`).
//!
//! A pure function of the environment and the URL; [`super::transport`] asks it for every connection. reqwest's own
//! reading of the environment is off: it sends requests to localhost through the proxy and does not know
//! `host:port` in `NO_PROXY` (reqwest 0.13).

use url::Url;

use crate::config::Environment;
use crate::secret::SafeUrl;

use super::error::RegistryError;
use super::hop::is_loopback;
use super::no_proxy::NoProxy;

/// Proxies by scheme, and the hosts that are reached without.
#[derive(Clone, Debug, Default)]
pub struct ProxyRules {
    http: Option<SafeUrl>,
    https: Option<SafeUrl>,
    without: NoProxy,
}

impl ProxyRules {
    /// No proxies.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, each in upper case or else in lower.
    ///
    /// `HTTP_PROXY` in upper case is ignored where `REQUEST_METHOD` is set: a CGI program gets it from its caller.
    pub fn from_environment(environment: &Environment) -> Result<Self, RegistryError> {
        let is_cgi = environment.text("REQUEST_METHOD").is_some();
        let any = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = environment.text(name).map(str::trim).filter(|value| !value.is_empty());
                value.map(|value| (name, value)).filter(|_| !(is_cgi && name == "HTTP_PROXY"))
            })
        };
        let proxy = |names| {
            any(names)
                .or_else(|| any(["ALL_PROXY", "all_proxy"]))
                .map(|(variable, value)| parse(value).ok_or(RegistryError::BadProxy { variable }))
                .transpose()
        };
        Ok(Self {
            http: proxy(["HTTP_PROXY", "http_proxy"])?,
            https: proxy(["HTTPS_PROXY", "https_proxy"])?,
            without: any(["NO_PROXY", "no_proxy"]).map_or_else(NoProxy::default, |(_, value)| value.into()),
        })
    }

    /// The proxy for `url`; none for a direct connection.
    pub fn proxy_for(&self, url: &Url) -> Option<&SafeUrl> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }?;
        let host = url.host()?;
        if is_loopback(url) || self.without.covers(&host, url.port_or_known_default()) {
            return None;
        }
        Some(proxy)
    }
}

/// A proxy's URL; a bare `host:port` is an HTTP proxy.
fn parse(text: &str) -> Option<SafeUrl> {
    let known = |url: &Url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    let url = match Url::parse(text) {
        Ok(url) if known(&url) => url,
        _ if text.contains("://") => return None,
        _ => Url::parse(&format!("http://{text}")).ok()?,
    };
    url.host_str().filter(|host| !host.is_empty())?;
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy_for(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let environment = variables.iter().copied().collect();
        let rules = ProxyRules::from_environment(&environment).unwrap();
        rules.proxy_for(&Url::parse(url).unwrap()).map(|proxy| proxy.reveal().to_string())
    }

    #[test]
    fn variables_are_read_as_docker_reads_them() {
        let all =
            [("HTTP_PROXY", "http://h:1"), ("HTTPS_PROXY", "http://s:2"), ("ALL_PROXY", "socks5h://a:3")];
        for (variables, url, expected) in [
            (&all[..], "http://reg.example/", Some("http://h:1/")),
            (&all[..], "https://reg.example/", Some("http://s:2/")),
            (&all[2..], "https://reg.example/", Some("socks5h://a:3")),
            (&all[..1], "https://reg.example/", None),
            (&[("https_proxy", "proxy:3128")], "https://reg.example/", Some("http://proxy:3128/")),
            (&[("https_proxy", "10.0.0.1:3128")], "https://reg.example/", Some("http://10.0.0.1:3128/")),
            (&[("https_proxy", "u:p@proxy:3128")], "https://reg.example/", Some("http://u:p@proxy:3128/")),
            (
                &[("HTTPS_PROXY", ""), ("https_proxy", "http://l:4")],
                "https://r.example/",
                Some("http://l:4/"),
            ),
            (
                &[("HTTPS_PROXY", "http://u:4"), ("https_proxy", "http://l:4")],
                "https://r.example/",
                Some("http://u:4/"),
            ),
            (&[("HTTP_PROXY", "http://evil"), ("REQUEST_METHOD", "GET")], "http://r.example/", None),
            (&[], "https://reg.example/", None),
        ] {
            assert_eq!(proxy_for(variables, url).as_deref(), expected, "{variables:?} {url}");
        }
    }

    #[test]
    fn loopback_is_never_proxied() {
        for host in ["localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            let url = format!("https://{host}/v2/");
            assert_eq!(proxy_for(&[("ALL_PROXY", "http://p:1")], &url), None, "{host}");
        }
    }

    #[test]
    fn a_proxy_that_is_no_url_is_an_error_that_shows_no_password() {
        for bad in ["ftp://user:hunter2@p:1", "http://user:hunter2@p:99999", "http://"] {
            let environment = [("ALL_PROXY", bad)].into_iter().collect();
            let error = ProxyRules::from_environment(&environment).unwrap_err();
            assert!(matches!(error, RegistryError::BadProxy { variable: "ALL_PROXY" }));
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let environment = [("ALL_PROXY", "http://user:hunter2@p:1")].into_iter().collect();
        let rules = ProxyRules::from_environment(&environment).unwrap();
        assert!(!format!("{rules:?}").contains("hunter2"), "{rules:?}");
    }
}
