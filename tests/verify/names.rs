//! Names: none, strange ones, and such as contradict each other.

use serde_json::{Value, json};

use super::fixture::{Fixture, Mended};
use super::pieces::{app, docker_save, drop_last, oci, other, sealift};
use crate::support::makers;

pub(crate) const NAMES: &[Fixture] = &[
    Fixture {
        name: "no-name",
        made: "`manifest.json` gives no name",
        archive: || {
            docker_save()
                .without("repositories")
                .edited_json("manifest.json", |json| json[0]["RepoTags"] = Value::Null)
                .bytes()
        },
        options: &[],
        kinds: &["no-name"],
        loads: "onps",
        mended: Mended::Named,
    },
    Fixture {
        name: "name-in-capitals",
        made: "`manifest.json` names it `App:1`",
        archive: || {
            docker_save()
                .without("repositories")
                .edited_json("manifest.json", |json| json[0]["RepoTags"] = json!(["App:1"]))
                .bytes()
        },
        options: &[],
        kinds: &["bad-name"],
        loads: "s",
        mended: Mended::Named,
    },
    Fixture {
        name: "name-that-steers-the-terminal",
        made: "the name clears the screen, and ends the line",
        archive: || {
            docker_save()
                .without("repositories")
                .edited_json("manifest.json", |json| json[0]["RepoTags"] = json!(["\u{1b}[2J\nx.tar: whole"]))
                .bytes()
        },
        options: &[],
        kinds: &["bad-name"],
        loads: "s",
        mended: Mended::Named,
    },
    Fixture {
        name: "a-tag-for-a-name",
        made: "an OCI archive that skopeo wrote with a tag alone: `latest`",
        archive: || {
            oci()
                .edited_json("index.json", |json| {
                    json["manifests"][0]["annotations"] =
                        json!({"org.opencontainers.image.ref.name": "latest"});
                })
                .bytes()
        },
        options: &[],
        kinds: &["bad-name"],
        loads: "cps",
        mended: Mended::Named,
    },
    Fixture {
        name: "oci-without-a-name",
        made: "an OCI archive without a name",
        archive: || {
            oci().edited_json("index.json", |json| json["manifests"][0]["annotations"] = Value::Null).bytes()
        },
        options: &[],
        kinds: &["no-name"],
        loads: "nps",
        mended: Mended::Named,
    },
    Fixture {
        name: "two-images-one-name",
        made: "two images that `manifest.json` names alike",
        archive: || {
            let archive = makers::docker_save(&[&app(), &other()]).without("repositories");
            archive.edited_json("manifest.json", |json| json[1]["RepoTags"] = json!(["app:1"])).bytes()
        },
        options: &[],
        kinds: &["same-name"],
        loads: "oncps",
        mended: Mended::No,
    },
    Fixture {
        name: "one-name-in-two-spellings",
        made: "`manifest.json` names it `app:1` and `docker.io/library/app:1`",
        archive: || {
            docker_save()
                .edited_json("manifest.json", |json| {
                    json[0]["RepoTags"] = json!(["app:1", "docker.io/library/app:1"]);
                })
                .bytes()
        },
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "names-too-many",
        made: "`manifest.json` gives an image 10,001 names",
        archive: || {
            let names: Vec<_> = (0..=10_000).map(|number| format!("app:{number}")).collect();
            docker_save().edited_json("manifest.json", |json| json[0]["RepoTags"] = json!(names)).bytes()
        },
        options: &[],
        kinds: &["no-images", "too-many"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "names-differ",
        made: "`manifest.json` says `app:2`, `index.json` `app:1`",
        archive: || {
            sealift()
                .without("repositories")
                .edited_json("manifest.json", |json| json[0]["RepoTags"] = json!(["app:2"]))
                .bytes()
        },
        options: &[],
        kinds: &["names-differ"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "image-only-in-index-json",
        made: "two images, of which `manifest.json` names one",
        archive: || {
            let archive = makers::sealift(&[&app(), &other()]).without("repositories");
            archive.edited_json("manifest.json", drop_last).bytes()
        },
        options: &[],
        kinds: &["in-one-part"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "image-only-in-manifest-json",
        made: "two images, of which `index.json` names one",
        archive: || {
            let archive = makers::sealift(&[&app(), &other()]);
            archive.edited_json("index.json", |json| drop_last(&mut json["manifests"])).bytes()
        },
        options: &[],
        kinds: &["in-one-part"],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "repositories-missing",
        made: "`docker save` before 25, without `repositories`",
        archive: || docker_save().without("repositories").bytes(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "repositories-not-json",
        made: "`repositories` is cut short",
        archive: || docker_save().edited("repositories", |json| json.truncate(9)).bytes(),
        options: &[],
        kinds: &["repositories"],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "repositories-names-another-layer",
        made: "`repositories` names the first layer, not the last",
        archive: || {
            docker_save()
                .edited_json("repositories", |json| json["app"]["1"] = json!(makers::id(&app(), 0)))
                .bytes()
        },
        options: &[],
        kinds: &["repositories"],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "repositories-names-too-much",
        made: "`repositories` has a name more than `manifest.json`",
        archive: || {
            docker_save()
                .edited_json("repositories", |json| json["gone"]["1"] = json!(makers::id(&app(), 0)))
                .bytes()
        },
        options: &[],
        kinds: &["repositories"],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "repositories-names-too-little",
        made: "`repositories` is empty",
        archive: || docker_save().edited_json("repositories", |json| *json = json!({})).bytes(),
        options: &[],
        kinds: &["repositories"],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "repositories-with-a-bad-name",
        made: "`repositories` has a name in capitals",
        archive: || {
            docker_save()
                .edited_json("repositories", |json| json["App"]["1"] = json!(makers::id(&app(), 2)))
                .bytes()
        },
        options: &[],
        kinds: &["repositories"],
        loads: "oncps",
        mended: Mended::New,
    },
];
