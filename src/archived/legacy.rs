//! Layers as Docker 1.9 and dlgrab wrote them (Docker image spec v1): `<id>/json` names its parent, `<id>/layer.tar` is the
//! layer, `repositories` the names. Nothing loads such archives any more; their images can be put together anew.
//!
//! Threats: parents may form a ring, or lead nowhere; each layer is met once.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use super::image::{ArchivedImage, ArchivedLayer, Form, ImageName};
use super::problem::Problem;
use super::reading::{MAX_LIST_BYTES, Reading};
use crate::archive::docker::{Repositories, read_repositories};

/// The largest metadata of a layer.
const MAX_JSON_BYTES: u64 = 1 << 20;
/// Layers that are looked at.
const MAX_LAYERS: usize = 10_000;

/// What the metadata of a layer says of its place.
#[derive(Deserialize)]
pub(super) struct LayerJson {
    #[serde(default)]
    pub(super) parent: Option<String>,
}

/// The IDs of all `<id>/layer.tar`.
pub(super) fn layer_ids(reading: &Reading<'_>) -> Vec<String> {
    let folders = reading.names.paths().filter_map(|path| path.strip_suffix("/layer.tar"));
    folders.filter(|folder| !folder.contains('/')).take(MAX_LAYERS).map(ToOwned::to_owned).collect()
}

/// Reads the metadata of these layers.
pub(super) fn metadata(reading: &mut Reading<'_>, ids: &[String]) -> BTreeMap<String, LayerJson> {
    let mut found = BTreeMap::new();
    for id in ids {
        let path = format!("{id}/json");
        if let Some(bytes) = reading.document(&path, MAX_JSON_BYTES)
            && let Some(json) = reading.read(&path, serde_json::from_slice(&bytes).map_err(Into::into))
        {
            found.insert(id.clone(), json);
        }
    }
    found
}

/// The names in `repositories`, by the ID of the last layer.
pub(super) fn repositories(reading: &mut Reading<'_>) -> Option<Repositories> {
    let bytes = reading.document("repositories", MAX_LIST_BYTES)?;
    reading.read("repositories", read_repositories(&bytes))
}

/// The images, put together by their layers' parents.
pub(super) fn images(reading: &mut Reading<'_>) -> Vec<ArchivedImage> {
    let ids = layer_ids(reading);
    if ids.is_empty() {
        return Vec::new();
    }
    reading.problems.push(Problem::NoManifestJson);
    let layers = metadata(reading, &ids);
    let parent_of =
        |id: &str| layers.get(id).and_then(|json| json.parent.clone()).filter(|id| !id.is_empty());
    let parents: HashSet<String> = ids.iter().filter_map(|id| parent_of(id)).collect();
    let mut names: HashMap<String, Vec<ImageName>> = HashMap::new();
    for (repository, tags) in repositories(reading).unwrap_or_default() {
        for (tag, id) in tags {
            let text = format!("{repository}:{tag}");
            let reference = text.parse().ok();
            let name = ImageName { text, reference, in_docker: true, in_oci: false };
            names.entry(id).or_default().push(name);
        }
    }
    let is_top = |id: &&String| !parents.contains(*id) || names.contains_key(*id);
    let tops: Vec<_> = ids.iter().filter(is_top).cloned().collect();
    tops.into_iter()
        .map(|top| {
            let image = image(reading, &top, &parent_of, names.remove(&top).unwrap_or_default());
            let label = image.label();
            super::docker::missing_layers(reading, &label, &image);
            image
        })
        .collect()
}

fn image(
    reading: &mut Reading<'_>,
    top: &str,
    parent_of: &dyn Fn(&str) -> Option<String>,
    names: Vec<ImageName>,
) -> ArchivedImage {
    let mut met = HashSet::new();
    let mut layers = Vec::new();
    let mut next = Some(top.to_owned());
    while let Some(id) = next {
        if !met.insert(id.clone()) {
            let what = "its parents form a ring".to_owned();
            reading.problems.push(Problem::Legacy { path: format!("{top}/json"), what });
            break;
        }
        let path = format!("{id}/layer.tar");
        let place = reading.names.place(&path);
        next = parent_of(&id);
        layers.push(ArchivedLayer { path, place, blob: None, diff_id: None });
    }
    layers.reverse();
    ArchivedImage {
        names,
        form: Form::default(),
        root: None,
        indexes: Vec::new(),
        manifest: None,
        config: None,
        layers,
    }
}
