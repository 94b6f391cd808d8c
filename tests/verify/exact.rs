//! What sealift wrote, with a byte changed that no digest vouches for.

use super::fixture::{Fixture, Mended};
use super::pieces::{app, sealift};

pub(crate) const EXACT: &[Fixture] = &[
    Fixture {
        name: "mtime-changed",
        made: "`manifest.json` has another time in its header",
        archive: || sealift().touched("manifest.json", |header| header.set_mtime(1)).bytes(),
        options: &[],
        kinds: &["altered"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "legacy-json-changed",
        made: "the metadata of a layer has a space more",
        archive: || sealift().edited(&format!("{}/json", app().blob(0)), |json| json.push(b' ')).bytes(),
        options: &[],
        kinds: &["altered"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "padding-changed",
        made: "bytes stand behind `oci-layout`, before the next header",
        archive: || {
            let mut bytes = sealift().bytes();
            bytes[sealift().offset("index.json") - 1] = b'x';
            bytes
        },
        options: &[],
        kinds: &["altered"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "end-changed",
        made: "bytes stand in the second zero block at the end",
        archive: || {
            let mut bytes = sealift().bytes();
            *bytes.last_mut().unwrap() = b'x';
            bytes
        },
        options: &[],
        kinds: &["tar"],
        loads: "",
        mended: Mended::Kept,
    },
];
