//! A tree on the disk, read back and compared with the entries it was made of.

use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::fstat;

use super::error::{OverlayError, path_of};
use super::header::{Header, Kind};
use super::holes::{Extent, are_within};
use super::plan::{Watch, checksummed_path, tell};
use super::raw::{Content, RawEntry, RawWalk};
use super::staged::Staged;
use super::tree::{EntryDigest, digest_of};
use super::unpack::Made;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Compares what is in the folder with these entries. `contents` is told of what a layer checksum is over. The root itself is
/// not looked at.
pub(crate) fn check(
    staged: &Staged,
    made: &Made,
    expected: &[EntryDigest],
    contents: &mut dyn FnMut(&[u8]),
    watch: Watch<'_>,
) -> Result<(), OverlayError> {
    let root = staged.folder().try_clone_to_owned();
    let root = root.map_err(crate::fsio::FileError::io("open", Path::new(staged.name())))?;
    let mut walk = RawWalk::of(root, Path::new(""))?;
    let mut extra = None;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut place = 0;
    while let Some(RawEntry { mut header, content }) = walk.next(&mut |one| extra = Some(one))? {
        let path = path_of(&header.name);
        if let Some(content) = &content {
            adopt_extents(&mut header, made.extents.get(&place), content);
        }
        let blocks = header.to_blocks();
        let is_root = place == 0;
        if !is_root && expected.get(place) != Some(&digest_of(&blocks)) {
            return Err(not_the_same(&header, "name, kind, owner, mode, time, attributes, links or holes"));
        }
        tell(watch, blocks.len() as u64)?;
        contents(checksummed_path(&header.name));
        if let Some(content) = content {
            let whole = [Extent { start_bytes: 0, size_bytes: header.size_bytes }];
            let extents = header.extents.as_deref().unwrap_or(&whole);
            for extent in extents {
                content.read(*extent, &mut chunk, &path, &mut |data| {
                    contents(data);
                    tell(watch, data.len() as u64)
                })?;
            }
            check_holes(&header, &content, extents, &mut chunk)?;
        }
        place += 1;
    }
    if place != expected.len() || extra.is_some() {
        return Err(OverlayError::NotTheSame { path: path_of(b"./"), what: "the number of entries" });
    }
    Ok(())
}

/// Compares the root itself, once it is what it is to be.
pub(crate) fn check_root(staged: &Staged, expected: &[EntryDigest]) -> Result<(), OverlayError> {
    let root = staged.folder().try_clone_to_owned();
    let root = root.map_err(crate::fsio::FileError::io("open", Path::new(staged.name())))?;
    let mut walk = RawWalk::of(root, Path::new(""))?;
    let entry = walk.next(&mut |_| ())?;
    match entry {
        Some(entry) if expected.first() == Some(&digest_of(&entry.header.to_blocks())) => Ok(()),
        _ => Err(OverlayError::NotTheSame { path: path_of(b"./"), what: "owner, mode, time or attributes" }),
    }
}

fn not_the_same(header: &Header, what: &'static str) -> OverlayError {
    OverlayError::NotTheSame { path: path_of(&header.name), what }
}

/// File systems keep holes in blocks of their own, and some more of them than were made: what has data nowhere else is as it
/// should be, if all else reads as zeros.
fn adopt_extents(header: &mut Header, expected: Option<&Vec<Extent>>, content: &Content) {
    let whole = [Extent { start_bytes: 0, size_bytes: header.size_bytes }];
    let found = header.extents.as_deref().unwrap_or(&whole);
    let is_as_it_should = match expected {
        None => true,
        Some(expected) => are_within(found, expected, content.block_bytes),
    };
    if header.kind == Kind::File && is_as_it_should {
        header.extents = expected.cloned();
    }
}

/// What is between the extents has to read as zeros.
fn check_holes(
    header: &Header,
    content: &Content,
    extents: &[Extent],
    chunk: &mut [u8],
) -> Result<(), OverlayError> {
    if header.extents.is_none() {
        return Ok(());
    }
    let path = path_of(&header.name);
    let stat = fstat(content.file.as_fd()).map_err(OverlayError::reading(&path))?;
    let size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
    let found = super::holes::extents_of(&content.file, size_bytes).map_err(OverlayError::reading(&path))?;
    let found = found.unwrap_or_else(|| vec![Extent { start_bytes: 0, size_bytes }]);
    for gap in gaps(&found, extents) {
        content.read(gap, chunk, &path, &mut |data| {
            let is_zero = data.iter().all(|byte| *byte == 0);
            if is_zero { Ok(()) } else { Err(not_the_same(header, "there is something in a hole")) }
        })?;
    }
    Ok(())
}

/// What of some extents is not in others.
fn gaps(of: &[Extent], others: &[Extent]) -> Vec<Extent> {
    let mut gaps = Vec::new();
    let mut others = others.iter().peekable();
    for extent in of {
        let mut from_bytes = extent.start_bytes;
        while let Some(other) = others.peek().filter(|other| other.start_bytes < extent.end_bytes()) {
            if other.start_bytes > from_bytes {
                gaps.push(Extent { start_bytes: from_bytes, size_bytes: other.start_bytes - from_bytes });
            }
            from_bytes = from_bytes.max(other.end_bytes());
            if other.end_bytes() > extent.end_bytes() {
                break;
            }
            others.next();
        }
        if from_bytes < extent.end_bytes() {
            gaps.push(Extent { start_bytes: from_bytes, size_bytes: extent.end_bytes() - from_bytes });
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(ranges: &[(u64, u64)]) -> Vec<Extent> {
        ranges.iter().map(|(start, end)| Extent { start_bytes: *start, size_bytes: end - start }).collect()
    }

    #[test]
    fn what_a_disk_has_besides_is_found() {
        for (of, others, gaps) in [
            (&[(0, 10)][..], &[][..], &[(0, 10)][..]),
            (&[(0, 10)], &[(0, 10)], &[]),
            (&[(0, 10)], &[(2, 4), (6, 8)], &[(0, 2), (4, 6), (8, 10)]),
            (&[(0, 4), (6, 10)], &[(2, 8)], &[(0, 2), (8, 10)]),
            (&[(4, 6)], &[(0, 2), (5, 20)], &[(4, 5)]),
            (&[(0, 2), (4, 6), (8, 9)], &[(0, 9)], &[]),
        ] {
            assert_eq!(super::gaps(&extents(of), &extents(others)), extents(gaps));
        }
    }

    #[test]
    fn data_may_fill_the_blocks_of_a_disk() {
        let expected = extents(&[(512, 1024), (8192, 9000)]);
        for good in [&[(512, 1024)][..], &[], &[(0, 4096), (8192, 12288)], &[(600, 700), (8192, 9000)]] {
            assert!(are_within(&extents(good), &expected, 4096), "{good:?}");
        }
        for bad in [&[(0, 4608)][..], &[(4096, 8192)], &[(12288, 12800)], &[(8192, 9000), (20480, 20992)]] {
            assert!(!are_within(&extents(bad), &expected, 4096), "{bad:?}");
        }
        assert!(are_within(&extents(&[(0, 8192)]), &extents(&[(0, 4096), (4608, 5120)]), 4096));
    }
}
