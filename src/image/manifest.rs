//! Manifests and indexes (OCI image-spec "Image Manifest", "Image Index"; Docker "Image Manifest V2, Schema 2").
//!
//! Threats: these bytes come from whoever runs the registry. Digests and sizes parse strictly, a document that could
//! be read as two kinds (CVE-2021-41190) or in two ways ([`super::json`]) is refused, unknown kinds are refused by name. What was parsed is never
//! written back: the [`Document`] keeps the bytes.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::descriptor::{DESCRIPTOR, null_as_empty};
use super::json::{self, JsonError, Shape};
use super::{Descriptor, Digest, MediaType, Platform};

/// The largest manifest or index that is read, as registries limit them: 4 MiB.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// The most entries of an index, and layers of a manifest, that are believed.
const MAX_ENTRIES: usize = 10_000;
/// The keys of manifests and indexes.
const DOCUMENT: Shape = Shape::Object(&[
    ("schemaVersion", &Shape::Any),
    ("mediaType", &Shape::Any),
    ("config", &DESCRIPTOR),
    ("layers", &Shape::List(&DESCRIPTOR)),
    ("manifests", &Shape::List(&DESCRIPTOR)),
]);

/// A manifest's or index's bytes with the digest they hash to; the two cannot be told apart.
#[derive(Clone, Debug)]
pub struct Document {
    media_type: MediaType,
    digest: Digest,
    bytes: Bytes,
}

impl Index {
    /// What it has images for.
    pub fn platforms(&self) -> impl Iterator<Item = Platform> {
        let images = self.manifests.iter().filter(|entry| entry.may_be_image());
        images.filter_map(|entry| Some(entry.platform.as_ref()?.normalised()))
    }
}

impl Parsed {
    /// Which of the four kinds it is.
    pub fn media_type(&self) -> &MediaType {
        match self {
            Self::Index(index) => &index.media_type,
            Self::Manifest(manifest) => &manifest.media_type,
        }
    }
}

impl Document {
    /// Hashes `bytes`; `media_type` is what the source called them.
    pub fn of(bytes: Bytes, media_type: MediaType) -> Self {
        Self { media_type, digest: Digest::of(&bytes), bytes }
    }

    /// Hashes `bytes` by the algorithm of `expected`: a document of that digest, or else the digest they have.
    pub fn verified(bytes: Bytes, media_type: MediaType, expected: &Digest) -> Result<Self, Digest> {
        let digest = Digest::by(expected.algorithm(), &bytes);
        if digest == *expected { Ok(Self { media_type, digest, bytes }) } else { Err(digest) }
    }

    /// An OCI manifest of sealift's own making: the same for the same config and layers, whenever and wherever.
    pub fn manifest_of(config: &Descriptor, layers: &[Descriptor]) -> Self {
        let media_type = MediaType::OciManifest;
        Self::made(&Made {
            schema_version: 2,
            media_type,
            config: Some(config),
            layers: Some(layers),
            manifests: None,
        })
    }

    /// An index of sealift's own making: the same for the same entries.
    pub fn index_of(media_type: MediaType, manifests: &[Descriptor]) -> Self {
        Self::made(&Made {
            schema_version: 2,
            media_type,
            config: None,
            layers: None,
            manifests: Some(manifests),
        })
    }

    fn made(document: &Made<'_>) -> Self {
        // Our types have string keys and no failing serializers, so this can't fail.
        let bytes = serde_json::to_vec(document).unwrap_or_default();
        Self::of(bytes.into(), document.media_type.clone())
    }

    /// The bytes, as the source sent them.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The digest of the bytes: SHA-256, unless it was verified against another.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// A descriptor of this document under the media type its content turned out to have.
    pub fn descriptor(&self, media_type: MediaType) -> Descriptor {
        Descriptor::new(media_type, self.digest.clone(), self.bytes.len() as u64)
    }

