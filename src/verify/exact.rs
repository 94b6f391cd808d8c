//! Is an archive, byte for byte, what sealift writes for its images? Headers, legacy metadata and padding too, which
//! nothing else vouches for.

use crate::archive::names::Place;
use crate::archive::{Content, Entry, LayerMode, Plan};
use crate::archived::{Archive, Problem};

/// The size tar counts in.
const BLOCK_BYTES: u64 = 512;

/// What differs; none if sealift did not write it: entries stand elsewhere then. Contents of layers are not looked at,
/// their digests tell.
pub(super) fn compare(archive: &Archive) -> Option<Vec<Problem>> {
    let images: Option<Vec<_>> = archive
        .images()
        .iter()
        .map(|image| image.resolved(image.reference()?.clone()).filter(|_| image.form.docker))
        .collect();
    let plan = Plan::of(&images?, LayerMode::Keep).ok()?;
    let stands = |entry: &Entry| {
        let expected = (entry.content_offset_bytes(), entry.content_size_bytes());
        let is_there = |place: Place| (place.offset_bytes, place.size_bytes) == expected;
        matches!(entry.content, Content::Nothing) || archive.names().place(&entry.path).is_some_and(is_there)
    };
    if !plan.entries().iter().all(stands) {
        return None;
    }
    let mut altered = Vec::new();
    for entry in plan.entries() {
        let mut check = |from_bytes: u64, expected: &[u8], part: &'static str| {
            if !archive.has(from_bytes, expected)? {
                altered.push(Problem::Altered { path: entry.path.clone(), part });
            }
            Some(())
        };
        check(entry.offset_bytes, &entry.header, "its header")?;
        if let Content::Literal(bytes) = &entry.content {
            check(entry.content_offset_bytes(), bytes, "its content")?;
        }
        let end_bytes = entry.content_offset_bytes() + entry.content_size_bytes();
        let padding = end_bytes.next_multiple_of(BLOCK_BYTES) - end_bytes;
        check(end_bytes, &vec![0; usize::try_from(padding).ok()?], "what stands behind it")?;
    }
    Some(altered)
}
