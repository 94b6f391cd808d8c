//! Files that appear whole or not at all: written as `<name>.partial`, fsynced, renamed.
//!
//! The partial file is created anew and locked while it is written, so two sealifts never write one output; what a
//! killed run left is removed. Before the rename it is made sure that the name is still this file's. Nothing else in
//! sealift creates a file under its final name.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The extension of a file that isn't whole.
const PARTIAL: &str = "partial";
/// The largest file FAT32 holds.
pub const FAT32_MAX_FILE_BYTES: u64 = (4 << 30) - 1;

/// Something on this machine stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The folder of the output isn't there.
    #[error("folder {} does not exist", .0.display())]
    NoFolder(PathBuf),
    /// Where a folder must be is something else.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Where the file must go is a folder.
    #[error("{} is a folder", .0.display())]
    IsAFolder(PathBuf),
    /// What stands there is neither file nor folder.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// There is a file of that name, and it was not to be replaced.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The name is one that unfinished files have.
    #[error("{} ends in .{PARTIAL}, as unfinished files do", .0.display())]
    ReservedName(PathBuf),
    /// The partial file was removed or replaced while it was written.
    #[error("{} was removed or replaced by another program", .0.display())]
    Taken(PathBuf),
    /// A partial file on a file system that can't tell whether somebody writes it.
    #[error("{} is there already, and this file system can't tell whether it is in use", .0.display())]
    LeftOver(PathBuf),
    /// Another process writes this output.
    #[error("another sealift is writing {}", .0.display())]
    Locked(PathBuf),
    /// The disk has too little room, known before anything was fetched.
    #[error("{} needs {needed_bytes} bytes, its disk has {free_bytes} free", .path.display())]
    NoSpace {
        /// The output.
        path: PathBuf,
        /// The size of the output.
        needed_bytes: u64,
        /// What the file system has left for us.
        free_bytes: u64,
    },
    /// The output is on FAT32, which holds no file of its size.
    #[error("{} needs {needed_bytes} bytes, FAT32 holds files of at most {FAT32_MAX_FILE_BYTES}", .path.display())]
    TooLargeForFat32 {
        /// The output.
        path: PathBuf,
        /// The size of the output.
        needed_bytes: u64,
    },
    /// The system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried (`create`, `write`, …).
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FileError {
    /// For `map_err`: the system refused to do `action` on `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What a file system says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes a user's file can still take.
    pub free_bytes: u64,
    /// True for FAT12, FAT16 and FAT32; exFAT has no such limits.
    pub is_fat: bool,
}

/// The space where `folder` is; none where the system can't tell.
pub fn space(folder: &Path) -> Option<Space> {
    #[cfg(target_os = "linux")]
    {
        const MSDOS_SUPER_MAGIC: u64 = 0x4d44;
        // File systems that aren't on a disk, and some on a network, say that they have no blocks at all.
        let room = rustix::fs::statvfs(folder).ok().filter(|room| room.f_blocks > 0)?;
        let kind = rustix::fs::statfs(folder).ok()?.f_type;
        let is_fat = u64::try_from(kind).is_ok_and(|kind| kind == MSDOS_SUPER_MAGIC);
        Some(Space { free_bytes: room.f_bavail.saturating_mul(room.f_frsize), is_fat })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}

/// Will these files, of these sizes, fit where the first of them goes? What a file system can't tell is no objection.
pub fn check_room(files: &[(&Path, u64)]) -> Result<(), FileError> {
    let Some((first, _)) = files.first() else { return Ok(()) };
    let Some(space) = space(folder_of(first)) else { return Ok(()) };
    // What dead runs left will go.
    let left_over_bytes: u64 = files.iter().map(|(path, _)| disk_bytes(&partial_path(path))).sum();
    let space = Space { free_bytes: space.free_bytes.saturating_add(left_over_bytes), ..space };
    let sizes: Vec<u64> = files.iter().map(|(_, size_bytes)| *size_bytes).collect();
    fit(space, first, &sizes)
}

/// How much of the disk a file takes.
fn disk_bytes(path: &Path) -> u64 {
    let Ok(found) = std::fs::symlink_metadata(path) else { return 0 };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // The unit of st_blocks, whatever the file system's is.
        found.blocks() * 512
    }
    #[cfg(not(unix))]
    found.len()
}

