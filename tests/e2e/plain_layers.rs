//! `--layers`: what an archive with inflated layers proves by itself, that it is the same each time, and that a pipe has the
//! same bytes. That loaders take it is in `loads.rs` and `pipes.rs`.

use std::process::{Command, Stdio};

use crate::archive::{expected_layers, has_oci_part};
use crate::command::output_of;
use crate::images::{
    CONFIG_BYTES, DEBIAN, FILESYSTEM, GZIP_MEMBERS, Image, MANIFEST_LIST, NO_LAYERS, PLATFORMS,
    REPEATED_LAYERS, SIXTY_LAYERS, ZSTD_BY_BUILDAH, ZSTD_BY_PODMAN, ZSTD_CHUNKED, ZSTD_ON_GZIP,
};
use crate::sealift::{Layers, pull_with, sealift};
use crate::session::session;

const HEX_LENGTH: usize = 64;

fn all() -> [&'static Image; 13] {
    [
        &DEBIAN,
        &FILESYSTEM,
        &PLATFORMS,
        &MANIFEST_LIST,
        &SIXTY_LAYERS,
        &REPEATED_LAYERS,
        &NO_LAYERS,
        &CONFIG_BYTES,
        &ZSTD_BY_PODMAN,
        &ZSTD_BY_BUILDAH,
        &ZSTD_CHUNKED,
        &ZSTD_ON_GZIP,
        &GZIP_MEMBERS,
    ]
}

/// What `sha256sum` says of each `layer.tar` that `tar` takes out, in the order of the layers.
fn sums(image: &Image, how: Layers) -> Vec<String> {
    let sums = expected_layers(image, how).into_iter().map(|layer| {
        let take_out = "tar --extract --to-stdout --file \"$0\" \"$1/layer.tar\" | sha256sum";
        let hex = layer.blob.strip_prefix("sha256:").unwrap();
        let sum = output_of(
            Command::new("bash")
                .args(["-euo", "pipefail", "-c", take_out])
                .arg(image.archive_with(how))
                .arg(hex),
        );
        format!("sha256:{}", &sum[..HEX_LENGTH])
    });
    sums.collect()
}

#[test]
fn tar_and_sha256sum_prove_plain_layers_by_the_diff_ids() {
    for image in all() {
        let expected: Vec<String> =
            expected_layers(image, Layers::Plain).into_iter().map(|layer| layer.stored).collect();
        assert_eq!(sums(image, Layers::Plain), expected, "{}", image.name());
    }
}

#[test]
fn tar_and_sha256sum_prove_kept_zstd_layers_by_their_folders() {
    for image in [&*ZSTD_BY_PODMAN, &ZSTD_BY_BUILDAH, &ZSTD_CHUNKED, &ZSTD_ON_GZIP] {
        let expected: Vec<String> =
            expected_layers(image, Layers::Keep).into_iter().map(|layer| layer.blob).collect();
        assert_eq!(sums(image, Layers::Keep), expected, "{}", image.name());
    }
}

#[test]
fn only_an_inflated_layer_takes_the_oci_part_away() {
    for (image, auto, plain) in [
        (&*GZIP_MEMBERS, true, false),
        (&ZSTD_ON_GZIP, false, false),
        (&ZSTD_CHUNKED, false, false),
        (&NO_LAYERS, true, true),
    ] {
        for (how, expected) in [(Layers::Auto, auto), (Layers::Plain, plain), (Layers::Keep, true)] {
            assert_eq!(has_oci_part(image, how), expected, "the test's own rule: {} {how:?}", image.name());
            let files =
                output_of(Command::new("tar").arg("--list").arg("--file").arg(image.archive_with(how)));
            let found = files
                .lines()
                .any(|path| path == "oci-layout" || path == "index.json" || path.starts_with("blobs/"));
            assert_eq!(found, expected, "{} {how:?}", image.name());
        }
    }
}

#[test]
fn the_same_image_with_plain_layers_gives_the_same_bytes_again() {
    let folder = session().work_folder("plain-again");
    for image in [&*DEBIAN, &SIXTY_LAYERS, &REPEATED_LAYERS, &ZSTD_CHUNKED, &ZSTD_ON_GZIP, &GZIP_MEMBERS] {
        for how in [Layers::Auto, Layers::Plain] {
            let again = folder.join("again.tar");
            pull_with(how, &image.name(), &again);
            output_of(Command::new("cmp").arg(image.archive_with(how)).arg(&again));
            std::fs::remove_file(again).unwrap();
        }
    }
}

#[test]
fn keep_and_auto_make_the_same_bytes_of_an_image_without_zstd() {
    for image in [&*DEBIAN, &REPEATED_LAYERS, &GZIP_MEMBERS, &NO_LAYERS] {
        output_of(
            Command::new("cmp").arg(image.archive_with(Layers::Keep)).arg(image.archive_with(Layers::Auto)),
        );
    }
}

#[test]
fn a_pipe_of_plain_layers_has_the_bytes_of_the_file() {
    for image in [&*DEBIAN, &REPEATED_LAYERS, &ZSTD_CHUNKED, &ZSTD_ON_GZIP, &GZIP_MEMBERS] {
        let mut pull = sealift(&["pull", &image.name(), "-q", "-o", "-"]);
        let mut pull = pull.args(Layers::Plain.options()).stdout(Stdio::piped()).spawn().unwrap();
        let stream = pull.stdout.take().unwrap();
        let compared = Command::new("cmp")
            .arg("-")
            .arg(image.archive_with(Layers::Plain))
            .stdin(stream)
            .output()
            .unwrap();
        assert!(compared.status.success(), "{}: {compared:?}", image.name());
        assert!(pull.wait().unwrap().success(), "{}", image.name());
    }
}