    /// Reads the document as what it says it is, or else as what the source called it.
    pub fn parse(&self) -> Result<Parsed, ManifestError> {
        json::check(&self.bytes, &DOCUMENT).map_err(|error| {
            if error.is_data { ManifestError::TwoReadings(error) } else { ManifestError::NotJson(error) }
        })?;
        let probe: Probe = self.read()?;
        if probe.schema_version == Some(1) {
            return Err(ManifestError::Schema1);
        }
        if probe.manifests.is_some() && (probe.layers.is_some() || probe.config.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        let media_type = match probe.media_type.filter(|stated| !stated.as_str().is_empty()) {
            Some(stated) => stated,
            None if self.media_type.is_index() || self.media_type.is_manifest() => self.media_type.clone(),
            None if probe.manifests.is_some() => MediaType::OciIndex,
            None if probe.layers.is_some() => MediaType::OciManifest,
            None => self.media_type.clone(),
        };
        let parsed = match &media_type {
            kind if kind.is_index() => Parsed::Index(Index { media_type, ..self.read()? }),
            kind if kind.is_manifest() => Parsed::Manifest(Box::new(Manifest { media_type, ..self.read()? })),
            MediaType::DockerSchema1 => return Err(ManifestError::Schema1),
            _ => return Err(ManifestError::UnknownKind(media_type)),
        };
        let entries = match &parsed {
            Parsed::Index(index) => index.manifests.len(),
            Parsed::Manifest(manifest) => manifest.layers.len(),
        };
        if entries > MAX_ENTRIES { Err(ManifestError::TooManyEntries(entries)) } else { Ok(parsed) }
    }

    fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ManifestError> {
        serde_json::from_slice(&self.bytes).map_err(|error| ManifestError::NotValid(error.into()))
    }
}

/// A document that is made here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    schema_version: u8,
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a [Descriptor]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<&'a [Descriptor]>,
}

/// A document, read.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// An OCI index or Docker manifest list.
    Index(Index),
    /// An image manifest.
    Manifest(Box<Manifest>),
}

/// An OCI index or Docker manifest list: manifests by platform.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Which of the two kinds it is.
    #[serde(skip, default = "unknown")]
    pub media_type: MediaType,
    /// The manifests and indexes it names, attestations and artifacts included. Entries that can't be read are left
    /// out: an index may hold kinds of a later day.
    #[serde(deserialize_with = "readable_entries")]
    pub manifests: Vec<Descriptor>,
}

/// An image manifest: a config and layers, lowest first.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Which of the two kinds it is.
    #[serde(skip, default = "unknown")]
    pub media_type: MediaType,
    /// The config blob.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub layers: Vec<Descriptor>,
}

fn readable_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Descriptor>, D::Error> {
    let entries = Option::<Vec<&'de RawValue>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(entries.iter().filter_map(|entry| serde_json::from_str(entry.get()).ok()).collect())
}

