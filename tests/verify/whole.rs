//! Archives with nothing wrong, of each maker.

use serde_json::json;
use tar::EntryType;

use super::fixture::{Fixture, Mended};
use super::pieces::{app, docker_save, layer_path, many_layers, oci, other, sealift, zstd};
use crate::support::forged::Forged;
use crate::support::makers::{self, Image};

pub(crate) const WHOLE: &[Fixture] = &[
    Fixture {
        name: "sealift",
        made: "as sealift writes it",
        archive: || sealift().bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "sealift-under-index",
        made: "as sealift writes it, of a name that is an index's",
        archive: || makers::sealift(&[&app().under_index()]).bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "sealift-two-images",
        made: "as sealift writes it, of two images that share a layer",
        archive: || makers::sealift(&[&app(), &other()]).bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "sealift-no-layers",
        made: "as sealift writes it, of an image without layers",
        archive: || makers::sealift(&[&Image::new("app:1", Vec::new(), &json!({}))]).bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "docker-save",
        made: "as `docker save` before 25 wrote it",
        archive: || docker_save().bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "docker-save-25",
        made: "as `docker save` writes it since 25",
        archive: || makers::docker_save_25(&app()).bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "skopeo-docker-archive",
        made: "as skopeo and podman write docker-archives",
        archive: || makers::skopeo_docker_archive(&[&app()]).bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "crane",
        made: "as crane writes it",
        archive: || makers::crane(&app()).bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "oci-archive",
        made: "as skopeo and buildah write OCI archives",
        archive: || oci().bytes(),
        options: &[],
        kinds: &[],
        loads: "cps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "hard-linked-layer",
        made: "`docker save` before 25, the second layer a hard link to its bytes elsewhere",
        archive: || {
            let path = layer_path(1);
            let layer = app().layers[1].inflated.clone();
            let archive = docker_save().linked(&path, EntryType::Link, "bytes");
            Forged::default().file("bytes", layer).followed_by(archive).bytes()
        },
        options: &[],
        kinds: &[],
        loads: "o",
        mended: Mended::New,
    },
    Fixture {
        name: "symlinked-layer",
        made: "`docker save` before 25, the second layer a symlink to its bytes elsewhere",
        archive: || {
            let path = layer_path(1);
            let archive = docker_save().file("bytes", &app().layers[1].inflated[..]);
            archive.linked(&path, EntryType::Symlink, "../bytes").bytes()
        },
        options: &[],
        kinds: &[],
        loads: "onc",
        mended: Mended::New,
    },
    Fixture {
        name: "zstd-layers",
        made: "as sealift writes it with `--layers keep`, of a layer packed with zstd",
        archive: || makers::sealift(&[&zstd()]).bytes(),
        options: &[],
        kinds: &[],
        loads: "ncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "many-layers",
        made: "as sealift writes it, of 140 layers",
        archive: || makers::sealift(&[&many_layers()]).bytes(),
        options: &[],
        kinds: &[],
        loads: "ncs",
        mended: Mended::Kept,
    },
    Fixture {
        name: "sha512",
        made: "as sealift writes it, of a manifest by SHA-512 digests",
        archive: || makers::sealift(&[&app().by_sha512()]).bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "with-extra-entries",
        made: "as sealift writes it, with three entries that nothing names",
        archive: || {
            sealift()
                .file("README", "hello")
                .file("notes/a.txt", "hello")
                .file("notes/b.txt", "hello")
                .bytes()
        },
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::Kept,
    },
];
