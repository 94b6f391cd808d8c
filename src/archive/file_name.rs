//! The default name of an archive: `<registry>_<repository>_<tag>_<arch>.tar`. An os other than Linux stands before the
//! architecture, a variant behind it, and then the os version that was asked for: an image for each has its own file.

use std::collections::HashMap;

use crate::fsio::LONGEST_SUFFIX;
use crate::image::{Digest, Platform, Reference, ResolvedImage};

/// What Linux file systems take, in bytes; what is there on the way has to fit too, and what stands beside an archive.
const MAX_NAME_BYTES: usize = 255 - LONGEST_SUFFIX.len();

/// A file name for each image. Images that would get the same one (`a/b_c` and `a_b/c`) are told apart by a short
/// hash of their reference, whatever their order.
pub fn file_names(images: &[ResolvedImage]) -> Vec<String> {
    let identities = images.iter().map(|image| Identity {
        reference: &image.reference,
        platform: &image.platform,
        asked_os_version: image.asked_os_version.as_deref(),
    });
    names_of(&identities.collect::<Vec<_>>())
}

/// What an image's file is named after.
struct Identity<'a> {
    reference: &'a Reference,
    platform: &'a Platform,
    asked_os_version: Option<&'a str>,
}

fn names_of(images: &[Identity<'_>]) -> Vec<String> {
    let stems: Vec<String> = images.iter().map(stem).collect();
    // Some disks take names that differ only in case for one.
    let mut uses: HashMap<String, usize> = HashMap::new();
    for stem in &stems {
        *uses.entry(stem.to_ascii_lowercase()).or_default() += 1;
    }
    let name = |(Identity { reference, platform, .. }, stem): (&Identity<'_>, &String)| {
        let room = MAX_NAME_BYTES - ".tar".len();
        if stem.len() <= room && uses[&stem.to_ascii_lowercase()] == 1 {
            return format!("{stem}.tar");
        }
        let identity = Digest::of(format!("{reference} {platform}").as_bytes());
        let hash = &identity.hex()[..8];
        // ASCII only, so any byte is a boundary.
        let kept = stem.len().min(room - 1 - hash.len());
        format!("{}_{hash}.tar", &stem[..kept])
    };
    images.iter().zip(&stems).map(name).collect()
}

fn stem(Identity { reference, platform, asked_os_version }: &Identity<'_>) -> String {
    let version = reference.tag().or_else(|| reference.digest().map(Digest::short)).unwrap_or_default();
    let os = if platform.os == "linux" { String::new() } else { format!("{}_", platform.os) };
    let variant = platform.variant.as_ref().map(|variant| format!("_{variant}")).unwrap_or_default();
    let os_version = asked_os_version.map(|version| format!("_{version}")).unwrap_or_default();
    let name = format!(
        "{}_{}_{version}_{os}{}{variant}{os_version}",
        reference.registry(),
        reference.repository().path(),
        platform.architecture
    );
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    name.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(images: &[(&str, &str)]) -> Vec<String> {
        let parsed: Vec<(Reference, Platform)> = images
            .iter()
            .map(|(name, platform)| (name.parse().unwrap(), platform.parse().unwrap()))
            .collect();
        let identities = parsed.iter().map(|(reference, platform)| Identity {
            reference,
            platform,
            asked_os_version: platform.os_version.as_deref(),
        });
        names_of(&identities.collect::<Vec<_>>())
    }

    #[test]
    fn names_tell_registry_repository_tag_and_platform() {
        let digest = format!("quay.io/o/n@{}", Digest::of(b""));
        for (reference, platform, name) in [
            ("busybox", "linux/amd64", "docker.io_library_busybox_latest_amd64.tar"),
            ("bitnami/redis:7", "linux/arm/v7", "docker.io_bitnami_redis_7_arm_v7.tar"),
            ("host:5000/x:1", "linux/arm64/v8", "host_5000_x_1_arm64.tar"),
            ("x", "windows/amd64", "docker.io_library_x_latest_windows_amd64.tar"),
            ("x", "windows/amd64:10.0.17763", "docker.io_library_x_latest_windows_amd64_10.0.17763.tar"),
            (&digest, "linux/amd64", "quay.io_o_n_e3b0c44298fc_amd64.tar"),
        ] {
            assert_eq!(names(&[(reference, platform)]), [name]);
        }
    }

    #[test]
    fn names_that_would_meet_are_told_apart() {
        let both = names(&[("h.io/a/b_c", "linux/amd64"), ("h.io/a_b/c", "linux/amd64")]);
        assert_ne!(both[0], both[1]);
        let turned = names(&[("h.io/a_b/c", "linux/amd64"), ("h.io/a/b_c", "linux/amd64")]);
        assert_eq!((&both[0], &both[1]), (&turned[1], &turned[0]));
    }

    #[test]
    fn names_that_differ_in_case_only_are_told_apart() {
        let both = names(&[("x:V1", "linux/amd64"), ("x:v1", "linux/amd64")]);
        assert_ne!(both[0].to_lowercase(), both[1].to_lowercase());
    }

    proptest! {
        /// Of any length, names fit and are told apart.
        #[test]
        fn long_names_fit_and_are_told_apart(length in 190usize..245, tag in 1usize..100) {
            let component = "a".repeat(length - 10);
            let tag = "t".repeat(tag);
            let references = [format!("h.io/p/q_{component}:{tag}"), format!("h.io/p_q/{component}:{tag}")];
            let both = names(&[(&references[0], "linux/amd64"), (&references[1], "linux/amd64")]);
            prop_assert_ne!(&both[0], &both[1]);
            for name in &both {
                prop_assert!(name.len() <= MAX_NAME_BYTES && name.strip_suffix(".tar").is_some(), "{}", name);
            }
        }
    }
}
