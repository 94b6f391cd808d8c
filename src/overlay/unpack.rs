//! Entries become a tree in a folder of ours.
//!
//! Threats: whoever wrote the entries chose names, links, owners and modes. Each thing is made by its name, in the folder that
//! was made for it and is held open; nothing that is there is opened but folders, and no link is followed. While a folder is
//! filled it is ours alone (0700); it becomes what it is to be when all in it is there, so that a default ACL or a time of its
//! own is not passed on or changed. A file's target of a hard link is found from the root, beneath it, through no link and
//! no mount.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat,
    chownat, fchmod, fchown, ftruncate, futimens, linkat, makedev, mkdirat, mknodat, openat, openat2,
    symlinkat, utimensat,
};
use rustix::io::Errno;

use super::attributes::{self, Named};
use super::descent::{Descent, OPEN_FOLDER};
use super::durable::Durability;
use super::error::{OverlayError, path_of};
use super::header::{Header, Kind, Time};
use super::holes::Extent;
use super::plan::{Watch, tell};
use super::raw::decoded;
use super::reader::{Entries, EntryError};
use super::staged::Staged;
use super::tree::{END_BYTES, EntryDigest, digest_of, padding_bytes};
use crate::fsio::{FileError, begin_to_sync, of_each};

/// Bytes written at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Of what is at least as large the disk takes its share at once.
const LARGE_BYTES: u64 = 4 << 20;
/// What is no larger is held in memory, with so many others.
const SMALL_BYTES: u64 = 64 << 10;
const SMALL_FILES: usize = 64;
/// Fewer are made before another thread had begun.
const FEW_FILES: usize = 6;
/// The longest path that the system takes at once.
const MAX_PATH_BYTES: usize = 4000;

/// Why entries did not become a tree.
#[derive(Debug)]
pub(crate) enum UnpackError {
    /// The tree can't be made.
    Tree(OverlayError),
    /// The entries are not those that were verified, or can't be read any more.
    Changed,
}

impl From<OverlayError> for UnpackError {
    fn from(error: OverlayError) -> Self {
        Self::Tree(error)
    }
}

impl From<EntryError> for UnpackError {
    fn from(_: EntryError) -> Self {
        Self::Changed
    }
}

/// What is to be remembered of a tree that was unpacked.
#[derive(Debug)]
pub(crate) struct Made {
    /// The root's entry: it is not yet what it is to be.
    pub(crate) root: Header,
    /// Where the data is in files with holes, by their places among the entries.
    pub(crate) extents: HashMap<usize, Vec<Extent>>,
}

/// Makes the entries in a folder; they have to be those of these digests.
pub(crate) fn unpack(
    entries: &mut dyn Entries,
    expected: &[EntryDigest],
    staged: &Staged,
    watch: Watch<'_>,
) -> Result<Made, UnpackError> {
    let root = entries.next()?.ok_or(UnpackError::Changed)?;
    let mut expected = expected.iter();
    let blocks = root.to_blocks();
    if expected.next() != Some(&digest_of(&blocks)) {
        return Err(UnpackError::Changed);
    }
    tell(watch, blocks.len() as u64)?;
    let staged_root = || staged.folder().try_clone_to_owned().map_err(FileError::io("open", &path_of(b"./")));
    let descent = Descent::new(staged_root().map_err(OverlayError::from)?, root.clone());
    let descent = descent.map_err(OverlayError::doing("open", &path_of(b"./")))?;
    let mut making = Making {
        root: staged.folder(),
        descent,
        here: Vec::new(),
        small: Vec::new(),
        chunk: vec![0; CHUNK_BYTES],
        durability: Durability::here(),
    };
    let mut extents = HashMap::new();
    let mut place = 0;
    while let Some(header) = entries.next()? {
        place += 1;
        let blocks = header.to_blocks();
        if expected.next() != Some(&digest_of(&blocks)) {
            return Err(UnpackError::Changed);
        }
        tell(watch, blocks.len() as u64)?;
        if let Some(found) = &header.extents {
            extents.insert(place, found.clone());
        }
        let padding_bytes = padding_bytes(&header);
        making.make(header, entries, watch)?;
        tell(watch, padding_bytes)?;
    }
    tell(watch, END_BYTES)?;
    while !making.here.is_empty() {
        making.leave()?;
    }
    making.make_small()?;
    if expected.next().is_some() { Err(UnpackError::Changed) } else { Ok(Made { root, extents }) }
}

/// Gives a tree's root what its entry says.
pub(crate) fn finish_root(staged: &Staged, root: &Header) -> Result<(), OverlayError> {
    finish_open(&staged.folder(), root)
}

struct Making<'a> {
    root: BorrowedFd<'a>,
    /// The folders that are being filled, with what each is to be.
    descent: Descent<Header>,
    /// The path of the lowest, with a slash; empty at the root.
    here: Vec<u8>,
    /// Files of the lowest folder that are still to be made.
    small: Vec<SmallFile>,
    chunk: Vec<u8>,
    durability: Durability,
}

