//! Is a file already what a plan would make of it?

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{Content, Plan};
use crate::blob::Verifier;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// True if the file at `path` is exactly the archive of `plan`: every header and small file the same, every blob with
/// its digest, nothing else. Reads all of it, but stops at the first difference. Blocks.
pub fn is_archive_of(path: &Path, plan: &Plan) -> bool {
    holds(path, plan).unwrap_or(false)
}

fn holds(path: &Path, plan: &Plan) -> io::Result<bool> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != plan.size_bytes() {
        return Ok(false);
    }
    let mut file = io::BufReader::with_capacity(CHUNK_BYTES, file);
    let mut position_bytes = 0;
    for entry in plan.entries() {
        if !next_is_zero(&mut file, entry.offset_bytes - position_bytes)?
            || !next_is(&mut file, &entry.header)?
        {
            return Ok(false);
        }
        let is_same = match &entry.content {
            Content::Nothing => true,
            Content::Literal(bytes) => next_is(&mut file, bytes)?,
            Content::Blob(blob) => {
                next_verifies(&mut file, Verifier::new(&blob.descriptor), entry.content_size_bytes())?
            }
        };
        if !is_same {
            return Ok(false);
        }
        position_bytes = entry.content_offset_bytes() + entry.content_size_bytes();
    }
    next_is_zero(&mut file, plan.size_bytes() - position_bytes)
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
    let mut blob = file.take(size_bytes);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match blob.read(&mut chunk)? {
            0 => return Ok(verifier.finish().is_ok()),
            bytes if verifier.update(&chunk[..bytes]).is_err() => return Ok(false),
            _ => {}
        }
    }
}
