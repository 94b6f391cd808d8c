//! What an archive says of its contents, against what they are; and what its documents say of each other.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Deserialize;

use crate::archive::contents::digest_named_by;
use crate::archive::docker::read_repositories;
use crate::archive::names::Place;
use crate::archive::oci::blob_path;
use crate::archived::{Archive, ArchivedImage, ArchivedLayer, Contents, Problem, Problems};
use crate::blob::Measured;
use crate::foreign::shown;
use crate::image::{Digest, Reference};

/// The largest metadata of a layer that is looked at.
const MAX_JSON_BYTES: u64 = 1 << 20;
/// All small documents together: of 100,000 layers there are 100 MB.
const MAX_DOCUMENT_BYTES: u64 = 128 << 20;

/// All that can be found by comparing.
pub(super) fn problems(archive: &Archive, contents: &Contents) -> Problems {
    let images = archive.images();
    let mut check = Check {
        archive,
        contents,
        has_docker: images.iter().any(|image| image.form.docker),
        has_oci: images.iter().any(|image| image.form.oci),
        roots_in_docker: images
            .iter()
            .filter(|image| image.form.docker)
            .filter_map(ArchivedImage::root_digest)
            .collect(),
        read_bytes: 0,
        told: HashSet::new(),
        problems: Problems::default(),
    };
    check.unreadable();
    check.digests_in_names();
    for image in images {
        check.layers(image);
        check.halves(image);
    }
    check.names();
    check.layout();
    if check.has_docker {
        check.repositories();
    }
    check.metadata();
    check.problems
}

struct Check<'a> {
    archive: &'a Archive,
    contents: &'a Contents,
    /// True if `manifest.json` names images.
    has_docker: bool,
    /// True if `index.json` does.
    has_oci: bool,
    /// What `index.json` says of those in `manifest.json`.
    roots_in_docker: HashSet<&'a Digest>,
    /// What was read of small documents.
    read_bytes: u64,
    /// Places of which something was told already.
    told: HashSet<Place>,
    problems: Problems,
}

