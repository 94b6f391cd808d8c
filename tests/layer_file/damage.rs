//! No byte of a file is without a check: flipped, cut, added to, it is noticed, and the part is named.

use std::fs;
use std::os::unix::fs::FileExt;

use sealift::layer_file::{LayerFile, Part, Problem, Seal, Verdict};

use super::forged::problems_of;
use super::tree::Site;

/// A sealed file of some kilobytes.
fn bytes(seal: Option<Seal>) -> Vec<u8> {
    let site = Site::new();
    fs::create_dir(site.path("folder")).unwrap();
    fs::write(site.path("folder/file"), "content ".repeat(500)).unwrap();
    let noise: Vec<u8> =
        (0..6000u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    fs::write(site.path("noise"), noise).unwrap();
    super::tree::attribute(&site.path("noise"), "user.note", b"attributed");
    super::tree::sparse(&site.path("sparse"), 1 << 20, &[(8192, 4096)]);
    fs::write(site.path("odd"), vec![3; 777]).unwrap();
    site.written(seal);
    fs::read(site.file()).unwrap()
}

/// Numbers that look random, the same in each run.
fn numbers(seed: usize) -> impl FnMut() -> usize {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Where each part of a plain file is.
fn part_at(bytes: &[u8], at: usize) -> &'static [Part] {
    let layer = 512 + usize::from_str_radix(str::from_utf8(&bytes[124..135]).unwrap(), 8).unwrap();
    let json_header = layer.next_multiple_of(512);
    let size = str::from_utf8(&bytes[json_header + 124..][..11]).unwrap();
    let json = json_header + 512 + usize::from_str_radix(size, 8).unwrap();
    let line_header = json.next_multiple_of(512);
    match at {
        _ if at < 512 => &[Part::Structure],
        _ if at < layer => &[Part::Layer],
        _ if (json_header + 512..json).contains(&at) => &[Part::Metadata, Part::MetadataDigest],
        _ if (line_header + 512..line_header + 592).contains(&at) => &[Part::Metadata, Part::MetadataDigest],
        _ => &[Part::Structure],
    }
}

#[test]
fn a_flipped_byte_anywhere_is_noticed_and_its_part_named() {
    let mut next = numbers(0x05ea_11f7);
    for seal in [None, Some(Seal::Gzip), Some(Seal::Zstd)] {
        let whole = bytes(seal);
        assert_eq!(problems_of(&whole), []);
        let mut places: Vec<usize> = (0..100).map(|_| next() % whole.len()).collect();
        // What inflaters don't look at, ends and beginnings.
        places.extend(0..20);
        places.extend(whole.len() - 100..whole.len());
        for at in places {
            let mut damaged = whole.clone();
            damaged[at] ^= u8::try_from(next() % 255).unwrap() + 1;
            let problems = problems_of(&damaged);
            assert!(!problems.is_empty(), "{seal:?}: byte {at}");
            let parts: Vec<Part> = problems.iter().map(|problem| problem.part).collect();
            let expected = match seal {
                None => part_at(&whole, at),
                // One whose first bytes are another's is no longer packed.
                Some(_) if at < 4 => &[Part::Packing, Part::Structure],
                Some(_) => &[Part::Packing],
            };
            assert!(expected.iter().any(|part| parts.contains(part)), "{seal:?}: byte {at}: {problems:#?}");
        }
    }
}

#[test]
fn every_byte_of_a_plain_file_is_looked_at() {
    let site = Site::new();
    fs::write(site.path("f"), "x").unwrap();
    site.written(None);
    let whole = fs::read(site.file()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(site.file()).unwrap();
    for at in 0..whole.len() {
        file.write_all_at(&[whole[at] ^ (1 << (at % 8))], at as u64).unwrap();
        assert!(matches!(site.verdict(), Verdict::Broken { .. }), "byte {at}");
        file.write_all_at(&whole[at..=at], at as u64).unwrap();
    }
    assert!(matches!(site.verdict(), Verdict::Whole(_)));
}

#[test]
fn a_file_that_was_cut_or_added_to_is_not_whole() {
    for seal in [None, Some(Seal::Gzip), Some(Seal::Zstd)] {
        let whole = bytes(seal);
        let mut lengths: Vec<usize> = (0..whole.len()).step_by(512).collect();
        lengths.extend((0..whole.len()).step_by(397));
        lengths.extend(whole.len() - 100..whole.len());
        for length in lengths {
            assert!(!problems_of(&whole[..length]).is_empty(), "{seal:?}: {length} of {}", whole.len());
        }
        for more in [&[0][..], &[0; 512], &[0; 10240], b"more", &whole] {
            assert!(!problems_of(&[&whole, more].concat()).is_empty(), "{seal:?}: {} more", more.len());
        }
    }
}

#[test]
fn a_packed_file_without_its_seal_is_not_whole() {
    for (seal, bytes_of_seal) in [(Seal::Gzip, 90), (Seal::Zstd, 72)] {
        let whole = bytes(Some(seal));
        let unsealed = &whole[..whole.len() - bytes_of_seal];
        let what = "the file does not end in a seal: it was cut, or added to".to_owned();
        assert_eq!(problems_of(unsealed), [Problem { part: Part::Packing, what }]);
        let twice =
            [unsealed, &whole[whole.len() - bytes_of_seal..], &whole[whole.len() - bytes_of_seal..]].concat();
        assert!(!problems_of(&twice).is_empty());
    }
}

#[test]
fn what_is_no_layer_file_is_told_as_such() {
    for (bytes, part) in [
        (&b""[..], Part::Structure),
        (b"not a tar at all", Part::Structure),
        (&[0; 10240], Part::Structure),
        (&[b'x'; 10240], Part::Structure),
        (b"\xfd7zXZ\0", Part::Packing),
        (b"BZh9", Part::Packing),
        (&[0x1f, 0x8b, 8, 0], Part::Packing),
        (&[0x28, 0xb5, 0x2f, 0xfd], Part::Packing),
    ] {
        let problems = problems_of(bytes);
        assert_eq!(problems[0].part, part, "{problems:?}");
        assert!(problems.iter().all(|problem| problem.to_string().len() < 300), "{problems:?}");
    }
}

#[test]
fn what_could_be_read_of_a_damaged_file_is_told_too() {
    let mut damaged = bytes(None);
    damaged[4000] ^= 1;
    let site = Site::new();
    fs::write(site.file(), damaged).unwrap();
    let Verdict::Broken { problems, metadata } = site.verdict() else { panic!() };
    assert_eq!(metadata.unwrap().version, "2.0");
    assert!(problems.iter().all(|problem| problem.part == Part::Layer), "{problems:#?}");
    let missing = LayerFile::open(&site.0.path().join("none"));
    assert!(missing.unwrap_err().to_string().starts_with("cannot read"));
}
