//! A layer file that somebody gave is read to its end, and every byte of it compared with what it has to be.
//!
//! Threats: all of it is foreign, and may be damaged or made to do harm. What a header says is bounded before it is acted
//! on; what a packed file unpacks to is held to what it says of itself at its beginning, and that to the room there is.
//! Nothing is made but in memory (and for packed files of version 1.0 in a file without a name).

use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::LayerFileError;
use super::metadata::{Metadata, VERSION};
use super::outer::{self, END_BYTES, LAYER, MAX_METADATA_BYTES, METADATA, METADATA_DIGEST};
use super::problem::{Part, Problem};
use super::seal::Seal;
use super::stream::Tap;
use super::unpacked::{Layer, VerifiedLayerFile};
use super::version_1;
use crate::blob::{HashThread, Packing};
use crate::foreign::shown;
use crate::fsio::{FileHandle, Links};
use crate::overlay::{
    Entries, EntryError, HeaderError, RawReader, Summed, TreeSum, Watch, checksummed_path, read_header,
};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// A layer file that was opened; nothing of it is believed yet.
#[derive(Debug)]
pub struct LayerFile {
    pub(super) file: FileHandle,
    pub(super) path: PathBuf,
    size_bytes: u64,
    pub(super) packing: Packing,
    /// Where the contents of a packed file of version 1.0 are kept for a while.
    pub(super) scratch_folder: PathBuf,
}

/// What verification came to.
#[derive(Debug)]
pub enum Verdict {
    /// Every byte is as it has to be.
    Whole(Box<VerifiedLayerFile>),
    /// It is not to be used.
    Broken {
        /// What is wrong, at least one thing.
        problems: Vec<Problem>,
        /// What it says of itself, where that could be read; unverified.
        metadata: Option<Box<Metadata>>,
    },
}

/// What was found in a file, be it whole or not.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) metadata: Option<Metadata>,
    /// The layer, if all of it could be read.
    pub(super) layer: Option<Layer>,
    pub(super) lost: Vec<String>,
}

impl Findings {
    pub(super) fn problem(&mut self, part: Part, what: impl Into<String>) {
        self.problems.push(Problem { part, what: what.into() });
    }
}

/// There is no way on through the file; what is wrong was found.
pub(super) struct Stop;

impl LayerFile {
    /// Opens a file that somebody gave.
    pub fn open(path: &Path) -> Result<Self, LayerFileError> {
        let file = FileHandle::open_foreign(path, Links::Follow)?;
        let mut head = Vec::new();
        file.reader_of(0..8).read_to_end(&mut head).map_err(|error| file.cannot_read(error))?;
        let size_bytes = file.size_bytes()?;
        let (path, packing) = (path.to_owned(), Packing::of(&head));
        Ok(Self { file, path, size_bytes, packing, scratch_folder: std::env::temp_dir() })
    }

    /// Has what is needed for a while kept in this folder, not in the system's temporary one (`$TMPDIR`): the contents of a
    /// packed file of version 1.0, in a file without a name.
    #[must_use]
    pub fn with_scratch_in(self, folder: &Path) -> Self {
        Self { scratch_folder: folder.to_owned(), ..self }
    }

    /// How large the file is, which is what [`verify`](Self::verify) reads and tells `watch` of.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What it is packed with, by its first bytes.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Reads all of it, and compares. Blocks. An error is what keeps from reading (the disk, [`LayerFileError::Stopped`]);
    /// what is wrong with the file itself is a list of problems. `most_bytes` is what its layer may come to on a disk
    /// (the room there is), `u64::MAX` where nothing is to be unpacked.
    pub fn verify(self, most_bytes: u64, watch: Watch<'_>) -> Result<Verdict, LayerFileError> {
        let mut findings = Findings::default();
        if matches!(self.packing, Packing::Xz | Packing::Bzip2) {
            findings.problem(
                Part::Packing,
                format!("it is packed with {}, not with gzip or zstd", self.packing.name()),
            );
            return Ok(self.verdict(findings));
        }
        let (tap, mut stream) = self.stream(self.seal().is_some(), watch)?;
        match self.verify_stream(&mut stream, most_bytes, &mut findings) {
            Err(error) => return Err(tap.failure().unwrap_or(error)),
            Ok(Kind::Other) => {
                drop(stream);
                version_1::verify(&self, most_bytes, watch, &mut findings)?;
                return Ok(self.verdict(findings));
            }
            Ok(Kind::This) => {}
        }
        if let Some(failure) = tap.failure() {
            return Err(failure);
        }
        drop(stream);
        self.check_seal(&tap, watch, &mut findings)?;
        Ok(self.verdict(findings))
    }