fn unknown() -> MediaType {
    MediaType::Other("".into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u64>,
    media_type: Option<MediaType>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

/// Why a document is no manifest or index.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON at all.
    #[error("it is not a JSON manifest")]
    NotJson(#[source] JsonError),
    /// JSON, but a field has no valid value.
    #[error("it is not a valid manifest")]
    NotValid(#[source] JsonError),
    /// Readers of JSON differ on what it says.
    #[error("readers differ on what it says, so no client may trust it")]
    TwoReadings(#[source] JsonError),
    /// Docker's schema 1.
    #[error("it is in Docker's schema 1, which Docker itself gave up in 2019")]
    Schema1,
    /// Both an index and a manifest.
    #[error("it is an index and a manifest at once, which no client may trust")]
    Ambiguous,
    /// A media type that isn't an image's.
    #[error("its media type is `{0}`, which is neither an image manifest nor an index")]
    UnknownKind(MediaType),
    /// Far more entries than any image has.
    #[error("it has {0} entries; at most {MAX_ENTRIES} are believed")]
    TooManyEntries(usize),
}

impl ManifestError {
    /// True where the document is sound, but of a kind that sealift does not take.
    pub fn is_another_kind(&self) -> bool {
        matches!(self, Self::Schema1 | Self::UnknownKind(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, content_type: &str) -> Result<Parsed, ManifestError> {
        Document::of(Bytes::copy_from_slice(json.as_bytes()), MediaType::of(content_type)).parse()
    }

    #[test]
    fn what_a_document_says_of_itself_goes_before_the_header() {
        let index =
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        assert!(matches!(parse(index, "text/plain"), Ok(Parsed::Index(_))));
        assert!(matches!(parse(r#"{"schemaVersion":2,"manifests":[]}"#, ""), Ok(Parsed::Index(_))));
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        let refused = |json: &str| parse(json, "application/json").unwrap_err().to_string();
        assert!(refused(r#"{"schemaVersion":1}"#).contains("schema 1"));
        assert!(refused(r#"{"manifests":[],"layers":[]}"#).contains("at once"));
        assert!(refused(r#"{"mediaType":"application/vnd.x+json"}"#).contains("vnd.x"));
        assert!(refused("<html>").contains("not a JSON"));
    }

    #[test]
    fn what_readers_differ_on_is_refused() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let descriptor = format!(r#"{{"mediaType":"x","digest":"sha256:{hex}","size":3}}"#);
        let twice = descriptor.replace(r#""size""#, r#""size":4,"size""#);
        let in_capitals = descriptor.replace(r#""size""#, r#""DIGEST":"x","size""#);
        let platform = descriptor.replace(r#""size""#, r#""platform":{"os":"a","OS":"b"},"size""#);
        for json in [
            format!(r#"{{"config":{descriptor},"layers":[],"layers":[{descriptor}]}}"#),
            format!(r#"{{"config":{descriptor},"layers":[],"Layers":[{descriptor}]}}"#),
            format!(r#"{{"config":{descriptor},"Config":{descriptor},"layers":[]}}"#),
            format!(r#"{{"config":{twice},"layers":[]}}"#),
            format!(r#"{{"config":{descriptor},"layers":[{descriptor},{in_capitals}]}}"#),
            format!(r#"{{"config":["x","sha256:{hex}",3,null,null,{{}}],"layers":[]}}"#),
            format!(r#"{{"manifests":[{descriptor}],"Manifests":[]}}"#),
            format!(r#"{{"manifests":[{platform}]}}"#),
            format!(r#"{{"manifests":[],"Layers":[{descriptor}]}}"#),
            r#"{"schemaVersion":1,"schemaVersion":2,"layers":[]}"#.to_owned(),
            "[]".to_owned(),
        ] {
            let error = parse(&json, "").unwrap_err();
            assert!(matches!(error, ManifestError::TwoReadings(_)), "{json}: {error:?}");
        }
        let free = r#""annotations":{"layers":"x","Layers":"y","layers":"z"},"Subject":1,"subject":2"#;
        assert!(parse(&format!(r#"{{"config":{descriptor},{free}}}"#), "").is_err(), "no layers, no type");
        assert!(parse(&format!(r#"{{"config":{descriptor},"layers":[],{free}}}"#), "").is_ok());
    }

    #[test]
    fn more_entries_than_any_image_has_are_refused() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let descriptor = format!(r#"{{"mediaType":"x","digest":"sha256:{hex}","size":3}}"#);
        let of = |count| {
            let layers = vec![descriptor.as_str(); count].join(",");
            parse(&format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{layers}]}}"#), "")
        };
        assert!(of(10_000).is_ok());
        assert!(matches!(of(10_001), Err(ManifestError::TooManyEntries(10_001))));
    }

    #[test]
    fn sizes_and_digests_parse_strictly() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let with = |digest: &str, size: &str| {
            let config = format!(r#"{{"mediaType":"x","digest":"{digest}","size":{size}}}"#);
            parse(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#), "")
        };
        assert!(with(&format!("sha256:{hex}"), "3").is_ok());
        let digest = &format!("sha256:{hex}");
        assert!(with(digest, "9223372036854775807").is_ok());
        for (digest, size) in [
            ("sha256:../../x", "3"),
            (digest, "-1"),
            (digest, "1e3"),
            (digest, "1.0"),
            (digest, "9223372036854775808"),
            (digest, "18446744073709551616"),
            (digest, "1e999"),
            (digest, "-0.0"),
            (digest, r#""3""#),
            (digest, "null"),
        ] {
            let error = with(digest, size).unwrap_err();
            assert!(matches!(error, ManifestError::NotValid(_)), "{digest} {size}: {error}");
        }
    }
}
