//! Images of a daemon, as it tells of them: what they are made of, and what refers to them.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::engine::Engine;
use super::error::DaemonError;
use super::passing_name::PassingName;
use crate::foreign::shown;
use crate::image::{DiffId, Digest, Document, ImageConfig, Manifest, Platform};

/// The layer of an image of nothing: a tar without entries.
pub(super) const NOTHING: [u8; 1024] = [0; 1024];

/// An image that a daemon has.
#[derive(Clone, Debug)]
pub struct DaemonImage {
    /// What the daemon calls it.
    pub id: Digest,
    /// What the daemon knows it by when it is asked for: a name or its ID.
    pub handle: String,
    /// Its names with tags, but for those that it has for a push.
    pub names: Vec<String>,
    /// True if it has a name for a push, too.
    pub is_being_pushed: bool,
    /// True if a name or digest keeps it.
    pub is_referred_to: bool,
    /// The image that it was built on, where the daemon knows it by an ID of its own (Docker's classic builder).
    pub parent: Option<Digest>,
    /// What it is for.
    pub platform: Platform,
    /// Its layers, lowest first.
    pub diff_ids: Vec<DiffId>,
    /// What its config says of it, by the config's own keys, as far as the daemon tells.
    pub config_fields: BTreeMap<String, Value>,
    /// What it was pulled by, where the daemon tells.
    pub documents: Option<Documents>,
}

impl DaemonImage {
    /// The image, as people know it: its first name, or its ID.
    pub fn shown(&self) -> String {
        self.names.first().map_or_else(|| self.id.to_string(), |name| shown(name))
    }

    /// True if it is what [`Daemon::untag_and_keep`](super::Daemon::untag_and_keep) makes for a moment.
    pub fn is_of_nothing(&self) -> bool {
        matches!(&self.diff_ids[..], [layer] if *layer.digest() == Digest::of(&NOTHING))
    }
}

/// An image's manifest and config, to the byte.
#[derive(Clone, Debug)]
pub struct Documents {
    /// The manifest.
    pub document: Document,
    /// The manifest, read.
    pub manifest: Manifest,
    /// The config.
    pub config: ImageConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: Digest,
    #[serde(default, deserialize_with = "null_as_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    repo_digests: Vec<String>,
    #[serde(default)]
    parent: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
    #[serde(default, rename = "RootFS", deserialize_with = "null_as_default")]
    root_fs: RootFs,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    #[serde(default, deserialize_with = "null_as_default")]
    layers: Vec<DiffId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: Digest,
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// What `inspect` calls the fields of a config that it repeats.
const CONFIG_FIELDS: [(&str, &str); 5] = [
    ("Created", "created"),
    ("Author", "author"),
    ("Config", "config"),
    ("ContainerConfig", "container_config"),
    ("DockerVersion", "docker_version"),
];

impl Inspected {
    fn into_image(mut self) -> DaemonImage {
        let platform = Platform {
            os: self.os,
            architecture: self.architecture,
            variant: self.variant.filter(|variant| !variant.is_empty()),
            os_version: None,
        };
        let says = |value: &Value| !matches!(value, Value::Null) && value.as_str() != Some("");
        let fields = CONFIG_FIELDS.iter().filter_map(|(told, field)| {
            let value = self.others.remove(*told).filter(says)?;
            Some(((*field).to_owned(), value))
        });
        let config_fields = fields.collect();
        let (passing, mut names): (Vec<_>, Vec<_>) =
            self.repo_tags.into_iter().partition(|name| PassingName::read(name).is_some());
        // Docker says so of images without a name.
        names.retain(|name| name != "<none>:<none>");
        DaemonImage {
            handle: self.id.to_string(),
            id: self.id,
            is_referred_to: !names.is_empty()
                || self.repo_digests.iter().any(|name| !name.starts_with("<none>@")),
            names,
            is_being_pushed: !passing.is_empty(),
            parent: self.parent.parse().ok(),
            platform: platform.normalised(),
            diff_ids: self.root_fs.layers,
            config_fields,
            documents: None,
        }
    }
}

impl Engine {
    /// The image that has this name or ID; none if there is none.
    pub(super) async fn image(&self, name: &str) -> Result<Option<DaemonImage>, DaemonError> {
        let asked = self.request(Method::GET, &format!("images/{name}/json"), &[]);
        let found: Option<Inspected> = self.connection.json(&format!("tell about {name}"), asked).await?;
        Ok(found.map(Inspected::into_image))
    }

    /// What the daemon calls its images; with `all` those between two steps of a build, too.
    pub(super) async fn image_ids(&self, all: bool) -> Result<Vec<Digest>, DaemonError> {
        let asked = self.request(Method::GET, "images/json", &[("all", if all { "1" } else { "0" })]);
        let listed: Option<Vec<Listed>> = self.connection.json("list its images", asked).await?;
        let mut ids: Vec<_> = listed.unwrap_or_default().into_iter().map(|image| image.id).collect();
        ids.dedup();
        Ok(ids)
    }

    /// The names that images have for a push.
    pub(super) async fn passing_names(&self) -> Result<Vec<PassingName>, DaemonError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Named {
            #[serde(default, deserialize_with = "null_as_default")]
            repo_tags: Vec<String>,
        }
        let asked = self.request(Method::GET, "images/json", &[]);
        let listed: Option<Vec<Named>> = self.connection.json("list its images", asked).await?;
        let names = listed.unwrap_or_default().into_iter().flat_map(|image| image.repo_tags);
        Ok(names.filter_map(|name| PassingName::read(&name)).collect())
    }
}
