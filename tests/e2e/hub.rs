//! A Docker Hub on loopback: docker-registry that demands tokens, the token server, and nginx with a test CA before
//! both. Commands in its world find it under the names that the real one has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::certificates::{Authority, Certificate, self_signed};
use crate::docker_registry::DockerRegistry;
use crate::host_names::command_with_hosts;
use crate::nginx::{Nginx, server, tls};
use crate::session::session;
use crate::token_server::TokenServer;

const TLS: &str = "127.0.0.2:443";

/// The hub of this session; what it started ends with the session.
pub(crate) struct Hub {
    pub(crate) ca: PathBuf,
    pub(crate) tokens: TokenServer,
    hosts: PathBuf,
    _registry: DockerRegistry,
    _nginx: Nginx,
}

pub(crate) static HUB: LazyLock<Hub> = LazyLock::new(Hub::start);

impl Hub {
    fn start() -> Self {
        let folder = session().work_folder("hub");
        let authority = Authority::new(&folder);
        let certificate = authority.issue("hub", "DNS:registry-1.docker.io,DNS:auth.docker.io");
        let tokens = TokenServer::start(self_signed(&folder, "token", "DNS:auth.docker.io"));
        let access = tokens.access_settings("https://auth.docker.io/token");
        let registry = DockerRegistry::of_the_session(&folder, &access);
        let servers = servers(&certificate, &registry, &tokens);
        let nginx = Nginx::start(&folder, &servers);

        let hosts = folder.join("hosts");
        fs::write(&hosts, "127.0.0.1 localhost\n127.0.0.2 registry-1.docker.io auth.docker.io\n").unwrap();
        Self { ca: authority.certificate().to_owned(), tokens, hosts, _registry: registry, _nginx: nginx }
    }

    /// A command in a mount namespace of its own, where the hub's names are on loopback.
    pub(crate) fn command(&self, program: &Path) -> Command {
        command_with_hosts(&self.hosts, program)
    }
}

fn servers(certificate: &Certificate, registry: &DockerRegistry, tokens: &TokenServer) -> String {
    [("registry-1.docker.io", registry.address.clone()), ("auth.docker.io", tokens.address.to_string())]
        .map(|(name, target)| {
            let settings = format!("server_name {name}; {}", tls(certificate));
            server(&format!("{TLS} ssl"), &settings, &target)
        })
        .concat()
}
