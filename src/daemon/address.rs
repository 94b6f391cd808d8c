//! Addresses of daemons as docker writes them: `unix:///path`, `tcp://host:port`, `ssh://user@host`.
//!
//! Threats: the words come from environment and settings. Host and user of an `ssh://` address become arguments, so
//! neither may begin with a dash; a password has no place in any of them, and is never shown.

use std::fmt;
use std::path::PathBuf;

use url::{Host, Url};

use crate::foreign::shown_host;

/// Docker's ports without and with TLS.
const PORTS: [u16; 2] = [2375, 2376];

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket on this machine.
    Unix(PathBuf),
    /// A port, over TLS or not.
    Tcp {
        /// A name or an address, IPv6 in brackets.
        host: String,
        /// None for docker's own.
        port: Option<u16>,
        /// True where the address itself says so (`https://`).
        is_https: bool,
    },
    /// Whatever docker or podman on another machine speak to, by that machine's own client.
    Ssh(SshAddress),
}

/// A machine that `ssh` reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshAddress {
    /// As whom; by default what ssh's settings say.
    pub user: Option<String>,
    /// The host's name, or what ssh's settings call it.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
    /// The daemon's socket over there, where it is not the usual one.
    pub socket: Option<String>,
}

/// Why a text is no daemon's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no daemon's address: {problem}")]
pub struct AddressError {
    /// The text, without what stands before an `@`.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Address {
    /// Reads an address; one without a scheme is `tcp://`, as docker has it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let refused = |problem| AddressError { text: shown_host(text), problem };
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            "unix" => Err(refused("after `unix://` comes a path from `/` on")),
            "tcp" | "http" | "https" => tcp(rest, scheme == "https").map_err(refused),
            "ssh" => ssh(text).map_err(refused).map(Self::Ssh),
            _ => Err(refused("it begins with none of `unix://`, `tcp://` and `ssh://`")),
        }
    }

    /// The URL of its API's root, over TLS or not.
    pub(super) fn base(&self, is_tls: bool) -> Url {
        let text = match self {
            Self::Tcp { host, port, .. } => {
                let scheme = if is_tls { "https" } else { "http" };
                format!("{scheme}://{host}:{}/", port.unwrap_or(PORTS[usize::from(is_tls)]))
            }
            Self::Unix(_) | Self::Ssh(_) => UNNAMED.to_owned(),
        };
        Url::parse(&text).unwrap_or_else(|_| unreachable!("a host was checked"))
    }
}

/// What a daemon is called to which a socket leads.
const UNNAMED: &str = "http://localhost/";

fn tcp(rest: &str, is_https: bool) -> Result<Address, &'static str> {
    let url = Url::parse(&format!("ws://{rest}")).map_err(|_| "a host and a port are expected")?;
    check_plain(&url)?;
    if !matches!(url.path(), "" | "/") {
        return Err("a path has no place in it");
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it has no host")?;
    if !url.username().is_empty() {
        return Err("a user has no place in it");
    }
    // A URL leaves the port of its scheme out.
    let port = url.port().or_else(|| rest.trim_end_matches('/').ends_with(":80").then_some(80));
    Ok(Address::Tcp { host: host.to_owned(), port, is_https })
}

fn ssh(text: &str) -> Result<SshAddress, &'static str> {
    let url = Url::parse(text).map_err(|_| "a host is expected")?;
    check_plain(&url)?;
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err("it has no host"),
    };
    let user = Some(url.username()).filter(|user| !user.is_empty());
    if host.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
        return Err("neither host nor user begins with a dash");
    }
    let socket = Some(url.path()).filter(|path| !matches!(*path, "" | "/"));
    Ok(SshAddress {
        user: user.map(str::to_owned),
        host,
        port: url.port(),
        socket: socket.map(str::to_owned),
    })
}

/// Refuses what no daemon's address has.
fn check_plain(url: &Url) -> Result<(), &'static str> {
    match url {
        url if url.password().is_some() => Err("a password has no place in it"),
        url if url.query().is_some() || url.fragment().is_some() => Err("it ends after its path"),
        _ => Ok(()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp { host, port, is_https } => {
                write!(formatter, "{}://{host}", if *is_https { "https" } else { "tcp" })?;
                port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
            }
            Self::Ssh(SshAddress { user, host, port, socket }) => {
                formatter.write_str("ssh://")?;
                user.as_ref().map_or(Ok(()), |user| write!(formatter, "{user}@"))?;
                if host.contains(':') {
                    write!(formatter, "[{host}]")?;
                } else {
                    formatter.write_str(host)?;
                }
                port.map_or(Ok(()), |port| write!(formatter, ":{port}"))?;
                socket.as_ref().map_or(Ok(()), |socket| formatter.write_str(socket))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in [
            "unix:///var/run/docker.sock",
            "unix:///a b/c",
            "tcp://10.0.0.1:2376",
            "tcp://build.example",
            "tcp://[::1]:2375",
            "tcp://x:80",
            "https://x:443",
            "ssh://build.example",
            "ssh://me@build.example:2222/run/user/1000/docker.sock",
            "ssh://[fe80::1]:22",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Address::parse("10.0.0.1:2375").unwrap().to_string(), "tcp://10.0.0.1:2375");
    }

    #[test]
    fn docker_has_a_port_with_tls_and_one_without() {
        let base = |text: &str, is_tls| Address::parse(text).unwrap().base(is_tls).to_string();
        assert_eq!(base("tcp://x", false), "http://x:2375/");
        assert_eq!(base("tcp://x", true), "https://x:2376/");
        assert_eq!(base("tcp://[::1]:80", true), "https://[::1]:80/");
        assert_eq!(base("ssh://x", true), "http://localhost/");
    }

    #[test]
    fn what_is_no_address_is_refused_and_no_password_shown() {
        for (text, problem) in [
            ("unix://docker.sock", "from `/` on"),
            ("fd://", "none of"),
            ("npipe:////./pipe/docker", "none of"),
            ("tcp://", "host"),
            ("tcp://x:99999", "host and a port"),
            ("tcp://x:1/path", "path"),
            ("ssh://", "host"),
            ("ssh://-oProxyCommand=x", "dash"),
            ("ssh://-l@x", "dash"),
            ("ssh://me:hunter2@x", "password"),
            ("tcp://me:hunter2@x:1", "password"),
            ("ssh://x?y", "ends after"),
            ("", "host"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
