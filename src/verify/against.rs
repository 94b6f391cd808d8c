//! A file against the digest somebody gave for it: as `sha256:<hex>`, or in a file as `sha256sum` writes them.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use crate::fsio::FileError;
use crate::image::digest::DigestError;
use crate::image::{Algorithm, Digest};
use crate::sidecar::Reading;

/// A file of checksums is not longer.
const MAX_CHECKSUMS_BYTES: u64 = 1 << 20;

/// What a file should hash to can't be told.
#[derive(Debug, thiserror::Error)]
pub enum AgainstError {
    /// It is neither a digest nor a file.
    #[error("`{text}` is neither a digest nor a file of checksums")]
    Neither {
        /// What was given.
        text: String,
        /// Why it is no digest.
        source: DigestError,
    },
    /// The file has no checksum of the archive.
    #[error("{} has no checksum of `{name}`", .path.display())]
    NotListed {
        /// The file of checksums.
        path: std::path::PathBuf,
        /// The archive's name.
        name: String,
    },
    /// It can't be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What `archive` should hash to, by a digest or a file of checksums.
pub fn expected(against: &str, archive: &Path) -> Result<Digest, AgainstError> {
    let source = match Digest::from_str(against) {
        Ok(digest) => return Ok(digest),
        Err(error) => error,
    };
    let path = Path::new(against);
    if !path.is_file() {
        return Err(AgainstError::Neither { text: against.to_owned(), source });
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(FileError::io("open", path))?;
    file.take(MAX_CHECKSUMS_BYTES).read_to_string(&mut text).map_err(FileError::io("read", path))?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let lines: Vec<(&str, String)> = text.lines().map(line_of).collect();
    let of_name = |(_, file): &&(&str, String)| {
        Path::new(file).file_name().is_some_and(|file| file.to_string_lossy() == name)
    };
    let found = lines.iter().find(of_name).or(if lines.len() == 1 { lines.first() } else { None });
    let digest = found.and_then(|(hex, _)| format!("sha256:{}", hex.to_ascii_lowercase()).parse().ok());
    digest.ok_or_else(|| AgainstError::NotListed { path: path.to_owned(), name })
}

/// The hex digits and the name in a line; a backslash in front says that those in the name are doubled, and newlines
/// written `\\n`.
fn line_of(line: &str) -> (&str, String) {
    let is_escaped = line.starts_with('\\');
    let line = line.trim_start_matches('\\');
    let (hex, name) = line.split_once(' ').unwrap_or((line, ""));
    let name = name.strip_prefix([' ', '*']).unwrap_or(name);
    let name = if is_escaped { name.replace("\\n", "\n").replace("\\\\", "\\") } else { name.to_owned() };
    (hex, name)
}

/// The digest of all of a file. Blocks.
pub fn digest_of(path: &Path, algorithm: Algorithm, progress: &dyn Fn(u64)) -> Result<Digest, FileError> {
    let mut reading = Reading::begin(path, algorithm)?;
    loop {
        let (rest, bytes) = reading.advance()?;
        if bytes == 0 {
            return Ok(rest.finish().digest);
        }
        progress(bytes);
        reading = rest;
    }
}
