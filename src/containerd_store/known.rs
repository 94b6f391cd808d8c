//! Where containerd roots are on most machines.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::StoreError;
use super::root::{META_DB, Root};
use super::system::System;
use crate::config::Environment;
use crate::fsio::{Links, open_regular};

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
/// So much of them is read.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
struct DockersSettings {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
}

/// The root that is meant: `path` itself, or the one below it, should that be where another system's disk is mounted;
/// without a path that of this machine. On another's disk links lead to what is on that disk, never to this machine's
/// files; a root that is named itself is one of this machine, wherever it lies.
pub fn find_root(path: Option<&Path>, environment: &Environment) -> Result<Root, StoreError> {
    let Some(path) = path else { return Root::open(&only(roots_here(environment), StoreError::NoRoot)?) };
    if is_root(path) {
        return Root::open(path);
    }
    let system = System::at(path);
    let none = StoreError::NotARoot { path: path.to_owned() };
    Root::open_of(&system, &only(roots_of(&system, path)?, none)?)
}

fn only(mut roots: Vec<PathBuf>, none: StoreError) -> Result<PathBuf, StoreError> {
    match roots.pop() {
        None => Err(none),
        Some(only) if roots.is_empty() => Ok(only),
        Some(last) => {
            roots.push(last);
            Err(StoreError::SeveralRoots { roots })
        }
    }
}

/// The containerd roots of the system whose files are below `path`, without links.
fn roots_of(system: &System, path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let settings = system.resolved(&path.join(DOCKERS_SETTINGS))?;
    let mut roots: Vec<PathBuf> = Vec::new();
    for root in usual_below(path, &settings) {
        let root = system.resolved(&root)?;
        if is_root_with(&system.resolved(&root.join(META_DB))?) && !roots.contains(&root) {
            roots.push(root);
        }
    }
    Ok(roots)
}

/// Those of this machine, the user's own rootless ones too.
fn roots_here(environment: &Environment) -> Vec<PathBuf> {
    let system = Path::new("/");
    let mut roots = usual_below(system, &system.join(DOCKERS_SETTINGS));
    let in_home = || environment.path("HOME").map(|home| home.join(".local/share"));
    if let Some(data) = environment.path("XDG_DATA_HOME").or_else(in_home) {
        roots.extend([data.join("containerd"), data.join("docker").join(IN_DOCKERS)]);
    }
    roots.retain(|root| is_root(root));
    roots
}

/// Where roots usually are below a system's own root; Docker's is where its settings say.
fn usual_below(system: &Path, dockers_settings: &Path) -> Vec<PathBuf> {
    let mut roots: Vec<_> = ROOTS.iter().map(|root| system.join(root)).collect();
    let data_root = docker_data_root(dockers_settings);
    let data_root = data_root.as_deref().map_or(DOCKERS, |path| path.trim_start_matches('/'));
    roots.insert(1, system.join(data_root).join(IN_DOCKERS));
    roots
}

fn is_root(path: &Path) -> bool {
    is_root_with(&path.join(META_DB))
}

/// True if containerd's metadata is there, or nobody may look.
fn is_root_with(meta_db: &Path) -> bool {
    match meta_db.try_exists() {
        Ok(is_there) => is_there,
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

/// Docker's data root, where its settings name one.
fn docker_data_root(settings: &Path) -> Option<String> {
    let file = open_regular(settings, Links::Follow).ok()?;
    let mut text = Vec::new();
    file.take(MAX_SETTINGS_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice::<DockersSettings>(&text).ok()?.data_root
}
