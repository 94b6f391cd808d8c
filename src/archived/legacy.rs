//! Layers as Docker 1.9 and dlgrab wrote them (Docker image spec v1): `<id>/json` names its parent, `<id>/layer.tar` is the
//! layer, `repositories` the names. Nothing loads such archives any more; their images can be put together anew.
//!
//! Threats: parents may form a ring, or lead nowhere; an image meets each layer once, and all together no more than
//! [`MAX_LAYERS`]. What was cut so is no image that could be written anew (`resolve.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;

use super::docker::{MAX_IMAGES, MAX_LAYERS, MAX_NAMES, missing_layers};
use super::image::{ArchivedImage, ArchivedLayer, Form, ImageName};
use super::problem::Problem;
use super::reading::{MAX_LIST_BYTES, Reading};
use crate::archive::docker::{Repositories, read_repositories};

/// The largest metadata of a layer.
const MAX_JSON_BYTES: u64 = 1 << 20;

/// What the metadata of a layer says of its place.
#[derive(Deserialize)]
struct LayerJson {
    parent: Option<String>,
}

/// The layer below each whose metadata can be read; none below the first.
type Parents = BTreeMap<String, Option<String>>;

/// The IDs of all `<id>/layer.tar`.
fn layer_ids(reading: &Reading<'_>) -> Vec<String> {
    let folders = reading.names.paths().filter_map(|path| path.strip_suffix("/layer.tar"));
    folders.filter(|folder| !folder.contains('/')).take(MAX_LAYERS).map(ToOwned::to_owned).collect()
}

fn parents(reading: &mut Reading<'_>, ids: &[String]) -> Parents {
    let mut found = Parents::new();
    for id in ids {
        let path = format!("{id}/json");
        if let Some(bytes) = reading.document(&path, MAX_JSON_BYTES)
            && let Some(json) =
                reading.read(&path, serde_json::from_slice::<LayerJson>(&bytes).map_err(Into::into))
        {
            found.insert(id.clone(), json.parent.filter(|parent| !parent.is_empty()));
        }
    }
    found
}

/// The names in `repositories`, by the ID of the last layer.
fn repositories(reading: &mut Reading<'_>) -> Option<Repositories> {
    let path = "repositories";
    let bytes = reading.document(path, MAX_LIST_BYTES)?;
    let read = reading.read(path, read_repositories(&bytes))?;
    let names: usize = read.values().map(BTreeMap::len).sum();
    if names > MAX_NAMES {
        let (path, what) = (path.to_owned(), "names");
        reading.problems.push(Problem::TooMany { path, what, limit: MAX_NAMES });
        return None;
    }
    Some(read)
}

/// The images, put together by their layers' parents.
pub(super) fn images(reading: &mut Reading<'_>) -> Vec<ArchivedImage> {
    let ids = layer_ids(reading);
    if ids.is_empty() {
        return Vec::new();
    }
    reading.problems.push(Problem::NoManifestJson);
    let parents = parents(reading, &ids);
    let are_below: HashSet<&String> = parents.values().flatten().collect();
    let mut names: HashMap<String, Vec<ImageName>> = HashMap::new();
    for (repository, tags) in repositories(reading).unwrap_or_default() {
        for (tag, id) in tags {
            let text = format!("{repository}:{tag}");
            let reference = text.parse().ok();
            let name = ImageName { text, reference, in_docker: true, in_oci: false };
            names.entry(id).or_default().push(name);
        }
    }
    let is_top = |id: &&String| !are_below.contains(*id) || names.contains_key(*id);
    let tops: Vec<_> = ids.iter().filter(is_top).take(MAX_IMAGES).cloned().collect();
    let mut images = Vec::new();
    let mut room = MAX_LAYERS;
    for top in tops {
        let image = image(&*reading, &top, &parents, names.remove(&top).unwrap_or_default(), room);
        room -= image.layers.len();
        if room == 0 {
            let (path, what) = (format!("{top}/json"), "layers");
            reading.problems.push(Problem::TooMany { path, what, limit: MAX_LAYERS });
            break;
        }
        let label = image.label();
        for layer in &image.layers {
            let path = metadata_path(&layer.path);
            if layer.place.is_some() && reading.names.place(&path).is_none() {
                let what = "it is missing, so the layers below are not known".to_owned();
                reading.problems.push(Problem::Legacy { path, what });
            }
        }
        missing_layers(reading, &label, &image, |index| {
            let child = image.layers.get(index + 1);
            child.map_or_else(|| "repositories".into(), |child| metadata_path(&child.path))
        });
        images.push(image);
    }
    images
}

/// Where the metadata of the layer at `path` is.
pub(super) fn metadata_path(path: &str) -> String {
    format!("{}json", path.strip_suffix("layer.tar").unwrap_or_default())
}

/// The image of this last layer, with as many layers as there is room for.
fn image(
    reading: &Reading<'_>,
    top: &str,
    parents: &Parents,
    names: Vec<ImageName>,
    room: usize,
) -> ArchivedImage {
    let mut met = HashSet::new();
    let mut layers = Vec::new();
    let mut next = Some(top.to_owned());
    let mut is_chain = false;
    while let Some(id) = next {
        if layers.len() == room || !met.insert(id.clone()) {
            break;
        }
        let path = format!("{id}/layer.tar");
        let place = reading.names.place(&path);
        let parent = parents.get(&id);
        is_chain = parent == Some(&None);
        next = parent.cloned().flatten();
        layers.push(ArchivedLayer { path, place, blob: None, diff_id: None });
    }
    layers.reverse();
    ArchivedImage {
        names,
        form: Form::default(),
        root: None,
        indexes: Vec::new(),
        platforms: Arc::default(),
        marked: None,
        manifest: None,
        config: None,
        layers,
        is_chain,
    }
}
