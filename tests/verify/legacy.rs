//! The layers' legacy metadata, and archives of nothing else.

use sealift::image::Digest;
use serde_json::json;

use super::fixture::{Fixture, Mended};
use super::pieces::{app, comb, docker_save, layers_alone, metadata_path};
use crate::support::makers;

pub(crate) const LEGACY: &[Fixture] = &[
    Fixture {
        name: "layers-alone",
        made: "layers as Docker 1.9 saved them, and as dlgrab leaves them: no `manifest.json`",
        archive: || layers_alone().bytes(),
        options: &[],
        kinds: &["no-manifest-json"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "layers-alone-in-a-folder",
        made: "the folder that dlgrab leaves, packed as a whole: `tar cf x.tar folder`",
        archive: || layers_alone().in_folder("folder/").bytes(),
        options: &[],
        kinds: &["in-a-folder", "no-manifest-json"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "layers-alone-without-repositories",
        made: "the same without `repositories`",
        archive: || layers_alone().without("repositories").bytes(),
        options: &[],
        kinds: &["no-manifest-json", "no-name"],
        loads: "",
        mended: Mended::Named,
    },
    Fixture {
        name: "layers-alone-names-too-many",
        made: "the same, 10,001 names in `repositories`",
        archive: || {
            let tags: serde_json::Map<_, _> =
                (0..=10_000).map(|number| (number.to_string(), json!(makers::id(&app(), 2)))).collect();
            layers_alone().edited_json("repositories", |json| *json = json!({"app": tags})).bytes()
        },
        options: &[],
        kinds: &["no-manifest-json", "no-name", "too-many"],
        loads: "",
        mended: Mended::Named,
    },
    Fixture {
        name: "layers-alone-parents-in-a-ring",
        made: "the same, the first layer's parent the last",
        archive: || {
            layers_alone()
                .edited_json(&metadata_path(0), |json| json["parent"] = json!(makers::id(&app(), 2)))
                .bytes()
        },
        options: &[],
        kinds: &["legacy-metadata", "no-manifest-json"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layers-alone-parents-in-a-ring-without-repositories",
        made: "the same without `repositories`: no layer is the last",
        archive: || {
            layers_alone()
                .without("repositories")
                .edited_json(&metadata_path(0), |json| json["parent"] = json!(makers::id(&app(), 2)))
                .bytes()
        },
        options: &[],
        kinds: &["legacy-metadata", "no-images", "no-manifest-json"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layers-alone-parents-conflict",
        made: "two layers have the first for their parent",
        archive: || {
            layers_alone()
                .edited_json(&metadata_path(2), |json| json["parent"] = json!(makers::id(&app(), 0)))
                .bytes()
        },
        options: &[],
        kinds: &["no-manifest-json", "no-name"],
        loads: "",
        mended: Mended::Part,
    },
    Fixture {
        name: "layers-alone-parent-missing",
        made: "the first layer has a parent that is not there",
        archive: || {
            layers_alone()
                .edited_json(&metadata_path(0), |json| json["parent"] = json!(Digest::of(b"gone").hex()))
                .bytes()
        },
        options: &[],
        kinds: &["legacy-metadata", "missing-entry", "no-manifest-json"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layers-alone-parent-a-path",
        made: "the first layer's parent is `../../etc`",
        archive: || {
            layers_alone().edited_json(&metadata_path(0), |json| json["parent"] = json!("../../etc")).bytes()
        },
        options: &[],
        kinds: &["legacy-metadata", "missing-entry", "no-manifest-json"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layers-alone-metadata-missing",
        made: "the last layer has no metadata",
        archive: || layers_alone().without(&metadata_path(2)).bytes(),
        options: &[],
        kinds: &["legacy-metadata", "no-manifest-json", "no-name"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layers-alone-metadata-not-json",
        made: "the metadata of the last layer is cut short",
        archive: || layers_alone().edited(&metadata_path(2), |json| json.truncate(9)).bytes(),
        options: &[],
        kinds: &["document", "no-manifest-json", "no-name"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "legacy-id-wrong",
        made: "`docker save` before 25, a layer's metadata with another ID",
        archive: || docker_save().edited_json(&metadata_path(1), |json| json["id"] = json!("me")).bytes(),
        options: &[],
        kinds: &["legacy-metadata"],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "legacy-parents-in-a-ring",
        made: "`docker save` before 25, a layer its own parent",
        archive: || {
            docker_save()
                .edited_json(&metadata_path(1), |json| json["parent"] = json!(makers::id(&app(), 1)))
                .bytes()
        },
        options: &[],
        kinds: &["legacy-metadata"],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "legacy-version-of-2",
        made: "`docker save` before 25, a layer's `VERSION` 2.0",
        archive: || {
            docker_save()
                .edited(&format!("{}/VERSION", makers::id(&app(), 1)), |text| *text = b"2.0".to_vec())
                .bytes()
        },
        options: &[],
        kinds: &["legacy-metadata"],
        loads: "oncps",
        mended: Mended::New,
    },
    Fixture {
        name: "parents-make-too-many-layers",
        made: "a chain of 5,000 layers, and 21 last ones on top of it: 105,000 layers by their parents",
        archive: || comb(5000, 21).bytes(),
        options: &[],
        kinds: &["no-manifest-json", "no-name", "too-many"],
        loads: "",
        mended: Mended::No,
    },
];
