//! Archives that are packed as a whole.

use super::fixture::{Fixture, Mended};
use super::pieces::{app, cut, docker_save, gzip, sealift, xz};
use crate::support::makers;

pub(crate) const PACKINGS: &[Fixture] = &[
    Fixture {
        name: "packed-with-gzip",
        made: "as sealift writes it, packed with gzip as a whole",
        archive: || gzip(&sealift().bytes()),
        options: &[],
        kinds: &[],
        loads: "onps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "packed-with-zstd",
        made: "as sealift writes it, packed with zstd as a whole",
        archive: || zstd::encode_all(&sealift().bytes()[..], 3).unwrap(),
        options: &[],
        kinds: &[],
        loads: "nps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "packed-with-xz",
        made: "as sealift writes it, packed with xz as a whole",
        archive: || xz(&sealift().bytes()),
        options: &[],
        kinds: &[],
        loads: "ops",
        mended: Mended::Kept,
    },
    Fixture {
        name: "packed-docker-save",
        made: "`docker save | gzip` before 25",
        archive: || gzip(&docker_save().bytes()),
        options: &[],
        kinds: &[],
        loads: "on",
        mended: Mended::New,
    },
    Fixture {
        name: "packed-and-cut",
        made: "as sealift writes it, packed with gzip, the last 1,000 bytes missing",
        archive: || cut(&gzip(&sealift().bytes()), 1000),
        options: &[],
        kinds: &["missing-entry", "tar"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "packed-checksum-wrong",
        made: "as sealift writes it, packed with gzip, a bit of gzip's own checksum flipped",
        archive: || {
            let mut bytes = gzip(&sealift().bytes());
            let at = bytes.len() - 8;
            bytes[at] ^= 1;
            bytes
        },
        options: &[],
        kinds: &["tar"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "packed-metadata-of-another-version",
        made: "`docker save | gzip`, a layer's `VERSION` 2.0",
        archive: || {
            gzip(
                &docker_save()
                    .edited(&format!("{}/VERSION", makers::id(&app(), 1)), |text| *text = b"2.0".to_vec())
                    .bytes(),
            )
        },
        options: &[],
        kinds: &["legacy-metadata"],
        loads: "on",
        mended: Mended::New,
    },
    Fixture {
        name: "packed-config-with-a-mark",
        made: "`docker save | gzip`, the config begins with a byte order mark",
        archive: || {
            let mark = [&b"\xef\xbb\xbf"[..], &[b' '; 600]].concat();
            let archive = docker_save().edited(&app().config_path(), |json| drop(json.splice(..0, mark)));
            gzip(&archive.bytes())
        },
        options: &[],
        kinds: &["io", "wrong-digest"],
        loads: "",
        mended: Mended::No,
    },
];
