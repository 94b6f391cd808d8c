//! Each image's archives in each loader of both sets: as sealift makes them by itself, with plain layers, and with
//! the zstd layers that the registry has.

use std::fs::File;

use crate::archive::{has_oci_part, is_as_documented};
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::Image;
use crate::loader::Loader;
use crate::podman::Podman;
use crate::sealift::Layers;
use crate::session::Set;
use crate::skopeo::Skopeo;

/// The archives that every loader takes.
const FOR_ALL: [Layers; 2] = [Layers::Auto, Layers::Plain];

/// Those for loaders that inflate zstd. Of other images `keep` makes the same bytes as `auto`.
fn for_modern(image: &Image) -> impl Iterator<Item = Layers> {
    FOR_ALL.into_iter().chain(image.has_zstd_layers().then_some(Layers::Keep))
}

/// Loads the archives, one after the other, and compares what the loader then has with what was pushed.
fn loads(loader: &dyn Loader, image: &Image) {
    for how in for_modern(image) {
        loads_with(how, loader, image);
    }
}

fn loads_with(how: Layers, loader: &dyn Loader, image: &Image) {
    let name = image.name();
    let resolved = image.resolved();
    loader.load(image.archive_with(how));
    assert_eq!(loader.names(&name), std::slice::from_ref(&name), "{how:?}");
    assert_eq!(loader.config_digest(&name), resolved.config_digest(), "{how:?}");
    if has_oci_part(image, how)
        && let Some(digest) = loader.name_digest(&name)
    {
        assert_eq!(digest, resolved.digest(), "{how:?}");
    }
    if let Some(command) = image.command {
        assert_eq!(loader.run(&name, command), image.prints, "{how:?}");
    }
    loader.remove(&name);
}

/// The same for Docker 20.10, which must say no to zstd, and keep nothing of it.
fn loads_into_docker_20(image: &Image) {
    let docker = Docker(Set::Old);
    for how in FOR_ALL {
        loads_with(how, &docker, image);
    }
    if image.has_zstd_layers() {
        let archive = File::open(image.archive_with(Layers::Keep)).unwrap();
        let output = docker.load_stdin().stdin(archive).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{output:?}");
        // The latter where the blob is no longer than a header.
        assert!(said.contains("invalid tar header") || said.contains("unexpected EOF"), "{said}");
        let inspect = docker.docker(&["image", "inspect", &image.name()]).output().unwrap();
        assert!(!inspect.status.success(), "{inspect:?}");
    }
}

/// Reads the archives as both of their formats.
fn copies(skopeo: &Skopeo, image: &Image) {
    for how in for_modern(image) {
        let formats: &[&str] =
            if has_oci_part(image, how) { &["docker-archive", "oci-archive"] } else { &["docker-archive"] };
        for format in formats {
            let source = format!("{format}:{}", image.archive_with(how).display());
            let folder = format!("{format}-{}-{}", skopeo.0.name(), image.file_stem());
            let config_digest = skopeo.copy_to_folder(&source, &folder);
            assert_eq!(config_digest, image.resolved().config_digest(), "{source}");
        }
    }
}

macro_rules! loads {
    ($(#[$attribute:meta])* $module:ident, $image:ident) => {
        mod $module {
            use super::*;
            use crate::images::$image;

            $(#[$attribute])* #[test]
            fn makes_an_archive_with_the_documented_entries() {
                for how in for_modern(&$image) {
                    is_as_documented(&$image, how);
                }
            }

            $(#[$attribute])* #[test]
            fn loads_into_docker_20() {
                super::loads_into_docker_20(&$image);
            }

            $(#[$attribute])* #[test]
            fn loads_into_docker_28_with_containerd_image_store() {
                loads(&Docker(Set::Modern), &$image);
            }

            $(#[$attribute])* #[test]
            fn loads_into_containerd_1_6() {
                loads(&Containerd(Set::Old), &$image);
            }

            $(#[$attribute])* #[test]
            fn loads_into_containerd_2() {
                loads(&Containerd(Set::Modern), &$image);
            }

            $(#[$attribute])* #[test]
            fn loads_into_podman_4() {
                loads(&Podman(Set::Old), &$image);
            }

            $(#[$attribute])* #[test]
            fn loads_into_podman_5() {
                loads(&Podman(Set::Modern), &$image);
            }

            $(#[$attribute])* #[test]
            fn is_copied_by_skopeo_1_9() {
                copies(&Skopeo(Set::Old), &$image);
            }

            $(#[$attribute])* #[test]
            fn is_copied_by_skopeo_1_22() {
                copies(&Skopeo(Set::Modern), &$image);
            }
        }
    };
}

loads!(image_built_by_docker, DEBIAN);
loads!(image_built_by_buildah, FILESYSTEM);
loads!(image_from_an_index, PLATFORMS);
loads!(image_from_a_docker_manifest_list, MANIFEST_LIST);
loads!(image_of_sixty_layers, SIXTY_LAYERS);
loads!(image_with_repeated_and_empty_layers, REPEATED_LAYERS);
loads!(image_without_layers, NO_LAYERS);
loads!(image_with_an_unusually_written_config, CONFIG_BYTES);
loads!(image_pushed_by_podman_as_zstd, ZSTD_BY_PODMAN);
loads!(image_pushed_by_podman_as_zstd_chunked, ZSTD_CHUNKED);
loads!(image_pushed_by_podman_as_zstd_on_a_gzip_base, ZSTD_ON_GZIP);
loads!(image_pushed_by_buildah_as_zstd, ZSTD_BY_BUILDAH);
loads!(image_of_many_gzip_members, GZIP_MEMBERS);
loads!(
    #[ignore = "slow: tests/run --long"]
    image_with_a_layer_of_2_gib,
    BIG_LAYER
);
