//! Containers, by the Docker Engine API: what one is and where its layer is, and the freezing of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::Method;
use serde::Deserialize;

use super::engine::Engine;
use super::error::DaemonError;

/// What a daemon says of a container (`inspect`).
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Inspected")]
pub struct Container {
    /// Its ID, 64 hex digits.
    pub id: String,
    /// Its name, without the slash that the API puts before it.
    pub name: String,
    /// The image, as it was named when the container was made.
    pub image: String,
    /// The image's ID.
    pub image_id: String,
    /// When it was made, as the daemon writes it.
    pub created: String,
    /// What it does.
    pub state: State,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What is mounted into it from elsewhere.
    pub mounts: Vec<Mount>,
    /// The graph driver or snapshotter that keeps its layer.
    pub driver: String,
    /// What a graph driver calls the layer's directory; a snapshotter says nothing of it.
    pub upper_dir: Option<PathBuf>,
    /// The directories of its image, the highest first, where a graph driver tells them.
    pub lower_dirs: Vec<PathBuf>,
}

/// What a container does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    /// In a word: `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    #[serde(default)]
    pub status: String,
    /// True while its processes live, frozen or not.
    #[serde(default)]
    pub running: bool,
    /// Its first process, 0 without one.
    #[serde(default)]
    pub pid: u32,
    /// When it was last started, as the daemon writes it.
    #[serde(default)]
    pub started_at: String,
}

/// A volume, bind mount or the like.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// `volume`, `bind`, `tmpfs`.
    #[serde(default, rename = "Type")]
    pub kind: String,
    /// A volume's name.
    #[serde(default)]
    pub name: String,
    /// Where it is outside.
    #[serde(default)]
    pub source: String,
    /// Where it is inside.
    #[serde(default)]
    pub destination: String,
    /// Its options.
    #[serde(default)]
    pub mode: String,
    /// True if it can be written.
    #[serde(default, rename = "RW")]
    pub rw: bool,
    /// How mounts below it spread.
    #[serde(default)]
    pub propagation: String,
}

/// What a daemon says of itself and its machine (`info`).
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "InfoAnswer")]
pub struct Info {
    /// Its ID.
    pub id: String,
    /// The machine's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The graph driver or snapshotter.
    pub driver: String,
    /// What the driver says of itself, by names.
    pub driver_status: Vec<(String, String)>,
    /// `linux`.
    pub os_type: String,
    /// The distribution, in words.
    pub operating_system: String,
    /// The kernel's release.
    pub kernel: String,
    /// The machine, as the kernel calls it.
    pub architecture: String,
    /// Where the daemon keeps everything.
    pub root_dir: PathBuf,
    /// Such as `name=rootless`.
    pub security_options: Vec<String>,
    /// containerd's namespace for containers, where the daemon says it.
    pub containerd_namespace: Option<String>,
}

