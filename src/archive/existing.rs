//! Is a file already what a plan would make of it?

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tar::Header;

use super::entry::BLOCK_BYTES;
use super::{Content, Entry, Plan};
use crate::blob::Verifier;
use crate::image::{DiffId, Hasher};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// The size of the file at `path` if it is exactly the archive of `plan`: every header and small file the same, every
/// blob with its digest, every inflated layer with its diff ID, nothing else. Reads all of it, but stops at the first
/// difference. Blocks.
pub fn size_of_archive(path: &Path, plan: &Plan) -> Option<u64> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let may_be = metadata.is_file() && (plan.is_estimate() || metadata.len() == plan.size_bytes());
    (may_be && holds(file, plan).unwrap_or(false)).then_some(metadata.len())
}

fn holds(file: File, plan: &Plan) -> io::Result<bool> {
    let mut file = io::BufReader::with_capacity(CHUNK_BYTES, file);
    let mut padding_bytes = 0;
    for entry in plan.entries() {
        if !next_is_zero(&mut file, padding_bytes)? {
            return Ok(false);
        }
        let Some(size_bytes) = next_is_header(&mut file, entry)? else { return Ok(false) };
        let is_same = match &entry.content {
            Content::Nothing => true,
            Content::Literal(bytes) => next_is(&mut file, bytes)?,
            Content::Blob(blob) => next_verifies(&mut file, Verifier::new(&blob.descriptor), size_bytes)?,
            Content::Inflated(layer) => next_has_diff_id(&mut file, &layer.diff_id, size_bytes)?,
        };
        if !is_same {
            return Ok(false);
        }
        padding_bytes = size_bytes.next_multiple_of(BLOCK_BYTES) - size_bytes;
    }
    Ok(next_is_zero(&mut file, padding_bytes + 2 * BLOCK_BYTES)? && file.read(&mut [0])? == 0)
}

/// The size of the entry's content if its header comes next. Of an inflated layer any size will do: the diff ID tells
/// whether it is right.
fn next_is_header(file: &mut impl Read, entry: &Entry) -> io::Result<Option<u64>> {
    let mut found = vec![0; entry.header.len()];
    file.read_exact(&mut found)?;
    let mut size_bytes = entry.content_size_bytes();
    if let Content::Inflated(_) = entry.content
        && let Some(last) = found.last_chunk::<512>()
    {
        size_bytes = Header::from_byte_slice(last).entry_size()?;
    }
    let is_one = match entry.content {
        Content::Inflated(_) => found == entry.header_for(size_bytes),
        _ => found == entry.header,
    };
    Ok((is_one && i64::try_from(size_bytes).is_ok()).then_some(size_bytes))
}

fn next_is(file: &mut impl Read, expected: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; expected.len()];
    file.read_exact(&mut found)?;
    Ok(found == expected)
}

/// Padding and the end: at most a few blocks.
fn next_is_zero(file: &mut impl Read, bytes: u64) -> io::Result<bool> {
    let mut found = Vec::new();
    file.take(bytes).read_to_end(&mut found)?;
    Ok(found.len() as u64 == bytes && found.iter().all(|byte| *byte == 0))
}

fn next_verifies(file: &mut impl Read, mut verifier: Verifier, size_bytes: u64) -> io::Result<bool> {
    let mut is_too_long = false;
    each_chunk(file, size_bytes, |chunk| is_too_long |= verifier.update(chunk).is_err())?;
    Ok(!is_too_long && verifier.finish().is_ok())
}

fn next_has_diff_id(file: &mut impl Read, diff_id: &DiffId, size_bytes: u64) -> io::Result<bool> {
    let mut hasher = Hasher::new(diff_id.digest().algorithm());
    let read_bytes = each_chunk(file, size_bytes, |chunk| hasher.update(chunk))?;
    Ok(read_bytes == size_bytes && hasher.finish() == *diff_id.digest())
}

/// Reads up to `size_bytes`, and says how many there were.
fn each_chunk(file: &mut impl Read, size_bytes: u64, mut sink: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut content = file.take(size_bytes);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut read_bytes = 0;
    loop {
        let read = content.read(&mut chunk)?;
        if read == 0 {
            return Ok(read_bytes);
        }
        sink(&chunk[..read]);
        read_bytes += read as u64;
    }
}
