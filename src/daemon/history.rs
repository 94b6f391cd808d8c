//! How an image came about, step by step, as a daemon tells it (`docker history`).

use reqwest::Method;
use serde::Deserialize;

use super::engine::Engine;
use super::error::DaemonError;
use super::image::DaemonImage;

/// A step of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub created_by: String,
    /// How much it added: what the files of its layer have; none where nobody knows.
    pub size_bytes: Option<u64>,
    /// True if it made a layer; none where nobody knows.
    pub made_layer: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    #[serde(default)]
    created_by: Option<String>,
    #[serde(default)]
    size: i64,
}

impl Engine {
    /// The steps of an image, the first one first.
    pub(super) async fn history(&self, image: &str) -> Result<Vec<Step>, DaemonError> {
        let asked = self.request(Method::GET, &format!("images/{image}/history"), &[]);
        let told: Option<Vec<Told>> =
            self.connection.json(&format!("tell the history of {image}"), asked).await?;
        let steps = told.unwrap_or_default().into_iter().rev().map(|told| Step {
            created_by: told.created_by.unwrap_or_default(),
            size_bytes: u64::try_from(told.size).ok(),
            // The API leaves out what the config says of it.
            made_layer: (told.size > 0).then_some(true),
        });
        Ok(steps.collect())
    }
}

/// The same as an image's config has it; nothing of an image without one.
pub(super) fn of_config(image: &DaemonImage) -> Vec<Step> {
    #[derive(Default, Deserialize)]
    struct Config {
        #[serde(default)]
        history: Option<Vec<Entry>>,
    }
    #[derive(Deserialize)]
    struct Entry {
        created_by: Option<String>,
        #[serde(default)]
        empty_layer: bool,
    }
    let Some(documents) = &image.documents else { return Vec::new() };
    let config: Config = serde_json::from_slice(documents.config.bytes()).unwrap_or_default();
    let mut layers = documents.manifest.layers.iter();
    let steps = config.history.unwrap_or_default().into_iter().map(|entry| Step {
        created_by: entry.created_by.unwrap_or_default(),
        size_bytes: if entry.empty_layer { Some(0) } else { layers.next().map(|layer| layer.size_bytes) },
        made_layer: Some(!entry.empty_layer),
    });
    steps.collect()
}
