//! Files of layer-tool, version 1.0: `metadata.json` and `layer.tar` in a tar, with gzip or without.
//!
//! What vouches for them is one checksum over paths and contents, so only those are known to be right. Owners, modes and times
//! stand in the tar and are taken from there. What such a file lost when it was made is told.
//!
//! Threats: as in [`super::verify`]; a tar may say more than one thing in more than one way, so it is turned into entries of
//! our own, which are held to the rules of all trees. Contents are kept in a file without a name, as large as the layer at
//! most: what a sparse entry claims to be is never written.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use tar::{Archive, EntryType};

use super::error::LayerFileError;
use super::metadata::Metadata;
use super::outer::{LAYER, MAX_METADATA_BYTES, METADATA};
use super::problem::Part;
use super::unpacked::Layer;
use super::verify::{Findings, LayerFile, Stop};
use crate::blob::{HashThread, Packing};
use crate::foreign::shown;
use crate::fsio::{FileError, FileHandle, ScratchFile};
use crate::overlay::{
    Entries, EntryError, Extent, Header, Kind, ROOT, Rules, Summed, Time, TreeSum, Watch, checksummed_path,
};

/// The version these files have.
const VERSION: &str = "1.0";
/// What is looked at for zeros at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// A folder whose entry is not there is root's.
const FOLDER_MODE: u32 = 0o755;
/// Zeros that tars end in, of a record of the largest size that is in use.
const MAX_END_BYTES: u64 = 1 << 20;
/// What files come to together, holes included: they are hashed, as zeros.
const MAX_APPARENT_BYTES: u64 = 1 << 40;
/// Entries are kept in memory.
const MAX_ENTRIES: usize = 1 << 22;

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
    let (tap, stream) = file.stream(watch)?;
    let mut reading = Reading { file, most_bytes, findings, entries: Vec::new(), scratch: None };
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
    findings: &'a mut Findings,
    entries: Vec<Indexing>,
    scratch: Option<(ScratchFile, u64)>,
}