fn partial_path(target: &Path) -> PathBuf {
    let mut path = OsString::from(target);
    path.push(".");
    path.push(PARTIAL);
    path.into()
}

fn fit(space: Space, path: &Path, sizes_bytes: &[u64]) -> Result<(), FileError> {
    let path = path.to_owned();
    if let Some(&needed_bytes) = sizes_bytes.iter().find(|&&size| space.is_fat && size > FAT32_MAX_FILE_BYTES)
    {
        return Err(FileError::TooLargeForFat32 { path, needed_bytes });
    }
    let needed_bytes = sizes_bytes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
    if needed_bytes > space.free_bytes {
        return Err(FileError::NoSpace { path, needed_bytes, free_bytes: space.free_bytes });
    }
    Ok(())
}

/// What is done with a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced when the new one is whole.
    Replace,
    /// It is an error.
    Refuse,
}

/// Can a file be put under this name? Only files are replaced: a rename would replace `/dev/null` itself.
pub fn check_target(target: &Path, existing: Existing) -> Result<(), FileError> {
    check_folder(folder_of(target))?;
    if target.extension().is_some_and(|extension| extension == PARTIAL) {
        return Err(FileError::ReservedName(target.to_owned()));
    }
    match std::fs::metadata(target) {
        Ok(found) if found.is_dir() => Err(FileError::IsAFolder(target.to_owned())),
        Ok(found) if !found.is_file() => Err(FileError::NotAFile(target.to_owned())),
        Ok(_) if existing == Existing::Refuse => Err(FileError::Exists(target.to_owned())),
        _ => Ok(()),
    }
}

/// The folder `path` is in, `.` where it names none.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Is there a folder to write to?
pub fn check_folder(folder: &Path) -> Result<(), FileError> {
    match std::fs::metadata(folder) {
        #[cfg(unix)]
        Ok(found) if found.is_dir() => rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
            .map_err(|errno| FileError::io("write to", folder)(errno.into())),
        #[cfg(not(unix))]
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(FileError::NotAFolder(folder.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FileError::NoFolder(folder.to_owned())),
        Err(error) => Err(FileError::io("read", folder)(error)),
    }
}

/// A file on its way to its name. Dropped uncommitted, it goes away.
#[derive(Debug)]
pub struct PartialFile {
    file: Arc<File>,
    partial: PathBuf,
    target: PathBuf,
    existing: Existing,
    committed: bool,
}

impl PartialFile {
    /// Creates `<target>.partial`, locked and empty, with `size_bytes` of disk set aside for it. Where `target` is a
    /// link, it is the file it leads to that will be replaced.
    pub fn create(target: &Path, size_bytes: u64, existing: Existing) -> Result<Self, FileError> {
        check_target(target, existing)?;
        let target = if target.is_symlink() {
            target.canonicalize().map_err(FileError::io("follow", target))?
        } else {
            target.to_owned()
        };
        let partial = partial_path(&target);
        let file = Arc::new(create_locked(&partial, &target)?);
        let created = Self { file, partial, target, existing, committed: false };
        check_room(&[(&created.target, size_bytes)])?;
        created.allocate(size_bytes)?;
        Ok(created)
    }

    fn allocate(&self, size_bytes: u64) -> Result<(), FileError> {
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(&*self.file, rustix::fs::FallocateFlags::empty(), 0, size_bytes) {
            Ok(()) => return Ok(()),
            // File systems without it (NFS, FAT) get a sparse file.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {}
            Err(errno) => return Err(FileError::io("allocate", &self.partial)(errno.into())),
        }
        self.file.set_len(size_bytes).map_err(FileError::io("allocate", &self.partial))
    }

    /// A handle for writing at offsets, from any thread.
    pub fn writer(&self) -> FileWriter {
        FileWriter { file: Arc::clone(&self.file), path: self.partial.clone() }
    }

    /// Waits until the disk has all bytes.
    pub fn sync(&self) -> Result<(), FileError> {
        self.file.sync_all().map_err(FileError::io("write", &self.partial))
    }

    /// Gives the file its name, replacing what was there if that was agreed. It is [`sync`](Self::sync)ed before.
    pub fn commit(mut self) -> Result<PathBuf, FileError> {
        if !self.has_its_name()? {
            return Err(FileError::Taken(self.partial.clone()));
        }
        match self.existing {
            Existing::Replace => std::fs::rename(&self.partial, &self.target),
            Existing::Refuse => rename_to_new(&self.partial, &self.target),
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists(self.target.clone()),
            _ => FileError::io("create", &self.target)(error),
        })?;
        self.committed = true;
        #[cfg(unix)]
        {
            // The file is whole and has its name; a file system that can't sync folders doesn't change that.
            let _ = File::open(folder_of(&self.target)).and_then(|folder| folder.sync_all());
        }
        Ok(self.target.clone())
    }

    /// False if the partial file was removed or replaced under us: then its name is another's.
    fn has_its_name(&self) -> Result<bool, FileError> {
        names_this_file(&self.partial, &self.file)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.committed && self.has_its_name().is_ok_and(|is_ours| is_ours) {
            // Nothing more can be done about a file that will not go; the next run removes it.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Renames, unless there is a file of the new name, in one step where the system can.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags};
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {}
            result => return result.map_err(io::Error::from),
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

/// Creates and locks a new file. What a dead run left under the name is removed, not written to: it may be a link to
/// something else, or open elsewhere.
fn create_locked(path: &Path, target: &Path) -> Result<File, FileError> {
    loop {
        match OpenOptions::new().read(true).write(true).create_new(true).open(path) {
            Ok(file) => {
                match file.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) => return Err(FileError::Locked(target.to_owned())),
                    // Without locks there is still that only one of two can create the file.
                    Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                    Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path)(error)),
                }
                if names_this_file(path, &file)? {
                    return Ok(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove_left_over(path, target)?,
            Err(error) => return Err(FileError::io("create", path)(error)),
        }
    }
}

/// Removes the partial file of a run that is dead: one that lives holds its lock.
fn remove_left_over(path: &Path, target: &Path) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FileError::io("open", path)(error)),
    };
    if !file.metadata().map_err(FileError::io("read", path))?.is_file() {
        return Err(FileError::NotAFile(path.to_owned()));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(FileError::Locked(target.to_owned())),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            return Err(FileError::LeftOver(path.to_owned()));
        }
        Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path)(error)),
    }
    if names_this_file(path, &file)? {
        std::fs::remove_file(path).map_err(FileError::io("remove", path))?;
    }
    Ok(())
}

