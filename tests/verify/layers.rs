//! Layers that are missing, damaged, in another order, or not what was wanted.

use sealift::image::Digest;
use serde_json::json;

use super::fixture::{Fixture, Mended};
use super::pieces::{
    app, blob_path, docker_save, drop_last, layer_path, more, packed_layers, reverse, sealift, with_manifest,
    zstd,
};
use crate::support::image::descriptor;
use crate::support::layer::Layer;
use crate::support::makers;

pub(crate) const LAYERS: &[Fixture] = &[
    Fixture {
        name: "layer-missing",
        made: "the second layer is missing",
        archive: || sealift().without(&format!("{}/layer.tar", app().blob(1))).bytes(),
        options: &[],
        kinds: &["legacy-metadata", "missing-entry"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layer-flipped",
        made: "a bit of the second layer is flipped",
        archive: || {
            sealift().edited(&format!("{}/layer.tar", app().blob(1)), |bytes| bytes[700] ^= 1).bytes()
        },
        options: &[],
        kinds: &["wrong-digest"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layer-empty",
        made: "the second layer has no bytes",
        archive: || docker_save().edited(&layer_path(1), Vec::clear).bytes(),
        options: &[],
        kinds: &["wrong-diff-id"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layer-of-another-image",
        made: "the second layer is another image's",
        archive: || {
            docker_save().edited(&layer_path(1), |bytes| *bytes = Layer::tar(9, 100).inflated).bytes()
        },
        options: &[],
        kinds: &["wrong-diff-id"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layers-out-of-order",
        made: "`manifest.json` names the layers the other way round",
        archive: || {
            docker_save()
                .without("repositories")
                .edited_json("manifest.json", |json| reverse(&mut json[0]["Layers"]))
                .bytes()
        },
        options: &[],
        kinds: &["layers-out-of-order"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "layer-named-twice",
        made: "`manifest.json` names the first layer in the second's place",
        archive: || {
            docker_save()
                .edited_json("manifest.json", |json| json[0]["Layers"][1] = json!(layer_path(0)))
                .bytes()
        },
        options: &[],
        kinds: &["wrong-diff-id"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "layer-left-out",
        made: "`manifest.json` names two of three layers",
        archive: || {
            docker_save()
                .without("repositories")
                .edited_json("manifest.json", |json| drop_last(&mut json[0]["Layers"]))
                .bytes()
        },
        options: &[],
        kinds: &["layer-count"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "layers-packed",
        made: "`docker save` before 25, its layers packed with gzip",
        archive: || packed_layers(|_| ()).bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "layer-packed-and-cut",
        made: "the same, the second layer cut short",
        archive: || packed_layers(|bytes| bytes.truncate(bytes.len() - 100)).bytes(),
        options: &[],
        kinds: &["inflate"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layer-with-a-tail",
        made: "the same, with words behind the second layer's gzip",
        archive: || packed_layers(|bytes| bytes.extend_from_slice(b"tail")).bytes(),
        options: &[],
        kinds: &["inflate"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "blob-size-wrong",
        made: "the manifest says that the second layer has a byte more",
        archive: || with_manifest(|json| more(&mut json["layers"][1]["size"])).bytes(),
        options: &[],
        kinds: &["wrong-size"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "layers-differ",
        made: "`manifest.json` names the layers of the config, the manifest in the second's place another's",
        archive: || {
            let strange = Layer::tar(9, 100);
            let own = descriptor(strange.media_type, &strange.blob);
            let archive = with_manifest(|json| json["layers"][1] = own);
            archive.file(&blob_path(Digest::of(&strange.blob).hex()), strange.blob).bytes()
        },
        options: &[],
        kinds: &["layers-differ"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "wrong-platform",
        made: "an image for linux/amd64 where linux/arm64 is wanted",
        archive: || sealift().bytes(),
        options: &["--platform", "linux/arm64"],
        kinds: &["wrong-platform"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "wrong-file",
        made: "the file has another digest than it should",
        archive: || sealift().bytes(),
        options: &["--against", "sha256:0000000000000000000000000000000000000000000000000000000000000000"],
        kinds: &["wrong-file"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "zstd-for-docker-20.10",
        made: "a layer packed with zstd, where Docker 20.10 is to take it",
        archive: || makers::sealift(&[&zstd()]).bytes(),
        options: &["--for", "docker-20.10"],
        kinds: &["loader"],
        loads: "",
        mended: Mended::Kept,
    },
];
