//! Images as `index.json` names them (OCI image-spec, "Image Layout").

use std::collections::HashSet;
use std::sync::Arc;

use super::docker::{MAX_IMAGES, MAX_LAYERS, missing_layers};
use super::image::{ArchivedImage, ArchivedLayer, Form, ImageName, StoredConfig};
use super::problem::Problem;
use super::reading::{MAX_LIST_BYTES, Reading};
use crate::archive::oci::{IMAGE_NAME, REF_NAME, blob_path};
use crate::foreign::shown;
use crate::image::manifest::{Index, MAX_MANIFEST_BYTES, Parsed};
use crate::image::{Descriptor, Digest, Document, Manifest, MediaType, Platform};

/// The document that names images to readers of OCI layouts.
pub(super) const INDEX_JSON: &str = "index.json";
/// Indexes of indexes exist; deeper nests than this are somebody's joke.
const MAX_DEPTH: usize = 4;

/// The images; none if there is no `index.json`.
pub(super) fn images(reading: &mut Reading<'_>) -> Option<Vec<ArchivedImage>> {
    reading.names.place(INDEX_JSON)?;
    let mut search =
        Search { reading, images: Vec::new(), layers: 0, met: HashSet::new(), has_too_many: false };
    if let Some(bytes) = search.reading.document(INDEX_JSON, MAX_LIST_BYTES)
        && let Some(Parsed::Index(index)) =
            search.parse(INDEX_JSON, &Document::of(bytes, MediaType::OciIndex))
    {
        for root in index.manifests.iter().filter(|root| root.may_be_image()) {
            search.met.clear();
            search.descend(root, root, &Way::default());
        }
    }
    Some(if search.has_too_many { Vec::new() } else { search.images })
}

/// The way from `index.json` to its images.
struct Search<'a, 'b> {
    reading: &'a mut Reading<'b>,
    images: Vec<ArchivedImage>,
    /// How many layers they have.
    layers: usize,
    /// What was met below this root: once is enough.
    met: HashSet<Digest>,
    /// True if there are more of something than of any honest archive: then all of it is left.
    has_too_many: bool,
}

/// The indexes between `index.json` and an entry, and what the outermost has images for.
#[derive(Default)]
struct Way {
    indexes: Vec<Document>,
    platforms: Arc<[String]>,
}

impl Way {
    /// On through this index.
    fn through(&self, document: Document, index: &Index) -> Self {
        let platforms = match self.indexes[..] {
            [] => index.platforms().map(|platform| platform.to_string()).collect(),
            _ => self.platforms.clone(),
        };
        Self { indexes: [&self.indexes[..], &[document]].concat(), platforms }
    }
}

impl Search<'_, '_> {
    fn descend(&mut self, root: &Descriptor, entry: &Descriptor, way: &Way) {
        let is_enough = self.has_too_many || way.indexes.len() > MAX_DEPTH;
        if is_enough || !self.met.insert(entry.digest.clone()) {
            return;
        }
        let path = blob_path(&entry.digest);
        let label = label(root);
        if self.reading.names.place(&path).is_none() {
            // Of a registry's index only what was chosen comes along.
            if way.indexes.is_empty() {
                self.missing_manifest(label, path, INDEX_JSON.to_owned());
            }
            return;
        }
        let Some(bytes) = self.reading.document(&path, MAX_MANIFEST_BYTES) else { return };
        if bytes.len() as u64 != entry.size_bytes {
            let (expected, got) = (entry.size_bytes, bytes.len() as u64);
            let said_by = way.indexes.last().map_or(INDEX_JSON.to_owned(), |index| blob_path(index.digest()));
            self.reading.problems.push(Problem::WrongSize { path: path.clone(), said_by, expected, got });
        }
        let document = match Document::verified(bytes, entry.media_type.clone(), &entry.digest) {
            Ok(document) => document,
            Err(got) => return self.reading.problems.push(Problem::WrongDigest { path, got }),
        };
        match self.parse(&path, &document) {
            Some(Parsed::Index(index)) => {
                let before = self.images.len();
                let way = way.through(document, &index);
                for entry in index.manifests.iter().filter(|entry| entry.may_be_image()) {
                    self.descend(root, entry, &way);
                }
                if self.images.len() == before && way.indexes.len() == 1 && !self.has_too_many {
                    let first = index.manifests.iter().find(|entry| entry.may_be_image());
                    let manifest = first.map(|entry| blob_path(&entry.digest)).unwrap_or_default();
                    self.missing_manifest(label, manifest, path);
                }
            }
            Some(Parsed::Manifest(manifest)) if manifest.config.media_type.is_image_config() => {
                // What `index.json` itself says of an image it names is its writer's word, not the registry's.
                let marked = entry.platform.clone().filter(|_| !way.indexes.is_empty());
                self.take(root, document, *manifest, way, marked);
            }
            _ => {}
        }
    }