impl Reading<'_> {
    fn read_all(&mut self, mut stream: impl Read) -> Result<(), Ended> {
        let mut metadata = None;
        let mut has_layer = false;
        let mut archive = Archive::new(&mut stream);
        for entry in archive.entries().map_err(|error| self.not_a_layer_file(&error))? {
            let mut entry = entry.map_err(|error| self.not_a_layer_file(&error))?;
            let name = entry.path_bytes().into_owned();
            match name.strip_prefix(b"./").unwrap_or(&name) {
                name if name == METADATA.as_bytes() && metadata.is_none() => {
                    if entry.size() > MAX_METADATA_BYTES {
                        return Err(self.wrong(Part::Metadata, "it is too large".to_owned()));
                    }
                    let mut json = Vec::new();
                    let read = entry.read_to_end(&mut json);
                    read.map_err(|error| self.broken(Part::Metadata, &error))?;
                    metadata = Some(json);
                }
                name if name == LAYER.as_bytes() && !has_layer => {
                    has_layer = true;
                    let layer_bytes = entry.size();
                    if layer_bytes > self.most_bytes {
                        let (path, most_bytes) = (self.file.path.clone(), self.most_bytes);
                        return Err(LayerFileError::TooLarge { path, layer_bytes, most_bytes }.into());
                    }
                    self.scratch = Some((ScratchFile::temporary(layer_bytes)?, layer_bytes));
                    self.read_layer(&mut entry)?;
                }
                name => {
                    let name = shown(&String::from_utf8_lossy(name));
                    return Err(self.wrong(Part::Structure, format!("`{name}` has no place in a layer file")));
                }
            }
        }
        self.read_end(stream)?;
        let Some(json) = metadata else {
            return Err(self.wrong(Part::Structure, "metadata.json is missing".to_owned()));
        };
        if !has_layer {
            return Err(self.wrong(Part::Structure, "layer.tar is missing".to_owned()));
        }
        self.conclude(&json)
    }

    /// Behind the tar there is nothing; what is packed is unpacked to its end, where its check value stands.
    fn read_end(&mut self, mut stream: impl Read) -> Result<(), Ended> {
        let mut end = Vec::new();
        let read = stream.by_ref().take(MAX_END_BYTES + 1).read_to_end(&mut end);
        read.map_err(|error| self.broken(Part::Packing, &error))?;
        if end.len() as u64 > MAX_END_BYTES || end.iter().any(|byte| *byte != 0) {
            return Err(self.wrong(Part::Structure, "there is something behind its end".to_owned()));
        }
        Ok(())
    }

    fn wrong(&mut self, part: Part, what: String) -> Ended {
        self.findings.problem(part, what);
        Ended::Broken(Stop)
    }

    fn broken(&mut self, part: Part, error: &io::Error) -> Ended {
        let part = if self.file.packing == Packing::Plain { part } else { Part::Packing };
        self.wrong(part, format!("it can't be read: {}", shown(&error.to_string())))
    }

    fn not_a_layer_file(&mut self, error: &io::Error) -> Ended {
        self.broken(Part::Structure, error)
    }

    fn read_layer(&mut self, layer: &mut impl Read) -> Result<(), Ended> {
        let mut archive = Archive::new(&mut *layer);
        let (mut position_bytes, mut apparent_bytes) = (0, 0);
        for entry in archive.entries().map_err(|error| self.broken(Part::Layer, &error))? {
            let mut entry = entry.map_err(|error| self.broken(Part::Layer, &error))?;
            let name = entry.path_bytes().into_owned();
            let Some(mut header) = header_of(&name, entry.header()) else {
                let name = shown(&String::from_utf8_lossy(&name));
                let what = format!("`{name}` is something that version {VERSION} does not have");
                return Err(self.wrong(Part::Layer, what));
            };
            let offset_bytes = position_bytes;
            if header.kind == Kind::File {
                header.size_bytes = entry.size();
                apparent_bytes = header.size_bytes.saturating_add(apparent_bytes);
                if apparent_bytes > MAX_APPARENT_BYTES {
                    return Err(
                        self.wrong(Part::Layer, "its files are larger than 1 TiB together".to_owned())
                    );
                }
                let is_sparse = entry.header().entry_type() == EntryType::GNUSparse;
                position_bytes = self.keep_content(&mut entry, &mut header, is_sparse, position_bytes)?;
            }
            self.entries.push(Indexing { header, offset_bytes });
            if self.entries.len() > MAX_ENTRIES {
                return Err(self.wrong(Part::Layer, "it has too many entries".to_owned()));
            }
        }
        Ok(())
    }

    /// Writes a file's data to the contents, and says where the next one's goes.
    fn keep_content(
        &mut self,
        content: &mut impl Read,
        header: &mut Header,
        is_sparse: bool,
        mut position_bytes: u64,
    ) -> Result<u64, Ended> {
        let Some((scratch, most_bytes)) = self.scratch.as_ref().map(|(file, most)| (file.handle(), *most))
        else {
            return Ok(position_bytes);
        };
        let mut extents: Vec<Extent> = Vec::new();
        let mut done_bytes = 0;
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            let read = content.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
            read.map_err(|error| self.broken(Part::Layer, &error))?;
            if chunk.is_empty() {
                break;
            }
            let size_bytes = chunk.len() as u64;
            if !is_sparse || chunk.iter().any(|byte| *byte != 0) {
                if position_bytes + size_bytes > most_bytes {
                    return Err(
                        self.wrong(Part::Layer, "its files have more in them than it is long".to_owned())
                    );
                }
                scratch.write_at(&chunk, position_bytes)?;
                position_bytes += size_bytes;
                match extents.last_mut() {
                    Some(last) if last.end_bytes() == done_bytes => last.size_bytes += size_bytes,
                    _ => extents.push(Extent { start_bytes: done_bytes, size_bytes }),
                }
            }
            done_bytes += size_bytes;
        }
        if done_bytes != header.size_bytes {
            return Err(self.wrong(Part::Layer, "a file in it ends too early".to_owned()));
        }
        let has_holes = extents.iter().map(|extent| extent.size_bytes).sum::<u64>() < done_bytes;
        header.extents = has_holes.then_some(extents);
        Ok(position_bytes)
    }

    /// Puts the entries in order, holds them to the rules and compares the checksum.
    fn conclude(&mut self, json: &[u8]) -> Result<(), Ended> {
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
        let Some((scratch, _)) = &self.scratch else { return Ok(()) };
        let contents = scratch.handle();
        let named = complete(std::mem::take(&mut self.entries));
        let entries = match named {
            Ok(entries) => entries,
            Err(what) => return Err(self.wrong(Part::Layer, what)),
        };
        let (mut rules, mut sum) = (Rules::default(), TreeSum::default());
        for Indexing { header, .. } in &entries {
            if let Err(what) = rules.check(header) {
                let name = shown(&String::from_utf8_lossy(&header.name));
                return Err(self.wrong(Part::Layer, format!("`{name}`: {what}")));
            }
            sum.add(header, &header.to_blocks());
        }
        let (stated, read_back) = checksums(&entries, &contents)?;
        if stated != metadata.layer_checksum {
            let found = shown(&metadata.layer_checksum);
            self.findings.problem(
                Part::Layer,
                format!("its contents hash to {stated}, and metadata.json says {found}"),
            );
        }
        self.findings.metadata = Some(metadata);
        self.findings.lost = LOST.iter().map(ToString::to_string).collect();
        let indexed = Indexed { entries, contents, summed: sum.finish(), checksum: read_back };
        self.findings.layer = Some(Layer::Version1(Arc::new(indexed)));
        Ok(())
    }
}

