//! Where a container's own layer is on this disk: the directory above its image's.
//!
//! ```text
//! overlay2    inspect ──▶ GraphDriver.Data.UpperDir ──── and layerdb says that it is this container's
//! overlayfs   the container's ID ──meta.db, metadata.db──▶ snapshots/<number>/fs      (Docker's containerd image store)
//!             its first process ──mount table──▶ upperdir                    (should its containerd be somewhere else)
//! ```
//!
//! Threats: the daemon may see other files than this process (a virtual machine, a container), so its word on a path is
//! held against what is there before anything is done to it.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ContainerLayerError;
use super::mounts::{Overlay, overlays};
use crate::containerd_store::{Root, Snapshots, StoreError};
use crate::daemon::{Container, Info};
use crate::layer_file::Metadata;

/// Docker's graph driver on overlayfs.
const GRAPH_DRIVER: &str = "overlay2";
/// containerd's snapshotter on overlayfs.
const SNAPSHOTTER: &str = "overlayfs";
/// Where Docker keeps its containers in containerd, unless told otherwise.
const NAMESPACE: &str = "moby";
/// The root of a containerd that is not Docker's own.
const SYSTEMS_CONTAINERD: &str = "/var/lib/containerd";

/// True for what keeps layers as the kernel's overlayfs has them: both put the same into their directories.
pub(super) fn is_overlayfs(driver: &str) -> bool {
    driver == GRAPH_DRIVER || driver == SNAPSHOTTER
}

/// The driver that kept a file's layer. What made files of version 1.0 knew none but Docker's.
pub(super) fn driver_of(metadata: &Metadata) -> &str {
    match metadata.docker_info.driver.as_str() {
        "" if metadata.version == "1.0" => GRAPH_DRIVER,
        driver => driver,
    }
}

/// The directory of a container's own layer. Blocks.
pub(super) fn upper_directory(container: &Container, info: &Info) -> Result<PathBuf, ContainerLayerError> {
    match (container.driver.as_str(), &container.upper_dir) {
        (GRAPH_DRIVER, Some(path)) if is_of(container, path, info) => Ok(path.clone()),
        (GRAPH_DRIVER, Some(path)) => Err(ContainerLayerError::NotHere { path: path.clone() }),
        (SNAPSHOTTER, None) => match snapshot_of(container, info) {
            Err(error) => of_process(container).ok_or(error),
            found => found,
        },
        _ => Err(ContainerLayerError::Driver {
            name: container.name.clone(),
            driver: container.driver.clone(),
        }),
    }
}

/// Is the directory there, and does Docker's own book say that it is this container's?
fn is_of(container: &Container, path: &Path, info: &Info) -> bool {
    let books = info.root_dir.join("image").join(GRAPH_DRIVER).join("layerdb/mounts");
    let folder = path.parent().and_then(Path::file_name);
    let booked = fs::read_to_string(books.join(&container.id).join("mount-id"));
    is_directory(path) && booked.is_ok_and(|name| folder.is_some_and(|folder| *folder == *name))
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// Docker's own containerd is asked first, then the system's.
fn snapshot_of(container: &Container, info: &Info) -> Result<PathBuf, ContainerLayerError> {
    let namespace = info.containerd_namespace.as_deref().unwrap_or(NAMESPACE);
    let looked = vec![info.root_dir.join("containerd/daemon"), SYSTEMS_CONTAINERD.into()];
    let mut first_error = None;
    for path in &looked {
        match snapshot_in(path, namespace, &container.id) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) | Err(StoreError::NotARoot { .. }) => {}
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let name = container.name.clone();
    Err(first_error.map_or(ContainerLayerError::NoSnapshot { name, looked }, Into::into))
}

fn snapshot_in(root: &Path, namespace: &str, id: &str) -> Result<Option<PathBuf>, StoreError> {
    let root = Root::open(root)?;
    let Some(snapshots) = Snapshots::open(&root)? else { return Ok(None) };
    snapshots.of_container(&root, namespace, id)
}

/// What the first process of a container that lives has as its root.
fn of_process(container: &Container) -> Option<PathBuf> {
    let process = Path::new("/proc").join(container.state.pid.to_string());
    // The number may be another process's here.
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    if container.state.pid == 0 || !groups.contains(&container.id) {
        return None;
    }
    let table = fs::read(process.join("mountinfo")).ok()?;
    let root = overlays(&table).into_iter().find(|overlay| overlay.at == Path::new("/"))?;
    Some(root.upper).filter(|upper| is_directory(upper))
}

/// Where the directory is mounted as the upper one of an overlay, as far as this process sees. Blocks.
pub(super) fn mounted_at(upper: &Path) -> Option<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").ok()?;
    overlays(&table).into_iter().find(|overlay: &Overlay| overlay.upper == upper).map(|overlay| overlay.at)
}
