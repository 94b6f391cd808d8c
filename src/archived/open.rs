//! An archive, opened: its entries indexed, its images read.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use super::error::OpenError;
use super::image::{ArchivedImage, ImageName};
use super::medium::{self, Content, Medium};
use super::outer_folder::outer_folder;
use super::problem::{Problem, Problems};
use super::reading::{MAX_LIST_BYTES, Reading};
use super::{docker, index, legacy};
use crate::archive::entry::{BLOCK_BYTES, file_header};
use crate::archive::names::{Names, Oddity, Place};
use crate::archive::reader::{Member, MemberKind, Members, ReadError};
use crate::blob::{Bounds, Limits, Measured, Packing, Unpacked, measure};
use crate::fsio::{FileError, FileHandle, HandleReader, Links, ScratchFile, of_each};
use crate::image::{Algorithm, Digest};

/// What is kept of a stream's documents, all together.
const MAX_KEPT_BYTES: u64 = 128 << 20;
/// Contents up to this size are kept whatever they begin with.
const SMALL_BYTES: u64 = 512;
/// What is read of a tar at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// Is told how many bytes more were read of an archive's contents.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// What its contents turned out to be, by their places.
pub type Contents = BTreeMap<Place, io::Result<Measured>>;

/// An archive of images, opened.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    packing: Packing,
    medium: Medium,
    names: Names,
    images: Vec<ArchivedImage>,
    problems: Problems,
    kept: BTreeMap<Place, Bytes>,
    /// Of what was read to its end when it was opened.
    measured: Contents,
    algorithms: Vec<Algorithm>,
}

/// How contents are measured.
#[derive(Clone, Copy)]
pub struct Measuring<'a> {
    /// How far a layer may inflate.
    pub limits: Limits,
    /// Is told how far it is.
    pub progress: Progress<'a>,
}

