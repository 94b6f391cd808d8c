//! Hosts that were declared insecure: their certificates are not verified, and plain HTTP will do.

use std::str::FromStr;

use url::{Host, Url};

use crate::foreign::shown_host;

use super::error::RegistryError;

/// `HOST` (every port of it) or `HOST:PORT`, as `--insecure` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsecureHost {
    host: Host,
    port: Option<u16>,
}

impl InsecureHost {
    /// True if `url` is of this host.
    pub fn covers(&self, url: &Url) -> bool {
        let same_host = url.host().is_some_and(|host| host.to_owned() == self.host);
        same_host && (self.port.is_none() || self.port == url.port_or_known_default())
    }
}

impl FromStr for InsecureHost {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let bad = || RegistryError::BadInsecureHost { text: shown_host(text) };
        let after_host = if text.starts_with('[') { text.find(']').map_or(0, |end| end + 1) } else { 0 };
        let (host, port) = match text[after_host..].find(':') {
            Some(colon) => {
                let port = text[after_host + colon + 1..].parse().map_err(|_| bad())?;
                (&text[..after_host + colon], Some(port))
            }
            None => (text, None),
        };
        Ok(Self { host: Host::parse(host).map_err(|_| bad())?, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insecure_host_is_that_host_only() {
        for (entry, url, covered) in [
            ("reg.example", "https://reg.example/v2/", true),
            ("reg.example", "http://REG.example:5000/v2/", true),
            ("reg.example", "https://a.reg.example/", false),
            ("reg.example:5000", "https://reg.example:5000/", true),
            ("reg.example:5000", "https://reg.example/", false),
            ("reg.example:443", "https://reg.example/", true),
            ("[fd00::1]:5000", "http://[fd00::1]:5000/", true),
            ("[fd00::1]", "http://[fd00::1]:5000/", true),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(entry.parse::<InsecureHost>().unwrap().covers(&url), covered, "{entry} {url}");
        }
        for bad in ["", "http://reg.example", "reg.example:x", "reg.example:99999", "a b", "reg.example/path"]
        {
            assert!(bad.parse::<InsecureHost>().is_err(), "{bad}");
        }
    }
}