/// An entry as it is in trees here; none for what version 1.0 does not write.
fn header_of(name: &[u8], header: &tar::Header) -> Option<Header> {
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Directory,
        _ => return None,
    };
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let name = match (name, kind) {
        (b"" | b".", Kind::Directory) => ROOT.to_vec(),
        (name, Kind::Directory) => [name, b"/"].concat(),
        (name, _) => name.to_vec(),
    };
    Some(Header {
        mode: header.mode().ok()? & 0o7777,
        uid: header.uid().ok()?.try_into().ok()?,
        gid: header.gid().ok()?.try_into().ok()?,
        modified: Time { seconds: header.mtime().ok()?.try_into().ok()?, nanoseconds: 0 },
        ..folder(name, kind)
    })
}

/// Something that nothing more is known of.
fn folder(name: Vec<u8>, kind: Kind) -> Header {
    Header {
        name,
        kind,
        mode: FOLDER_MODE,
        uid: 0,
        gid: 0,
        size_bytes: 0,
        modified: Time::default(),
        target: Vec::new(),
        device: (0, 0),
        attributes: BTreeMap::new(),
        extents: None,
    }
}

/// In order, with the root and all folders that were not named.
fn complete(entries: Vec<Indexing>) -> Result<Vec<Indexing>, String> {
    // Folder by folder, as a walk comes to them.
    let key = |name: &[u8]| -> Vec<Vec<u8>> {
        let path = checksummed_path(name);
        if path.is_empty() {
            Vec::new()
        } else {
            path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
        }
    };
    let mut all: BTreeMap<Vec<Vec<u8>>, Indexing> = BTreeMap::new();
    for entry in entries {
        let name = entry.header.name.clone();
        if all.insert(key(&name), entry).is_some() {
            return Err(format!("`{}` is there twice", shown(&String::from_utf8_lossy(&name))));
        }
    }
    let paths: Vec<Vec<Vec<u8>>> = all.keys().cloned().collect();
    for path in paths {
        for depth in 1..path.len() {
            let above = &path[..depth];
            if !all.contains_key(above) {
                let name = [&above.join(&b'/')[..], b"/"].concat();
                all.insert(
                    above.to_vec(),
                    Indexing { header: folder(name, Kind::Directory), offset_bytes: 0 },
                );
            }
        }
    }
    let root = || Indexing { header: folder(ROOT.to_vec(), Kind::Directory), offset_bytes: 0 };
    all.entry(Vec::new()).or_insert_with(root);
    Ok(all.into_values().collect())
}

/// The checksum as version 1.0 makes it (paths as text, holes as zeros), and as it is made of what is read back.
fn checksums(entries: &[Indexing], contents: &FileHandle) -> Result<(String, String), FileError> {
    let (mut stated, mut read_back) = (HashThread::new(), HashThread::new());
    let zeros = vec![0; CHUNK_BYTES];
    let mut chunk = vec![0; CHUNK_BYTES];
    for Indexing { header, offset_bytes } in entries {
        let path = checksummed_path(&header.name);
        stated.update(String::from_utf8_lossy(path).as_bytes());
        read_back.update(path);
        let whole = [Extent { start_bytes: 0, size_bytes: header.size_bytes }];
        let (mut done_bytes, mut position_bytes) = (0, *offset_bytes);
        let end = Extent { start_bytes: header.size_bytes, size_bytes: 0 };
        for extent in header.extents.as_deref().unwrap_or(&whole).iter().chain([&end]) {
            while done_bytes < extent.start_bytes {
                let wanted = (extent.start_bytes - done_bytes).min(CHUNK_BYTES as u64);
                stated.update(&zeros[..usize::try_from(wanted).unwrap_or(0)]);
                done_bytes += wanted;
            }
            while done_bytes < extent.end_bytes() {
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