impl Archive {
    /// Opens the file or folder at `path`; `-` is standard input. Of a plain file a few reads are enough, one that is
    /// packed is read to its end. Blocks.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_and(path, None)
    }

    /// The same, for who wants its contents measured too: what is packed or comes through a pipe is read once for both.
    pub fn open_measured(path: &Path, measuring: Measuring<'_>) -> Result<Self, OpenError> {
        Self::open_and(path, Some(measuring))
    }

    /// Opens it so that each content can be read by itself, and again: what is packed or comes through a pipe is put into a
    /// file without a name in the system's temporary folder.
    pub fn open_readable(path: &Path) -> Result<Self, OpenError> {
        if path != Path::new("-") {
            let archive = Self::open(path)?;
            return Ok(archive.into_plain()?.0);
        }
        let (_, mut tar) = unpacking(path, io::stdin())?;
        Self::of_file(path, spooled(path, &mut tar)?)
    }

    /// An archive that comes through a pipe; `path` is what it is called. Blocks.
    pub fn read(
        path: &Path,
        pipe: impl Read + Send,
        measuring: Option<Measuring<'_>>,
    ) -> Result<Self, OpenError> {
        let (packing, tar) = unpacking(path, pipe)?;
        Self::of_stream(path, Medium::Pipe, packing, tar, measuring)
    }

    fn open_and(path: &Path, measuring: Option<Measuring<'_>>) -> Result<Self, OpenError> {
        if path == Path::new("-") {
            return Self::read(path, io::stdin(), measuring);
        }
        if path.is_dir() {
            let (medium, names) = medium::folder(path)?;
            return Ok(Self::of(path, Packing::Plain, medium, names, Problems::default(), BTreeMap::new()));
        }
        Self::of_opened(path, FileHandle::open_foreign(path, Links::Follow)?, measuring)
    }

    /// A file that is open already; `path` is what it is called. Blocks.
    pub fn of_foreign(path: &Path, file: File) -> Result<Self, OpenError> {
        Self::of_opened(path, FileHandle::of_foreign(file, path), None)
    }

    fn of_opened(path: &Path, file: FileHandle, measuring: Option<Measuring<'_>>) -> Result<Self, OpenError> {
        let mut head = [0; 8];
        let read = file.read_at(&mut head, 0).map_err(|source| file.cannot_read(source))?;
        match Packing::of(&head[..read]) {
            Packing::Plain => Self::of_file(path, file),
            packing @ Packing::Bzip2 => {
                Err(OpenError::Packing { path: path.to_owned(), packing: packing.name() })
            }
            packing => {
                let tar = medium::unpacked(&file, packing)?;
                Self::of_stream(path, Medium::Packed { file, packing }, packing, tar, measuring)
            }
        }
    }

    fn of_file(path: &Path, file: FileHandle) -> Result<Self, OpenError> {
        let not_an_archive = |source| OpenError::NotAnArchive { path: path.to_owned(), source };
        let reader = BufReader::with_capacity(BUFFER_BYTES, file.reader());
        let mut members = Members::new(reader).map_err(not_an_archive)?;
        let (mut names, mut problems) = (Names::default(), Problems::default());
        for member in &mut members {
            match member {
                Ok(member) => names.add(&member),
                Err(source @ ReadError::NotATar) => return Err(not_an_archive(source)),
                Err(error) => problems.push(Problem::Tar(error)),
            }
        }
        if problems.is_empty() && !members.has_end() {
            problems.push(Problem::NoEnd { at_bytes: members.position_bytes() });
        }
        Ok(Self::of(path, Packing::Plain, Medium::File(file), names, problems, BTreeMap::new()))
    }

    fn of_stream(
        path: &Path,
        medium: Medium,
        packing: Packing,
        tar: Unpacked<'_>,
        measuring: Option<Measuring<'_>>,
    ) -> Result<Self, OpenError> {
        let measuring = measuring.map(|Measuring { limits, progress }| {
            (Bounds::new(limits, tar.taken_bytes()), progress) // of the file or pipe, packed or not
        });
        let mut members = Members::streaming(tar);
        let (mut names, mut problems) = (Names::default(), Problems::default());
        let (mut kept, mut measured) = (Kept::default(), Contents::new());
        // An entry is there when the tar goes on behind it.
        let mut last: Option<Member> = None;
        loop {
            let next = members.next();
            match (&next, last.take()) {
                (Some(Err(error)), Some(cut)) if error.is_within(&cut) => {
                    let place = Place { offset_bytes: cut.offset_bytes, size_bytes: cut.size_bytes };
                    kept.documents.remove(&place);
                    measured.remove(&place);
                }
                (_, Some(whole)) => names.add(&whole),
                (_, None) => {}
            }
            let member = match next {
                Some(Ok(member)) => member,
                Some(Err(source @ ReadError::NotATar)) => {
                    return Err(OpenError::NotAnArchive { path: path.to_owned(), source });
                }
                Some(Err(error)) => {
                    problems.push(Problem::Tar(error));
                    break;
                }
                None => break,
            };
            if member.kind == MemberKind::File {
                let place = Place { offset_bytes: member.offset_bytes, size_bytes: member.size_bytes };
                if kept.wants(place) {
                    // What is cut short shows when the next header is looked for.
                    let _ = kept.take(place, &mut members);
                }
                if let Some((bounds, progress)) = &measuring {
                    let head = io::Cursor::new(kept.started(place));
                    let content = head.chain(Rest(&mut members));
                    let found = measure(content, place.size_bytes, bounds, &ALGORITHMS, *progress);
                    measured.insert(place, found);
                }
            }
            last = Some(member);
        }
        if problems.is_empty() && !members.has_end() {
            problems.push(Problem::NoEnd { at_bytes: members.position_bytes() });
        }
        if measuring.is_some() && problems.is_empty() {
            // Whoever writes into the pipe wants to come to its end, and what packs the tar has its checksum there.
            problems.extend(members.read_to_end().err().map(Problem::Tar));
        }
        let mut archive = Self::of(path, packing, medium, names, problems, kept.documents);
        archive.measured = measured;
        Ok(archive)
    }

    fn of(
        path: &Path,
        packing: Packing,
        medium: Medium,
        mut names: Names,
        mut problems: Problems,
        kept: BTreeMap<Place, Bytes>,
    ) -> Self {
        if let Some(folder) = outer_folder(&names) {
            names = names.within(&folder);
            problems.push(Problem::InFolder { folder });
        }
        let fetch = |place| match kept.get(&place) {
            Some(bytes) => Ok(Some(bytes.clone())),
            None => whole(&medium, place),
        };
        let mut reading = Reading::new(&names, &fetch);
        let images = images(&mut reading);
        problems.extend(reading.problems);
        problems.extend(names.oddities().iter().cloned().map(Problem::from));
        problems.extend(names.below_links().map(|path| Problem::BelowLink { path: path.to_owned() }));
        let slashed = names.paths().find(|path| path.contains('\\'));
        problems.extend(slashed.map(|path| Problem::Backslash { path: path.to_owned() }));
        let has_sha512 = names.paths().any(|path| path.starts_with("blobs/sha512/"))
            || images.iter().flat_map(|image| &image.layers).any(|layer| {
                layer.diff_id.as_ref().is_some_and(|id| id.digest().algorithm() == Algorithm::Sha512)
            });
        let algorithms = if has_sha512 { ALGORITHMS.to_vec() } else { vec![Algorithm::Sha256] };
        let (path, measured) = (path.to_owned(), Contents::new());
        Self { path, packing, medium, names, images, problems, kept, measured, algorithms }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is packed with as a whole.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// True for a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self.medium, Medium::Folder(_))
    }

    /// Its entries' names.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The images in it, in the order of its documents.
    pub fn images(&self) -> &[ArchivedImage] {
        &self.images
    }

    /// What was found wrong by its entries and documents alone.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same, for who tells of them with others.
    pub fn take_problems(&mut self) -> Problems {
        std::mem::take(&mut self.problems)
    }

    /// A small content, whole; none where it can't be read again.
    pub fn document(&self, place: Place) -> io::Result<Option<Bytes>> {
        match self.kept.get(&place) {
            Some(bytes) => Ok(Some(bytes.clone())),
            None if place.size_bytes > MAX_LIST_BYTES => Ok(None),
            None => whole(&self.medium, place),
        }
    }

    /// How long the file is; none where it can't be read at any place.
    pub fn size_bytes(&self) -> Option<u64> {
        let Medium::File(file) = &self.medium else { return None };
        file.reader().seek(SeekFrom::End(0)).ok()
    }

    /// True if these bytes stand at this place of the file; none where it can't be read at any place.
    pub fn has(&self, offset_bytes: u64, expected: &[u8]) -> Option<bool> {
        let Medium::File(file) = &self.medium else { return None };
        let mut found = vec![0; expected.len()];
        Some(file.read_exact_at(&mut found, offset_bytes).is_ok() && found == expected)
    }

    /// The same archive, where each content can be read by itself; false of standard input, which went by. Blocks.
    pub fn into_plain(self) -> Result<(Self, bool), OpenError> {
        match self.medium {
            Medium::File(_) | Medium::Folder(_) => Ok((self, true)),
            Medium::Pipe => Ok((self, false)),
            Medium::Packed { file, packing } => {
                let mut tar = medium::unpacked(&file, packing)?;
                Ok((Self::of_file(&self.path, spooled(&self.path, &mut tar)?)?, true))
            }
        }
    }

    /// All of it as a plain tar, from its first byte on, and its size; none of what can't be read again. Of a folder one is
    /// made. Blocks.
    pub fn tar(&self) -> Result<Option<(HandleReader, u64)>, OpenError> {
        let file = match &self.medium {
            Medium::File(file) => file.clone(),
            Medium::Folder(_) => self.tar_of_folder()?,
            Medium::Packed { .. } | Medium::Pipe => return Ok(None),
        };
        let mut reader = file.reader();
        let size_bytes = reader.seek(SeekFrom::End(0)).and_then(|end| reader.rewind().map(|()| end));
        Ok(Some((reader, size_bytes.map_err(|source| file.cannot_read(source))?)))
    }

    fn tar_of_folder(&self) -> Result<FileHandle, OpenError> {
        let file = ScratchFile::temporary(0)?.handle();
        let mut end_bytes = 0;
        for path in self.names.paths() {
            let Some(place) = self.names.place(path) else { continue };
            let content = self.medium.read(place).map_err(FileError::io("read", &self.path.join(path)))?;
            let Some(content) = content else { continue };
            let padding_bytes = place.size_bytes.next_multiple_of(BLOCK_BYTES) - place.size_bytes;
            let header = io::Cursor::new(file_header(path, place.size_bytes));
            let mut entry = header.chain(content).chain(io::repeat(0).take(padding_bytes));
            let written = file.fill_from(end_bytes, &mut entry)?;
            end_bytes = written.map_err(FileError::io("read", &self.path.join(path)))?;
        }
        let end = file.fill_from(end_bytes, &mut io::repeat(0).take(2 * BLOCK_BYTES))?;
        end.map_err(FileError::io("read", &self.path))?;
        Ok(file)
    }

    /// Opens a content of a plain file or folder; none where it can't be read by itself.
    pub(super) fn content(&self, place: Place) -> io::Result<Option<Content>> {
        self.medium.read(place)
    }

    /// The file that contents stand in at their places, if it is one.
    pub(super) fn file(&self) -> Option<&FileHandle> {
        if let Medium::File(file) = &self.medium { Some(file) } else { None }
    }

    /// Reads all contents, and tells what they are, by their places. Blocks, and keeps all processors busy.
    pub fn measure(&mut self, measuring: Measuring<'_>) -> Result<Contents, OpenError> {
        match &self.medium {
            _ if !self.measured.is_empty() => Ok(std::mem::take(&mut self.measured)),
            Medium::File(_) | Medium::Folder(_) => Ok(self.measure_places(measuring)),
            Medium::Packed { file, packing } => {
                let (file, packing) = (file.clone(), *packing);
                let tar = medium::unpacked(&file, packing)?;
                let medium = Medium::Packed { file, packing };
                let again = Self::of_stream(&self.path, medium, packing, tar, Some(measuring))?;
                self.problems.extend(again.problems);
                Ok(again.measured)
            }
            Medium::Pipe => Ok(Contents::new()),
        }
    }

    /// The places of all contents, each once.
    pub fn places(&self) -> Vec<Place> {
        let mut places: Vec<_> = self.names.paths().filter_map(|path| self.names.place(path)).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn measure_places(&self, Measuring { limits, progress }: Measuring<'_>) -> Contents {
        let mut places = self.places();
        // The largest go first, so that none is waited for alone at the end.
        places.sort_by_key(|place| std::cmp::Reverse(place.size_bytes));
        let size_bytes = places.iter().map(|place| place.size_bytes).sum();
        let bounds = Bounds::new(limits, Arc::new(AtomicU64::new(size_bytes)));
        let measured = of_each(&places, |place| {
            let content = self.medium.read(*place)?.ok_or(io::ErrorKind::Unsupported)?;
            measure(content, place.size_bytes, &bounds, &self.algorithms, progress)
        });
        places.into_iter().zip(measured).collect()
    }
}

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

