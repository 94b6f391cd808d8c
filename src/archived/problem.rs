//! What can be wrong with an archive: each kind with the object it is about.

use std::collections::{HashMap, HashSet};

use crate::archive::reader::ReadError;
use crate::event::with_causes;
use crate::foreign::shown;
use crate::image::manifest::ManifestError;
use crate::image::{DiffId, Digest, JsonError, Platform};

/// How many problems of one kind are kept. Of each kind by itself: thousands of harmless ones hide no other.
const MAX_OF_A_KIND: usize = 1000;

/// What is wrong with an archive: each thing once, and no more than anybody reads.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    told: HashSet<String>,
    kinds: HashMap<&'static str, usize>,
}

impl Problems {
    /// Takes in one more, if it is new.
    pub fn push(&mut self, problem: Problem) {
        self.take(problem);
    }

    /// The same; false if it is not kept.
    pub(crate) fn take(&mut self, problem: Problem) -> bool {
        let kept = self.kinds.entry(problem.kind()).or_default();
        let is_taken = *kept < MAX_OF_A_KIND && self.told.insert(problem.to_string());
        if is_taken {
            *kept += 1;
            self.list.push(problem);
        }
        is_taken
    }

    /// All of them, in the order they were found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.list
    }
}

impl std::ops::Deref for Problems {
    type Target = [Problem];

    fn deref(&self) -> &[Problem] {
        &self.list
    }
}

