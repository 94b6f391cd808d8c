//! Which entry of an index is for a platform.

use crate::image::{Descriptor, Index, Platform};

/// BuildKit's mark of attestations, which stand in indexes beside the images they are about.
const ATTESTATION: &str = "vnd.docker.reference.type";

/// The entry for `wanted`: the nearest variant, the first of equals.
pub(super) fn fitting<'a>(index: &'a Index, wanted: &Platform) -> Option<&'a Descriptor> {
    images(index)
        .filter_map(|entry| Some((wanted.distance_to(entry.platform.as_ref()?)?, entry)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, entry)| entry)
}

/// The images and indexes that don't say what they are for.
pub(super) fn unmarked(index: &Index) -> impl Iterator<Item = &Descriptor> {
    images(index).filter(|entry| entry.platform.is_none())
}

/// What the index says its images are for.
pub(super) fn platforms(index: &Index) -> impl Iterator<Item = Platform> {
    images(index).filter_map(|entry| entry.platform.as_ref()).map(Platform::normalised)
}

/// Attestations and artifacts stand in indexes too. An image may say that its artifact type is that of its config.
fn images(index: &Index) -> impl Iterator<Item = &Descriptor> {
    index.manifests.iter().filter(|entry| {
        let is_kind = entry.media_type.is_manifest() || entry.media_type.is_index();
        let is_unknown = entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        let is_artifact = entry.artifact_type.as_ref().is_some_and(|kind| !kind.is_image_config());
        is_kind && !is_unknown && !is_artifact && !entry.annotations.contains_key(ATTESTATION)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

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

    fn chosen(entries: &[(&str, &str)], wanted: &str) -> Option<usize> {
        let index = index(entries);
        let chosen = fitting(&index, &wanted.parse().unwrap())?;
        index.manifests.iter().position(|entry| std::ptr::eq(entry, chosen))
    }

    #[test]
    fn the_nearest_variant_is_chosen() {
        let arms = [("linux/arm/v5", ""), ("linux/arm/v6", ""), ("linux/arm64", ""), ("linux/amd64", "")];
        assert_eq!(chosen(&arms, "linux/arm/v7"), Some(1));
        assert_eq!(chosen(&arms, "linux/arm64/v8"), Some(2));
        assert_eq!(chosen(&arms, "linux/amd64"), Some(3));
        assert_eq!(chosen(&arms, "linux/riscv64"), None);
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
        assert_eq!(chosen(&entries, "linux/amd64"), Some(4));
        assert_eq!(chosen(&entries[..4], "linux/amd64"), None);
    }

    #[test]
    fn an_image_may_name_its_config_as_artifact_type() {
        let image = r#","artifactType":"application/vnd.oci.image.config.v1+json""#;
        assert_eq!(chosen(&[("linux/amd64", image)], "linux/amd64"), Some(0));
        assert_eq!(chosen(&[("linux/amd64", r#","artifactType":"""#)], "linux/amd64"), Some(0));
    }

    #[test]
    fn entries_that_can_not_be_read_are_passed_over() {
        let index: Index = serde_json::from_str(
            r#"{"manifests":[{"digest":"sha384:00","size":1,"mediaType":"x"},{},null,{"size":-1}]}"#,
        )
        .unwrap();
        assert!(index.manifests.is_empty());
        assert_eq!(chosen(&[("linux/amd64", r#","annotations":{"a":null}"#)], "linux/amd64"), Some(0));
        assert_eq!(unmarked(&self::index(&[("", r#","platform":{}"#)])).count(), 1);
    }
}
