use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::blob::RegionWriter;
use crate::fsio::ScratchFile;
use crate::image::{Descriptor, MediaType};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Without a content size, as podman and buildah write it.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that pack a little.
fn text(length: usize) -> Vec<u8> {
    (0u32..)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_string().into_bytes())
        .take(length)
        .collect()
}

fn skippable_frame() -> Vec<u8> {
    [&[0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat()
}

/// The blob in a scratch file, some way from its start and with something after it.
fn written(bytes: &[u8]) -> WrittenBlob {
    let file = ScratchFile::temporary(0).unwrap().handle();
    let descriptor = Descriptor::new(MediaType::of("x"), Digest::of(bytes), bytes.len() as u64);
    file.write_at(&vec![0xff; bytes.len() + 2000], 0).unwrap();
    let region = RegionWriter::new(file, 1000, &descriptor);
    region.part(0).write(bytes).unwrap();
    region.finish().unwrap()
}

fn diff_id(bytes: &[u8]) -> DiffId {
    serde_json::from_value(Digest::of(bytes).to_string().into()).unwrap()
}

fn inflation(blob: &WrittenBlob) -> Inflation<'_> {
    Inflation { blob, limits: Limits::default(), progress: &|_| true }
}

fn inflated(blob: &[u8], expected: &[u8]) -> Result<Vec<u8>, InflateError> {
    let mut layer = Vec::new();
    let size = inflation(&written(blob)).verified(&diff_id(expected), |chunk, position| {
        assert_eq!(position, layer.len() as u64);
        layer.extend_from_slice(chunk);
        Ok::<_, InflateError>(())
    })?;
    assert_eq!(size, layer.len() as u64);
    Ok(layer)
}

#[test]
fn gzip_zstd_and_bare_layers_of_any_number_of_parts_inflate() {
    let layer = text(300_000);
    let (one, other) = layer.split_at(100_000);
    for blob in [
        layer.clone(),
        gzip(&layer),
        [gzip(one), gzip(other), gzip(b"")].concat(),
        zstd(&layer),
        [zstd(one), skippable_frame(), zstd(other)].concat(),
        [skippable_frame(), zstd(&layer)].concat(),
    ] {
        assert!(inflated(&blob, &layer).unwrap() == layer);
        assert_eq!(inflation(&written(&blob)).measure().unwrap(), 300_000);
    }
    for nothing in [vec![], gzip(b""), zstd(b"")] {
        assert!(inflated(&nothing, b"").unwrap().is_empty());
    }
}

#[test]
fn what_is_broken_or_something_else_is_told() {
    let layer = text(100_000);
    for packed in [gzip(&layer), zstd(&layer)] {
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut blob = packed.clone();
            change(&mut blob);
            inflated(&blob, &layer)
        };
        let cut = packed.len() / 2;
        assert!(matches!(with(&|blob| blob.truncate(cut)), Err(InflateError::Corrupt { .. })));
        assert!(matches!(with(&|blob| blob.truncate(packed.len() - 1)), Err(InflateError::Corrupt { .. })));
        assert!(matches!(with(&|blob| blob.extend(b"garbage")), Err(InflateError::Corrupt { .. })));
        assert!(with(&|blob| blob[cut] ^= 1).is_err());
        assert!(matches!(inflated(&packed, b"another"), Err(InflateError::WrongDiffId { .. })));
    }
}

#[test]
fn a_bomb_is_stopped() {
    let blob = written(&gzip(&vec![0; 5_000_000]));
    let limits = Limits { layer_bytes: 4_999_999, ..Limits::default() };
    let error = Inflation { blob: &blob, limits, progress: &|_| true }.measure().unwrap_err();
    assert!(matches!(error, InflateError::TooLarge { limit_bytes: 4_999_999, .. }));
    let excess = |limits: Limits, inflated_bytes| limits.excess(1000, inflated_bytes);
    assert_eq!(excess(Limits::default(), 1 << 30), None);
    assert_eq!(excess(Limits::default(), (1 << 30) + 1), Some(Excess::Bomb { size_bytes: 1000 }));
    assert_eq!(excess(Limits { check_ratio: false, ..Limits::default() }, 64 << 30), None);
}

#[test]
fn a_window_beyond_what_zstd_takes_unasked_is_refused() {
    // A frame header (RFC 8878 section 3.1.1.1) with a window of 2^31 bytes, no content size, and one empty last block.
    let blob = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3][..], &[1, 0, 0]].concat();
    assert!(matches!(inflated(&blob, b""), Err(InflateError::Corrupt { .. })));
}

#[test]
fn hints_are_taken_where_they_can_be_true() {
    let layer = text(100_000);
    let hint = |blob: &[u8]| inflation(&written(blob)).size_hint();
    assert_eq!(hint(&gzip(&layer)), Some(100_000));
    assert_eq!(hint(&layer), Some(100_000));
    assert_eq!(hint(&zstd(&layer)), None);
    assert_eq!(hint(&zstd::bulk::compress(&layer, 3).unwrap()), Some(100_000));
    assert_eq!(hint(&[gzip(&layer), gzip(b"")].concat()), None, "less than the blob");
    assert_eq!(hint(&[gzip(&layer), vec![0xff; 4]].concat()), None, "more than gzip can pack");
    let absurd = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &[0xff; 137]].concat();
    assert_eq!(hint(&absurd), None, "more than any layer may have");
    assert_eq!(hint(b""), Some(0));
    assert_eq!(hint(b"\x1f\x8b"), None);
}

#[test]
fn a_layer_is_not_written_beyond_its_room() {
    let layer = text(300_000);
    let blob = written(&gzip(&layer));
    let file = ScratchFile::temporary(0).unwrap().handle();
    file.write_at(&vec![7; 300_000], 0).unwrap();
    let diff_id = diff_id(&layer);
    let short = inflation(&blob).write(&diff_id, &file, 10, Some(200_000)).unwrap();
    assert_eq!(short.size_bytes, 300_000);
    assert!(short.layer.is_none());
    let mut around = [0; 2];
    file.read_at(&mut around, 200_009).unwrap();
    assert_eq!(around, [layer[199_999], 7]);
    let whole = inflation(&blob).write(&diff_id, &file, 10, Some(300_000)).unwrap();
    assert_eq!(whole.layer.unwrap().offset_bytes_in(&file), Some(10));
}

#[test]
fn it_stops_when_nobody_waits() {
    let blob = written(&gzip(&text(3_000_000)));
    let error = Inflation { blob: &blob, limits: Limits::default(), progress: &|_| false }.measure();
    assert!(matches!(error, Err(InflateError::Corrupt { .. })));
}
