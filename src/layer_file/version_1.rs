//! Files of layer-tool, version 1.0: `metadata.json` and `layer.tar` in a tar, with gzip or without.
//!
//! What vouches for them is one checksum over paths and contents, so only those are known to be right. Owners, modes and times
//! stand in the tar and are taken from there. What such a file lost when it was made is told.
//!
//! Threats: as in [`super::verify`]; a tar may say more than one thing in more than one way, so it is turned into entries of
//! our own, which are held to the rules of all trees. What is kept of each is bounded, and of all together. Contents stay where
//! they are; those of a packed file are kept in one without a name, as large as the layer at most: what a sparse entry claims
//! to be is never written.

mod gnu_tar;

use std::io::{self, Read};
use std::sync::Arc;

use tar::EntryType;

use super::error::LayerFileError;
use super::metadata::Metadata;
use super::outer::{LAYER, MAX_METADATA_BYTES, METADATA};
use super::problem::Part;
use super::unpacked::Layer;
use super::verify::{Findings, LayerFile, Stop};
use crate::blob::{HashThread, Packing};
use crate::foreign::shown;
use crate::fsio::{FileHandle, RESERVED_BYTES, ScratchFile};
use crate::overlay::{
    Entries, EntryError, Extent, Header, HeaderError, Kind, MountedBy, ROOT, Rules, Summed, Time, TreeSum,
    Watch, checksummed_path,
};
use gnu_tar::{GnuTar, Member};

/// The version these files have.
const VERSION: &str = "1.0";
/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// A folder whose entry is not there is root's.
const FOLDER_MODE: u32 = 0o755;
/// Zeros that tars end in, of a record of the largest size that is in use.
const MAX_END_BYTES: u64 = 1 << 20;
/// What files come to together, holes included: they are hashed, as zeros.
const MAX_APPARENT_BYTES: u64 = 1 << 40;
/// Entries are kept in memory, and their names and holes.
const MAX_ENTRIES: usize = 1 << 22;
const MAX_KEPT_BYTES: usize = 512 << 20;
/// Folders of entries that have none themselves: one name of a few KiB leads through two thousand.
const MAX_UNNAMED_FOLDERS: usize = 4096;

/// What such a file has not, whatever its container had.
const LOST: [&str; 6] = [
    "what was removed in the container is not removed (there are no whiteouts)",
    "symlinks are missing, or are copies of what they led to on the host",
    "FIFOs and devices are missing",
    "hard links are files of their own",
    "extended attributes are missing: capabilities, ACLs, and which directories hide what is below them",
    "times are of whole seconds",
];

/// A layer of version 1.0, read.
#[derive(Debug)]
pub(super) struct Indexed {
    entries: Vec<Indexing>,
    contents: FileHandle,
    pub(super) summed: Summed,
    /// What paths and data hash to, as they are read back.
    pub(super) checksum: String,
}

#[derive(Debug)]
struct Indexing {
    header: Header,
    /// Where its data is in the file of contents.
    offset_bytes: u64,
}

impl Indexed {
    pub(super) fn entries(self: &Arc<Self>) -> IndexedEntries {
        IndexedEntries { indexed: self.clone(), next: 0, position_bytes: 0, left_bytes: 0 }
    }
}

/// Reads them one after the other.
pub(super) struct IndexedEntries {
    indexed: Arc<Indexed>,
    next: usize,
    position_bytes: u64,
    left_bytes: u64,
}

