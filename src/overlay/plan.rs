//! An upper directory as it will stand in a raw tar, known before its contents are read, and then written.
//!
//! Two walks: the first finds out how large the tar will be and what is in it, the second reads the contents and has to find
//! the same. Whatever changed meanwhile is noticed by its attributes, its times or its folder's.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::MountedBy;
use super::ahead::{Step, walk_ahead};
use super::decode::check_readable;
use super::error::OverlayError;
use super::header::BLOCK_BYTES;
use super::holes::Extent;
use super::layer::LeftOut;
use super::raw::{RawWalk, shown};
use super::rules::Rules;
use super::tree::{Summed, Tree, TreeSum, digest_of};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Told of work that was done, in bytes; false: nobody waits for it any more, and it ends with `Stopped`.
pub type Watch<'a> = &'a (dyn Fn(u64) -> bool + Sync);

/// Tells `watch`, and ends where nobody waits.
pub(crate) fn tell(watch: Watch<'_>, bytes: u64) -> Result<(), OverlayError> {
    if watch(bytes) { Ok(()) } else { Err(OverlayError::Stopped) }
}

/// An upper directory that was walked, as the raw tar it will be.
#[derive(Debug)]
pub struct Plan {
    root: PathBuf,
    below: Vec<PathBuf>,
    summed: Summed,
    /// Where the data is in files with holes, by their places among the entries.
    extents: HashMap<usize, Vec<Extent>>,
    left_out: Vec<LeftOut>,
}

impl Plan {
    /// Walks the upper directory at `root`, which is above those of `below`, the highest first. Blocks. `watch` is told of
    /// an entry as of one byte.
    pub fn of(
        root: &Path,
        below: Vec<PathBuf>,
        mounted_by: MountedBy,
        watch: Watch<'_>,
    ) -> Result<Self, OverlayError> {
        let (mut rules, mut sum) = (Rules::default(), TreeSum::default());
        let (mut left_out, mut extents) = (Vec::new(), HashMap::new());
        walk_ahead(RawWalk::open(root, &below, mounted_by)?, |steps| {
            let mut place = 0;
            for step in steps {
                let header = match step? {
                    Step::Entry(entry) => entry.header,
                    Step::LeftOut(one) => {
                        left_out.push(one);
                        continue;
                    }
                };
                let blocks = header.to_blocks();
                // What could not be read back is not written.
                let is_readable = rules.check(&header).and_then(|()| check_readable(&blocks));
                is_readable.map_err(|what| OverlayError::Odd { path: shown(root, &header.name), what })?;
                if !sum.add(&header, &blocks) {
                    return Err(OverlayError::TooMany);
                }
                if let Some(found) = header.extents {
                    extents.insert(place, found);
                }
                place += 1;
                tell(watch, 1)?;
            }
            Ok(())
        })?;
        Ok(Self { root: root.to_owned(), below, summed: sum.finish(mounted_by), extents, left_out })
    }

    /// The size of `layer.tar`.
    pub fn size_bytes(&self) -> u64 {
        self.summed.tar_bytes
    }

    /// What is in it.
    pub fn tree(&self) -> &Tree {
        &self.summed.tree
    }

    /// What is not in it: sockets.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Writes the tar. `contents` is told of what a layer checksum is over: paths, each with the data of its file. Blocks.
    /// `watch` is told of the tar's bytes.
    pub(crate) fn write(
        &self,
        output: &mut impl Write,
        contents: &mut dyn FnMut(&[u8]),
        watch: Watch<'_>,
    ) -> Result<(), OverlayError> {
        // Not ahead: a folder is looked at again when all in it was read.
        let mut walk = RawWalk::open(&self.root, &self.below, self.summed.mounted_by)?;
        let mut expected = self.summed.entries.iter();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut place = 0;
        while let Some(mut entry) = walk.next(&mut |_| ())? {
            // What a disk calls a hole may be data later on, and the other way round, as pages of zeros come into memory.
            entry.header.extents = self.extents.get(&place).cloned();
            place += 1;
            let blocks = entry.header.to_blocks();
            if expected.next() != Some(&digest_of(&blocks)) {
                return Err(OverlayError::Changed(shown(&self.root, &entry.header.name)));
            }
            output.write_all(&blocks).map_err(OverlayError::Output)?;
            tell(watch, blocks.len() as u64)?;
            contents(checksummed_path(&entry.header.name));
            if let Some(content) = entry.content {
                let path = shown(&self.root, &entry.header.name);
                let extents = entry.header.extents.as_deref();
                content.read(extents, &mut chunk, &path, &mut |data| {
                    output.write_all(data).map_err(OverlayError::Output)?;
                    contents(data);
                    tell(watch, data.len() as u64)
                })?;
                if let Some(extents) = extents
                    && !content.is_zero_between(extents, &mut chunk, &path)?
                {
                    return Err(OverlayError::Changed(path));
                }
                content.check_unchanged(&path)?;
                let data_bytes = entry.header.data_bytes();
                let padding_bytes = data_bytes.next_multiple_of(BLOCK_BYTES as u64) - data_bytes;
                let padding = &[0; BLOCK_BYTES][..usize::try_from(padding_bytes).unwrap_or(0)];
                output.write_all(padding).map_err(OverlayError::Output)?;
                tell(watch, padding_bytes)?;
            }
        }
        if expected.next().is_some() {
            return Err(OverlayError::Changed(self.root.clone()));
        }
        output.write_all(&[0; 2 * BLOCK_BYTES]).map_err(OverlayError::Output)?;
        tell(watch, 2 * BLOCK_BYTES as u64)
    }
}

/// An entry's path as the layer checksum has it: without a slash at its end, the root's empty.
pub(crate) fn checksummed_path(name: &[u8]) -> &[u8] {
    if name == super::raw::ROOT { b"" } else { name.strip_suffix(b"/").unwrap_or(name) }
}
