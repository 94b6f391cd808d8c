//! What can be wrong with an archive: each kind with the object it is about.

use crate::archive::reader::ReadError;
use crate::foreign::shown;
use crate::image::manifest::ManifestError;
use crate::image::{DiffId, Digest, JsonError, Platform};

/// Something wrong with an archive. The text is a sentence without its full stop, and names the object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The tar can't be read to its end.
    #[error("the tar can't be read on: {0}")]
    Tar(#[source] ReadError),
    /// The tar has no end: most likely the file was cut between two entries.
    #[error("the tar has no end mark: the file was cut, maybe between two entries")]
    NoEnd,
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
    /// A manifest or index is none.
    #[error("`{}` is no manifest: {source}", shown(.path))]
    Manifest {
        /// Its name.
        path: String,
        /// Why.
        source: ManifestError,
    },
    /// Its images have more layers than any honest ones.
    #[error("its images name more than {limit} layers: those after them are not looked at")]
    TooManyLayers {
        /// How many are looked at.
        limit: usize,
    },
    /// Nothing names an image.
    #[error("it holds no image: neither `manifest.json` nor `index.json` nor layers as Docker wrote them")]
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
    #[error("{image} has a name that is none: `{}`", shown(.name))]
    BadName {
        /// Which image.
        image: String,
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
    #[error("{image}: its {what} `{}` is missing", shown(.path))]
    Missing {
        /// Which image.
        image: String,
        /// `config`, `layer 3 of 7`, `manifest`.
        what: String,
        /// The entry.
        path: String,
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
    #[error("`{}` has {got} bytes, its manifest says {expected}", shown(.path))]
    WrongSize {
        /// The entry.
        path: String,
        /// What the manifest says.
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
    #[error("{image}: it has {layers} layers, its config lists {diff_ids}")]
    LayerCount {
        /// Which image.
        image: String,
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

impl Problem {
    /// A word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tar(ReadError::Truncated { .. }) => "truncated",
            Self::Tar(_) => "tar",
            Self::NoEnd => "no-end",
            Self::Twice { .. } => "duplicate-entry",
            Self::LeadsOut { .. } => "leads-out",
            Self::Backslash { .. } => "backslash",
            Self::DocumentTooLarge { .. } => "document-too-large",
            Self::Document { .. } => "document",
            Self::Manifest { .. } => "manifest",
            Self::TooManyLayers { .. } => "too-many-layers",
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
