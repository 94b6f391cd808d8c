//! An archive's SHA-256, of the bytes that the disk gives back, and how `sha256sum` writes it down.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::fsio::{FileError, Links, open_regular};
use crate::image::{Algorithm, Digest, Hasher};

/// Bytes read at a time: few enough that a pull that is interrupted ends at once.
const CHUNK_BYTES: usize = 4 << 20;

/// What a file's bytes hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The SHA-256.
    pub digest: Digest,
    /// How many bytes there were.
    pub size_bytes: u64,
}

impl Checksum {
    /// One that takes as much room as any.
    pub(super) fn longest() -> Self {
        Self { digest: Digest::of(b""), size_bytes: u64::MAX }
    }

    /// The line that `sha256sum -c` takes for the file of this name. As `sha256sum` does, it has a backslash in front
    /// where backslashes or newlines in the name had to be escaped. What is called `-` must not be read as stdin.
    pub(super) fn line(&self, name: &[u8]) -> Vec<u8> {
        let escaped: Vec<u8> = name.iter().flat_map(|byte| escaped(byte).iter().copied()).collect();
        let mark: &[u8] = if escaped.len() == name.len() { b"" } else { b"\\" };
        let folder: &[u8] = if name == b"-" { b"./" } else { b"" };
        [mark, self.digest.hex().as_bytes(), b"  ", folder, &escaped, b"\n"].concat()
    }
}

fn escaped(byte: &u8) -> &[u8] {
    match byte {
        b'\\' => br"\\",
        b'\n' => br"\n",
        _ => std::slice::from_ref(byte),
    }
}

/// A file that is being read for its checksum, a piece at a time.
pub struct Reading {
    path: PathBuf,
    file: File,
    total_bytes: u64,
    hasher: Hasher,
    size_bytes: u64,
    chunk: Vec<u8>,
}

impl Reading {
    /// Begins at the start of the file.
    pub fn begin(path: &Path, algorithm: Algorithm) -> Result<Self, FileError> {
        Self::of_opened(path, open_regular(path, Links::Follow)?, algorithm)
    }

    /// The same of a file that is open already; `path` is what it is called.
    pub fn of_opened(path: &Path, file: File, algorithm: Algorithm) -> Result<Self, FileError> {
        let metadata = file.metadata().map_err(FileError::io("read", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            total_bytes: metadata.len(),
            hasher: Hasher::new(algorithm),
            size_bytes: 0,
            chunk: vec![0; CHUNK_BYTES],
        })
    }

    /// The size of the file.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Reads on, and says how many bytes more there were: none at the end. Blocks.
    pub fn advance(mut self) -> Result<(Self, u64), FileError> {
        let read = loop {
            match self.file.read(&mut self.chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(FileError::io("read", &self.path))?,
            }
        };
        self.hasher.update(&self.chunk[..read]);
        self.size_bytes += read as u64;
        Ok((self, read as u64))
    }

    /// The checksum of what was read.
    pub fn finish(self) -> Checksum {
        Checksum { digest: self.hasher.finish(), size_bytes: self.size_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_sha256sum_writes() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (name, line) in [
            ("x.tar", format!("{hex}  x.tar\n")),
            (" it's  a.tar", format!("{hex}   it's  a.tar\n")),
            ("a\nb\\c.tar", format!("\\{hex}  a\\nb\\\\c.tar\n")),
            ("-", format!("{hex}  ./-\n")),
        ] {
            let written = Checksum::longest().line(name.as_bytes());
            assert_eq!(String::from_utf8(written).unwrap(), line);
        }
    }
}
