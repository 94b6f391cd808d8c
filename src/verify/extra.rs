//! Entries that nothing in an archive names: no loader looks at them, but somebody may want to know how they came in.

use std::collections::HashSet;

use crate::archive::names::Place;
use crate::archive::oci::blob_path;
use crate::archived::Archive;
use crate::image::manifest::Parsed;
use crate::image::{Digest, Document, MediaType};

/// What archives have besides images.
const DOCUMENTS: [&str; 4] = ["manifest.json", "repositories", "oci-layout", "index.json"];
/// What a layer's folder has besides the layer.
const METADATA: [&str; 2] = ["json", "VERSION"];

/// Their names, sorted.
pub(super) fn entries(archive: &Archive) -> Vec<String> {
    let names = archive.names();
    let mut found = Named { archive, places: HashSet::new(), met: HashSet::new() };
    for path in DOCUMENTS {
        found.take(path);
    }
    found.follow("index.json", MediaType::OciIndex);
    for image in archive.images() {
        found.places.extend(image.layers.iter().filter_map(|layer| layer.place));
        found.places.extend(image.config.iter().filter_map(|config| names.place(&config.path)));
    }
    // What belongs to a layer is named as it is: by its folder.
    for folder in names.paths().filter_map(|path| path.strip_suffix("/layer.tar")) {
        let is_layer =
            names.place(&format!("{folder}/layer.tar")).is_some_and(|at| found.places.contains(&at));
        for name in METADATA.iter().filter(|_| is_layer) {
            found.take(&format!("{folder}/{name}"));
        }
    }
    let is_extra = |path: &&str| names.place(path).is_none_or(|place| !found.places.contains(&place));
    names.paths().filter(is_extra).map(ToOwned::to_owned).collect()
}

struct Named<'a> {
    archive: &'a Archive,
    places: HashSet<Place>,
    met: HashSet<Place>,
}

impl Named<'_> {
    fn take(&mut self, path: &str) {
        self.places.extend(self.archive.names().place(path));
    }

    /// What a manifest or index names, and what that names: attestations and artifacts too.
    fn follow(&mut self, path: &str, media_type: MediaType) {
        let mut next = vec![(path.to_owned(), media_type)];
        while let Some((path, media_type)) = next.pop() {
            let Some(place) = self.archive.names().place(&path).filter(|place| self.met.insert(*place))
            else {
                continue;
            };
            let Ok(Some(bytes)) = self.archive.document(place) else { continue };
            match Document::of(bytes, media_type).parse() {
                Ok(Parsed::Index(index)) => {
                    for entry in index.manifests {
                        let path = self.blob(&entry.digest);
                        next.push((path, entry.media_type));
                    }
                }
                Ok(Parsed::Manifest(manifest)) => {
                    for blob in manifest.layers.iter().chain([&manifest.config]) {
                        self.blob(&blob.digest);
                    }
                }
                Err(_) => {}
            }
        }
    }

    fn blob(&mut self, digest: &Digest) -> String {
        let path = blob_path(digest);
        self.take(&path);
        path
    }
}
