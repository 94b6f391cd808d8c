//! Which entry of an index is for a platform.

use crate::image::{Descriptor, Index, Platform};

/// The entry for `wanted`: the nearest variant, of those the highest os version, the first of equals.
pub(super) fn fitting<'a>(index: &'a Index, wanted: &Platform) -> Option<&'a Descriptor> {
    let marked = images(index).filter_map(|entry| Some((entry, entry.platform.as_ref()?)));
    marked
        .filter_map(|(entry, platform)| Some((entry, platform, wanted.distance_to(platform)?)))
        .min_by(|(_, one, distance), (_, other, other_distance)| {
            distance.cmp(other_distance).then_with(|| other.cmp_os_version(one))
        })
        .map(|(entry, ..)| entry)
}

/// What the index has for other os versions of `taken`, for which a person who asked for none might have wished.
pub(super) fn other_os_versions(index: &Index, taken: &Platform) -> Vec<Platform> {
    let taken = taken.normalised();
    let mut others: Vec<Platform> = Vec::new();
    for platform in platforms(index) {
        let is_other = platform.os_version.is_some()
            && platform != taken
            && platform.without_os_version() == taken.without_os_version();
        if is_other && !others.contains(&platform) {
            others.push(platform);
        }
    }
    others
}

/// The images and indexes that don't say whether they are for `wanted`: without a platform, or without the os version
/// that is asked for.
pub(super) fn unmarked<'a>(index: &'a Index, wanted: &Platform) -> impl Iterator<Item = &'a Descriptor> {
    let any_version = wanted.os_version.as_ref().map(|_| wanted.without_os_version());
    images(index).filter(move |entry| match (&entry.platform, &any_version) {
        (None, _) => true,
        (Some(Platform { os_version: None, .. }), Some(any_version)) => {
            entry.platform.as_ref().is_some_and(|platform| any_version.distance_to(platform).is_some())
        }
        _ => false,
    })
}

/// What the index says its images are for.
pub(super) fn platforms(index: &Index) -> impl Iterator<Item = Platform> {
    images(index).filter_map(|entry| entry.platform.as_ref()).map(Platform::normalised)
}

fn images(index: &Index) -> impl Iterator<Item = &Descriptor> {
    index.manifests.iter().filter(|entry| entry.may_be_image())
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
        assert_eq!(unmarked(&self::index(&[("", r#","platform":{}"#)]), &Platform::linux_amd64()).count(), 1);
    }

    /// An index of a Windows entry for each os version; none for an empty one.
    fn windows(versions: &[&str]) -> Index {
        let mut index = index(&vec![("windows/amd64", ""); versions.len()]);
        for (entry, version) in index.manifests.iter_mut().zip(versions) {
            let os_version = Some((*version).to_owned()).filter(|version| !version.is_empty());
            entry.platform = Some(Platform { os_version, ..entry.platform.clone().unwrap() }.normalised());
        }
        index
    }

    #[test]
    fn the_highest_os_version_that_fits_is_chosen() {
        let index = windows(&["10.0.17763.999", "10.0.20348.1", "10.0.17763.1000", "10.0.17763.1000", ""]);
        for (wanted, chosen, unmarked_entries) in [
            ("windows/amd64", Some(1), 0),
            ("windows/amd64:10.0.17763", Some(2), 1),
            ("windows/amd64:10.0.17763.999", Some(0), 1),
            ("windows/amd64:10.0.14393", None, 1),
            ("linux/amd64", None, 0),
        ] {
            let wanted: Platform = wanted.parse().unwrap();
            let entry = fitting(&index, &wanted);
            let place = |entry: &Descriptor| index.manifests.iter().position(|one| std::ptr::eq(one, entry));
            assert_eq!(entry.and_then(place), chosen, "{wanted}");
            assert_eq!(unmarked(&index, &wanted).count(), unmarked_entries, "{wanted}");
        }
        let others = other_os_versions(&index, &"windows/amd64:10.0.20348.1".parse().unwrap());
        let others: Vec<_> = others.iter().map(ToString::to_string).collect();
        assert_eq!(others, ["windows/amd64:10.0.17763.999", "windows/amd64:10.0.17763.1000"]);
    }
}
