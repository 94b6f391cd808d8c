//! Where a container's own layer is on this disk: the directory above its image's, and those.
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
use std::os::unix::fs::MetadataExt;
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

/// The directories that a container's files are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directories {
    /// The container's own.
    pub(super) upper: PathBuf,
    /// Its image's, the highest first.
    pub(super) below: Vec<PathBuf>,
}

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

/// The directories of a container. Blocks.
pub(super) fn directories(container: &Container, info: &Info) -> Result<Directories, ContainerLayerError> {
    match (container.driver.as_str(), &container.upper_dir) {
        (GRAPH_DRIVER, Some(path)) if is_of(container, path, info) => {
            Ok(Directories { upper: path.clone(), below: container.lower_dirs.clone() })
        }
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
fn snapshot_of(container: &Container, info: &Info) -> Result<Directories, ContainerLayerError> {
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

fn snapshot_in(root: &Path, namespace: &str, id: &str) -> Result<Option<Directories>, StoreError> {
    let root = Root::open(root)?;
    let Some(snapshots) = Snapshots::open(&root)? else { return Ok(None) };
    let found = snapshots.of_container(&root, namespace, id)?;
    Ok(found.map(|(upper, below)| Directories { upper, below }))
}

/// What the first process of a container that lives has as its root.
fn of_process(container: &Container) -> Option<Directories> {
    let process = Path::new("/proc").join(container.state.pid.to_string());
    // The number may be another process's here.
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    if container.state.pid == 0 || !groups.contains(&container.id) {
        return None;
    }
    let table = fs::read(process.join("mountinfo")).ok()?;
    let Overlay { upper, below, .. } =
        overlays(&table).into_iter().find(|overlay| overlay.at == Path::new("/"))?;
    let beside = folder_of_layers(&upper)?;
    let below = below.into_iter().map(|path| beside.join(path)).collect();
    is_directory(&upper).then_some(Directories { upper, below })
}

/// Where the directory is mounted as the upper one of an overlay, as far as this process sees. Blocks.
pub(super) fn mounted_at(upper: &Path) -> Option<PathBuf> {
    mounted_by(&fs::read("/proc/self/mountinfo").ok()?, upper)
}

/// The folder of a driver's layers, to which names are relative where one mounts many of them.
fn folder_of_layers(upper: &Path) -> Option<&Path> {
    upper.parent().map(|folder| folder.parent().unwrap_or(folder))
}

/// A directory may have several names. Where Docker mounts it is always the same, beside the layer.
fn mounted_by(table: &[u8], upper: &Path) -> Option<PathBuf> {
    let (folder, layers) = (upper.parent()?, folder_of_layers(upper)?);
    let is_of = |overlay: &Overlay| {
        let named = layers.join(&overlay.upper);
        overlay.at == folder.join("merged") || named == upper || is_same(&named, upper)
    };
    overlays(table).into_iter().find(is_of).map(|overlay| overlay.at)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let inode = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino()));
    matches!((inode(one), inode(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::*;

    /// A Docker with its root there, and a container of it.
    fn told(root: &Path, driver: &str) -> (Container, Info) {
        let data = if driver == GRAPH_DRIVER {
            format!(r#"{{"UpperDir":"{}/overlay2/ab/diff","LowerDir":"/below"}}"#, root.display())
        } else {
            "null".to_owned()
        };
        let container = format!(
            r#"{{"Id":"4f4f","Name":"/db","State":{{"Status":"exited"}},"GraphDriver":{{"Name":"{driver}","Data":{data}}}}}"#
        );
        let info = format!(r#"{{"DockerRootDir":"{}"}}"#, root.display());
        (serde_json::from_str(&container).unwrap(), serde_json::from_str(&info).unwrap())
    }

    #[test]
    fn a_directory_that_docker_has_not_booked_for_the_container_is_not_believed() {
        let root = tempfile::tempdir().unwrap();
        let (container, info) = told(root.path(), GRAPH_DRIVER);
        let upper = || directories(&container, &info);
        let is_not_here = || matches!(upper(), Err(ContainerLayerError::NotHere { .. }));
        assert!(is_not_here(), "a virtual machine's");
        let (book, diff) =
            (root.path().join("image/overlay2/layerdb/mounts/4f4f"), root.path().join("overlay2/ab/diff"));
        fs::create_dir_all(&diff).unwrap();
        assert!(is_not_here(), "there by chance");
        fs::create_dir_all(&book).unwrap();
        fs::write(book.join("mount-id"), "cd").unwrap();
        assert!(is_not_here(), "another's");
        fs::write(book.join("mount-id"), "ab").unwrap();
        let below = vec!["/below".into()];
        assert_eq!(upper().unwrap(), Directories { upper: diff.clone(), below });
        fs::rename(&diff, root.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(root.path().join("elsewhere"), &diff).unwrap();
        assert!(is_not_here(), "a link");
    }

    #[test]
    fn what_no_overlayfs_keeps_and_what_no_root_has_is_told() {
        let root = tempfile::tempdir().unwrap();
        let (container, info) = told(root.path(), "vfs");
        assert!(matches!(directories(&container, &info), Err(ContainerLayerError::Driver { .. })));
        let (container, info) = told(root.path(), SNAPSHOTTER);
        let error = directories(&container, &info).unwrap_err();
        let own = root.path().join("containerd/daemon");
        let ContainerLayerError::NoSnapshot { looked, .. } = error else { panic!("{error}") };
        assert_eq!(looked, [own, SYSTEMS_CONTAINERD.into()]);
    }

    #[test]
    fn a_layer_that_is_mounted_is_found_by_whatever_name() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("overlay2");
        let upper = home.join("ab/diff");
        fs::create_dir_all(&upper).unwrap();
        fs::create_dir_all(home.join("cd/diff")).unwrap();
        std::os::unix::fs::symlink(&home, root.path().join("spelled-otherwise")).unwrap();
        let at = |at: &str, upper: &str| {
            let table = format!("90 22 0:50 / {at} rw - overlay overlay rw,lowerdir=l/A,upperdir={upper}\n");
            mounted_by(table.as_bytes(), &home.join("ab/diff")).map(|at| at.display().to_string())
        };
        let (of_it, of_another) = (upper.display().to_string(), home.join("cd/diff").display().to_string());
        assert_eq!(at("/mnt", &of_it).as_deref(), Some("/mnt"));
        assert_eq!(at("/mnt", "ab/diff").as_deref(), Some("/mnt"), "an image of many layers");
        let other = root.path().join("spelled-otherwise/ab/diff").display().to_string();
        assert_eq!(at("/mnt", &other).as_deref(), Some("/mnt"));
        let merged = home.join("ab/merged").display().to_string();
        assert_eq!(at(&merged, "of/another/kernel").as_deref(), Some(&*merged));
        for upper in [&of_another, "cd/diff", "/nowhere"] {
            assert_eq!(at("/mnt", upper), None);
        }
    }
}
