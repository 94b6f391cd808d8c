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

/// What stands in a proxy's place for none.
const DIRECT: &str = "direct";

/// Proxies by scheme, the hosts that are reached without, and hosts that have a rule of their own.
#[derive(Clone, Debug, Default)]
pub struct ProxyRules {
    http: Option<SafeUrl>,
    https: Option<SafeUrl>,
    without: NoProxy,
    /// The narrowest first.
    hosts: Vec<HostRule>,
}

#[derive(Clone, Debug)]
struct HostRule {
    pattern: String,
    hosts: NoProxy,
    proxy: Option<SafeUrl>,
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
                .map(|(variable, value)| parse(value).ok_or_else(|| bad(variable)))
                .transpose()
        };
        Ok(Self {
            http: proxy(["HTTP_PROXY", "http_proxy"])?,
            https: proxy(["HTTPS_PROXY", "https_proxy"])?,
            without: any(["NO_PROXY", "no_proxy"]).map_or_else(NoProxy::default, |(_, value)| value.into()),
            hosts: Vec::new(),
        })
    }

    /// These with one proxy for all hosts but those of `NO_PROXY`, whatever was said before; `direct` is none.
    /// `setting` names in an error where `text` stands.
    pub fn with_all(self, setting: &str, text: &str) -> Result<Self, RegistryError> {
        let proxy = parse_or_direct(setting, text)?;
        Ok(Self { http: proxy.clone(), https: proxy, hosts: Vec::new(), ..self })
    }

    /// These with another proxy for each scheme that one is given for; what is given none keeps its own.
    pub fn with_each(
        self,
        setting: &str,
        http: Option<&str>,
        https: Option<&str>,
    ) -> Result<Self, RegistryError> {
        let given = |text: Option<&str>, own: Option<SafeUrl>| match text {
            Some(text) => parse_or_direct(setting, text),
            None => Ok(own),
        };
        Ok(Self {
            http: given(http, self.http)?,
            https: given(https, self.https)?,
            hosts: Vec::new(),
            ..self
        })
    }

    /// These with a proxy where none was named before.
    pub fn or_all(mut self, setting: &str, text: &str) -> Result<Self, RegistryError> {
        let proxy = parse_or_direct(setting, text)?;
        self.http = self.http.or_else(|| proxy.clone());
        self.https = self.https.or(proxy);
        Ok(self)
    }

    /// These with a proxy of its own, or `direct`, for the hosts that `pattern` means (an entry as in `NO_PROXY`).
    /// Of several that fit, the longest pattern counts.
    pub fn with_host(mut self, setting: &str, pattern: &str, text: &str) -> Result<Self, RegistryError> {
        let proxy = parse_or_direct(setting, text)?;
        self.hosts.push(HostRule { pattern: pattern.to_owned(), hosts: pattern.into(), proxy });
        self.hosts.sort_by_key(|rule| std::cmp::Reverse(rule.pattern.len()));
        Ok(self)
    }

    /// The proxy for `url`; none for a direct connection.
    pub fn proxy_for(&self, url: &Url) -> Option<&SafeUrl> {
        let host = url.host()?;
        let port = url.port_or_known_default();
        if let Some(rule) = self.hosts.iter().find(|rule| rule.hosts.covers(&host, port)) {
            return rule.proxy.as_ref();
        }
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }?;
        if is_loopback(url) || self.without.covers(&host, port) {
            return None;
        }
        Some(proxy)
    }
}

fn bad(setting: &str) -> RegistryError {
    RegistryError::BadProxy { setting: setting.to_owned() }
}

fn parse_or_direct(setting: &str, text: &str) -> Result<Option<SafeUrl>, RegistryError> {
    if text == DIRECT { Ok(None) } else { parse(text).map(Some).ok_or_else(|| bad(setting)) }
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
            assert!(matches!(error, RegistryError::BadProxy { ref setting } if setting == "ALL_PROXY"));
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let environment = [("ALL_PROXY", "http://user:hunter2@p:1")].into_iter().collect();
        let rules = ProxyRules::from_environment(&environment).unwrap();
        assert!(!format!("{rules:?}").contains("hunter2"), "{rules:?}");
    }

    #[test]
    fn one_proxy_for_all_and_rules_for_hosts() {
        let environment =
            [("HTTPS_PROXY", "http://env:1"), ("NO_PROXY", "near.example")].into_iter().collect();
        let from_environment = || ProxyRules::from_environment(&environment).unwrap();
        let shown = |rules: &ProxyRules, url: &str| {
            rules.proxy_for(&Url::parse(url).unwrap()).map(|proxy| proxy.reveal().to_string())
        };
        let flag = from_environment().with_all("--proxy", "socks5h://flag:2").unwrap();
        assert_eq!(shown(&flag, "https://reg.example/").as_deref(), Some("socks5h://flag:2"));
        assert_eq!(shown(&flag, "http://reg.example/").as_deref(), Some("socks5h://flag:2"));
        assert_eq!(shown(&flag, "https://near.example/"), None);
        let direct = from_environment().with_all("--proxy", "direct").unwrap();
        assert_eq!(shown(&direct, "https://reg.example/"), None);

        let file = from_environment().or_all("proxy", "http://file:3").unwrap();
        assert_eq!(shown(&file, "https://reg.example/").as_deref(), Some("http://env:1/"));
        assert_eq!(shown(&file, "http://reg.example/").as_deref(), Some("http://file:3/"));

        let hosts = from_environment()
            .with_host("proxies", ".example", "http://wide:4")
            .and_then(|rules| rules.with_host("proxies", "reg.example", "http://own:5"))
            .and_then(|rules| rules.with_host("proxies", "10.0.0.0/8", "direct"))
            .unwrap();
        for (url, expected) in [
            ("https://reg.example/", Some("http://own:5/")),
            ("https://other.example/", Some("http://wide:4/")),
            ("https://near.example/", Some("http://wide:4/")),
            ("https://10.1.2.3/", None),
            ("https://else.test/", Some("http://env:1/")),
        ] {
            assert_eq!(shown(&hosts, url).as_deref(), expected, "{url}");
        }
        let error = from_environment().with_host("`proxies`", "a", "ftp://u:hunter2@p").unwrap_err();
        assert!(error.to_string().contains("`proxies`") && !format!("{error:?}").contains("hunter2"));
    }
}
