//! What is in a regular file, read part by part.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::fstat;

use super::error::OverlayError;
use super::holes::{Extent, extents_of};
use super::walk::Stamp;
use crate::fsio::FileError;

/// A regular file, open.
pub(super) struct Content {
    pub(super) file: File,
    pub(super) size_bytes: u64,
    pub(super) stamp: Stamp,
    /// What its file system allocates at a time.
    pub(super) block_bytes: u64,
}

impl Content {
    /// Hands on what stands in these parts of the file, or in all of it.
    pub(super) fn read(
        &self,
        extents: Option<&[Extent]>,
        chunk: &mut [u8],
        path: &Path,
        take: &mut dyn FnMut(&[u8]) -> Result<(), OverlayError>,
    ) -> Result<(), OverlayError> {
        for extent in extents.unwrap_or(&[self.whole()]) {
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
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(FileError::io("read", path)(error).into()),
                }
            }
        }
        Ok(())
    }

    /// True if all but these parts reads as zeros. What a disk calls data may be: pages of zeros in memory, blocks of its own
    /// size.
    pub(super) fn is_zero_between(
        &self,
        extents: &[Extent],
        chunk: &mut [u8],
        path: &Path,
    ) -> Result<bool, OverlayError> {
        let found = extents_of(&self.file, self.size_bytes).map_err(OverlayError::reading(path))?;
        let found = found.unwrap_or_else(|| vec![self.whole()]);
        let mut is_zero = true;
        self.read(Some(&outside(&found, extents)), chunk, path, &mut |data| {
            is_zero &= data.iter().all(|byte| *byte == 0);
            Ok(())
        })?;
        Ok(is_zero)
    }

    /// Is the file as it was when it was opened?
    pub(super) fn check_unchanged(&self, path: &Path) -> Result<(), OverlayError> {
        let stat = fstat(&self.file).map_err(OverlayError::reading(path))?;
        if Stamp::of(&stat) == self.stamp { Ok(()) } else { Err(OverlayError::Changed(path.to_owned())) }
    }

    fn whole(&self) -> Extent {
        Extent { start_bytes: 0, size_bytes: self.size_bytes }
    }
}

/// What of some extents is not in others.
fn outside(of: &[Extent], others: &[Extent]) -> Vec<Extent> {
    let mut found = Vec::new();
    let mut others = others.iter().peekable();
    for extent in of {
        let mut from_bytes = extent.start_bytes;
        while let Some(other) = others.peek().filter(|other| other.start_bytes < extent.end_bytes()) {
            if other.start_bytes > from_bytes {
                found.push(Extent { start_bytes: from_bytes, size_bytes: other.start_bytes - from_bytes });
            }
            from_bytes = from_bytes.max(other.end_bytes());
            if other.end_bytes() > extent.end_bytes() {
                break;
            }
            others.next();
        }
        if from_bytes < extent.end_bytes() {
            found.push(Extent { start_bytes: from_bytes, size_bytes: extent.end_bytes() - from_bytes });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::holes::are_within;
    use super::*;

    fn extents(ranges: &[(u64, u64)]) -> Vec<Extent> {
        ranges.iter().map(|(start, end)| Extent { start_bytes: *start, size_bytes: end - start }).collect()
    }

    #[test]
    fn what_a_disk_has_besides_is_found() {
        for (of, others, found) in [
            (&[(0, 10)][..], &[][..], &[(0, 10)][..]),
            (&[(0, 10)], &[(0, 10)], &[]),
            (&[(0, 10)], &[(2, 4), (6, 8)], &[(0, 2), (4, 6), (8, 10)]),
            (&[(0, 4), (6, 10)], &[(2, 8)], &[(0, 2), (8, 10)]),
            (&[(4, 6)], &[(0, 2), (5, 20)], &[(4, 5)]),
            (&[(0, 2), (4, 6), (8, 9)], &[(0, 9)], &[]),
        ] {
            assert_eq!(outside(&extents(of), &extents(others)), extents(found));
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