    /// What comes out of all but the seal; hashed where somebody wants to compare that.
    pub(super) fn stream<'a>(
        &self,
        is_hashed: bool,
        watch: Watch<'a>,
    ) -> Result<(Tap, Box<dyn Read + Send + 'a>), LayerFileError> {
        let opened = Tap::open(&self.file, self.packing, self.packed_bytes(), is_hashed, watch);
        opened.map_err(|error| self.file.cannot_read(error).into())
    }

    fn seal(&self) -> Option<Seal> {
        Seal::of(self.packing)
    }

    /// How much of the file is no seal.
    fn packed_bytes(&self) -> u64 {
        self.size_bytes - self.found_seal().map_or(0, |seal| seal.len() as u64)
    }

    /// The seal that stands at the end, if one does.
    fn found_seal(&self) -> Option<Vec<u8>> {
        let seal = self.seal()?;
        let start_bytes = self.size_bytes.checked_sub(seal.size_bytes())?;
        let mut found = Vec::new();
        self.file.reader_of(start_bytes..self.size_bytes).read_to_end(&mut found).ok()?;
        seal.is_one(&found).then_some(found)
    }

    /// Compares the seal with all bytes before it, those too that nobody has read so far.
    fn check_seal(&self, tap: &Tap, watch: Watch<'_>, findings: &mut Findings) -> Result<(), LayerFileError> {
        let (Some(seal), Some(mut hash)) = (self.seal(), tap.hash()) else { return Ok(()) };
        let Some(found) = self.found_seal() else {
            findings.problem(Part::Packing, "the file does not end in a seal: it was cut, or added to");
            return Ok(());
        };
        if !findings.problems.is_empty() {
            // Not all of it was read.
            hash = HashThread::new();
            let mut rest = self.file.reader_of(0..self.packed_bytes());
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                let read = rest.read(&mut chunk).map_err(|error| self.file.cannot_read(error))?;
                if read == 0 {
                    break;
                }
                hash.update(&chunk[..read]);
                if !watch(0) {
                    return Err(LayerFileError::Stopped);
                }
            }
        }
        if found != seal.to_bytes(&hash.finish()) {
            findings.problem(Part::Packing, "its bytes are not those that its seal was made of");
        }
        Ok(())
    }

    fn verdict(self, findings: Findings) -> Verdict {
        let Findings { problems, metadata, layer, lost } = findings;
        match (problems.is_empty(), metadata, layer) {
            (true, Some(metadata), Some(layer)) => {
                Verdict::Whole(Box::new(VerifiedLayerFile { file: self, metadata, layer, lost }))
            }
            (_, metadata, _) => Verdict::Broken { problems, metadata: metadata.map(Box::new) },
        }
    }

    fn verify_stream(
        &self,
        stream: &mut (dyn Read + Send),
        most_bytes: u64,
        findings: &mut Findings,
    ) -> Result<Kind, LayerFileError> {
        let layer_bytes = match read_header(&mut &mut *stream) {
            Ok(Some((header, blocks))) if blocks == outer::header(LAYER, header.size_bytes) => {
                header.size_bytes
            }
            // The disk's fault, or the packing's, is found again.
            _ => return Ok(Kind::Other),
        };
        if layer_bytes > most_bytes {
            return Err(LayerFileError::TooLarge { path: self.path.clone(), layer_bytes, most_bytes });
        }
        let read = self.read_all(stream, layer_bytes, findings);
        debug_assert!(read.is_ok() || !findings.problems.is_empty());
        Ok(Kind::This)
    }

    fn read_all(
        &self,
        stream: &mut (dyn Read + Send),
        layer_bytes: u64,
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        let (layer, sha256, checksum) = self.read_layer(stream, layer_bytes, findings)?;
        read_padding(stream, layer_bytes, LAYER, findings)?;
        let json = read_entry(stream, METADATA, Part::Metadata, findings)?;
        let line = read_entry(stream, METADATA_DIGEST, Part::MetadataDigest, findings)?;
        read_end(stream, findings)?;
        if line != outer::digest_line(&json) {
            let is_line = line.len() == outer::digest_line(b"").len() && line.ends_with(b"  metadata.json\n");
            let part = if is_line { Part::Metadata } else { Part::MetadataDigest };
            findings.problem(part, "metadata.json and metadata.json.sha256 do not belong together");
        }
        let metadata: Metadata = match serde_json::from_slice(&json) {
            Ok(metadata) => metadata,
            Err(error) => {
                findings.problem(Part::Metadata, format!("it can't be read: {}", shown(&error.to_string())));
                return Err(Stop);
            }
        };
        let layer = layer.map(|sum| sum.finish(metadata.docker_info.mounted_by()));
        self.compare(&metadata, layer.as_ref(), layer_bytes, (sha256.finish(), checksum), findings);
        findings.metadata = Some(metadata);
        findings.layer = layer.map(|summed| Layer::Raw { summed: Box::new(summed), layer_bytes });
        Ok(())
    }

    /// Reads `layer.tar`; what it has in it is none where that could not be read.
    fn read_layer(
        &self,
        stream: &mut (dyn Read + Send),
        layer_bytes: u64,
        findings: &mut Findings,
    ) -> Result<(Option<TreeSum>, HashThread, HashThread), Stop> {
        let mut contents = HashThread::new();
        let mut layer = Hashed { stream: stream.take(layer_bytes), hash: HashThread::new() };
        let mut reader = RawReader::new(&mut layer);
        let summed = match read_entries(&mut reader, &mut contents) {
            Ok(()) => Some(std::mem::take(&mut reader.sum)),
            Err(EntryError::Wrong(what)) => {
                findings.problem(Part::Layer, what);
                None
            }
            Err(EntryError::Read(error)) => {
                findings
                    .problem(Part::Packing, format!("it can't be unpacked: {}", shown(&error.to_string())));
                return Err(Stop);
            }
        };
        if summed.is_none() {
            if self.packing != Packing::Plain {
                // Whoever packs nonsense may have packed very much of it.
                return Err(Stop);
            }
            let mut chunk = vec![0; CHUNK_BYTES];
            while layer.read(&mut chunk).map_err(|_| Stop)? > 0 {}
        }
        let left_bytes = layer.stream.limit();
        if left_bytes > 0 {
            if summed.is_some() {
                findings.problem(Part::Layer, "it ends before its entry does");
            }
            return Err(Stop);
        }
        Ok((summed, layer.hash, contents))
    }

    /// Compares what the file says of itself with what was read.
    fn compare(
        &self,
        metadata: &Metadata,
        layer: Option<&Summed>,
        layer_bytes: u64,
        (sha256, checksum): (crate::image::Digest, HashThread),
        findings: &mut Findings,
    ) {
        if metadata.version != VERSION {
            let version = shown(&metadata.version);
            findings.problem(
                Part::Metadata,
                format!("version {version} is not known here, {VERSION} and 1.0 are"),
            );
        }
        if metadata.compressed != self.seal().is_some() {
            findings.problem(Part::Metadata, "it says of the packing what is not so");
        }
        let Some((layer_tar, tree)) = metadata.layer_tar.as_ref().zip(metadata.tree.as_ref()) else {
            findings.problem(Part::Metadata, "it does not say what the layer hashes to");
            return;
        };
        if layer_tar.size_bytes != layer_bytes {
            findings.problem(Part::Metadata, "it gives the layer another size");
        }
        if layer_tar.sha256 != sha256 {
            let stated = &layer_tar.sha256;
            findings.problem(Part::Layer, format!("it hashes to {sha256}, and metadata.json says {stated}"));
        }
        let Some(summed) = layer else { return };
        let checksum = checksum.finish();
        if metadata.layer_checksum != checksum.hex() {
            let stated = shown(&metadata.layer_checksum);
            let what = format!("its contents hash to {}, and metadata.json says {stated}", checksum.hex());
            findings.problem(Part::Layer, what);
        }
        if let Some(name) = &summed.first_handle {
            let name = shown(&String::from_utf8_lossy(name));
            let what = format!("`{name}`: it has an attribute that means something on another disk only");
            findings.problem(Part::Layer, what);
        }
        if *tree != summed.tree {
            findings.problem(Part::Layer, "its entries are not those that metadata.json tells of");
        }
    }
}

