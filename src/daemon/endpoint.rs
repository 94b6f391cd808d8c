//! Which daemon is meant: an address and the TLS files that go with it, found as docker's and podman's own clients do.
//!
//! | | |
//! |---|---|
//! | docker | `--host`, `--context`, `$DOCKER_HOST`, `$DOCKER_CONTEXT`, `currentContext` of docker's config.json, the usual socket |
//! | podman | `--host`, `$CONTAINER_HOST`, the user's socket, the system's |
//!
//! TLS for what an option or `$DOCKER_HOST` names is by `$DOCKER_TLS_VERIFY` and `$DOCKER_CERT_PATH`; a context has files of its own
//! (docker/cli `cli/context/store`).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::address::{Address, AddressError};
use crate::config::Environment;
use crate::foreign::shown;
use crate::image::Digest;
use crate::registry::docker_config_path;

/// Docker's socket.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// The context that docker has without any settings.
const DEFAULT_CONTEXT: &str = "default";

/// A daemon's address, and whom to believe there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// The TLS files; none for plain connections.
    pub tls: Option<TlsFiles>,
}

/// PEM files of a TLS connection, as docker names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// `ca.pem`: the one CA that is believed; without it the system's are.
    pub ca: Option<PathBuf>,
    /// `cert.pem` and `key.pem`: who we are.
    pub client: Option<(PathBuf, PathBuf)>,
    /// True if the context says that the server is not to be verified.
    pub is_unverified: bool,
}

/// Why no daemon's address was found.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// A text is no address.
    #[error("{setting} names no daemon")]
    Address {
        /// Whose text it is.
        setting: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// There is no such context.
    #[error("docker has no context `{}`", shown(.name))]
    NoContext {
        /// Its name.
        name: String,
    },
    /// A context that has no docker endpoint, such as one for Kubernetes.
    #[error("docker's context `{}` names no daemon", shown(.name))]
    NoDaemon {
        /// Its name.
        name: String,
    },
    /// A file of docker's settings can't be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no folder for docker's settings.
    #[error("there is no folder of docker's settings: neither HOME nor DOCKER_CONFIG is set")]
    NoFolder,
}

impl Endpoint {
    /// A socket on this machine.
    pub fn socket(path: impl Into<PathBuf>) -> Self {
        Self { address: Address::Unix(path.into()), tls: None }
    }

    /// Docker, as its own client would find it.
    pub fn of_docker(
        host: Option<&str>,
        context: Option<&str>,
        environment: &Environment,
    ) -> Result<Self, EndpointError> {
        match (host, context) {
            (Some(host), _) => Self::of_docker_host("--host", host, environment),
            (None, Some(context)) => Self::of_context(context, environment),
            (None, None) => match environment.text("DOCKER_HOST") {
                Some(host) => Self::of_docker_host("DOCKER_HOST", host, environment),
                None => match current_context(environment)? {
                    Some(context) => Self::of_context(&context, environment),
                    None => Ok(Self::usual_docker(environment)),
                },
            },
        }
    }

    /// Podman, as its own remote client would find it, but for `podman system connection`.
    pub fn of_podman(host: Option<&str>, environment: &Environment) -> Result<Self, EndpointError> {
        let named = |setting: &str, text: &str| Ok(Self { address: address(setting, text)?, tls: None });
        match (host, environment.text("CONTAINER_HOST")) {
            (Some(host), _) => named("--host", host),
            (None, Some(host)) => named("CONTAINER_HOST", host),
            (None, None) => Ok(Self::socket(podman_socket(environment))),
        }
    }

    /// Podman's socket, if nothing names a daemon, docker's is not there and podman's is.
    pub fn of_podman_alone(environment: &Environment) -> Option<Self> {
        let is_named = ["DOCKER_HOST", "DOCKER_CONTEXT"].iter().any(|name| environment.text(name).is_some())
            || !matches!(current_context(environment), Ok(None));
        let Address::Unix(docker) = Self::usual_docker(environment).address else { return None };
        if is_named || docker.exists() {
            return None;
        }
        Some(podman_socket(environment)).filter(|socket| socket.exists()).map(Self::socket)
    }

