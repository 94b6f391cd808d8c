//! Resolve: a reference → the manifest of one platform → its config, each verified before it is read.

use std::fmt;

use super::Pull;
use super::small::fetch_small;
use crate::error::Result;
use crate::event::{Event, Warning};
use crate::image::config::MAX_CONFIG_BYTES;
use crate::image::manifest::{ManifestError, Parsed};
use crate::image::{
    Descriptor, Digest, Document, ImageConfig, Index, Manifest, MediaType, Platform, Reference, ResolvedImage,
};
use crate::source::Selector;

/// Indexes of indexes exist; deeper nests than this are somebody's joke.
const MAX_INDEX_DEPTH: usize = 4;
/// BuildKit's mark of attestations, which stand in indexes beside the images they are about.
const ATTESTATION: &str = "vnd.docker.reference.type";

/// What a reference leads to is no image that can be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A manifest or index can't be read.
    #[error("the manifest {digest} of `{reference}` can't be used")]
    Manifest {
        /// What was asked for.
        reference: Box<Reference>,
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The config is no image config, though its media type says so.
    #[error("the config {digest} of `{reference}` is not an image config")]
    Config {
        /// What was asked for.
        reference: Box<Reference>,
        /// The config.
        digest: Digest,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A config of many megabytes.
    #[error(
        "the config of `{reference}` has {size_bytes} bytes, more than any loader takes ({MAX_CONFIG_BYTES})"
    )]
    ConfigTooLarge {
        /// What was asked for.
        reference: Box<Reference>,
        /// Its size by the manifest.
        size_bytes: u64,
    },
    /// A Helm chart, a signature, an SBOM.
    #[error("`{reference}` is not a container image: its config is of type `{config_type}`")]
    NotAnImage {
        /// What was asked for.
        reference: Box<Reference>,
        /// What its config is.
        config_type: MediaType,
    },
    /// No image of an index fits.
    #[error("`{reference}` has no image for {wanted}")]
    NoSuchPlatform {
        /// What was asked for.
        reference: Box<Reference>,
        /// The platform that was asked for.
        wanted: Box<Platform>,
        /// What there is.
        #[source]
        offered: Offered,
    },
    /// Indexes that lead on and on.
    #[error("`{reference}` leads through more than {MAX_INDEX_DEPTH} indexes")]
    TooDeep {
        /// What was asked for.
        reference: Box<Reference>,
    },
    /// A manifest's size isn't what the index said.
    #[error("manifest {digest} has {got} bytes, the index says {expected}")]
    WrongSize {
        /// The manifest.
        digest: Digest,
        /// Bytes by the index.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
}

/// The platforms there are, as the cause of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// True where an index lists them, false where there is one image only.
    pub by_index: bool,
    /// Each platform once, in the index's order.
    pub platforms: Vec<Platform>,
}

impl fmt::Display for Offered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.platforms.iter().map(ToString::to_string).collect();
        match (self.by_index, names.is_empty()) {
            (true, true) => write!(formatter, "the index holds no image at all"),
            (true, false) => write!(formatter, "the index offers {}", names.join(", ")),
            (false, _) => write!(formatter, "it is an image for {} only", names.join(", ")),
        }
    }
}

impl std::error::Error for Offered {}

impl Pull<'_> {
    /// Follows `reference` to one image. Without a `platform` it is linux/amd64, or whatever the only image is for.
    pub(super) async fn resolve(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<ResolvedImage> {
        let chain = self.follow(reference, platform).await?;
        let config = self.config(reference, &chain.manifest).await?;
        let image = ResolvedImage {
            reference: reference.clone(),
            target: chain.target,
            indexes: chain.indexes,
            manifest_document: chain.document,
            manifest: chain.manifest,
            config,
        };
        self.check_platform(&image, platform)?;
        self.reporter.report(Event::Resolved {
            reference,
            digest: &image.target.digest,
            platform: &image.platform(),
        });
        Ok(image)
    }

    /// From the name through indexes to a manifest.
    async fn follow(&self, reference: &Reference, platform: Option<&Platform>) -> Result<Chain> {
        let mut selector = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Selector::Digest(digest.clone()),
            (None, tag) => Selector::Tag(tag.unwrap_or("latest").to_owned()),
        };
        let mut target: Option<Descriptor> = None;
        let mut indexes = Vec::new();
        let mut expected_bytes = None;
        loop {
            let document = self.source.fetch_manifest(reference.repository(), &selector).await?;
            check_size(&document, expected_bytes)?;
            let parsed = document.parse().map_err(|source| ResolveError::Manifest {
                reference: reference.clone().into(),
                digest: document.digest().clone(),
                source,
            })?;
            match parsed {
                Parsed::Manifest(manifest) => {
                    let target = target.unwrap_or_else(|| document.descriptor(manifest.media_type.clone()));
                    return Ok(Chain { target, indexes, document, manifest });
                }
                Parsed::Index(index) => {
                    if indexes.len() == MAX_INDEX_DEPTH {
                        return Err(ResolveError::TooDeep { reference: reference.clone().into() }.into());
                    }
                    let chosen = choose(reference, &index, platform)?;
                    selector = Selector::Digest(chosen.digest.clone());
                    expected_bytes = Some(chosen.size_bytes);
                    target.get_or_insert_with(|| document.descriptor(index.media_type.clone()));
                    indexes.push(document);
                }
            }
        }
    }

    async fn config(&self, reference: &Reference, manifest: &Manifest) -> Result<ImageConfig> {
        let reference = || Box::new(reference.clone());
        let Descriptor { media_type, digest, size_bytes, .. } = &manifest.config;
        if !media_type.is_image_config() {
            let config_type = media_type.clone();
            return Err(ResolveError::NotAnImage { reference: reference(), config_type }.into());
        }
        if *size_bytes > MAX_CONFIG_BYTES {
            return Err(
                ResolveError::ConfigTooLarge { reference: reference(), size_bytes: *size_bytes }.into()
            );
        }
        let bytes = fetch_small(self.source, reference().repository(), &manifest.config).await?;
        let config = ImageConfig::parse(bytes).map_err(|source| ResolveError::Config {
            reference: reference(),
            digest: digest.clone(),
            source,
        })?;
        Ok(config)
    }

    /// Is the image for the platform that was asked for? Indexes may be wrong about that, and a lone manifest says
    /// nothing of it.
    fn check_platform(&self, image: &ResolvedImage, platform: Option<&Platform>) -> Result<(), ResolveError> {
        let found = image.platform();
        let wanted = platform.cloned().unwrap_or_else(Platform::linux_amd64);
        if wanted.distance_to(&found).is_some() {
            return Ok(());
        }
        let reference = Box::new(image.reference.clone());
        if platform.is_some() {
            let offered = Offered { by_index: false, platforms: vec![found] };
            return Err(ResolveError::NoSuchPlatform { reference, wanted: wanted.into(), offered });
        }
        self.reporter.report(Event::Warning(&Warning::OtherPlatform { reference, found }));
        Ok(())
    }
}