impl From<Oddity> for Problem {
    fn from(oddity: Oddity) -> Self {
        match oddity {
            Oddity::Twice(path) => Self::Twice { path },
            Oddity::LeadsOut(path) => Self::LeadsOut { path },
            Oddity::Ambiguous(path) => Self::Ambiguous { path },
        }
    }
}

/// Reads the images by all documents that name any.
fn images(reading: &mut Reading<'_>) -> Vec<ArchivedImage> {
    let (docker, oci) = (docker::images(reading), index::images(reading));
    let images = match (docker, oci) {
        (None, None) => legacy::images(reading),
        (docker, oci) => joined(docker.unwrap_or_default(), oci.unwrap_or_default()),
    };
    if images.is_empty() {
        reading.problems.push(Problem::NoImages);
    }
    images
}

/// One list of both: images with one config are one, by the names they share or else the first.
fn joined(docker: Vec<ArchivedImage>, oci: Vec<ArchivedImage>) -> Vec<ArchivedImage> {
    let mut by_config: HashMap<Digest, Vec<usize>> = HashMap::new();
    for (at, config) in oci.iter().enumerate().filter_map(|(at, image)| Some((at, image.config.as_ref()?))) {
        by_config.entry(Digest::of(config.config.bytes())).or_default().push(at);
    }
    let mut oci: Vec<_> = oci.into_iter().map(Some).collect();
    let same = |image: &ArchivedImage| {
        let config = image.config.as_ref().map(|stored| Digest::of(stored.config.bytes()));
        config.and_then(|config| by_config.get(&config)).map_or(&[][..], Vec::as_slice)
    };
    let mut images = docker;
    // Of one image with several names `index.json` speaks several times.
    for image in &mut images {
        for at in same(image) {
            if let Some(other) = oci[*at].take_if(|other| image.shares_name(other)) {
                image.join(other);
            }
        }
    }
    for image in images.iter_mut().filter(|image| !image.form.oci) {
        if let Some(other) = same(image).iter().find_map(|at| oci[*at].take()) {
            image.join(other);
        }
    }
    images.extend(one_of_each(oci.into_iter().flatten()));
    images
}