/// Is `file` still the one that `path` names?
fn names_this_file(path: &Path, file: &File) -> Result<bool, FileError> {
    let opened = file.metadata().map_err(FileError::io("read", path))?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok(is_same_file(&opened, &named)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::io("read", path)(error)),
    }
}

#[cfg(unix)]
fn is_same_file(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same_file(_: &std::fs::Metadata, _: &std::fs::Metadata) -> bool {
    true // an open file can't be renamed there
}

/// Writes to a [`PartialFile`] at offsets. Many may write at once, each to its own region.
#[derive(Clone, Debug)]
pub struct FileWriter {
    file: Arc<File>,
    path: PathBuf,
}

impl FileWriter {
    /// True if both write to the same open file.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }

    /// Writes all of `bytes` at `offset_bytes`.
    pub fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> Result<(), FileError> {
        write_all_at(&self.file, bytes, offset_bytes).map_err(FileError::io("write", &self.path))
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset_bytes: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset_bytes)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset_bytes: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset_bytes)?;
        bytes = &bytes[written..];
        offset_bytes += written as u64;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_by_rename_and_only_when_committed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        drop(PartialFile::create(&target, 10, Existing::Replace).unwrap());
        assert!(names(folder.path()).is_empty());
        let partial = PartialFile::create(&target, 4, Existing::Replace).unwrap();
        partial.writer().write_at(b"data", 0).unwrap();
        assert_eq!(names(folder.path()), ["x.tar.partial"]);
        partial.sync().unwrap();
        partial.commit().unwrap();
        assert_eq!(names(folder.path()), ["x.tar"]);
        assert_eq!(std::fs::read(&target).unwrap(), b"data");
    }

    #[test]
    fn one_output_has_one_writer_and_a_dead_ones_rest_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        let first = PartialFile::create(&target, 4, Existing::Replace).unwrap();
        assert!(
            matches!(PartialFile::create(&target, 4, Existing::Replace), Err(FileError::Locked(path)) if path == target)
        );
        drop(first);
        std::fs::write(folder.path().join("x.tar.partial"), "left over by a dead run").unwrap();
        PartialFile::create(&target, 4, Existing::Replace).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [0; 4]);
    }

    #[test]
    fn a_partial_file_that_was_replaced_is_neither_committed_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, partial) = (folder.path().join("x.tar"), folder.path().join("x.tar.partial"));
        let first = PartialFile::create(&target, 4, Existing::Replace).unwrap();
        std::fs::remove_file(&partial).unwrap();
        let second = PartialFile::create(&target, 4, Existing::Replace).unwrap();
        assert!(matches!(first.commit(), Err(FileError::Taken(_))));
        assert_eq!(names(folder.path()), ["x.tar.partial"], "the second's file is left alone");
        second.writer().write_at(b"mine", 0).unwrap();
        second.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    }

    #[cfg(unix)]
    #[test]
    fn what_a_planted_partial_file_leads_to_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (target, other) = (folder.path().join("x.tar"), folder.path().join("other.tar"));
        std::fs::write(&other, "precious").unwrap();
        std::fs::hard_link(&other, folder.path().join("x.tar.partial")).unwrap();
        PartialFile::create(&target, 4, Existing::Replace).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"precious");
        std::os::unix::fs::symlink(&other, folder.path().join("link.tar")).unwrap();
        PartialFile::create(&folder.path().join("link.tar"), 4, Existing::Replace).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), [0; 4], "through a link, what it leads to is replaced");
        assert!(folder.path().join("link.tar").is_symlink());
    }

    #[test]
    fn an_existing_file_is_refused_where_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        let partial = PartialFile::create(&target, 4, Existing::Refuse).unwrap();
        std::fs::write(&target, "meanwhile").unwrap();
        assert!(matches!(partial.commit(), Err(FileError::Exists(path)) if path == target));
        assert!(matches!(PartialFile::create(&target, 4, Existing::Refuse), Err(FileError::Exists(_))));
        assert_eq!(std::fs::read(&target).unwrap(), b"meanwhile");
        assert_eq!(names(folder.path()), ["x.tar"]);
    }

    #[test]
    fn room_is_counted_for_all_files_and_fat32_by_file() {
        let (fat, other) =
            (Space { free_bytes: 20 << 30, is_fat: true }, Space { free_bytes: 20 << 30, is_fat: false });
        let fit = |space, sizes: &[u64]| fit(space, Path::new("x.tar"), sizes);
        assert!(fit(other, &[5 << 30, 15 << 30]).is_ok());
        assert!(
            matches!(fit(other, &[5 << 30, 16 << 30]), Err(FileError::NoSpace { needed_bytes, .. }) if needed_bytes == 21 << 30)
        );
        assert!(matches!(fit(other, &[u64::MAX, 1]), Err(FileError::NoSpace { .. })));
        assert!(fit(fat, &[FAT32_MAX_FILE_BYTES, 1 << 30]).is_ok());
        assert!(
            matches!(fit(fat, &[1, 4 << 30]), Err(FileError::TooLargeForFat32 { needed_bytes, .. }) if needed_bytes == 4 << 30)
        );
    }

    #[test]
    fn what_a_dead_run_left_counts_as_room() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        assert_eq!(disk_bytes(&partial_path(&target)), 0);
        std::fs::write(partial_path(&target), vec![1; 1 << 20]).unwrap();
        assert!(disk_bytes(&partial_path(&target)) >= 1 << 20);
    }

    #[test]
    fn what_stands_in_the_way_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let create = |name: &str, size| {
            PartialFile::create(&folder.path().join(name), size, Existing::Replace).unwrap_err()
        };
        assert!(matches!(create("no/x.tar", 1), FileError::NoFolder(_)));
        std::fs::create_dir(folder.path().join("taken.tar")).unwrap();
        assert!(matches!(create("taken.tar", 1), FileError::IsAFolder(_)));
        assert!(matches!(create("x.partial", 1), FileError::ReservedName(_)));
        assert!(matches!(create("huge.tar", 1 << 60), FileError::NoSpace { .. }));
        #[cfg(unix)]
        {
            let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
            assert!(matches!(create("socket", 1), FileError::NotAFile(_)));
            std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link.tar.partial")).unwrap();
            assert!(matches!(create("link.tar", 1), FileError::Io { .. }));
        }
        assert_eq!(names(folder.path()), ["link.tar.partial", "socket", "taken.tar"]);
    }
}
