//! Where containerd roots are on most machines.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::StoreError;
use super::root::META_DB;
use crate::config::Environment;

/// From the root of the file system: containerd's own, k3s, RKE2, `MicroK8s`, k0s.
const ROOTS: [&str; 5] = [
    "var/lib/containerd",
    "var/lib/rancher/k3s/agent/containerd",
    "var/lib/rancher/rke2/agent/containerd",
    "var/snap/microk8s/common/var/lib/containerd",
    "var/lib/k0s/containerd",
];
/// In Docker's data root.
const IN_DOCKERS: &str = "containerd/daemon";
const DOCKERS: &str = "var/lib/docker";
const DOCKERS_SETTINGS: &str = "etc/docker/daemon.json";

#[derive(Deserialize)]
struct DockersSettings {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
}

/// The root that is meant: `path` itself, or the one below it, should that be where another system's disk is mounted;
/// without a path that of this machine.
pub fn find_root(path: Option<&Path>, environment: &Environment) -> Result<PathBuf, StoreError> {
    let roots = match path {
        Some(path) if is_root(path) => return Ok(path.to_owned()),
        Some(path) => roots_below(path),
        None => roots_here(environment),
    };
    match (&roots[..], path) {
        ([root], _) => Ok(root.clone()),
        ([], Some(path)) => Err(StoreError::NotARoot { path: path.to_owned() }),
        ([], None) => Err(StoreError::NoRoot),
        _ => Err(StoreError::SeveralRoots { roots }),
    }
}

/// The containerd roots of the system whose files are below `system`: `/`, or where the disk of another is mounted.
fn roots_below(system: &Path) -> Vec<PathBuf> {
    let mut roots: Vec<_> = ROOTS.iter().map(|root| system.join(root)).collect();
    roots.insert(1, docker_below(system).join(IN_DOCKERS));
    roots.retain(|root| is_root(root));
    roots
}

/// Those of this machine, the user's own rootless ones too.
fn roots_here(environment: &Environment) -> Vec<PathBuf> {
    let mut roots = roots_below(Path::new("/"));
    let in_home = || environment.path("HOME").map(|home| home.join(".local/share"));
    if let Some(data) = environment.path("XDG_DATA_HOME").or_else(in_home) {
        let users = [data.join("containerd"), data.join("docker").join(IN_DOCKERS)];
        roots.extend(users.into_iter().filter(|root| is_root(root)));
    }
    roots
}

/// True if the folder has containerd's metadata, or nobody may look.
fn is_root(path: &Path) -> bool {
    match path.join(META_DB).try_exists() {
        Ok(is_there) => is_there,
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

/// Docker's data root, by its settings.
fn docker_below(system: &Path) -> PathBuf {
    let settings = fs::read(system.join(DOCKERS_SETTINGS)).ok();
    let settings: Option<DockersSettings> = settings.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let data_root = settings.and_then(|settings| settings.data_root);
    let data_root = data_root.as_deref().map_or(DOCKERS, |path| path.trim_start_matches('/'));
    system.join(data_root)
}