impl Extend<Problem> for Problems {
    fn extend<T: IntoIterator<Item = Problem>>(&mut self, problems: T) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// Something wrong with an archive. The text is a sentence without its full stop, and names the object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The tar can't be read to its end.
    #[error("the tar can't be read on: {}", with_causes(.0))]
    Tar(#[source] ReadError),
    /// The tar has no end: most likely the file was cut between two entries.
    #[error(
        "the tar ends at byte {at_bytes} without an end mark: the file was cut, maybe between two entries"
    )]
    NoEnd {
        /// Its size, as far as it is there.
        at_bytes: u64,
    },
    /// Two entries have one name.
    #[error("`{}` is there twice: some readers take the first, others the last", shown(.path))]
    Twice {
        /// The name.
        path: String,
    },
    /// A name leads out of the archive.
    #[error("the entry `{}` leads out of the archive", shown(.path))]
    LeadsOut {
        /// The name.
        path: String,
    },
    /// An entry is sparse, or of a kind that is not known.
    #[error("`{}` is a sparse file, or of a kind that tars don't have: what it holds depends on who reads it", shown(.path))]
    Ambiguous {
        /// The name.
        path: String,
    },
    /// All of it stands in a folder.
    #[error("all of it stands in the folder `{}`: loaders don't find it there", shown(.folder))]
    InFolder {
        /// The folder.
        folder: String,
    },
    /// A name stands below a link or file.
    #[error("`{}` stands below what is no folder: where it lands depends on who unpacks it", shown(.path))]
    BelowLink {
        /// The name.
        path: String,
    },
    /// Names have `\` where they should have `/`.
    #[error("`{}` has `\\` where tars have `/`: loaders don't find it", shown(.path))]
    Backslash {
        /// The name.
        path: String,
    },
    /// A document is larger than any honest one.
    #[error("`{}` has {size_bytes} bytes: more than {limit_bytes} are not read", shown(.path))]
    DocumentTooLarge {
        /// Its name.
        path: String,
        /// Its size.
        size_bytes: u64,
        /// What is read.
        limit_bytes: u64,
    },
    /// A document is not what it should be.
    #[error("`{}` can't be read: {source}", shown(.path))]
    Document {
        /// Its name.
        path: String,
        /// Why.
        source: JsonError,
    },
    /// A document names far more than any honest one.
    #[error("`{}` names more than {limit} {what}: no honest archive does", shown(.path))]
    TooMany {
        /// Its name.
        path: String,
        /// `images`, `layers`, `names`.
        what: &'static str,
        /// How many are looked at.
        limit: usize,
    },
    /// A manifest or index is none.
    #[error("`{}` can't be read: {}", shown(.path), with_causes(.source))]
    Manifest {
        /// Its name.
        path: String,
        /// Why.
        source: ManifestError,
    },
    /// Nothing names an image.
    #[error(
        "it holds no image that can be read, by `manifest.json`, `index.json` or the layers' own metadata"
    )]
    NoImages,
    /// It is of the days before `manifest.json`.
    #[error("it has no `manifest.json`: Docker 1.9 wrote such archives, and nothing loads them any more")]
    NoManifestJson,
    /// `oci-layout` is missing or of another version.
    #[error("`oci-layout` is missing or not of version 1.0.0")]
    NoOciLayout,
    /// An image has no name.
    #[error("{image} has no name: it would load as `<none>`")]
    NoName {
        /// Which image.
        image: String,
    },
    /// A name that no loader takes.
    #[error("`{}` is not an image's name: loaders want one like `app:1.2`", shown(.name))]
    BadName {
        /// The name.
        name: String,
    },
    /// Two images have one name.
    #[error("two images have the name `{}`: the last one loaded gets it", shown(.name))]
    SameName {
        /// The name.
        name: String,
    },
    /// An entry that an image needs isn't there.
    #[error("{image}: {}", missing(.what, .path, .named_by))]
    Missing {
        /// Which image.
        image: String,
        /// `config`, `layer 3 of 7`, `manifest`.
        what: String,
        /// The entry; empty where not even a name of it is there.
        path: String,
        /// The document that names it.
        named_by: String,
    },
    /// A file is not what its name says.
    #[error("`{}` has other bytes than its name says: they are {got}", shown(.path))]
    WrongDigest {
        /// The entry.
        path: String,
        /// What its bytes hash to.
        got: Digest,
    },
    /// A blob has another size than its descriptor says.
    #[error("`{}` has {got} bytes, `{}` says {expected}", shown(.path), shown(.said_by))]
    WrongSize {
        /// The entry.
        path: String,
        /// The document that has its descriptor.
        said_by: String,
        /// What that says.
        expected: u64,
        /// What there is.
        got: u64,
    },
    /// A layer is not what the config says.
    #[error("{image}: {what} `{}` is not what the config says: its tar is {got}, not {expected}", shown(.path))]
    WrongDiffId {
        /// Which image.
        image: String,
        /// `layer 3 of 7`.
        what: String,
        /// The entry.
        path: String,
        /// What the config says.
        expected: DiffId,
        /// What it is.
        got: Digest,
    },
    /// All layers are there, but in another order than the config's.
    #[error("{image}: its layers are in another order than the config says")]
    LayersOutOfOrder {
        /// Which image.
        image: String,
    },
    /// A layer can't be inflated.
    #[error("{image}: {what} `{}` can't be inflated: {problem}", shown(.path))]
    Inflate {
        /// Which image.
        image: String,
        /// `layer 3 of 7`.
        what: String,
        /// The entry.
        path: String,
        /// Why.
        problem: String,
    },
    /// The config lists another number of layers.
    #[error("{image}: `{}` names {layers} layers, its config lists {diff_ids}", shown(.named_by))]
    LayerCount {
        /// Which image.
        image: String,
        /// The document that names the layers.
        named_by: String,
        /// How many layers are named.
        layers: usize,
        /// How many the config has.
        diff_ids: usize,
    },
    /// `manifest.json` and `index.json` name different images.
    #[error("{image} is only in `{only_in}`: loaders that go by `{not_in}` don't see it")]
    InOnePart {
        /// Which image.
        image: String,
        /// The document that has it.
        only_in: &'static str,
        /// The one that has not.
        not_in: &'static str,
    },
    /// The two halves name an image differently.
    #[error("{image} is `{}` to those who go by `manifest.json`, and `{}` to those who go by `index.json`",
        shown(.docker), shown(.oci))]
    NamesDiffer {
        /// Which image.
        image: String,
        /// Its names there.
        docker: String,
        /// Its names here.
        oci: String,
    },
    /// The two halves name different layers.
    #[error("{image}: {what} is one thing in `manifest.json` and another in its manifest")]
    LayersDiffer {
        /// Which image.
        image: String,
        /// `layer 3 of 7`.
        what: String,
    },
    /// `repositories` says something else than `manifest.json`.
    #[error("`repositories` is not what `manifest.json` says: {what}")]
    Repositories {
        /// What differs.
        what: String,
    },
    /// The legacy metadata of a layer contradicts the rest.
    #[error("`{}`: {what}", shown(.path))]
    Legacy {
        /// The entry.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The image is for another platform.
    #[error("{image} is for {found}, not for {wanted}")]
    WrongPlatform {
        /// Which image.
        image: String,
        /// What it is for.
        found: Box<Platform>,
        /// What was asked for.
        wanted: Box<Platform>,
    },
    /// The file is not the one that was expected.
    #[error("the file is {got}, not {expected}")]
    WrongFile {
        /// What was expected.
        expected: Digest,
        /// What it is.
        got: Digest,
    },
    /// An entry is not what sealift wrote.
    #[error("`{}` is not what sealift wrote: {part} was changed", shown(.path))]
    Altered {
        /// The entry.
        path: String,
        /// Which part of it.
        part: &'static str,
    },
    /// The disk refused.
    #[error("`{}` can't be read: {source}", shown(.path))]
    Io {
        /// The entry.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A loader that was asked about will not take it.
    #[error("{loader} {verdict}")]
    Loader {
        /// Which.
        loader: &'static str,
        /// What it does.
        verdict: String,
    },
}

fn missing(what: &str, path: &str, named_by: &str) -> String {
    let (path, named_by) = (shown(path), shown(named_by));
    match path.as_str() {
        "" => format!("`{named_by}` names no {what}"),
        path => format!("its {what} `{path}`, which `{named_by}` names, is missing"),
    }
}

impl Problem {
    /// A word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tar(ReadError::Truncated { .. }) => "truncated",
            Self::Tar(_) => "tar",
            Self::NoEnd { .. } => "no-end",
            Self::Twice { .. } => "duplicate-entry",
            Self::LeadsOut { .. } => "leads-out",
            Self::Ambiguous { .. } => "ambiguous-entry",
            Self::InFolder { .. } => "in-a-folder",
            Self::BelowLink { .. } => "below-a-link",
            Self::Backslash { .. } => "backslash",
            Self::DocumentTooLarge { .. } => "document-too-large",
            Self::TooMany { .. } => "too-many",
            Self::Document { .. } => "document",
            Self::Manifest { .. } => "manifest",
            Self::NoImages => "no-images",
            Self::NoManifestJson => "no-manifest-json",
            Self::NoOciLayout => "no-oci-layout",
            Self::NoName { .. } => "no-name",
            Self::BadName { .. } => "bad-name",
            Self::SameName { .. } => "same-name",
            Self::Missing { .. } => "missing-entry",
            Self::WrongDigest { .. } => "wrong-digest",
            Self::WrongSize { .. } => "wrong-size",
            Self::WrongDiffId { .. } => "wrong-diff-id",
            Self::LayersOutOfOrder { .. } => "layers-out-of-order",
            Self::Inflate { .. } => "inflate",
            Self::LayerCount { .. } => "layer-count",
            Self::InOnePart { .. } => "in-one-part",
            Self::NamesDiffer { .. } => "names-differ",
            Self::LayersDiffer { .. } => "layers-differ",
            Self::Repositories { .. } => "repositories",
            Self::Legacy { .. } => "legacy-metadata",
            Self::WrongPlatform { .. } => "wrong-platform",
            Self::WrongFile { .. } => "wrong-file",
            Self::Altered { .. } => "altered",
            Self::Io { .. } => "io",
            Self::Loader { .. } => "loader",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_problems_of_one_kind_hide_none_of_another() {
        let mut problems = Problems::default();
        let twice = |number: usize| Problem::Twice { path: format!("file{number}") };
        problems.extend((0..=MAX_OF_A_KIND).map(twice));
        problems.push(Problem::WrongDigest { path: "layer".to_owned(), got: Digest::of(b"other") });
        assert_eq!(problems.len(), MAX_OF_A_KIND + 1);
        assert_eq!(problems.last().map(Problem::kind), Some("wrong-digest"));
        assert!(!problems.take(twice(MAX_OF_A_KIND)) && !problems.take(twice(0)));
    }
}
