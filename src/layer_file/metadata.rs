//! `metadata.json`: what a layer file says of itself, of the container it is of, and of the Docker that had that.
//!
//! The keys of version 1.0 are kept, with what they meant there; what version 2.0 has besides is `Option` here, and none in
//! a file of 1.0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::Digest;
use crate::overlay::{MountedBy, Tree};

/// The version that is written here.
pub const VERSION: &str = "2.0";

/// What the caller of [`write`](super::write) knows: all but what the layer turns out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// When the file is made (RFC 3339).
    pub created: String,
    /// The container.
    pub container: ContainerMetadata,
    /// The Docker that has it.
    pub docker: DockerInfo,
    /// The image's platform (`linux/arm64/v8`).
    pub platform: Option<String>,
}

/// `metadata.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// `2.0`; `1.0` in files of layer-tool.
    pub version: String,
    /// When the file was made (RFC 3339).
    pub created: String,
    /// The container.
    pub container_metadata: ContainerMetadata,
    /// The Docker that had it.
    pub docker_info: DockerInfo,
    /// The SHA-256 over paths and contents, in hex digits without `sha256:`, as 1.0 has it.
    pub layer_checksum: String,
    /// True if the file is packed as a whole.
    pub compressed: bool,
    /// The image's platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The file's `layer.tar`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_tar: Option<LayerTar>,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Tree>,
    /// What was in the container and is not in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOutOfFile>,
}

/// The container, as Docker inspected it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMetadata {
    /// Its ID, 64 hex digits.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// The image, as it was named when the container was made.
    pub image: String,
    /// The image's ID (`sha256:…`).
    pub image_id: String,
    /// The same, as 1.0 has it.
    pub image_sha256: String,
    /// The diff IDs of the image's layers, lowest first, by which it is known under another ID, too; 1.0 has no such key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_layers: Vec<Digest>,
    /// When it was made (RFC 3339).
    pub created: String,
    /// `exited`, `created`, `running`, …
    pub state: String,
    /// The state in words.
    pub status: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its volumes and bind mounts, which are not in the file.
    pub mounts: Vec<Mount>,
}

/// A volume or bind mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// `volume`, `bind`, `tmpfs`, …; 1.0 has no such key.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// A volume's name; 1.0 has no such key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it is on the host.
    pub source: String,
    /// Where it is in the container.
    pub destination: String,
    /// Its options.
    pub mode: String,
    /// True if it can be written.
    pub rw: bool,
    /// How mounts below it spread.
    pub propagation: String,
}

/// What Docker said of itself. 1.0 has more keys; these are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerInfo {
    /// Docker's ID.
    pub id: String,
    /// The host's name.
    pub name: String,
    /// The storage driver: `overlay2`, or `overlayfs` with containerd's store.
    pub driver: String,
    /// What the driver says of itself.
    pub driver_status: Vec<(String, String)>,
    /// The host's kernel.
    pub kernel_version: String,
    /// The host's system in words.
    pub operating_system: String,
    /// `linux`.
    pub os_type: String,
    /// `x86_64`, `aarch64`, …
    pub architecture: String,
    /// Docker's version.
    pub server_version: String,
    /// Where Docker keeps its things.
    pub docker_root_dir: String,
    /// Whose numbers owners are: the first user and group of the range with `userns-remap`, `rootless`; none where they are the
    /// host's own. 1.0 has no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_namespace: Option<String>,
}

impl DockerInfo {
    /// Who mounts layers there.
    pub fn mounted_by(&self) -> MountedBy {
        let is_rootless = self.user_namespace.as_deref().is_some_and(|word| word.starts_with("rootless"));
        if is_rootless { MountedBy::User } else { MountedBy::Root }
    }
}

/// The file's `layer.tar`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerTar {
    /// Its digest.
    pub sha256: Digest,
    /// Its size.
    pub size_bytes: u64,
}

/// What was in the container and is not in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutOfFile {
    /// How many sockets.
    pub sockets: u64,
    /// The paths of the first thousand, fit to show.
    pub socket_paths: Vec<String>,
}