impl<'a> Check<'a> {
    fn measured(&self, place: Place) -> Option<&'a Measured> {
        self.contents.get(&place)?.as_ref().ok()
    }

    fn unreadable(&mut self) {
        let names = self.archive.names();
        for path in names.paths() {
            let Some(place) = names.place(path) else { continue };
            if let Some(Err(error)) = self.contents.get(&place)
                && self.told.insert(place)
            {
                let source = std::io::Error::new(error.kind(), error.to_string());
                self.problems.push(Problem::Io { path: path.to_owned(), source });
            }
        }
    }

    /// Entries that are named by their digests have them. Docker's old layers are named by IDs of its own making.
    fn digests_in_names(&mut self) {
        let names = self.archive.names();
        for path in names.paths().filter(|path| !path.ends_with("/layer.tar")) {
            let Some(digest) = digest_named_by(path) else { continue };
            let Some(place) = names.place(path) else { continue };
            let Some(measured) = self.measured(place) else { continue };
            if !measured.hashes.are(&digest) && !self.told.contains(&place) {
                let got = measured.hashes.by(digest.algorithm()).clone();
                // Where there are too many of these, a layer's own problem is told.
                if self.problems.take(Problem::WrongDigest { path: path.to_owned(), got }) {
                    self.told.insert(place);
                }
            }
        }
    }

    fn layers(&mut self, image: &ArchivedImage) {
        let mut wrong = Vec::new();
        for (index, layer) in image.layers.iter().enumerate() {
            let Some(place) = layer.place else { continue };
            let Some(measured) = self.measured(place) else { continue };
            let (label, what, path) = (image.label(), image.layer_label(index), layer.path.clone());
            if let Some(problem) = measured.inflated.as_ref().and_then(|inflated| inflated.problem.clone()) {
                if self.told.insert(place) {
                    self.problems.push(Problem::Inflate { image: label, what, path, problem });
                }
            } else if let (Some(expected), Some(tar)) = (&layer.diff_id, measured.tar_hashes())
                && !tar.are(expected.digest())
                && !self.told.contains(&place)
            {
                let got = tar.by(expected.digest().algorithm()).clone();
                wrong.push((
                    place,
                    Problem::WrongDiffId { image: label, what, path, expected: expected.clone(), got },
                ));
            }
            self.blob(image, index, layer, place);
        }
        if is_permutation(&wrong) {
            self.problems.push(Problem::LayersOutOfOrder { image: image.label() });
            return;
        }
        for (place, problem) in wrong {
            self.told.insert(place);
            self.problems.push(problem);
        }
    }

    /// What the manifest says of a layer, and whether that is the layer `manifest.json` names.
    fn blob(&mut self, image: &ArchivedImage, index: usize, layer: &ArchivedLayer, place: Place) {
        let Some((descriptor, blob)) = &layer.blob else { return };
        if let Some(blob) = blob
            && blob.size_bytes != descriptor.size_bytes
            && self.told.insert(*blob)
        {
            let path = blob_path(&descriptor.digest);
            let (expected, got) = (descriptor.size_bytes, blob.size_bytes);
            let manifest = image.manifest.as_ref().map(|(document, _)| blob_path(document.digest()));
            let said_by = manifest.unwrap_or_default();
            self.problems.push(Problem::WrongSize { path, said_by, expected, got });
        }
        let Some(measured) = self.measured(place) else { return };
        let is_blob = measured.hashes.are(&descriptor.digest);
        let has_same_tar = blob.and_then(|blob| self.measured(blob)?.tar_hashes()) == measured.tar_hashes();
        if !is_blob && !has_same_tar && !self.told.contains(&place) {
            let (image, what) = (image.label(), image.layer_label(index));
            self.problems.push(Problem::LayersDiffer { image, what });
        }
    }

    /// Do `manifest.json` and `index.json` say the same of an image?
    fn halves(&mut self, image: &ArchivedImage) {
        let has_both = self.has_docker && self.has_oci;
        let label = image.label();
        // Of several platforms of one name `manifest.json` has room for one.
        let is_represented = image.root_digest().is_some_and(|root| self.roots_in_docker.contains(root));
        if has_both && !image.form.oci {
            let (only_in, not_in) = ("manifest.json", "index.json");
            self.problems.push(Problem::InOnePart { image: label, only_in, not_in });
        } else if has_both && !image.form.docker && !is_represented {
            let (only_in, not_in) = ("index.json", "manifest.json");
            self.problems.push(Problem::InOnePart { image: label, only_in, not_in });
        } else if image.form.docker && image.form.oci {
            let of = |is_there: fn(&crate::archived::ImageName) -> bool| {
                let tagged = image.names.iter().filter(|name| is_there(name));
                let tagged =
                    tagged.filter(|name| name.reference.as_ref().is_none_or(|name| name.tag().is_some()));
                tagged.map(|name| name.text.clone()).collect::<Vec<_>>().join(", ")
            };
            let differ = image.names.iter().any(|name| {
                name.in_docker != name.in_oci
                    && name.reference.as_ref().is_none_or(|reference| reference.tag().is_some())
            });
            if differ {
                let (docker, oci) = (of(|name| name.in_docker), of(|name| name.in_oci));
                self.problems.push(Problem::NamesDiffer { image: label, docker, oci });
            }
        }
    }

    fn names(&mut self) {
        let mut met: BTreeMap<&Reference, &ArchivedImage> = BTreeMap::new();
        let mut twice = BTreeSet::new();
        for image in self.archive.images() {
            if image.names.is_empty() {
                self.problems.push(Problem::NoName { image: image.label() });
            }
            for name in &image.names {
                let Some(reference) = &name.reference else {
                    self.problems.push(Problem::BadName { name: name.text.clone() });
                    continue;
                };
                let other = met.insert(reference, image);
                let root = image.root_digest();
                let is_platform = |other: &ArchivedImage| root.is_some() && other.root_digest() == root;
                // One image may have a name in two spellings.
                let is_other = |other: &ArchivedImage| !std::ptr::eq(other, image) && !is_platform(other);
                if other.is_some_and(is_other) && twice.insert(reference) {
                    self.problems.push(Problem::SameName { name: name.text.clone() });
                }
            }
        }
    }

    fn layout(&mut self) {
        #[derive(Deserialize)]
        struct Layout {
            #[serde(rename = "imageLayoutVersion")]
            version: String,
        }
        if self.archive.names().place("index.json").is_none() {
            return;
        }
        let layout = self.document("oci-layout");
        let layout = layout.and_then(|bytes| serde_json::from_slice::<Layout>(&bytes).ok());
        if layout.is_none_or(|layout| layout.version != "1.0.0") {
            self.problems.push(Problem::NoOciLayout);
        }
    }

    /// A small document, unless there are more of them than anybody has: many names may lead to one place.
    fn document(&mut self, path: &str) -> Option<bytes::Bytes> {
        let place = self.archive.names().place(path).filter(|place| place.size_bytes <= MAX_JSON_BYTES)?;
        self.read_bytes += place.size_bytes;
        if self.read_bytes > MAX_DOCUMENT_BYTES {
            let what =
                "it is not looked at: of such small documents there are more than anybody has".to_owned();
            self.problems.push(Problem::Legacy { path: path.to_owned(), what });
            return None;
        }
        self.archive.document(place).ok().flatten()
    }

    /// `repositories` names the images of `manifest.json`, each by the ID of its last layer.
    fn repositories(&mut self) {
        let Some(bytes) = self.document("repositories") else { return };
        let mut wrong = |what: String| self.problems.push(Problem::Repositories { what });
        let said = match read_repositories(&bytes) {
            Ok(said) => said,
            Err(error) => return wrong(error.to_string()),
        };
        let mut ids: BTreeMap<Reference, String> = BTreeMap::new();
        for (repository, tags) in said {
            for (tag, id) in tags {
                match format!("{repository}:{tag}").parse() {
                    Ok(reference) => _ = ids.insert(reference, id),
                    Err(_) => wrong(format!("`{}` is no name", shown(&format!("{repository}:{tag}")))),
                }
            }
        }
        let mut named = HashSet::new();
        for image in self.archive.images().iter().filter(|image| image.form.docker) {
            let Some(last) = image.layers.last() else { continue };
            for name in image.names.iter().filter(|name| name.in_docker) {
                let Some(reference) = &name.reference else { continue };
                named.insert(reference);
                match (ids.get(reference), id_of(&last.path)) {
                    (None, _) => wrong(format!("it does not name `{}`", shown(&name.text))),
                    (Some(id), Some(last)) if id != last => {
                        wrong(format!(
                            "its `{}` is not the last layer of `{}`",
                            shown(id),
                            shown(&name.text)
                        ));
                    }
                    _ => {}
                }
            }
        }
        if let Some(name) = ids.keys().find(|name| !named.contains(name)) {
            wrong(format!("it names `{name}`, which `manifest.json` does not"));
        }
    }

    /// The legacy metadata of layers, which nothing but old tools goes by, contradicts nothing.
    fn metadata(&mut self) {
        #[derive(Deserialize)]
        struct Metadata {
            id: Option<String>,
            parent: Option<String>,
        }
        let names = self.archive.names();
        let folders = names.paths().filter_map(|path| path.strip_suffix("/layer.tar"));
        let folders: BTreeSet<_> = folders.filter(|folder| !folder.contains('/')).collect();
        let mut parents: BTreeMap<&str, &str> = BTreeMap::new();
        // Where nothing else names images, they were put together by it.
        let is_read_already = !self.archive.images().iter().any(|image| image.form.docker || image.form.oci);
        for folder in &folders {
            let path = format!("{folder}/json");
            let Some(bytes) = self.document(&path) else { continue };
            let mut wrong = |what: String| self.problems.push(Problem::Legacy { path: path.clone(), what });
            match serde_json::from_slice::<Metadata>(&bytes) {
                Err(_) if is_read_already => {}
                Err(_) => wrong("it is not the metadata of a layer".to_owned()),
                Ok(metadata) => {
                    if metadata.id.as_ref().is_some_and(|id| id != folder) {
                        wrong(format!(
                            "it says it is `{}`",
                            shown(metadata.id.as_deref().unwrap_or_default())
                        ));
                    }
                    if let Some(parent) = metadata.parent.filter(|parent| !parent.is_empty()) {
                        match folders.get(parent.as_str()) {
                            Some(parent) => _ = parents.insert(folder, parent),
                            None => wrong(format!("its parent `{}` is not there", shown(&parent))),
                        }
                    }
                }
            }
            let version = self.document(&format!("{folder}/VERSION"));
            if version.is_some_and(|version| version.trim_ascii() != b"1.0") {
                let path = format!("{folder}/VERSION");
                self.problems.push(Problem::Legacy { path, what: "it is not `1.0`".to_owned() });
            }
        }
        if let Some(folder) = ring(&parents) {
            let (path, what) = (format!("{folder}/json"), "its parents form a ring".to_owned());
            self.problems.push(Problem::Legacy { path, what });
        }
    }
}

