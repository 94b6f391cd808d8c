//! Images as `manifest.json` names them (Docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format").

use std::sync::Arc;

use super::image::{ArchivedImage, ArchivedLayer, Form, ImageName, StoredConfig};
use super::problem::Problem;
use super::reading::{MAX_LIST_BYTES, Reading};
use crate::archive::docker::{ManifestItem, read_manifest_json};
use crate::foreign::shown;
use crate::image::Digest;

/// The document that names images to Docker.
pub(super) const MANIFEST_JSON: &str = "manifest.json";
/// Images that are read of one archive.
pub(super) const MAX_IMAGES: usize = 10_000;
/// Layers of all its images together.
pub(super) const MAX_LAYERS: usize = 100_000;
/// Names of all its images together.
pub(super) const MAX_NAMES: usize = 10_000;

/// The images; none if there is no `manifest.json`.
pub(super) fn images(reading: &mut Reading<'_>) -> Option<Vec<ArchivedImage>> {
    reading.names.place(MANIFEST_JSON)?;
    let items = reading.document(MANIFEST_JSON, MAX_LIST_BYTES);
    let items = items.and_then(|bytes| reading.read(MANIFEST_JSON, read_manifest_json(&bytes)));
    let items = items.unwrap_or_default();
    let layers: usize = items.iter().map(|item| item.layers.len()).sum();
    let names: usize = items.iter().flat_map(|item| &item.repo_tags).map(Vec::len).sum();
    for (what, found, limit) in
        [("images", items.len(), MAX_IMAGES), ("layers", layers, MAX_LAYERS), ("names", names, MAX_NAMES)]
    {
        if found > limit {
            reading.problems.push(Problem::TooMany { path: MANIFEST_JSON.to_owned(), what, limit });
            return Some(Vec::new());
        }
    }
    Some(items.into_iter().map(|item| image(reading, item)).collect())
}

fn image(reading: &mut Reading<'_>, item: ManifestItem) -> ArchivedImage {
    let names: Vec<_> = item.repo_tags.unwrap_or_default().into_iter().map(name).collect();
    let label = names.first().map_or_else(
        || format!("the image of `{}`", shown(&item.config)),
        |name: &ImageName| format!("`{}`", shown(&name.text)),
    );
    let config = reading.config(&label, &item.config, MANIFEST_JSON).map(|config| StoredConfig {
        path: item.config.clone(),
        digest: Digest::of(config.bytes()),
        config,
    });
    let diff_ids = config.as_ref().map(|stored| stored.config.diff_ids()).unwrap_or_default();
    let layers = item.layers.iter().enumerate().map(|(index, path)| ArchivedLayer {
        path: path.clone(),
        place: reading.names.place(path),
        blob: None,
        diff_id: diff_ids.get(index).cloned(),
    });
    let layers: Vec<_> = layers.collect();
    let image = ArchivedImage {
        names,
        form: Form { docker: true, oci: false },
        root: None,
        indexes: Vec::new(),
        platforms: Arc::default(),
        marked: None,
        manifest: None,
        layers,
        is_chain: false,
        config,
    };
    missing_layers(reading, &label, &image, |_| MANIFEST_JSON.to_owned());
    image
}

/// Tells of the layers that aren't there, and of another number of them than the config's. `named_by` tells which
/// document names a layer.
pub(super) fn missing_layers(
    reading: &mut Reading<'_>,
    label: &str,
    image: &ArchivedImage,
    named_by: impl Fn(usize) -> String,
) {
    for (index, layer) in image.layers.iter().enumerate().filter(|(_, layer)| layer.place.is_none()) {
        let (image, what, path) = (label.to_owned(), image.layer_label(index), layer.path.clone());
        reading.problems.push(Problem::Missing { image, what, path, named_by: named_by(index) });
    }
    let layers = image.layers.len();
    if let Some(diff_ids) = image.config.as_ref().map(|stored| stored.config.diff_ids().len())
        && diff_ids != layers
    {
        let (image, named_by) = (label.to_owned(), named_by(0));
        reading.problems.push(Problem::LayerCount { image, named_by, layers, diff_ids });
    }
}

fn name(text: String) -> ImageName {
    let reference = text.parse().ok();
    ImageName { text, reference, in_docker: true, in_oci: false }
}
