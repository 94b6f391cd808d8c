//! An upper directory as it will stand in a raw tar, known before its contents are read, and then written.
//!
//! Two walks: the first finds out how large the tar will be and what is in it, the second reads the contents and has to find
//! the same. Whatever changed meanwhile is noticed by its attributes, its times or its folder's.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::fstat;

use super::error::OverlayError;
use super::header::BLOCK_BYTES;
use super::holes::Extent;
use super::layer::LeftOut;
use super::raw::{Content, RawWalk};
use super::tree::{Summed, Tree, TreeSum, digest_of};
use super::walk::Stamp;
use crate::fsio::FileError;

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
    summed: Summed,
    left_out: Vec<LeftOut>,
}

impl Plan {
    /// Walks the upper directory at `root`. Blocks. `watch` is told of an entry as of one byte.
    pub fn of(root: &Path, watch: Watch<'_>) -> Result<Self, OverlayError> {
        let mut walk = RawWalk::open(root)?;
        let mut sum = TreeSum::default();
        let mut left_out = Vec::new();
        while let Some(entry) = walk.next(&mut |one| left_out.push(one))? {
            if !sum.add(&entry.header, &entry.header.to_blocks()) {
                return Err(OverlayError::TooMany);
            }
            tell(watch, 1)?;
        }
        Ok(Self { root: root.to_owned(), summed: sum.finish(), left_out })
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
        let mut walk = RawWalk::open(&self.root)?;
        let mut expected = self.summed.entries.iter();
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Some(entry) = walk.next(&mut |_| ())? {
            let blocks = entry.header.to_blocks();
            if expected.next() != Some(&digest_of(&blocks)) {
                return Err(OverlayError::Changed(walk.shown()));
            }
            output.write_all(&blocks).map_err(OverlayError::Output)?;
            tell(watch, blocks.len() as u64)?;
            contents(checksummed_path(&entry.header.name));
            if let Some(content) = entry.content {
                let path = walk.shown();
                let whole = [Extent { start_bytes: 0, size_bytes: entry.header.size_bytes }];
                for extent in entry.header.extents.as_deref().unwrap_or(&whole) {
                    content.read(*extent, &mut chunk, &path, &mut |data| {
                        output.write_all(data).map_err(OverlayError::Output)?;
                        contents(data);
                        tell(watch, data.len() as u64)
                    })?;
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

impl Content {
    /// Hands on what stands in this part of the file.
    pub(super) fn read(
        &self,
        extent: Extent,
        chunk: &mut [u8],
        path: &Path,
        take: &mut dyn FnMut(&[u8]) -> Result<(), OverlayError>,
    ) -> Result<(), OverlayError> {
        let mut position_bytes = extent.start_bytes;
        while position_bytes < extent.end_bytes() {
            let left = usize::try_from(extent.end_bytes() - position_bytes).unwrap_or(usize::MAX);
            let wanted = left.min(chunk.len());
            match self.file.read_at(&mut chunk[..wanted], position_bytes) {
                Ok(0) => return Err(OverlayError::Changed(path.to_owned())),
                Ok(read) => {
                    take(&chunk[..read])?;
                    position_bytes += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::io("read", path)(error).into()),
            }
        }
        Ok(())
    }

    /// Is the file as it was when it was opened?
    pub(super) fn check_unchanged(&self, path: &Path) -> Result<(), OverlayError> {
        let stat = fstat(&self.file).map_err(OverlayError::reading(path))?;
        if Stamp::of(&stat) == self.stamp { Ok(()) } else { Err(OverlayError::Changed(path.to_owned())) }
    }
}