/// The ID in a layer's path, where that is what `repositories` names: skopeo has IDs of its own there.
fn id_of(path: &str) -> Option<&str> {
    path.strip_suffix("/layer.tar").or_else(|| path.strip_prefix("blobs/sha256/"))
}

/// True if every layer that is wrong is right in another's place.
fn is_permutation(wrong: &[(Place, Problem)]) -> bool {
    let mut expected_and_got: Vec<(&Digest, &Digest)> = Vec::new();
    for (_, problem) in wrong {
        if let Problem::WrongDiffId { expected, got, .. } = problem {
            expected_and_got.push((expected.digest(), got));
        }
    }
    let (mut expected, mut got): (Vec<_>, Vec<_>) = expected_and_got.into_iter().unzip();
    expected.sort_unstable();
    got.sort_unstable();
    !expected.is_empty() && expected == got
}

/// A member of a ring of parents, if there is one.
fn ring<'a>(parents: &BTreeMap<&'a str, &'a str>) -> Option<&'a str> {
    let mut done: HashSet<&str> = HashSet::new();
    for start in parents.keys().copied() {
        let mut path = HashSet::new();
        let mut next = Some(start);
        while let Some(at) = next.filter(|at| !done.contains(at)) {
            if !path.insert(at) {
                return Some(at);
            }
            next = parents.get(at).copied();
        }
        done.extend(path);
    }
    None
}
