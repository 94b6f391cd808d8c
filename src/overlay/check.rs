//! A tree on the disk, read back and compared with the entries it was made of.

use std::path::Path;

use super::ahead::{Step, walk_ahead};
use super::content::Content;
use super::error::{OverlayError, path_of};
use super::header::Header;
use super::holes::{Extent, are_within};
use super::plan::{Watch, checksummed_path, tell};
use super::raw::{RawEntry, RawWalk};
use super::staged::Staged;
use super::tree::{END_BYTES, Summed, digest_of, padding_bytes};
use super::unpack::Made;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Compares what is in the folder with the entries of a tree. `contents` is told of what a layer checksum is over. The root itself is
/// not looked at.
pub(crate) fn check(
    staged: &Staged,
    made: &Made,
    expected: &Summed,
    contents: &mut dyn FnMut(&[u8]),
    watch: Watch<'_>,
) -> Result<(), OverlayError> {
    let root = staged.folder().try_clone_to_owned();
    let root = root.map_err(crate::fsio::FileError::io("open", Path::new(staged.name())))?;
    let walk = RawWalk::of(root, Path::new(""), expected.mounted_by)?;
    let count = walk_ahead(walk, |steps| check_entries(steps, made, expected, contents, watch))?;
    if count != expected.entries.len() {
        return Err(OverlayError::NotTheSame { path: path_of(b"./"), what: "the number of entries" });
    }
    tell(watch, END_BYTES)
}

/// Says how many there are.
fn check_entries(
    steps: &mut dyn Iterator<Item = Result<Step, OverlayError>>,
    made: &Made,
    expected: &Summed,
    contents: &mut dyn FnMut(&[u8]),
    watch: Watch<'_>,
) -> Result<usize, OverlayError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut place = 0;
    for step in steps {
        let Step::Entry(RawEntry { mut header, content }) = step? else {
            return Err(OverlayError::NotTheSame { path: path_of(b"./"), what: "a socket is in it" });
        };
        let path = path_of(&header.name);
        if let Some(content) = &content {
            adopt_extents(&mut header, made.extents.get(&place), content);
        }
        if place == 0 {
            // It is not yet what it is to be.
            header.clone_from(&made.root);
        }
        let blocks = header.to_blocks();
        if expected.entries.get(place) != Some(&digest_of(&blocks)) {
            return Err(not_the_same(&header, "name, kind, owner, mode, time, attributes, links or holes"));
        }
        tell(watch, blocks.len() as u64)?;
        contents(checksummed_path(&header.name));
        if let Some(content) = content {
            let extents = header.extents.as_deref();
            content.read(extents, &mut chunk, &path, &mut |data| {
                contents(data);
                tell(watch, data.len() as u64)
            })?;
            if let Some(extents) = extents
                && !content.is_zero_between(extents, &mut chunk, &path)?
            {
                return Err(not_the_same(&header, "there is something in a hole"));
            }
            tell(watch, padding_bytes(&header))?;
        }
        place += 1;
    }
    Ok(place)
}

/// Compares the root itself, once it is what it is to be.
pub(crate) fn check_root(staged: &Staged, expected: &Summed) -> Result<(), OverlayError> {
    let root = staged.folder().try_clone_to_owned();
    let root = root.map_err(crate::fsio::FileError::io("open", Path::new(staged.name())))?;
    let mut walk = RawWalk::of(root, Path::new(""), expected.mounted_by)?;
    let entry = walk.next(&mut |_| ())?;
    match entry {
        Some(entry) if expected.entries.first() == Some(&digest_of(&entry.header.to_blocks())) => Ok(()),
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
    if expected.is_none_or(|expected| are_within(found, expected, content.block_bytes)) {
        header.extents = expected.cloned();
    }
}
