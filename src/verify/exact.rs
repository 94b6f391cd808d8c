//! Is an archive, byte for byte, what sealift writes for its images? Headers, legacy metadata and padding too, which
//! nothing else vouches for.

use crate::archive::names::Place;
use crate::archive::{Content, Entry, LayerMode, Plan};
use crate::archived::{Archive, Problem};

/// How an archive of sealift's compares.
pub(super) struct Compared {
    /// True if every byte is the same, and there are no others.
    pub(super) is_exact: bool,
    /// What differs.
    pub(super) altered: Vec<Problem>,
}

/// What differs; none if sealift did not write it: entries stand elsewhere then. Contents of layers are not looked at,
/// their digests tell.
pub(super) fn compare(archive: &Archive) -> Option<Compared> {
    let images: Option<Vec<_>> = archive
        .images()
        .iter()
        .map(|image| image.resolved(image.reference()?.clone()).filter(|_| image.form.docker))
        .collect();
    let plan = Plan::of(&images?, LayerMode::Keep).ok()?;
    let is_directory = |entry: &Entry| entry.path.ends_with('/');
    let files = plan.entries().iter().filter(|entry| !is_directory(entry));
    let stands = |entry: &Entry| {
        let is_there = |place: Place| place.offset_bytes == entry.content_offset_bytes();
        matches!(entry.content, Content::Nothing) || archive.names().place(&entry.path).is_some_and(is_there)
    };
    if !plan.entries().iter().all(stands) || files.count() != archive.names().paths().count() {
        return None;
    }
    let mut altered = Vec::new();
    let mut entries = plan.entries().iter().peekable();
    while let Some(entry) = entries.next() {
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
        let next_bytes = entries.peek().map_or(plan.size_bytes(), |next| next.offset_bytes);
        let padding = next_bytes - end_bytes;
        check(end_bytes, &vec![0; usize::try_from(padding).ok()?], "what stands behind it")?;
    }
    let is_as_long = archive.size_bytes() == Some(plan.size_bytes());
    Some(Compared { is_exact: altered.is_empty() && is_as_long, altered })
}
