//! Holes in files: where the data is, as the file system says, and as GNU tar writes that (sparse format 1.0).

use rustix::fd::AsFd;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::header::BLOCK_BYTES;

/// Parts of one file that are told apart; what comes after so many is taken for data. The map then has some 40 MB.
pub(crate) const MAX_EXTENTS: usize = 1 << 20;
/// What a hole begins and ends at, but for the file's end. GNU tar's readers pad data to that.
const ALIGNMENT: u64 = BLOCK_BYTES as u64;

/// A part of a file that has data. All between is holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start_bytes: u64,
    pub(crate) size_bytes: u64,
}

impl Extent {
    pub(crate) fn end_bytes(self) -> u64 {
        self.start_bytes + self.size_bytes
    }
}

/// The extents of an open file; none if there is no hole in it, or its file system knows of none.
pub(super) fn extents_of(file: impl AsFd, size_bytes: u64) -> Result<Option<Vec<Extent>>, Errno> {
    if size_bytes == 0 || hole_from(&file, 0, size_bytes)? >= size_bytes {
        return Ok(None);
    }
    let mut extents: Vec<Extent> = Vec::new();
    let mut position_bytes = 0;
    while let Some(data_bytes) = data_from(&file, position_bytes, size_bytes)? {
        let hole_bytes = hole_from(&file, data_bytes, size_bytes)?;
        position_bytes = hole_bytes;
        let is_last = extents.len() + 1 == MAX_EXTENTS;
        let start_bytes = data_bytes - data_bytes % ALIGNMENT;
        let end_bytes =
            if is_last { size_bytes } else { hole_bytes.next_multiple_of(ALIGNMENT).min(size_bytes) };
        match extents.last_mut() {
            Some(last) if last.end_bytes() >= start_bytes => last.size_bytes = end_bytes - last.start_bytes,
            _ => extents.push(Extent { start_bytes, size_bytes: end_bytes - start_bytes }),
        }
        if end_bytes == size_bytes {
            break;
        }
    }
    let is_whole = extents.first().is_some_and(|first| first.size_bytes == size_bytes);
    Ok((!is_whole).then_some(extents))
}

fn hole_from(file: impl AsFd, from_bytes: u64, size_bytes: u64) -> Result<u64, Errno> {
    match seek(file, SeekFrom::Hole(from_bytes)) {
        Err(Errno::INVAL | Errno::NXIO | Errno::OPNOTSUPP) => Ok(size_bytes),
        hole => Ok(hole?.min(size_bytes)),
    }
}

fn data_from(file: impl AsFd, from_bytes: u64, size_bytes: u64) -> Result<Option<u64>, Errno> {
    if from_bytes >= size_bytes {
        return Ok(None);
    }
    match seek(file, SeekFrom::Data(from_bytes)) {
        Err(Errno::NXIO) => Ok(None),
        data => Ok(Some(data?).filter(|data| *data < size_bytes)),
    }
}

/// What is wrong with extents that somebody else wrote, of a file of this size.
pub(crate) fn flaw(extents: &[Extent], size_bytes: u64) -> Option<&'static str> {
    let mut end_bytes = None;
    for extent in extents {
        let start_bytes = extent.start_bytes;
        let Some(next) = start_bytes.checked_add(extent.size_bytes).filter(|end| *end <= size_bytes) else {
            return Some("its data ends beyond its end");
        };
        if extent.size_bytes == 0 || end_bytes.is_some_and(|end| end >= start_bytes) {
            return Some("its data is out of order");
        }
        let is_aligned = next.is_multiple_of(ALIGNMENT) || next == size_bytes;
        if !start_bytes.is_multiple_of(ALIGNMENT) || !is_aligned {
            return Some("its holes are not of whole blocks");
        }
        end_bytes = Some(next);
    }
    let is_whole = extents.first().is_some_and(|first| first.size_bytes == size_bytes);
    (is_whole || size_bytes == 0).then_some("it has no hole")
}

/// True if a disk has data only where it should, or in the same of its blocks.
pub(super) fn are_within(found: &[Extent], expected: &[Extent], block_bytes: u64) -> bool {
    let mut expected = expected.iter().map(|extent| {
        let start = extent.start_bytes - extent.start_bytes % block_bytes;
        (start, extent.end_bytes().next_multiple_of(block_bytes))
    });
    let mut around = expected.next();
    found.iter().all(|extent| {
        let mut from_bytes = extent.start_bytes;
        while let Some((start, end)) = around {
            if end > from_bytes {
                if start > from_bytes {
                    return false;
                }
                if end >= extent.end_bytes() {
                    return true;
                }
                from_bytes = end;
            }
            around = expected.next();
        }
        false
    })
}

/// The map that stands before a sparse file's data: numbers in lines, padded.
pub(super) fn map_of(extents: &[Extent], size_bytes: u64) -> Vec<u8> {
    // An empty extent says where a hole at the end ends.
    let ends_in_hole = extents.last().is_none_or(|last| last.end_bytes() < size_bytes);
    let end = Extent { start_bytes: size_bytes, size_bytes: 0 };
    let all = extents.iter().chain(ends_in_hole.then_some(&end));
    let mut map = format!("{}\n", extents.len() + usize::from(ends_in_hole)).into_bytes();
    for Extent { start_bytes, size_bytes } in all {
        map.extend(format!("{start_bytes}\n{size_bytes}\n").into_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK_BYTES), 0);
    map
}

/// Reads a map as its blocks come in: feed them until it has all its numbers.
#[derive(Default)]
pub(super) struct MapReader {
    numbers: Vec<u64>,
    digits: Vec<u8>,
}

impl MapReader {
    /// Takes in a block; true if it was the last.
    pub(super) fn feed(&mut self, block: &[u8]) -> Result<bool, &'static str> {
        const BAD: &str = "the map of its holes is no map";
        for byte in block {
            match byte {
                b'0'..=b'9' if self.digits.len() < 20 => self.digits.push(*byte),
                b'\n' => {
                    let number = std::str::from_utf8(&self.digits).ok().and_then(|text| text.parse().ok());
                    self.numbers.push(number.ok_or(BAD)?);
                    self.digits.clear();
                    let count = usize::try_from(self.numbers[0]).unwrap_or(usize::MAX);
                    if count > MAX_EXTENTS + 1 {
                        return Err("it has too many holes");
                    }
                    if self.numbers.len() == 2 * count + 1 {
                        return Ok(true);
                    }
                }
                _ => return Err(BAD),
            }
        }
        Ok(false)
    }

    /// The extents, of a file of this size.
    pub(super) fn finish(self, size_bytes: u64) -> Vec<Extent> {
        let pairs = self.numbers[1..].chunks_exact(2);
        let mut extents: Vec<Extent> =
            pairs.map(|pair| Extent { start_bytes: pair[0], size_bytes: pair[1] }).collect();
        if extents.last().is_some_and(|last| last.size_bytes == 0 && last.start_bytes == size_bytes) {
            extents.pop();
        }
        extents
    }
}
