//! `NO_PROXY`: the hosts that are reached without a proxy, by Go's `httpproxy` rules.
//!
//! Entries stand between commas: `*` (every host), `example.com` (it and its subdomains), `.example.com` or
//! `*.example.com` (its subdomains only), an IP address, each with `:port` or without, and CIDR blocks.

use std::net::IpAddr;

use url::Host;

/// A list of hosts and networks.
#[derive(Clone, Debug, Default)]
pub(super) struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug)]
enum Entry {
    Everything,
    Network { address: IpAddr, prefix_bits: u8 },
    Address { address: IpAddr, port: Option<u16> },
    Domain { name: String, itself: bool, port: Option<u16> },
}

impl From<&str> for NoProxy {
    fn from(list: &str) -> Self {
        Self(list.split(',').filter_map(|entry| parse(&entry.trim().to_ascii_lowercase())).collect())
    }
}

impl NoProxy {
    /// True if `host` is to be reached directly.
    pub(super) fn covers(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        let address = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address).to_canonical()),
        };
        let port_fits = |wanted: Option<u16>| wanted.is_none() || wanted == port;
        self.0.iter().any(|entry| match (entry, host) {
            (Entry::Everything, _) => true,
            (Entry::Network { address: network, prefix_bits }, _) => {
                address.is_some_and(|address| in_network(address, *network, *prefix_bits))
            }
            (Entry::Address { address: wanted, port }, _) => address == Some(*wanted) && port_fits(*port),
            (Entry::Domain { name, itself, port }, Host::Domain(host)) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let is_below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (is_below || (*itself && host == *name)) && port_fits(*port)
            }
            (Entry::Domain { .. }, _) => false,
        })
    }
}

fn parse(entry: &str) -> Option<Entry> {
    if entry == "*" {
        return Some(Entry::Everything);
    }
    if let Some((address, bits)) = entry.split_once('/')
        && let (Ok(address), Ok(prefix_bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>())
    {
        let most = if address.is_ipv4() { 32 } else { 128 };
        return (prefix_bits <= most).then_some(Entry::Network { address, prefix_bits });
    }
    // A bare IPv6 address has colons of its own.
    let (host, port) = match entry.parse::<IpAddr>() {
        Ok(_) => (entry, None),
        Err(_) => match entry.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()),
            _ => (entry, None),
        },
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Entry::Address { address: address.to_canonical(), port });
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    let name = host.strip_prefix('.');
    let itself = name.is_none();
    let name = name.unwrap_or(host).trim_end_matches('.');
    (!name.is_empty()).then(|| Entry::Domain { name: name.to_owned(), itself, port })
}

fn in_network(address: IpAddr, network: IpAddr, prefix_bits: u8) -> bool {
    // Both as 128 bits from the left; a shift by the full width (prefix 0) has no bits to compare.
    let (address, network) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (u128::from(address.to_bits()) << 96, u128::from(network.to_bits()) << 96)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits()),
        _ => return false,
    };
    (address ^ network).checked_shr(128 - u32::from(prefix_bits)).is_none_or(|difference| difference == 0)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn no_proxy_entries_match_as_go_matches_them() {
        for (list, url, covered) in [
            ("*", "https://reg.example/", true),
            ("reg.example", "https://reg.example/", true),
            ("reg.example", "https://a.reg.example/", true),
            ("reg.example", "https://notreg.example/", false),
            (".reg.example", "https://reg.example/", false),
            (".reg.example", "https://a.reg.example/", true),
            ("*.reg.example", "https://a.reg.example/", true),
            ("*.reg.example", "https://reg.example/", false),
            ("REG.Example", "https://reg.example/", true),
            ("reg.example:5000", "https://reg.example:5000/", true),
            ("reg.example:5000", "https://reg.example/", false),
            ("reg.example:443", "https://reg.example/", true),
            (" a.example , reg.example ", "https://reg.example/", true),
            ("10.0.0.0/8", "https://10.1.2.3:5000/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("0.0.0.0/0", "https://11.1.2.3/", true),
            ("0.0.0.0/0", "https://reg.example/", false),
            ("fd00::/8", "https://[fd12::1]/", true),
            ("fd00::/8", "https://[fe80::1]/", false),
            ("192.168.1.7", "https://192.168.1.7/", true),
            ("192.168.1.7:5000", "https://192.168.1.7:5001/", false),
            ("192.168.1.7:5000", "https://192.168.1.7:5000/", true),
            ("fd00::1", "https://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "https://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "https://[fd00::1]/", false),
            ("", "https://reg.example/", false),
            (",,", "https://reg.example/", false),
            (":5000", "https://reg.example:5000/", false),
            ("10.0.0.0/99", "https://10.0.0.1/", false),
        ] {
            let url = Url::parse(url).unwrap();
            let rules = NoProxy::from(list);
            let found = rules.covers(&url.host().unwrap(), url.port_or_known_default());
            assert_eq!(found, covered, "{list} {url}");
        }
    }
}