/// What a file is, by its beginning.
enum Kind {
    /// One of this version.
    This,
    /// Something else: of version 1.0, or nothing known.
    Other,
}

/// Reads all entries to the end, with their contents.
pub(super) fn read_entries(entries: &mut dyn Entries, contents: &mut HashThread) -> Result<(), EntryError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Some(header) = entries.next()? {
        contents.update(checksummed_path(&header.name));
        loop {
            let read = entries.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            contents.update(&chunk[..read]);
        }
    }
    Ok(())
}

fn read_entry(
    stream: &mut (dyn Read + Send),
    name: &str,
    part: Part,
    findings: &mut Findings,
) -> Result<Vec<u8>, Stop> {
    let size_bytes = match read_header(&mut &mut *stream) {
        Ok(Some((header, blocks))) if blocks == outer::header(name, header.size_bytes) => header.size_bytes,
        Err(HeaderError::Read(error)) => {
            findings.problem(Part::Packing, format!("it can't be unpacked: {}", shown(&error.to_string())));
            return Err(Stop);
        }
        _ => {
            findings
                .problem(Part::Structure, format!("where the header of {name} has to be is something else"));
            return Err(Stop);
        }
    };
    if size_bytes > MAX_METADATA_BYTES {
        findings.problem(part, "it is too large");
        return Err(Stop);
    }
    let mut content = Vec::new();
    let read = stream.take(size_bytes).read_to_end(&mut content);
    if read.is_err() || content.len() as u64 != size_bytes {
        findings.problem(part, "it ends too early");
        return Err(Stop);
    }
    read_padding(stream, size_bytes, name, findings)?;
    Ok(content)
}

fn read_padding(
    stream: &mut (dyn Read + Send),
    size_bytes: u64,
    name: &str,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let mut padding = vec![0; outer::padding_bytes(size_bytes)];
    if stream.read_exact(&mut padding).is_err() {
        findings.problem(Part::Structure, format!("it ends after {name}"));
        return Err(Stop);
    }
    if padding.iter().any(|byte| *byte != 0) {
        findings.problem(Part::Structure, format!("what stands behind {name} is not zero"));
    }
    Ok(())
}

fn read_end(stream: &mut (dyn Read + Send), findings: &mut Findings) -> Result<(), Stop> {
    let mut end = Vec::new();
    let read = stream.take(END_BYTES as u64 + 1).read_to_end(&mut end);
    if read.is_err() || end != [0; END_BYTES] {
        findings
            .problem(Part::Structure, "it does not end as it has to: in 1,024 zero bytes, and nothing more");
        return Err(Stop);
    }
    Ok(())
}

/// What comes out of a stream, hashed.
struct Hashed<R> {
    stream: R,
    hash: HashThread,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
