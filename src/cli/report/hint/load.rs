//! What to do next where an archive did not get into a daemon.

use sealift::daemon::address::Address;
use sealift::daemon::{DaemonError, EndpointError, Why};
use sealift::load::LoadError;
use sealift::registry::Failure as Connection;

use crate::cli::ui;

pub(super) fn endpoint(error: &EndpointError) -> &'static str {
    match error {
        EndpointError::Address { .. } => {
            "write `unix:///PATH`, `tcp://HOST:PORT` or `ssh://USER@HOST`; ssh asks for passwords by itself"
        }
        EndpointError::NoContext { .. } => "`docker context ls` shows which there are",
        EndpointError::NoDaemon { .. } => {
            "name the daemon with `--host`, or another context with `--context`"
        }
        EndpointError::File { .. } | EndpointError::NoFolder => "name the daemon with `--host`",
    }
}

pub(super) fn daemon(error: &DaemonError) -> Option<String> {
    if error.is_of_full_disk() {
        return Some("make room on the daemon's disk (`docker system df` shows what takes it), and run the same command again".into());
    }
    let hint = match error {
        DaemonError::Unreachable { daemon, address, why, .. } => {
            return Some(unreachable(daemon, address, *why));
        }
        DaemonError::NoWay { .. } => {
            "try it by itself: `ssh HOST docker version`; docker has to be installed there, for that user"
        }
        DaemonError::Setup { address, .. } if address.starts_with("ssh:") => {
            "ssh is taken as it is installed: `ssh://` needs the program `ssh`"
        }
        DaemonError::TlsFiles(_) => {
            "they are in DOCKER_CERT_PATH, or else with docker's context or in ~/.docker"
        }
        DaemonError::Answered { status: 400, source: Some(said), .. }
            if said.to_string().contains("HTTPS") =>
        {
            "where the daemon wants TLS, set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder of ca.pem, cert.pem \
             and key.pem"
        }
        DaemonError::Stranger { .. } => "check host and port",
        DaemonError::Refused { said, .. }
            if said.contains("invalid tar header") || said.contains("unsupported") =>
        {
            "Docker before 23 takes no zstd: pull the image again without `--layers keep`"
        }
        DaemonError::Refused { said, .. } if said.contains("max depth exceeded") => {
            "Docker's graph driver takes at most 125 layers; its containerd image store takes more"
        }
        DaemonError::NotPushed { said, .. } if said.contains("HTTP response to HTTPS client") => {
            "let the daemon push without TLS to the address of `--listen`: `insecure-registries` in its daemon.json"
        }
        DaemonError::Interrupted { .. } => {
            "the daemon's log tells more (`journalctl -u docker`); then run the same command again"
        }
        DaemonError::NoCtr => {
            "it comes with containerd (RKE2 has it in /var/lib/rancher/rke2/bin); docker is chosen unless another is named"
        }
        DaemonError::NoContainerd(_) => "start it, or name its socket with `--address SOCKET`",
        DaemonError::ContainerdUnreachable { said, .. } if said.contains("permission denied") => {
            "containerd's socket is for root: run it with sudo"
        }
        DaemonError::ContainerdUnreachable { .. } => {
            "start containerd, or name its socket with `--address SOCKET`; without root's rights it stays silent"
        }
        _ => return None,
    };
    Some(hint.into())
}

fn unreachable(daemon: &str, address: &str, why: Why) -> String {
    let is_podman = daemon == "podman";
    let is_socket = matches!(Address::parse(address), Ok(Address::Unix(_)));
    match why {
        Why::NotAllowed if is_podman => "podman's system socket is for root: run it with sudo".into(),
        Why::NotAllowed => {
            "run it with sudo, or as a user of the group `docker` (`sudo usermod -aG docker $USER`, and log in again)"
                .into()
        }
        _ if is_podman && is_socket => {
            "start its service (`systemctl enable --now podman.socket`, with `--user` for your own), or name it with \
             `--host`"
                .into()
        }
        _ if is_socket => {
            "is docker running? `systemctl start docker` starts it; `--host` names another; `load` and `grab` reach podman and \
             containerd, too: see their `--help`"
                .into()
        }
        Why::Connection(Connection::Certificate) => {
            "the CA that signed the daemon's certificate has to be in ca.pem, in DOCKER_CERT_PATH or with docker's context"
                .into()
        }
        Why::Connection(Connection::ClientCertificate) => {
            "the daemon wants cert.pem and key.pem, in DOCKER_CERT_PATH or with docker's context".into()
        }
        Why::Connection(Connection::PlainHttp) => {
            "the daemon speaks without TLS there: unset DOCKER_TLS_VERIFY, or give its other port".into()
        }
        _ => "check host and port, and that the daemon listens there".into(),
    }
}

pub(super) fn load(error: &LoadError) -> Option<String> {
    let hint = match error {
        LoadError::OtherPlatform { wanted, .. } => format!(
            "pull it again with `--platform {}`; `--any-platform` loads it as it is",
            ui::shell_word(wanted.to_string().as_ref())
        ),
        LoadError::NoRoom { size_bytes, free_bytes, .. } => {
            format!(
                "free {} there, e.g. with `docker image prune`",
                ui::size(size_bytes.saturating_sub(*free_bytes))
            )
        }
        LoadError::Nameless { .. } => "pull it by a tag, e.g. `NAME:TAG@sha256:…`, which names it".into(),
        LoadError::Missing { .. } | LoadError::Another { .. } => {
            "run the same command again; if this repeats, the daemon's log tells more".into()
        }
        _ => return None,
    };
    Some(hint)
}