    fn missing_manifest(&mut self, image: String, path: String, named_by: String) {
        let what = "manifest".to_owned();
        self.reading.problems.push(Problem::Missing { image, what, path, named_by });
    }

    fn take(
        &mut self,
        root: &Descriptor,
        document: Document,
        manifest: Manifest,
        way: &Way,
        marked: Option<Platform>,
    ) {
        self.layers += manifest.layers.len();
        let images = self.images.len() + 1;
        for (what, found, limit) in [("images", images, MAX_IMAGES), ("layers", self.layers, MAX_LAYERS)] {
            if found > limit {
                self.has_too_many = true;
                let path = INDEX_JSON.to_owned();
                return self.reading.problems.push(Problem::TooMany { path, what, limit });
            }
        }
        let label = label(root);
        let named_by = blob_path(document.digest());
        let path = blob_path(&manifest.config.digest);
        let config = self.reading.config(&label, &path, &named_by).map(|config| StoredConfig {
            path,
            digest: Digest::by(manifest.config.digest.algorithm(), config.bytes()),
            config,
        });
        let diff_ids = config.as_ref().map(|stored| stored.config.diff_ids()).unwrap_or_default();
        let layers = manifest.layers.iter().enumerate().map(|(index, layer)| {
            let path = blob_path(&layer.digest);
            let place = self.reading.names.place(&path);
            let diff_id = diff_ids.get(index).cloned();
            ArchivedLayer { path, place, blob: Some((layer.clone(), place)), diff_id }
        });
        let image = ArchivedImage {
            names: name(root).into_iter().collect(),
            form: Form { docker: false, oci: true },
            root: Some(root.clone()),
            indexes: way.indexes.clone(),
            platforms: way.platforms.clone(),
            marked,
            layers: layers.collect(),
            is_chain: false,
            manifest: Some((document, manifest)),
            config,
        };
        missing_layers(self.reading, &label, &image, |_| named_by.clone());
        self.images.push(image);
    }

    fn parse(&mut self, path: &str, document: &Document) -> Option<Parsed> {
        let parsed = document.parse();
        parsed
            .map_err(|source| self.reading.problems.push(Problem::Manifest { path: path.to_owned(), source }))
            .ok()
    }
}

fn label(root: &Descriptor) -> String {
    name(root).map_or_else(
        || format!("the image {}", root.digest.short()),
        |name| format!("`{}`", shown(&name.text)),
    )
}

/// The name that `index.json` gives to what it names. What skopeo writes may be a tag alone, which is no name yet.
fn name(root: &Descriptor) -> Option<ImageName> {
    let full = root.annotations.get(IMAGE_NAME);
    let text = full.or_else(|| root.annotations.get(REF_NAME)).filter(|text| !text.is_empty())?.clone();
    let is_full = full.is_some() || text.contains(['/', ':', '@']);
    let reference = if is_full { text.parse().ok() } else { None };
    Some(ImageName { text, reference, in_docker: false, in_oci: true })
}
