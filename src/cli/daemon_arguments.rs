//! The options by which a daemon is chosen, the same for what goes into one and what comes out of one.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sealift::config::Environment;
use sealift::daemon::address::Address;
use sealift::daemon::{Ctr, Daemon, Endpoint, Engine, Maker};

use super::report::Failure;

#[derive(Args)]
pub(super) struct DaemonArguments {
    /// Where docker or podman is: unix:///PATH, tcp://HOST:PORT, ssh://USER@HOST
    #[arg(short = 'H', long, value_name = "URL", conflicts_with_all = ["context", "address", "namespace"])]
    host: Option<String>,
    /// The docker context to take
    #[arg(long, value_name = "NAME", conflicts_with_all = ["address", "namespace"])]
    context: Option<String>,
    /// containerd's socket [env: CONTAINERD_ADDRESS]
    #[arg(long, value_name = "SOCKET")]
    address: Option<PathBuf>,
    /// containerd's namespace, `k8s.io` for Kubernetes [env: CONTAINERD_NAMESPACE] [default: default]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

/// Whose daemon is meant.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DaemonKind {
    Docker,
    Podman,
    Containerd,
}

/// Which option says whose daemon is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// `--to`
    To,
    /// `--from`
    From,
}

impl Direction {
    fn misuse(self, to: &'static str, from: &'static str) -> Failure {
        match self {
            Self::To => Failure::LoadUsage(to),
            Self::From => Failure::GrabUsage(from),
        }
    }
}

/// The way to a daemon.
pub(super) enum Way {
    Engine(Endpoint, Maker),
    Containerd { address: Option<PathBuf>, namespace: Option<String> },
}

impl Way {
    /// Reaches the daemon.
    pub(super) async fn connect(&self, environment: &Environment) -> Result<Daemon, Failure> {
        match self {
            Self::Engine(endpoint, maker) => {
                let engine = Engine::connect(endpoint, *maker, environment).await?;
                Ok(Daemon::Engine(Box::new(engine)))
            }
            Self::Containerd { address, namespace } => {
                let ctr = Ctr::connect(address.clone(), namespace.clone(), environment).await?;
                Ok(Daemon::Containerd(Box::new(ctr)))
            }
        }
    }

    /// The daemon's address, if it is on another machine.
    pub(super) fn elsewhere(&self) -> Option<&Address> {
        match self {
            Self::Engine(endpoint, _) if !endpoint.shares_loopback() => Some(&endpoint.address),
            _ => None,
        }
    }
}

impl DaemonArguments {
    /// The way to the daemon that is meant.
    pub(super) fn find(
        &self,
        kind: Option<DaemonKind>,
        direction: Direction,
        environment: &Environment,
    ) -> Result<Way, Failure> {
        let is_of_containerd = self.address.is_some() || self.namespace.is_some();
        if is_of_containerd && kind != Some(DaemonKind::Containerd) {
            return Err(direction.misuse(
                "`--address` and `--namespace` go with `--to containerd`",
                "`--address` and `--namespace` go with `--from containerd`",
            ));
        }
        if self.context.is_some() && kind.is_some_and(|kind| kind != DaemonKind::Docker) {
            let words = "`--context` is one of docker's";
            return Err(direction.misuse(words, words));
        }
        let host = self.host.as_deref();
        let (endpoint, maker) = match kind {
            Some(DaemonKind::Containerd) if host.is_some() => {
                return Err(direction.misuse(
                    "`--to containerd` takes `--address SOCKET`, not `--host`",
                    "`--from containerd` takes `--address SOCKET`, not `--host`",
                ));
            }
            Some(DaemonKind::Containerd) => {
                let (address, namespace) = (self.address.clone(), self.namespace.clone());
                return Ok(Way::Containerd { address, namespace });
            }
            Some(DaemonKind::Podman) => (Endpoint::of_podman(host, environment)?, Maker::Podman),
            None if host.is_none() && self.context.is_none() => {
                match Endpoint::of_podman_alone(environment) {
                    Some(endpoint) => (endpoint, Maker::Podman),
                    None => (Endpoint::of_docker(None, None, environment)?, Maker::Docker),
                }
            }
            Some(DaemonKind::Docker) | None => {
                (Endpoint::of_docker(host, self.context.as_deref(), environment)?, Maker::Docker)
            }
        };
        Ok(Way::Engine(endpoint, maker))
    }
}