    /// True if the daemon is on this machine, as far as the address tells.
    pub fn is_local(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    /// True if what it pushes to this machine's loopback comes here, as far as the address tells.
    pub fn shares_loopback(&self) -> bool {
        match &self.address {
            Address::Unix(_) => true,
            Address::Tcp { host, .. } => {
                let host = host.trim_matches(['[', ']']);
                host == "localhost"
                    || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
            Address::Ssh(_) => false,
        }
    }

    fn of_docker_host(setting: &str, text: &str, environment: &Environment) -> Result<Self, EndpointError> {
        let address = address(setting, text)?;
        let asks_tls = environment.text("DOCKER_TLS_VERIFY").is_some();
        let is_https = matches!(address, Address::Tcp { is_https: true, .. });
        let tls = (is_https || asks_tls && matches!(address, Address::Tcp { .. })).then(|| {
            let folder = environment
                .path("DOCKER_CERT_PATH")
                .or_else(|| Some(docker_config_path(environment)?.parent()?.to_owned()));
            folder.map(|folder| TlsFiles::of_folder(&folder)).unwrap_or_default()
        });
        Ok(Self { address, tls })
    }

    fn of_context(name: &str, environment: &Environment) -> Result<Self, EndpointError> {
        if name == DEFAULT_CONTEXT {
            return match environment.text("DOCKER_HOST") {
                Some(host) => Self::of_docker_host("DOCKER_HOST", host, environment),
                None => Ok(Self::usual_docker(environment)),
            };
        }
        let config = docker_config_path(environment).ok_or(EndpointError::NoFolder)?;
        let contexts = config.with_file_name("contexts");
        let id = Digest::of(name.as_bytes());
        let meta = contexts.join("meta").join(id.hex()).join("meta.json");
        let Some(Context { endpoints }) = read(&meta)? else {
            return Err(EndpointError::NoContext { name: name.to_owned() });
        };
        let Some(docker) = endpoints.docker.filter(|docker| !docker.host.is_empty()) else {
            return Err(EndpointError::NoDaemon { name: name.to_owned() });
        };
        let address = address(&format!("docker's context `{}`", shown(name)), &docker.host)?;
        let files = TlsFiles::of_folder(&contexts.join("tls").join(id.hex()).join("docker"));
        let files = TlsFiles { is_unverified: docker.skip_tls_verify, ..files };
        let is_tls = matches!(address, Address::Tcp { is_https: true, .. })
            || matches!(address, Address::Tcp { .. }) && files != TlsFiles::default();
        Ok(Self { address, tls: is_tls.then_some(files) })
    }

    /// Docker's socket; that of the user's own docker where it alone is there.
    fn usual_docker(environment: &Environment) -> Self {
        let rootless = environment.path("XDG_RUNTIME_DIR").map(|folder| folder.join("docker.sock"));
        let alone = rootless.filter(|socket| !Path::new(DOCKER_SOCKET).exists() && socket.exists());
        Self::socket(alone.unwrap_or_else(|| DOCKER_SOCKET.into()))
    }
}

impl TlsFiles {
    /// Those that are there.
    fn of_folder(folder: &Path) -> Self {
        let file = |name: &str| Some(folder.join(name)).filter(|file| file.is_file());
        Self { ca: file("ca.pem"), client: file("cert.pem").zip(file("key.pem")), is_unverified: false }
    }
}

/// Podman's socket: the user's, or the system's where that alone is there.
fn podman_socket(environment: &Environment) -> PathBuf {
    let below = |folder: PathBuf| folder.join("podman/podman.sock");
    let (system, users) = (below("/run".into()), environment.path("XDG_RUNTIME_DIR").map(below));
    let users = users.filter(|users| users.exists() || !system.exists());
    users.unwrap_or(system)
}

fn address(setting: &str, text: &str) -> Result<Address, EndpointError> {
    Address::parse(text).map_err(|source| EndpointError::Address { setting: setting.to_owned(), source })
}

/// The context that docker's client is in; none for its default.
fn current_context(environment: &Environment) -> Result<Option<String>, EndpointError> {
    let named = match environment.text("DOCKER_CONTEXT") {
        Some(name) => Some(name.to_owned()),
        None => match docker_config_path(environment) {
            Some(path) => read(&path)?.and_then(|config: DockerConfig| config.current_context),
            None => None,
        },
    };
    Ok(named.filter(|name| !name.is_empty() && name != DEFAULT_CONTEXT))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    current_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<DockerEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEndpoint {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// A JSON file of docker's; none if there is no such file.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, EndpointError> {
    let failed = |source| EndpointError::File { path: path.to_owned(), source };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            // Its text may repeat a secret that stands there.
            let place = format!("it is not valid at line {}, column {}", error.line(), error.column());
            failed(std::io::Error::new(ErrorKind::InvalidData, place))
        }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use std::fs;

    use super::*;

    /// A home with a context `far` that has TLS files, and `kube` that names no daemon.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let contexts = home.path().join(".docker/contexts");
        for (name, meta) in [
            (
                "far",
                r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far.example:2376","SkipTLSVerify":false}}}"#,
            ),
            ("kube", r#"{"Name":"kube","Endpoints":{"kubernetes":{"Host":"https://k"}}}"#),
            ("ssh", r#"{"Name":"ssh","Endpoints":{"docker":{"Host":"ssh://me@far.example"}}}"#),
        ] {
            let id = Digest::of(name.as_bytes());
            let (meta_folder, tls) =
                (contexts.join("meta").join(id.hex()), contexts.join("tls").join(id.hex()));
            fs::create_dir_all(&meta_folder).unwrap();
            fs::write(meta_folder.join("meta.json"), meta).unwrap();
            fs::create_dir_all(tls.join("docker")).unwrap();
            if name == "far" {
                for file in ["ca.pem", "cert.pem", "key.pem"] {
                    fs::write(tls.join("docker").join(file), "").unwrap();
                }
            }
        }
        home
    }

    fn environment(home: &Path, variables: &[(&str, &str)]) -> Environment {
        let home = [("HOME", home.to_str().unwrap())];
        home.iter().chain(variables).map(|(name, value)| (*name, *value)).collect()
    }

    #[test]
    fn docker_is_found_as_its_own_client_finds_it() {
        let home = home();
        let found = |variables: &[(&str, &str)], host, context| {
            let environment = environment(home.path(), variables);
            Endpoint::of_docker(host, context, &environment).map(|found| found.address.to_string())
        };
        let is = |found: Result<String, EndpointError>, address: &str| assert_eq!(found.unwrap(), address);
        let host = ("DOCKER_HOST", "tcp://env.example:2375");
        is(found(&[], Some("unix:///x.sock"), None), "unix:///x.sock");
        is(found(&[host], Some("unix:///x.sock"), None), "unix:///x.sock");
        is(found(&[host, ("DOCKER_CONTEXT", "far")], None, None), "tcp://env.example:2375");
        is(found(&[host], None, Some("far")), "tcp://far.example:2376");
        is(found(&[host], None, Some("default")), "tcp://env.example:2375");
        is(found(&[("DOCKER_CONTEXT", "ssh")], None, None), "ssh://me@far.example");
        fs::write(home.path().join(".docker/config.json"), r#"{"currentContext":"far"}"#).unwrap();
        is(found(&[], None, None), "tcp://far.example:2376");
        is(found(&[("DOCKER_CONTEXT", "default")], None, Some("ssh")), "ssh://me@far.example");
        assert!(matches!(found(&[], None, Some("nope")), Err(EndpointError::NoContext { .. })));
        assert!(matches!(found(&[], None, Some("kube")), Err(EndpointError::NoDaemon { .. })));
        fs::write(home.path().join(".docker/config.json"), r#"{"auths": hunter2"#).unwrap();
        let error = found(&[], None, None).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("line 1") && !cause.contains("hunter2"), "{cause}");
    }

    #[test]
    fn tls_is_where_docker_has_it() {
        let home = home();
        let tls = |variables: &[(&str, &str)], host, context| {
            let environment = environment(home.path(), variables);
            Endpoint::of_docker(host, context, &environment).unwrap().tls
        };
        let folder = home.path().join(".docker/contexts/tls").join(Digest::of(b"far").hex()).join("docker");
        let files = TlsFiles {
            ca: Some(folder.join("ca.pem")),
            client: Some((folder.join("cert.pem"), folder.join("key.pem"))),
            is_unverified: false,
        };
        assert_eq!(tls(&[], None, Some("far")).as_ref(), Some(&files));
        assert_eq!(tls(&[], Some("tcp://x"), None), None);
        assert_eq!(tls(&[("DOCKER_TLS_VERIFY", "1")], Some("tcp://x"), None), Some(TlsFiles::default()));
        let verify = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", folder.to_str().unwrap())];
        assert_eq!(tls(&verify, Some("tcp://x"), None), Some(files));
        assert_eq!(tls(&verify, Some("unix:///x"), None), None);
        assert_eq!(tls(&verify[1..], Some("tcp://x"), None), None);
    }

    #[test]
    fn podman_is_found_by_its_variable_and_its_sockets() {
        let home = home();
        let found = |variables: &[(&str, &str)], host| {
            let environment = environment(home.path(), variables);
            Endpoint::of_podman(host, &environment).unwrap().address.to_string()
        };
        assert_eq!(found(&[("CONTAINER_HOST", "unix:///c.sock")], None), "unix:///c.sock");
        assert_eq!(found(&[("CONTAINER_HOST", "unix:///c.sock")], Some("unix:///x")), "unix:///x");
        let runtime = home.path().join("run");
        fs::create_dir_all(runtime.join("podman")).unwrap();
        fs::write(runtime.join("podman/podman.sock"), "").unwrap();
        let variables = [("XDG_RUNTIME_DIR", runtime.to_str().unwrap())];
        let users = format!("unix://{}/podman/podman.sock", runtime.display());
        assert_eq!(found(&variables, None), users);
    }
}