/// A file whose data is in memory.
struct SmallFile {
    header: Header,
    /// Its name in its folder.
    base: Vec<u8>,
    /// What is not a hole.
    data: Vec<u8>,
}

impl Making<'_> {
    fn make(
        &mut self,
        header: Header,
        entries: &mut dyn Entries,
        watch: Watch<'_>,
    ) -> Result<(), UnpackError> {
        while !header.name.starts_with(&self.here) {
            self.leave()?;
        }
        let path = path_of(&header.name);
        let base = &header.name[self.here.len()..];
        let base = base.strip_suffix(b"/").unwrap_or(base);
        // The rules see to it; whoever changes them should not have to know what hangs on it.
        if matches!(base, b"" | b"." | b"..") || base.contains(&b'/') {
            return Err(UnpackError::Changed);
        }
        if header.kind == Kind::File && header.data_bytes() <= SMALL_BYTES {
            let base = base.to_vec();
            let data = read_data(&header, entries, watch)?;
            self.small.push(SmallFile { header, base, data });
            return if self.small.len() == SMALL_FILES { self.make_small() } else { Ok(()) };
        }
        self.make_small()?;
        let Some((folder, _)) = self.descent.lowest() else { return Err(UnpackError::Changed) };
        let creating = OverlayError::doing("create", &path);
        match header.kind {
            Kind::Directory => {
                let make = || {
                    mkdirat(folder, base, Mode::RWXU)?;
                    openat(folder, base, OPEN_FOLDER, Mode::empty())
                };
                let opened = make().map_err(creating)?;
                self.here.clone_from(&header.name);
                self.descent.enter(opened, header).map_err(OverlayError::doing("open", &path))?;
            }
            Kind::File => {
                let file = create(folder, base).map_err(creating)?;
                fill(&file, &header, entries, &mut self.chunk, watch)?;
                if header.data_bytes() >= LARGE_BYTES {
                    begin_to_sync(&file, 0..header.size_bytes);
                }
                finish_open(&file, &header)?;
                self.durability.finished(&file).map_err(OverlayError::doing("write", &path))?;
            }
            Kind::Link => link(self.root, &header.target, folder, base).map_err(creating)?,
            Kind::Symlink => {
                symlinkat(&header.target[..], folder, base).map_err(creating)?;
                finish_named(folder, base, &header)?;
            }
            Kind::CharacterDevice | Kind::BlockDevice | Kind::Fifo => {
                let kind = FileType::from_raw_mode(header.kind.mode());
                let device = makedev(header.device.0, header.device.1);
                mknodat(folder, base, kind, Mode::from(header.mode), device).map_err(creating)?;
                finish_named(folder, base, &header)?;
            }
        }
        Ok(())
    }

    /// Makes the small files, by all processors: most of the time goes into their names, owners and modes.
    fn make_small(&mut self) -> Result<(), UnpackError> {
        let (small, durability) = (std::mem::take(&mut self.small), self.durability);
        let Some((folder, _)) = self.descent.lowest() else { return Err(UnpackError::Changed) };
        let made = if small.len() < FEW_FILES {
            small.iter().map(|file| file.make(folder, durability)).collect()
        } else {
            of_each(&small, |file| file.make(folder, durability))
        };
        Ok(made.into_iter().collect::<Result<(), _>>()?)
    }

    /// A folder has all that is in it.
    fn leave(&mut self) -> Result<(), UnpackError> {
        self.make_small()?;
        let path = path_of(&self.here);
        let left = self.descent.leave().map_err(OverlayError::doing("open", &path))?;
        let Some((folder, header)) = left.filter(|_| !self.here.is_empty()) else {
            return Err(UnpackError::Changed);
        };
        finish_open(&folder, &header)?;
        self.durability.finished(&folder).map_err(OverlayError::doing("write", &path))?;
        self.here.pop();
        let end = self.here.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        self.here.truncate(end);
        Ok(())
    }
}

impl SmallFile {
    fn make(&self, folder: &OwnedFd, durability: Durability) -> Result<(), OverlayError> {
        let Self { header, base, data } = self;
        let path = path_of(&header.name);
        let file = create(folder, base).map_err(OverlayError::doing("create", &path))?;
        if header.extents.is_some() {
            ftruncate(&file, header.size_bytes).map_err(OverlayError::doing("write", &path))?;
        }
        let mut rest = &data[..];
        for extent in data_extents(header).iter() {
            let (now, later) = rest.split_at(usize::try_from(extent.size_bytes).unwrap_or(rest.len()));
            file.write_all_at(now, extent.start_bytes).map_err(FileError::io("write", &path))?;
            rest = later;
        }
        finish_open(&file, header)?;
        durability.finished(&file).map_err(OverlayError::doing("write", &path))
    }
}

/// Makes a new file, for its owner only until it is finished.
fn create(folder: &OwnedFd, base: &[u8]) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, base, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Where a file's data belongs.
fn data_extents(header: &Header) -> Cow<'_, [Extent]> {
    let whole = || vec![Extent { start_bytes: 0, size_bytes: header.size_bytes }];
    header.extents.as_deref().map_or_else(|| Cow::Owned(whole()), Cow::Borrowed)
}