impl Entries for IndexedEntries {
    fn next(&mut self) -> Result<Option<Header>, EntryError> {
        let Some(Indexing { header, offset_bytes }) = self.indexed.entries.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        self.position_bytes = *offset_bytes;
        self.left_bytes = if header.kind == Kind::File { header.data_bytes() } else { 0 };
        Ok(Some(header.clone()))
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, EntryError> {
        let wanted = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.indexed.contents.read_at(&mut buffer[..wanted], self.position_bytes);
        let read = read.map_err(EntryError::Read)?;
        if read == 0 && wanted > 0 {
            return Err(EntryError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        self.position_bytes += read as u64;
        self.left_bytes -= read as u64;
        Ok(read)
    }
}

/// Reads a file that is none of this version.
pub(super) fn verify(
    file: &LayerFile,
    most_bytes: u64,
    watch: Watch<'_>,
    findings: &mut Findings,
) -> Result<(), LayerFileError> {
    let (tap, stream) = file.stream(false, watch)?;
    let mut reading =
        Reading { file, most_bytes, watch, findings, entries: Vec::new(), kept: Kept::default() };
    let read = reading.read_all(stream);
    if let Some(failure) = tap.failure() {
        return Err(failure);
    }
    match read {
        Err(Ended::Failed(error)) => Err(error),
        Err(Ended::Broken(Stop)) | Ok(()) => Ok(()),
    }
}

enum Ended {
    /// There is no way on through the file.
    Broken(Stop),
    /// This machine stands in the way.
    Failed(LayerFileError),
}

impl<E: Into<LayerFileError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Reading<'a> {
    file: &'a LayerFile,
    most_bytes: u64,
    watch: Watch<'a>,
    findings: &'a mut Findings,
    entries: Vec<Indexing>,
    kept: Kept,
}

/// What is kept of entries in memory.
#[derive(Default)]
struct Kept {
    entries: usize,
    bytes: usize,
}

impl Kept {
    /// Takes in another entry; what is wrong if there are too many.
    fn add(&mut self, header: &Header) -> Result<(), &'static str> {
        self.entries += 1;
        self.bytes += header.name.len() + header.extents.as_deref().map_or(0, size_of_val);
        if self.entries > MAX_ENTRIES {
            return Err("it has too many entries");
        }
        if self.bytes > MAX_KEPT_BYTES { Err("its names and holes are too many to keep") } else { Ok(()) }
    }
}

impl Reading<'_> {
    fn read_all(&mut self, stream: impl Read) -> Result<(), Ended> {
        let (mut metadata, mut contents) = (None, None);
        let mut tar = GnuTar::new(stream);
        while let Some(member) = tar.next().map_err(|error| self.broken(Part::Structure, error))? {
            let name = member.name.strip_prefix(b"./").unwrap_or(&member.name);
            let is_file = matches!(member.header.entry_type(), EntryType::Regular | EntryType::Continuous);
            if is_file && name == METADATA.as_bytes() && metadata.is_none() {
                if member.size_bytes > MAX_METADATA_BYTES {
                    return Err(self.wrong(Part::Metadata, "it is too large".to_owned()));
                }
                let mut json = Vec::new();
                let read = tar.read_to_end(&mut json);
                read.map_err(|error| self.broken(Part::Metadata, error.into()))?;
                metadata = Some(json);
            } else if is_file && name == LAYER.as_bytes() && contents.is_none() {
                contents = Some(self.read_layer(&mut tar, member.size_bytes)?);
            } else {
                let name = shown(&String::from_utf8_lossy(name));
                return Err(self.wrong(Part::Structure, format!("`{name}` has no place in a layer file")));
            }
        }
        self.read_end(tar.into_input())?;
        let Some(json) = metadata else {
            return Err(self.wrong(Part::Structure, "metadata.json is missing".to_owned()));
        };
        let Some(contents) = contents else {
            return Err(self.wrong(Part::Structure, "layer.tar is missing".to_owned()));
        };
        self.conclude(&json, contents)
    }

    /// Behind the tar there is nothing; what is packed is unpacked to its end, where its check value stands.
    fn read_end(&mut self, mut stream: impl Read) -> Result<(), Ended> {
        let mut end = Vec::new();
        let read = stream.by_ref().take(MAX_END_BYTES + 1).read_to_end(&mut end);
        read.map_err(|error| self.broken(Part::Packing, error.into()))?;
        if end.len() as u64 > MAX_END_BYTES || end.iter().any(|byte| *byte != 0) {
            return Err(self.wrong(Part::Structure, "there is something behind its end".to_owned()));
        }
        Ok(())
    }

    fn wrong(&mut self, part: Part, what: String) -> Ended {
        self.findings.problem(part, what);
        Ended::Broken(Stop)
    }

    /// In a packed file that may well be the packing's fault.
    fn broken(&mut self, part: Part, error: HeaderError) -> Ended {
        let part = if self.file.packing == Packing::Plain { part } else { Part::Packing };
        match error {
            HeaderError::Wrong(what) => self.wrong(part, what.to_owned()),
            HeaderError::Read(error) => {
                self.wrong(part, format!("it can't be read: {}", shown(&error.to_string())))
            }
        }
    }