/// Those that `index.json` has several times, once with all their names.
fn one_of_each(images: impl Iterator<Item = ArchivedImage>) -> Vec<ArchivedImage> {
    let mut met: HashMap<(Option<Digest>, Option<Digest>), usize> = HashMap::new();
    let mut once: Vec<ArchivedImage> = Vec::new();
    for image in images {
        let root = image.root_digest().cloned();
        let manifest = image.manifest.as_ref().map(|(document, _)| document.digest().clone());
        match met.entry((root, manifest)) {
            Entry::Occupied(at) => once[*at.get()].names.extend(image.names),
            Entry::Vacant(place) => {
                place.insert(once.len());
                once.push(image);
            }
        }
    }
    once
}

impl ArchivedImage {
    fn shares_name(&self, other: &Self) -> bool {
        other.names.iter().any(|name| self.names.iter().any(|one| one.is(name)))
    }

    /// Takes in what `index.json` says of the same image.
    fn join(&mut self, other: Self) {
        for name in other.names {
            match self.names.iter_mut().find(|one| one.is(&name)) {
                Some(one) => one.in_oci = true,
                None => self.names.push(name),
            }
        }
        if std::mem::replace(&mut self.form.oci, true) {
            return;
        }
        (self.root, self.indexes, self.manifest) = (other.root, other.indexes, other.manifest);
        (self.platforms, self.marked) = (other.platforms, other.marked);
        for (layer, theirs) in self.layers.iter_mut().zip(other.layers) {
            layer.blob = theirs.blob;
        }
    }
}