struct Chain {
    target: Descriptor,
    indexes: Vec<Document>,
    document: Document,
    manifest: Manifest,
}

fn check_size(document: &Document, expected: Option<u64>) -> Result<(), ResolveError> {
    let got = document.bytes().len() as u64;
    match expected {
        Some(expected) if expected != got => {
            Err(ResolveError::WrongSize { digest: document.digest().clone(), expected, got })
        }
        _ => Ok(()),
    }
}

/// The index entry that fits best: the nearest variant, the first of equals. An index inside the index says which
/// platform it is for, or nothing, and then is taken only if no image fits.
fn choose<'a>(
    reference: &Reference,
    index: &'a Index,
    platform: Option<&Platform>,
) -> Result<&'a Descriptor, ResolveError> {
    let wanted = platform.cloned().unwrap_or_else(Platform::linux_amd64);
    let images = || index.manifests.iter().filter(|entry| is_image(entry));
    let fitting = images()
        .filter_map(|entry| Some((wanted.distance_to(entry.platform.as_ref()?)?, entry)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, entry)| entry);
    let unmarked = || images().find(|entry| entry.platform.is_none());
    fitting.or_else(unmarked).ok_or_else(|| {
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in images().filter_map(|entry| entry.platform.as_ref()).map(Platform::normalised) {
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        let offered = Offered { by_index: true, platforms };
        ResolveError::NoSuchPlatform { reference: reference.clone().into(), wanted: wanted.into(), offered }
    })
}

/// Attestations and artifacts stand in indexes too.
fn is_image(entry: &Descriptor) -> bool {
    let is_kind = entry.media_type.is_manifest() || entry.media_type.is_index();
    let is_unknown = entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    is_kind && !is_unknown && entry.artifact_type.is_none() && !entry.annotations.contains_key(ATTESTATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(entries: &[(&str, &str)]) -> Index {
        let manifests: Vec<String> = entries
            .iter()
            .map(|(platform, extra)| {
                let digest = Digest::of(platform.as_bytes());
                format!(
                    r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"{digest}"{platform}{extra}}}"#,
                    platform = platform
                        .split_once('/')
                        .map(|(os, rest)| {
                            let (architecture, variant) = rest.split_once('/').unwrap_or((rest, ""));
                            format!(
                                r#","platform":{{"os":"{os}","architecture":"{architecture}","variant":"{variant}"}}"#
                            )
                        })
                        .unwrap_or_default()
                )
            })
            .collect();
        serde_json::from_str(&format!(r#"{{"manifests":[{}]}}"#, manifests.join(","))).unwrap()
    }

    fn chosen(entries: &[(&str, &str)], wanted: Option<&str>) -> Option<usize> {
        let index = index(entries);
        let wanted = wanted.map(|text| text.parse().unwrap());
        let chosen = choose(&"x".parse().unwrap(), &index, wanted.as_ref()).ok()?;
        index.manifests.iter().position(|entry| std::ptr::eq(entry, chosen))
    }

    #[test]
    fn the_nearest_variant_is_chosen() {
        let arms = [("linux/arm/v5", ""), ("linux/arm/v6", ""), ("linux/arm64", ""), ("linux/amd64", "")];
        assert_eq!(chosen(&arms, Some("linux/arm/v7")), Some(1));
        assert_eq!(chosen(&arms, Some("linux/arm64/v8")), Some(2));
        assert_eq!(chosen(&arms, None), Some(3));
        assert_eq!(chosen(&arms, Some("linux/riscv64")), None);
    }

    #[test]
    fn attestations_and_artifacts_are_never_chosen() {
        let attested = r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#;
        let artifact = r#","artifactType":"application/vnd.example.sbom""#;
        let entries = [
            ("unknown/unknown", ""),
            ("linux/amd64", attested),
            ("linux/amd64", artifact),
            ("", attested),
            ("linux/amd64", ""),
        ];
        assert_eq!(chosen(&entries, None), Some(4));
        assert_eq!(chosen(&entries[..4], None), None);
    }

    #[test]
    fn an_entry_without_a_platform_is_the_last_resort() {
        assert_eq!(chosen(&[("", ""), ("linux/amd64", "")], None), Some(1));
        assert_eq!(chosen(&[("linux/s390x", ""), ("", "")], None), Some(1));
    }
}