    /// Reads `layer.tar`, which `outer` has come to, and gives the file that the contents of its files are in.
    fn read_layer<R: Read>(&mut self, outer: &mut GnuTar<R>, layer_bytes: u64) -> Result<FileHandle, Ended> {
        if layer_bytes > self.most_bytes {
            let (path, most_bytes) = (self.file.path.clone(), self.most_bytes);
            return Err(LayerFileError::TooLarge { path, layer_bytes, most_bytes }.into());
        }
        // What is not packed need not be kept anywhere else.
        let scratch = if self.file.packing == Packing::Plain {
            None
        } else {
            let room_bytes = layer_bytes.saturating_add(RESERVED_BYTES);
            let scratch = ScratchFile::nameless(&self.file.scratch_folder, room_bytes);
            Some(scratch.map_err(LayerFileError::Scratch)?.handle())
        };
        let start_bytes = outer.position_bytes;
        let mut tar = GnuTar::new(outer);
        let (mut kept_bytes, mut apparent_bytes) = (0, 0);
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Some(member) = tar.next().map_err(|error| self.broken(Part::Layer, error))? {
            let Some(header) = header_of(&member) else {
                let name = shown(&String::from_utf8_lossy(&member.name));
                let what = format!("`{name}` is something that version {VERSION} does not have");
                return Err(self.wrong(Part::Layer, what));
            };
            apparent_bytes = header.size_bytes.saturating_add(apparent_bytes);
            if apparent_bytes > MAX_APPARENT_BYTES {
                return Err(self.wrong(Part::Layer, "its files are larger than 1 TiB together".to_owned()));
            }
            let offset_bytes = match &scratch {
                None => start_bytes + tar.position_bytes,
                Some(_) => kept_bytes,
            };
            self.kept.add(&header).map_err(|what| self.wrong(Part::Layer, what.to_owned()))?;
            self.entries.push(Indexing { header, offset_bytes });
            loop {
                let read = tar.read(&mut chunk);
                let read = read.map_err(|error| self.broken(Part::Layer, error.into()))?;
                if read == 0 {
                    break;
                }
                if let Some(scratch) = &scratch {
                    scratch.write_at(&chunk[..read], kept_bytes).map_err(LayerFileError::Scratch)?;
                    kept_bytes += read as u64;
                }
            }
        }
        Ok(scratch.unwrap_or_else(|| self.file.file.clone()))
    }

    /// Puts the entries in order, holds them to the rules and compares the checksum.
    fn conclude(&mut self, json: &[u8], contents: FileHandle) -> Result<(), Ended> {
        let metadata: Metadata = match serde_json::from_slice(json) {
            Ok(metadata) => metadata,
            Err(error) => {
                let what = format!("it can't be read: {}", shown(&error.to_string()));
                return Err(self.wrong(Part::Metadata, what));
            }
        };
        if metadata.version != VERSION || metadata.layer_tar.is_some() || metadata.tree.is_some() {
            let what =
                format!("it is not one of version {VERSION}, and the file is not as later ones have to be");
            return Err(self.wrong(Part::Metadata, what));
        }
        let completed = complete(std::mem::take(&mut self.entries));
        let entries = completed.map_err(|what| self.wrong(Part::Layer, what))?;
        let (mut rules, mut sum) = (Rules::default(), TreeSum::default());
        for Indexing { header, .. } in &entries {
            if let Err(what) = rules.check(header) {
                let name = shown(&String::from_utf8_lossy(&header.name));
                return Err(self.wrong(Part::Layer, format!("`{name}`: {what}")));
            }
            sum.add(header, &header.to_blocks());
        }
        let (stated, read_back) = checksums(&entries, &contents, self.watch)?;
        if stated != metadata.layer_checksum {
            let found = shown(&metadata.layer_checksum);
            self.findings.problem(
                Part::Layer,
                format!("its contents hash to {stated}, and metadata.json says {found}"),
            );
        }
        self.findings.metadata = Some(metadata);
        self.findings.lost = LOST.iter().map(ToString::to_string).collect();
        let indexed = Indexed { entries, contents, summed: sum.finish(MountedBy::Root), checksum: read_back };
        self.findings.layer = Some(Layer::Version1(Arc::new(indexed)));
        Ok(())
    }
}

