//! What is wrong with the tar itself: its headers, names, links and its end.

use tar::EntryType;

use super::fixture::{Fixture, Mended};
use super::pieces::{app, backslashed, cut, docker_save, layer_path, reverse, sealift, set_size};
use crate::support::forged::Forged;
use crate::support::layer::Layer;

pub(crate) const TAR: &[Fixture] = &[
    Fixture {
        name: "cut-in-a-layer",
        made: "as sealift writes it, the last 2,000 bytes missing",
        archive: || cut(&sealift().bytes(), 2000),
        options: &[],
        kinds: &["missing-entry", "truncated"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "cut-in-a-header",
        made: "as sealift writes it, cut 100 bytes into the header of the last layer",
        archive: || {
            let archive = sealift();
            let path = format!("{}/layer.tar", app().blob(2));
            let mut bytes = archive.bytes();
            bytes.truncate(archive.offset(&path) + 100);
            bytes
        },
        options: &[],
        kinds: &["missing-entry", "truncated"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "cut-between-entries",
        made: "as sealift writes it, cut before the last layer",
        archive: || {
            let archive = sealift();
            let mut bytes = archive.bytes();
            bytes.truncate(archive.offset(&format!("{}/", app().blob(2))));
            bytes
        },
        options: &[],
        kinds: &["missing-entry", "no-end"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "without-an-end",
        made: "as sealift writes it, without the zero blocks at the end",
        archive: || sealift().without_end(),
        options: &[],
        kinds: &["no-end"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "with-a-tail",
        made: "as sealift writes it, with bytes behind its end",
        archive: || [sealift().bytes(), b"tail".to_vec()].concat(),
        options: &[],
        kinds: &[],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "manifest-json-behind-half-an-end",
        made: "as sealift writes it, one zero block at its end, and a second `manifest.json` behind that",
        archive: || {
            let second = Forged::default().file("manifest.json", "[]").bytes();
            [sealift().without_end(), vec![0; 512], second].concat()
        },
        options: &[],
        kinds: &["tar"],
        loads: "",
        mended: Mended::Kept,
    },
    Fixture {
        name: "header-flipped",
        made: "as sealift writes it, a bit of the third header flipped",
        archive: || {
            let mut bytes = sealift().bytes();
            bytes[sealift().offset("oci-layout") + 5] ^= 1;
            bytes
        },
        options: &[],
        kinds: &["missing-entry", "tar"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "size-negative",
        made: "`index.json` has a size below zero in its header",
        archive: || sealift().touched("index.json", |header| set_size(header, &[0xff; 12])).bytes(),
        options: &[],
        kinds: &["missing-entry", "tar"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "size-no-number",
        made: "`index.json` has words for its size",
        archive: || sealift().touched("index.json", |header| set_size(header, b"twelve bytes")).bytes(),
        options: &[],
        kinds: &["missing-entry", "tar"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "size-beyond-the-file",
        made: "the last layer says that it has a GiB",
        archive: || {
            let path = format!("{}/layer.tar", app().blob(2));
            sealift().touched(&path, |header| header.set_size(1 << 30)).bytes()
        },
        options: &[],
        kinds: &["missing-entry", "truncated"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "pax-broken",
        made: "a pax header whose record says another length",
        archive: || {
            let pax = Forged::default().add(EntryType::XHeader, "pax", "", *b"99 path=x\n");
            pax.followed_by(sealift()).bytes()
        },
        options: &[],
        kinds: &["no-images", "tar"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "name-of-a-megabyte",
        made: "an entry whose name has a MiB",
        archive: || Forged::default().file(&"x".repeat(1 << 20), "").followed_by(sealift()).bytes(),
        options: &[],
        kinds: &["no-images", "tar"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "manifest-json-twice",
        made: "a second `manifest.json`, behind all else, names the layers the other way round",
        archive: || {
            let manifest = sealift().edited_json("manifest.json", |json| reverse(&mut json[0]["Layers"]));
            let second = manifest.content("manifest.json").to_vec();
            sealift().file("manifest.json", second).bytes()
        },
        options: &[],
        kinds: &["duplicate-entry", "layers-differ", "layers-out-of-order", "repositories"],
        loads: "",
        mended: Mended::Kept,
    },
    Fixture {
        name: "manifest-json-twice-by-an-empty-name",
        made: "the same, with a pax header before it that has an empty path",
        archive: || {
            let manifest = sealift().edited_json("manifest.json", |json| reverse(&mut json[0]["Layers"]));
            let second = manifest.content("manifest.json").to_vec();
            let pax = sealift().add(EntryType::XHeader, "pax", "", *b"8 path=\n");
            pax.file("manifest.json", second).bytes()
        },
        options: &[],
        kinds: &["duplicate-entry", "layers-differ", "layers-out-of-order", "repositories"],
        loads: "",
        mended: Mended::Kept,
    },
    Fixture {
        name: "manifest-json-below-a-link",
        made: "the same, below a symlink to the top",
        archive: || {
            let manifest = sealift().edited_json("manifest.json", |json| reverse(&mut json[0]["Layers"]));
            let second = manifest.content("manifest.json").to_vec();
            sealift().symlink("here", ".").file("here/manifest.json", second).bytes()
        },
        options: &[],
        kinds: &["below-a-link"],
        loads: "",
        mended: Mended::Kept,
    },
    Fixture {
        name: "manifest-json-sparse",
        made: "the same, as a sparse file of another name",
        archive: || {
            let manifest = sealift().edited_json("manifest.json", |json| reverse(&mut json[0]["Layers"]));
            let map = [b"1\n0\n999\n".to_vec(), vec![0; 504], manifest.content("manifest.json").to_vec()];
            let records =
                *b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n33 GNU.sparse.name=manifest.json\n";
            let pax = sealift().add(EntryType::XHeader, "pax", "", records);
            pax.file("GNUSparseFile.0/manifest.json", map.concat()).bytes()
        },
        options: &[],
        kinds: &["ambiguous-entry", "duplicate-entry"],
        loads: "",
        mended: Mended::Kept,
    },
    Fixture {
        name: "layer-twice",
        made: "the first layer's entry once more, with another tar",
        archive: || sealift().file(&format!("{}/layer.tar", app().blob(0)), Layer::tar(9, 100).blob).bytes(),
        options: &[],
        kinds: &["duplicate-entry", "wrong-digest"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "name-leads-out",
        made: "an entry `../../etc/passwd`",
        archive: || sealift().file("../../etc/passwd", "root::0:0").bytes(),
        options: &[],
        kinds: &["leads-out"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "name-absolute",
        made: "an entry `/etc/passwd`",
        archive: || sealift().file("/etc/passwd", "root::0:0").bytes(),
        options: &[],
        kinds: &["leads-out"],
        loads: "oncps",
        mended: Mended::Kept,
    },
    Fixture {
        name: "names-with-backslashes",
        made: "`docker save` before 25, packed again on Windows: `\\` in names",
        archive: || backslashed(&docker_save()).bytes(),
        options: &[],
        kinds: &["backslash", "missing-entry"],
        loads: "",
        mended: Mended::New,
    },
    Fixture {
        name: "in-two-folders",
        made: "as sealift writes it, in a folder in a folder",
        archive: || sealift().in_folder("saved/images/").bytes(),
        options: &[],
        kinds: &["in-a-folder"],
        loads: "",
        mended: Mended::Kept,
    },
    Fixture {
        name: "layer-sparse",
        made: "the second layer is an old GNU sparse file",
        archive: || {
            docker_save()
                .touched(&layer_path(1), |header| header.set_entry_type(EntryType::GNUSparse))
                .bytes()
        },
        options: &[],
        kinds: &["ambiguous-entry", "legacy-metadata", "missing-entry"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layer-a-device",
        made: "the second layer is a character device",
        archive: || docker_save().linked(&layer_path(1), EntryType::Char, "").bytes(),
        options: &[],
        kinds: &["legacy-metadata", "missing-entry"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "layer-leads-out",
        made: "the second layer is a symlink to `/etc/passwd`",
        archive: || docker_save().linked(&layer_path(1), EntryType::Symlink, "/etc/passwd").bytes(),
        options: &[],
        kinds: &["missing-entry"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "links-in-a-ring",
        made: "the second layer is a symlink to itself, by another",
        archive: || {
            let archive = docker_save().linked(&layer_path(1), EntryType::Symlink, "../ring");
            archive.symlink("ring", &layer_path(1)).bytes()
        },
        options: &[],
        kinds: &["missing-entry"],
        loads: "",
        mended: Mended::No,
    },
    Fixture {
        name: "no-archive-of-images",
        made: "a tar of two text files",
        archive: || Forged::default().file("a.txt", "a").file("b.txt", "b").bytes(),
        options: &[],
        kinds: &["no-images"],
        loads: "",
        mended: Mended::No,
    },
];
