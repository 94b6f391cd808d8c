//! What a config says of how its image runs and how it was built (OCI image-spec "Image Configuration", `config` and
//! `history`): for people to read, so what can't be read is left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ImageConfig;
use super::descriptor::null_as_empty;

/// How a container of an image is run, unless it is told otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase"))]
pub struct Runtime {
    /// The program.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where there is no entrypoint.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub cmd: Vec<String>,
    /// `NAME=value`.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub env: Vec<String>,
    /// Where it is started.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub working_dir: String,
    /// Who runs it.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub user: String,
    /// `80/tcp`.
    #[serde(default, rename(deserialize = "ExposedPorts"), deserialize_with = "keys")]
    pub ports: Vec<String>,
    /// Folders that are kept apart.
    #[serde(default, deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// Free text, by key.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A step of how an image was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When (RFC 3339).
    #[serde(default, deserialize_with = "null_as_empty")]
    pub created: String,
    /// By what command.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub created_by: String,
    /// True if it made no layer.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub empty_layer: bool,
}

fn keys<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let keys = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(keys.into_keys().collect())
}

impl ImageConfig {
    /// How it runs.
    pub fn runtime(&self) -> Runtime {
        self.field("config")
    }

    /// How it was built, oldest step first.
    pub fn history(&self) -> Vec<HistoryEntry> {
        self.field("history")
    }

    /// When it was built (RFC 3339); empty where it doesn't say.
    pub fn created(&self) -> String {
        self.field("created")
    }

    fn field<T: Default + for<'de> Deserialize<'de>>(&self, name: &str) -> T {
        let fields = self.raw_fields();
        fields.get(name).and_then(|field| serde_json::from_str(field.get()).ok()).unwrap_or_default()
    }
}
