//! Each image's archive in each loader of both sets.

use crate::archive::is_universal;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::Image;
use crate::loader::Loader;
use crate::podman::Podman;
use crate::session::Set;
use crate::skopeo::Skopeo;

/// Loads the archive and compares what the loader then has with what was pushed.
fn loads(loader: &dyn Loader, image: &Image) {
    let name = image.name();
    let resolved = image.resolved();
    loader.load(image.archive());
    assert_eq!(loader.names(&name), std::slice::from_ref(&name));
    assert_eq!(loader.config_digest(&name), resolved.config_digest());
    if let Some(digest) = loader.name_digest(&name) {
        assert_eq!(digest, resolved.digest());
    }
    if let Some(command) = image.command {
        assert_eq!(loader.run(&name, command), image.prints);
    }
    loader.remove(&name);
}

/// Reads the archive as both of its formats.
fn copies(skopeo: &Skopeo, image: &Image) {
    for format in ["docker-archive", "oci-archive"] {
        let source = format!("{format}:{}", image.archive().display());
        let folder = format!("{format}-{}-{}", skopeo.0.name(), image.file_stem());
        let config_digest = skopeo.copy_to_folder(&source, &folder);
        assert_eq!(config_digest, image.resolved().config_digest(), "{source}");
    }
}

macro_rules! loads {
    ($(#[$attribute:meta])* $module:ident, $image:ident) => {
        mod $module {
            use super::*;
            use crate::images::$image;

            $(#[$attribute])* #[test]
            fn makes_an_archive_with_the_documented_entries() {
                is_universal(&$image);
            }

            $(#[$attribute])* #[test]
            fn loads_into_docker_20() {
                loads(&Docker(Set::Old), &$image);
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
loads!(
    #[ignore = "slow: tests/run --long"]
    image_with_a_layer_of_2_gib,
    BIG_LAYER
);