/// Reads all of a small file's data.
fn read_data(header: &Header, entries: &mut dyn Entries, watch: Watch<'_>) -> Result<Vec<u8>, UnpackError> {
    let mut data = vec![0; usize::try_from(header.data_bytes()).unwrap_or_default()];
    let mut filled = 0;
    while filled < data.len() {
        match entries.read(&mut data[filled..])? {
            0 => return Err(UnpackError::Changed),
            read => filled += read,
        }
    }
    tell(watch, filled as u64)?;
    Ok(data)
}

/// Writes a file's data where it belongs. Holes are never written.
fn fill(
    file: &File,
    header: &Header,
    entries: &mut dyn Entries,
    chunk: &mut [u8],
    watch: Watch<'_>,
) -> Result<(), UnpackError> {
    let path = || path_of(&header.name);
    if header.extents.is_some() {
        ftruncate(file, header.size_bytes).map_err(OverlayError::doing("write", &path()))?;
    }
    for extent in data_extents(header).iter() {
        let mut position_bytes = extent.start_bytes;
        while position_bytes < extent.end_bytes() {
            let left = usize::try_from(extent.end_bytes() - position_bytes).unwrap_or(usize::MAX);
            let wanted = left.min(chunk.len());
            let read = entries.read(&mut chunk[..wanted])?;
            if read == 0 {
                return Err(UnpackError::Changed);
            }
            let written = file.write_all_at(&chunk[..read], position_bytes);
            written.map_err(|error| OverlayError::from(FileError::io("write", &path())(error)))?;
            position_bytes += read as u64;
            tell(watch, read as u64)?;
        }
    }
    Ok(())
}

/// Owner, mode, attributes and time of an open file or folder. In this order: another owner takes setuid and capabilities
/// away.
fn finish_open(file: &impl AsFd, header: &Header) -> Result<(), OverlayError> {
    let path = path_of(&header.name);
    let (uid, gid) = (Uid::from_raw(header.uid), Gid::from_raw(header.gid));
    fchown(file, Some(uid), Some(gid)).map_err(OverlayError::doing("set the owner of", &path))?;
    fchmod(file, Mode::from(header.mode)).map_err(OverlayError::doing("set the mode of", &path))?;
    if !header.attributes.is_empty() {
        attributes::set_open(file, &named(header)).map_err(OverlayError::giving(&path))?;
    }
    futimens(file, &times(header.modified)).map_err(OverlayError::doing("set the time of", &path))
}

/// The same of what is not to be opened.
fn finish_named(folder: &OwnedFd, base: &[u8], header: &Header) -> Result<(), OverlayError> {
    let path = path_of(&header.name);
    let (uid, gid) = (Uid::from_raw(header.uid), Gid::from_raw(header.gid));
    let itself = AtFlags::SYMLINK_NOFOLLOW;
    chownat(folder, base, Some(uid), Some(gid), itself)
        .map_err(OverlayError::doing("set the owner of", &path))?;
    if header.kind != Kind::Symlink {
        let mode = Mode::from(header.mode);
        chmodat(folder, base, mode, AtFlags::empty())
            .map_err(OverlayError::doing("set the mode of", &path))?;
    }
    if !header.attributes.is_empty() {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = openat(folder, base, flags, Mode::empty()).map_err(OverlayError::doing("open", &path))?;
        attributes::set_held(&held, &named(header)).map_err(OverlayError::giving(&path))?;
    }
    utimensat(folder, base, &times(header.modified), itself)
        .map_err(OverlayError::doing("set the time of", &path))
}

fn named(header: &Header) -> Named {
    let all = header.attributes.iter();
    all.filter_map(|(name, value)| Some((decoded(name)?, value.clone()))).collect()
}

fn times(modified: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds.into() },
    }
}

/// Gives what stands at `target`, from the root, another name.
fn link(root: BorrowedFd<'_>, target: &[u8], folder: &OwnedFd, base: &[u8]) -> Result<(), Errno> {
    let slash = target.iter().rposition(|byte| *byte == b'/');
    let Some(slash) = slash else { return linkat(root, target, folder, base, AtFlags::empty()) };
    let within = beneath(root, &target[..slash])?;
    linkat(&within, &target[slash + 1..], folder, base, AtFlags::empty())
}

/// Opens a folder beneath another, through no link and no mount.
fn beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    if path.len() <= MAX_PATH_BYTES {
        match openat2(root, path, OPEN_FOLDER, Mode::empty(), resolve) {
            // Linux before 5.6, and filters that don't know it.
            Err(Errno::NOSYS | Errno::PERM) => {}
            opened => return opened,
        }
    }
    let mut opened: Option<OwnedFd> = None;
    for part in path.split(|byte| *byte == b'/') {
        let from = opened.as_ref().map_or(root, AsFd::as_fd);
        opened = Some(openat(from, part, OPEN_FOLDER, Mode::empty())?);
    }
    opened.ok_or(Errno::NOENT)
}