/// An entry as it is in trees here; none for what version 1.0 does not write.
fn header_of(member: &Member) -> Option<Header> {
    let header = &member.header;
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Directory,
        _ => return None,
    };
    let mut name = &member.name[..];
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let name = match (name, kind) {
        (b"" | b".", Kind::Directory) => ROOT.to_vec(),
        (name, Kind::Directory) => [name, b"/"].concat(),
        (name, _) => name.to_vec(),
    };
    let size_bytes = if kind == Kind::File { member.size_bytes } else { 0 };
    let mode = header.mode().ok()? & 0o7777;
    Some(Header {
        uid: header.uid().ok()?.try_into().ok()?,
        gid: header.gid().ok()?.try_into().ok()?,
        modified: Time { seconds: header.mtime().ok()?.try_into().ok()?, nanoseconds: 0 },
        size_bytes,
        extents: member.extents.clone(),
        ..Header::new(name, kind, mode)
    })
}

/// The names on the way to an entry, and its own.
fn parts(entry: &Indexing) -> impl Iterator<Item = &[u8]> {
    checksummed_path(&entry.header.name).split(|byte| *byte == b'/')
}

/// In order, with the root and all folders that were not named.
fn complete(mut named: Vec<Indexing>) -> Result<Vec<Indexing>, String> {
    // Folder by folder, as a walk comes to them.
    named.sort_by(|one, other| parts(one).cmp(parts(other)));
    let mut all: Vec<Indexing> = Vec::with_capacity(named.len() + 1);
    let mut unnamed = 0;
    let mut add_folder = |all: &mut Vec<Indexing>, name: Vec<u8>| {
        unnamed += 1;
        all.push(Indexing { header: Header::new(name, Kind::Directory, FOLDER_MODE), offset_bytes: 0 });
        if unnamed > MAX_UNNAMED_FOLDERS { Err("too many of its folders are missing") } else { Ok(()) }
    };
    for entry in named {
        let path = checksummed_path(&entry.header.name);
        if all.is_empty() && !path.is_empty() {
            add_folder(&mut all, ROOT.to_vec())?;
        }
        let last = all.last().map(|last| checksummed_path(&last.header.name).to_vec());
        if last.as_deref() == Some(path) {
            let name = shown(&String::from_utf8_lossy(&entry.header.name));
            return Err(format!("`{name}` is there twice"));
        }
        // Whatever is in a folder stands together: its last entry, or the folder itself, is the last one there is.
        let last = last.unwrap_or_default();
        let is_there = |above: &[u8]| {
            last.strip_prefix(above).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if !is_there(&path[..at]) {
                add_folder(&mut all, path[..=at].to_vec())?;
            }
        }
        all.push(entry);
    }
    if all.is_empty() {
        add_folder(&mut all, ROOT.to_vec())?;
    }
    Ok(all)
}

/// The checksum as version 1.0 makes it (paths as text, holes as zeros), and as it is made of what is read back.
fn checksums(
    entries: &[Indexing],
    contents: &FileHandle,
    watch: Watch<'_>,
) -> Result<(String, String), LayerFileError> {
    let (mut stated, mut read_back) = (HashThread::new(), HashThread::new());
    let zeros = vec![0; CHUNK_BYTES];
    let mut chunk = vec![0; CHUNK_BYTES];
    let awaited = || if watch(0) { Ok(()) } else { Err(LayerFileError::Stopped) };
    for Indexing { header, offset_bytes } in entries {
        let path = checksummed_path(&header.name);
        stated.update(String::from_utf8_lossy(path).as_bytes());
        read_back.update(path);
        let whole = [Extent { start_bytes: 0, size_bytes: header.size_bytes }];
        let (mut done_bytes, mut position_bytes) = (0, *offset_bytes);
        let end = Extent { start_bytes: header.size_bytes, size_bytes: 0 };
        for extent in header.extents.as_deref().unwrap_or(&whole).iter().chain([&end]) {
            while done_bytes < extent.start_bytes {
                awaited()?;
                let wanted = (extent.start_bytes - done_bytes).min(CHUNK_BYTES as u64);
                stated.update(&zeros[..usize::try_from(wanted).unwrap_or(0)]);
                done_bytes += wanted;
            }
            while done_bytes < extent.end_bytes() {
                awaited()?;
                let wanted = (extent.end_bytes() - done_bytes).min(CHUNK_BYTES as u64);
                let chunk = &mut chunk[..usize::try_from(wanted).unwrap_or(0)];
                contents.read_exact_at(chunk, position_bytes)?;
                stated.update(chunk);
                read_back.update(chunk);
                done_bytes += wanted;
                position_bytes += wanted;
            }
        }
    }
    Ok((stated.finish().hex().to_owned(), read_back.finish().hex().to_owned()))
}