impl Info {
    /// Does it have a security option of this name?
    pub fn has_security_option(&self, name: &str) -> bool {
        let is_it = |option: &String| option.split(',').any(|part| part.strip_prefix("name=") == Some(name));
        self.security_options.iter().any(is_it)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    state: State,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    mounts: Option<Vec<Mount>>,
    graph_driver: Option<GraphDriver>,
    storage: Option<Storage>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    image: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    #[serde(default)]
    name: String,
    data: Option<DriverData>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DriverData {
    upper_dir: Option<PathBuf>,
    /// One after the other, with colons between them.
    lower_dir: Option<String>,
}

/// From Docker 29 on, with containerd's image store.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Storage {
    #[serde(rename = "RootFS")]
    root_fs: Option<RootFs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    snapshot: Option<Snapshot>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Snapshot {
    #[serde(default)]
    name: String,
}

impl From<Inspected> for Container {
    fn from(inspected: Inspected) -> Self {
        let snapshotter = inspected.storage.and_then(|storage| storage.root_fs?.snapshot).map(|one| one.name);
        let (graph_driver, data) = match inspected.graph_driver {
            Some(GraphDriver { name, data }) => (Some(name), data),
            None => (None, None),
        };
        let DriverData { upper_dir, lower_dir } = data.unwrap_or_default();
        let driver = graph_driver.filter(|name| !name.is_empty()).or(snapshotter);
        Self {
            name: inspected.name.strip_prefix('/').unwrap_or(&inspected.name).to_owned(),
            id: inspected.id,
            image: inspected.config.image,
            image_id: inspected.image,
            created: inspected.created,
            state: inspected.state,
            labels: inspected.config.labels.unwrap_or_default(),
            mounts: inspected.mounts.unwrap_or_default(),
            driver: driver.unwrap_or_default(),
            upper_dir,
            lower_dirs: lower_dir.iter().flat_map(|dirs| dirs.split(':')).map(PathBuf::from).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InfoAnswer {
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    server_version: String,
    #[serde(default)]
    driver: String,
    driver_status: Option<Vec<Vec<String>>>,
    #[serde(default, rename = "OSType")]
    os_type: String,
    #[serde(default)]
    operating_system: String,
    #[serde(default)]
    kernel_version: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    docker_root_dir: PathBuf,
    security_options: Option<Vec<String>>,
    containerd: Option<Containerd>,
}

/// From Docker 27.1 on.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Containerd {
    namespaces: Option<Namespaces>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Namespaces {
    containers: Option<String>,
}

impl From<InfoAnswer> for Info {
    fn from(answer: InfoAnswer) -> Self {
        let pair = |status: Vec<String>| {
            let mut words = status.into_iter();
            words.next().zip(words.next())
        };
        let namespaces = answer.containerd.and_then(|containerd| containerd.namespaces);
        Self {
            id: answer.id,
            name: answer.name,
            version: answer.server_version,
            driver: answer.driver,
            driver_status: answer.driver_status.unwrap_or_default().into_iter().filter_map(pair).collect(),
            os_type: answer.os_type,
            operating_system: answer.operating_system,
            kernel: answer.kernel_version,
            architecture: answer.architecture,
            root_dir: answer.docker_root_dir,
            security_options: answer.security_options.unwrap_or_default(),
            containerd_namespace: namespaces
                .and_then(|names| names.containers)
                .filter(|name| !name.is_empty()),
        }
    }
}

impl Engine {
    /// True if it is on this machine, as far as its address tells.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// The container of this name or ID, or whose ID alone begins so; none if there is none.
    pub async fn container(&self, name: &str) -> Result<Option<Container>, DaemonError> {
        let asked = self.request(Method::GET, &format!("containers/{name}/json"), &[]);
        self.connection.json(&format!("tell about the container {name}"), asked).await
    }

    /// What it is and where it runs.
    pub async fn info(&self) -> Result<Info, DaemonError> {
        let asked = self.request(Method::GET, "info", &[]);
        let answer = self.connection.json("tell about itself", asked).await?;
        answer.ok_or_else(|| self.connection.stranger())
    }

    /// Freezes a container that runs.
    pub async fn pause(&self, id: &str) -> Result<(), DaemonError> {
        self.order(id, "pause").await
    }

    /// Lets a frozen container go on.
    pub async fn unpause(&self, id: &str) -> Result<(), DaemonError> {
        self.order(id, "unpause").await
    }

    async fn order(&self, id: &str, order: &'static str) -> Result<(), DaemonError> {
        let asked = self.request(Method::POST, &format!("containers/{id}/{order}"), &[]);
        let action = format!("{order} the container {id}");
        self.connection.ask(&action, asked).await?.ok_or_else(|| self.gone(action)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_drivers_container_says_where_its_layer_is() {
        let container: Container = serde_json::from_str(
            r#"{"Id":"ab","Name":"/db","Image":"sha256:1","State":{"Status":"exited","Running":false},"Mounts":null,
                "Config":{"Image":"postgres:16","Labels":null},
                "GraphDriver":{"Name":"overlay2","Data":{"UpperDir":"/x/diff","LowerDir":"/y/diff:/z/diff"}}}"#,
        )
        .unwrap();
        assert_eq!((container.name.as_str(), container.driver.as_str()), ("db", "overlay2"));
        assert_eq!(container.upper_dir, Some("/x/diff".into()));
        assert_eq!(container.lower_dirs, [PathBuf::from("/y/diff"), "/z/diff".into()]);
    }

    #[test]
    fn a_snapshotters_container_says_which_snapshotter() {
        for storage in [
            r#""GraphDriver":{"Name":"overlayfs","Data":null}"#, // Docker 28.5
            r#""Storage":{"RootFS":{"Snapshot":{"Name":"overlayfs"}}}"#, // Docker 29
        ] {
            let text = format!(r#"{{"Id":"ab","Name":"/db","Image":"sha256:1",{storage}}}"#);
            let container: Container = serde_json::from_str(&text).unwrap();
            assert_eq!((container.driver.as_str(), container.upper_dir), ("overlayfs", None));
            assert!(container.lower_dirs.is_empty());
        }
    }
}
