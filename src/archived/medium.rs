//! Where an archive's bytes are: a plain file is read at any place, a packed one or a pipe only from its beginning. A
//! folder is taken for a tar of its files: each has a place of its own, one behind the other.
//!
//! Threats: of a folder only regular files are opened, and no link is followed, neither of files nor of folders.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read, Take};
use std::path::{Path, PathBuf};

use super::OpenError;
use crate::archive::names::{Names, Place};
use crate::archive::reader::{Member, MemberKind};
use crate::blob::{Packing, Unpacked};
use crate::fsio::{FileError, FileHandle, Links, open_regular};

/// Files of a folder that are looked at.
const MAX_FILES: usize = 100_000;
/// How deep a folder is searched: `blobs/sha256/<hex>`.
const MAX_DEPTH: usize = 3;
/// What is read of a file at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Medium {
    /// In a plain file.
    File(FileHandle),
    /// In a packed file.
    Packed { file: FileHandle, packing: Packing },
    /// In the files of a folder, by their places' starts.
    Folder(BTreeMap<u64, PathBuf>),
    /// They went by.
    Pipe,
}

impl Medium {
    /// Reads the content at `place`; none where that can't be done again.
    pub(super) fn read(&self, place: Place) -> io::Result<Option<Content>> {
        Ok(match self {
            Self::File(file) => Some(Content::Window {
                file: file.clone(),
                position_bytes: place.offset_bytes,
                left_bytes: place.size_bytes,
            }),
            Self::Folder(files) => {
                let path = files.get(&place.offset_bytes).ok_or(io::ErrorKind::NotFound)?;
                let file = open_regular(path, Links::Refuse).map_err(io::Error::other)?;
                Some(Content::File(file.take(place.size_bytes)))
            }
            Self::Packed { .. } | Self::Pipe => None,
        })
    }
}

/// A content, read from its start to its end.
pub(super) enum Content {
    Window { file: FileHandle, position_bytes: u64, left_bytes: u64 },
    File(Take<fs::File>),
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Window { file, position_bytes, left_bytes } => {
                let room = buffer.len().min(usize::try_from(*left_bytes).unwrap_or(usize::MAX));
                if room == 0 {
                    return Ok(0);
                }
                let read = file.read_at(&mut buffer[..room], *position_bytes)?;
                *position_bytes += read as u64;
                *left_bytes -= read as u64;
                Ok(read)
            }
        }
    }
}

/// Opens a packed file, unpacked as it is read.
pub(super) fn unpacked(file: &FileHandle, packing: Packing) -> Result<Unpacked<'static>, FileError> {
    let packed = BufReader::with_capacity(BUFFER_BYTES, file.reader());
    packing.unpack_no_bomb(packed).map_err(|source| file.cannot_read(source))
}

/// The names of a folder's files, as if they stood in a tar.
pub(super) fn folder(root: &Path) -> Result<(Medium, Names), OpenError> {
    let mut walk = Walk { files: BTreeMap::new(), names: Names::default(), end_bytes: 0 };
    walk.enter(root, root, "", 1)?;
    Ok((Medium::Folder(walk.files), walk.names))
}

struct Walk {
    files: BTreeMap<u64, PathBuf>,
    names: Names,
    end_bytes: u64,
}

impl Walk {
    fn enter(&mut self, root: &Path, folder: &Path, name: &str, depth: usize) -> Result<(), OpenError> {
        let entries: io::Result<Vec<_>> =
            fs::read_dir(folder).and_then(|entries| entries.take(MAX_FILES + 1).collect());
        let mut entries = entries.map_err(FileError::io("read", folder))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.files.len() >= MAX_FILES {
                return Err(OpenError::TooManyFiles { path: root.to_owned(), limit: MAX_FILES });
            }
            let Ok(found) = entry.metadata() else { continue }; // of the entry itself: links are not followed
            let Some(file_name) = entry.file_name().to_str().map(ToOwned::to_owned) else { continue };
            let name = if name.is_empty() { file_name } else { format!("{name}/{file_name}") };
            if found.is_dir() && depth < MAX_DEPTH {
                self.enter(root, &entry.path(), &name, depth + 1)?;
            } else if found.is_file() {
                let (offset_bytes, size_bytes) = (self.end_bytes, found.len());
                self.names.add(&Member { path: name, kind: MemberKind::File, offset_bytes, size_bytes });
                self.files.insert(offset_bytes, entry.path());
                self.end_bytes += size_bytes + 1;
            }
        }
        Ok(())
    }
}
