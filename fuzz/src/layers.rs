//! Layers: whatever bytes a publisher gave the registry, inflated.

use sealift::blob::{InflateError, Inflation, Limits, RegionWriter, WrittenBlob};
use sealift::fsio::{FileHandle, ScratchFile};
use sealift::image::{Descriptor, DiffId, Digest};

/// So far a layer inflates here: enough for what a kilobyte can do, and quickly over.
const LIMIT_BYTES: u64 = 1 << 20;

thread_local! {
    /// Where blobs and layers go, time and again.
    static FILES: [ScratchFile; 2] = [(); 2].map(|()| ScratchFile::temporary(0).expect("a file in $TMPDIR"));
}

/// The input is a layer's blob. However it is packed: measured, handed on and written it is the same, never beyond its
/// limit or its room, and only under its diff ID.
pub fn layers(input: &[u8]) {
    FILES.with(|files| check(input, &files[0].handle(), &files[1].handle()));
}

fn check(input: &[u8], spool: &FileHandle, file: &FileHandle) {
    let blob = written(input, spool);
    let limits = Limits { layer_bytes: LIMIT_BYTES, check_ratio: true };
    let inflation = Inflation { blob: &blob, limits, progress: &|_| true };
    let hint = inflation.size_hint();
    assert!(hint.is_none_or(|hint| hint <= LIMIT_BYTES.max(input.len() as u64)));

    let mut layer = Vec::new();
    let collected = inflation.verified(&diff_id(b"another layer"), |chunk, position| {
        assert_eq!(position, layer.len() as u64);
        layer.extend_from_slice(chunk);
        Ok::<_, InflateError>(())
    });
    assert!(layer.len() as u64 <= LIMIT_BYTES);
    let measured = inflation.measure();
    match collected {
        Err(InflateError::WrongDiffId { got, .. }) => assert_eq!(got, Digest::of(&layer)),
        Err(_) => return assert!(measured.is_err(), "what can't be handed on can't be measured"),
        Ok(_) => panic!("any diff ID will do"),
    }
    let size = measured.expect("what can be handed on can be measured");
    assert_eq!(size, layer.len() as u64);
    if !looks_packed(input) {
        assert_eq!(layer, input);
        assert_eq!(hint, Some(size));
    }

    let diff_id = diff_id(&layer);
    let whole = inflation.write(&diff_id, file, 0, Some(size)).expect("it is its diff ID");
    let proof = whole.layer.expect("there was room for it");
    assert_eq!((proof.size_bytes(), proof.offset_bytes_in(file)), (size, Some(0)));
    let mut found = vec![0; layer.len()];
    let read = file.read_at(&mut found, 0).expect("what was written is there");
    assert!(read == found.len() && found == layer);
    if let Some(too_little) = size.checked_sub(1) {
        let cut = inflation.write(&diff_id, file, 0, Some(too_little)).expect("it is its diff ID");
        assert!(cut.layer.is_none() && cut.size_bytes == size);
    }
}

fn looks_packed(input: &[u8]) -> bool {
    let is_skippable = input.len() >= 4 && input[1..4] == [0x2a, 0x4d, 0x18];
    input.starts_with(&[0x1f, 0x8b]) || input.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable
}

fn written(bytes: &[u8], file: &FileHandle) -> WrittenBlob {
    let json = format!(r#"{{"mediaType":"x","digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len());
    let descriptor: Descriptor = serde_json::from_str(&json).expect("a descriptor");
    let mut region = RegionWriter::new(file.clone(), 0, &descriptor);
    region.write(bytes).expect("as many bytes as it says");
    region.finish().expect("the bytes of its digest")
}

fn diff_id(bytes: &[u8]) -> DiffId {
    serde_json::from_value(Digest::of(bytes).to_string().into()).expect("a diff ID")
}
