//! Documents that are missing, can't be read, or say what is not so.

use sealift::image::{Digest, MediaType};
use serde_json::json;

use super::fixture::{Fixture, Mended};
use super::pieces::{
    app, blob_path, docker_save, drop_last, layer_path, layers_alone, metadata_path, more, oci, other,
    replace, sealift,
};
use crate::support::image::descriptor;
use crate::support::makers;

pub(crate) const DOCUMENTS: &[Fixture] = &[
    Fixture {
        name: "index-names-too-many",
        made: "`index.json` names an index of two images 5,001 times",
        archive: || {
            let archive = makers::oci_archive(&[&app(), &other()]);
            let index = archive.content("index.json").to_vec();
            let named = descriptor(MediaType::OciIndex.as_str(), &index);
            archive
                .file(&blob_path(Digest::of(&index).hex()), index)
                .edited_json("index.json", |json| json["manifests"] = vec![named; 5001].into())
                .bytes()
        },
        options: &[],
        kinds: &["no-images", "too-many"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "manifest-json-not-json",
        made: "`manifest.json` ends in its middle",
        archive: || docker_save().edited("manifest.json", |json| json.truncate(40)).bytes(),
        options: &[],
        kinds: &["document", "no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "manifest-json-an-object",
        made: "`manifest.json` is an object, not a list",
        archive: || docker_save().edited_json("manifest.json", |json| *json = json[0].take()).bytes(),
        options: &[],
        kinds: &["document", "no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "manifest-json-two-readings",
        made: "`manifest.json` has `Layers` and `layers`",
        archive: || docker_save().edited_json("manifest.json", |json| json[0]["layers"] = json!([])).bytes(),
        options: &[],
        kinds: &["document", "no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "manifest-json-empty",
        made: "`manifest.json` names nothing",
        archive: || docker_save().edited_json("manifest.json", |json| *json = json!([])).bytes(),
        options: &[],
        kinds: &["no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "manifest-json-without-config",
        made: "an image of `manifest.json` has no `Config`",
        archive: || docker_save().edited_json("manifest.json", |json| json[0]["Config"] = json!("")).bytes(),
        options: &[],
        kinds: &["missing-entry"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "index-json-not-json",
        made: "an OCI archive whose `index.json` ends in its middle",
        archive: || oci().edited("index.json", |json| json.truncate(40)).bytes(),
        options: &[],
        kinds: &["manifest", "no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "index-json-is-html",
        made: "an OCI archive whose `index.json` is a login page",
        archive: || oci().edited("index.json", |json| *json = b"<html>Log in".to_vec()).bytes(),
        options: &[],
        kinds: &["manifest", "no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "index-json-empty",
        made: "an OCI archive whose `index.json` names nothing",
        archive: || oci().edited_json("index.json", |json| json["manifests"] = json!([])).bytes(),
        options: &[],
        kinds: &["no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "index-json-size-wrong",
        made: "`index.json` says that the manifest has a byte more",
        archive: || {
            sealift().edited_json("index.json", |json| more(&mut json["manifests"][0]["size"])).bytes()
        },
        options: &[],
        kinds: &["wrong-size"],
        loads: "",
        mended: Mended::Kept,
    },
    Fixture {
        name: "index-json-names-nothing-there",
        made: "`index.json` names a manifest that is not there",
        archive: || {
            sealift()
                .edited_json("index.json", |json| {
                    json["manifests"][0]["digest"] = json!(Digest::of(b"elsewhere"));
                })
                .bytes()
        },
        options: &[],
        kinds: &["missing-entry"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "manifest-missing",
        made: "the manifest's blob is missing",
        archive: || sealift().without(&blob_path(app().manifest_digest().hex())).bytes(),
        options: &[],
        kinds: &["missing-entry"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "manifest-of-schema-1",
        made: "the manifest is one of Docker's schema 1",
        archive: || {
            makers::oci_archive(&[&app().with_manifest(|json| json["schemaVersion"] = json!(1))]).bytes()
        },
        options: &[],
        kinds: &["manifest", "no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "manifest-an-index-too",
        made: "the manifest is an index at the same time",
        archive: || {
            makers::oci_archive(&[&app().with_manifest(|json| json["manifests"] = json!([]))]).bytes()
        },
        options: &[],
        kinds: &["manifest", "no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "manifest-flipped",
        made: "a bit of the manifest is flipped",
        archive: || {
            sealift().edited(&blob_path(app().manifest_digest().hex()), |bytes| bytes[20] ^= 1).bytes()
        },
        options: &[],
        kinds: &["wrong-digest"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "index-of-nothing-there",
        made: "the name is an index's, and no manifest it names came along",
        archive: || {
            let app = app().under_index();
            makers::oci_archive(&[&app]).without(&blob_path(app.manifest_digest().hex())).bytes()
        },
        options: &[],
        kinds: &["missing-entry", "no-images"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "config-missing",
        made: "the config is missing",
        archive: || docker_save().without(&app().config_path()).bytes(),
        options: &[],
        kinds: &["missing-entry"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "config-not-json",
        made: "the config is cut short",
        archive: || docker_save().edited(&app().config_path(), |json| json.truncate(40)).bytes(),
        options: &[],
        kinds: &["document", "wrong-digest"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "config-flipped",
        made: "a letter of the config is another one",
        archive: || {
            docker_save().edited(&app().config_path(), |json| replace(json, "/bin/sh", "/bin/sx")).bytes()
        },
        options: &[],
        kinds: &["wrong-digest"],
        loads: "oncps",
        mended: Mended::No,
    },
    Fixture {
        name: "config-lists-too-few-layers",
        made: "the config lists two of three layers",
        archive: || {
            makers::docker_save(&[&app().with_config(|config| drop_last(&mut config["rootfs"]["diff_ids"]))])
                .bytes()
        },
        options: &[],
        kinds: &["layer-count"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "oci-layout-missing",
        made: "an OCI archive without `oci-layout`",
        archive: || oci().without("oci-layout").bytes(),
        options: &[],
        kinds: &["no-oci-layout"],
        loads: "ps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "oci-layout-of-another-version",
        made: "an OCI archive of layout version 2.0.0",
        archive: || {
            oci().edited_json("oci-layout", |json| json["imageLayoutVersion"] = json!("2.0.0")).bytes()
        },
        options: &[],
        kinds: &["no-oci-layout"],
        loads: "cps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "metadata-too-large",
        made: "the metadata of a lone layer has more than a MiB",
        archive: || {
            layers_alone()
                .edited_json(&metadata_path(0), |json| json["comment"] = "x".repeat(1 << 20).into())
                .bytes()
        },
        options: &[],
        kinds: &["document-too-large", "no-manifest-json"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "manifest-json-names-too-many-layers",
        made: "`manifest.json` names the first layer 100,001 times",
        archive: || {
            docker_save()
                .edited_json("manifest.json", |json| json[0]["Layers"] = vec![layer_path(0); 100_001].into())
                .bytes()
        },
        options: &[],
        kinds: &["no-images", "too-many"],
        loads: "",
        mended: Mended::No,
    },
];