impl ImageName {
    /// True if both mean one name.
    pub fn is(&self, other: &Self) -> bool {
        match (&self.reference, &other.reference) {
            (Some(one), Some(other)) => one == other,
            _ => self.text == other.text,
        }
    }
}

/// What comes through a pipe, unpacked if it is packed.
fn unpacking<'a>(path: &Path, pipe: impl Read + Send + 'a) -> Result<(Packing, Unpacked<'a>), OpenError> {
    let (packing, pipe) = Packing::peek(pipe).map_err(FileError::io("read", path))?;
    if packing == Packing::Bzip2 {
        return Err(OpenError::Packing { path: path.to_owned(), packing: packing.name() });
    }
    Ok((packing, packing.unpack_no_bomb(pipe).map_err(FileError::io("read", path))?))
}

fn whole(medium: &Medium, place: Place) -> io::Result<Option<Bytes>> {
    let Some(mut content) = medium.read(place)? else { return Ok(None) };
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < place.size_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(bytes.into()))
}

/// What `tar` gives, in a file without a name.
fn spooled(path: &Path, tar: &mut impl Read) -> Result<FileHandle, OpenError> {
    let scratch = ScratchFile::temporary(0)?;
    let written = scratch.handle().fill_from(0, tar)?;
    written.map_err(|source| OpenError::Unpack { path: path.to_owned(), source })?;
    Ok(scratch.handle())
}

/// What is left of a member's content.
struct Rest<'a, R>(&'a mut Members<R>);

impl<R: Read> Read for Rest<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_content(buffer)
    }
}

/// The documents of a stream: contents that begin as JSON does, and the smallest ones (`VERSION`).
#[derive(Default)]
struct Kept {
    documents: BTreeMap<Place, Bytes>,
    /// The beginning of a content that turned out to be none.
    started: Vec<u8>,
    total_bytes: u64,
}

impl Kept {
    fn wants(&self, place: Place) -> bool {
        place.size_bytes <= MAX_LIST_BYTES && self.total_bytes + place.size_bytes <= MAX_KEPT_BYTES
    }

    fn take(&mut self, place: Place, members: &mut Members<impl Read>) -> io::Result<()> {
        self.started.clear();
        let mut first = [0; 1];
        if members.read_content(&mut first)? == 0 {
            self.documents.insert(place, Bytes::new());
            return Ok(());
        }
        self.started.push(first[0]);
        if place.size_bytes <= SMALL_BYTES || matches!(first[0], b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n') {
            Rest(members).read_to_end(&mut self.started)?;
            self.total_bytes += place.size_bytes;
            self.documents.insert(place, Bytes::copy_from_slice(&self.started));
        }
        Ok(())
    }

    /// What was read of this content.
    fn started(&mut self, place: Place) -> Vec<u8> {
        if place.size_bytes <= MAX_LIST_BYTES { std::mem::take(&mut self.started) } else { Vec::new() }
    }
}
