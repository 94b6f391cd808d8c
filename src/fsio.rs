//! Files that appear whole or not at all: written as `<name>.partial`, fsynced, renamed.
//!
//! The partial file is locked while it is written, so two sealifts never write one output; what a killed run left is
//! taken over. Nothing else in sealift creates a file under its final name.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        let system = rustix::fs::statfs(folder).ok()?;
        let block_bytes = u64::try_from(system.f_bsize).ok()?;
        let is_fat = u64::try_from(system.f_type).is_ok_and(|kind| kind == MSDOS_SUPER_MAGIC);
        Some(Space { free_bytes: system.f_bavail.saturating_mul(block_bytes), is_fat })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
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
    committed: bool,
}

impl PartialFile {
    /// Creates `<target>.partial`, locked and empty, with `size_bytes` of disk set aside for it.
    pub fn create(target: &Path, size_bytes: u64) -> Result<Self, FileError> {
        check_folder(folder_of(target))?;
        match std::fs::metadata(target) {
            Ok(found) if found.is_dir() => return Err(FileError::IsAFolder(target.to_owned())),
            // A rename would replace `/dev/null` itself.
            Ok(found) if !found.is_file() => return Err(FileError::NotAFile(target.to_owned())),
            _ => {}
        }
        let mut name = OsString::from(target);
        name.push(".partial");
        let partial = PathBuf::from(name);
        let file = Arc::new(open_locked(&partial)?);
        let created = Self { file, partial, target: target.to_owned(), committed: false };
        created.file.set_len(0).map_err(FileError::io("write", &created.partial))?;
        created.check_space(size_bytes)?;
        created.allocate(size_bytes)?;
        Ok(created)
    }

    fn check_space(&self, needed_bytes: u64) -> Result<(), FileError> {
        let Some(space) = space(folder_of(&self.target)) else { return Ok(()) };
        let path = self.target.clone();
        if space.is_fat && needed_bytes > FAT32_MAX_FILE_BYTES {
            return Err(FileError::TooLargeForFat32 { path, needed_bytes });
        }
        if needed_bytes > space.free_bytes {
            return Err(FileError::NoSpace { path, needed_bytes, free_bytes: space.free_bytes });
        }
        Ok(())
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

    /// Puts all bytes on disk and gives the file its name, replacing what was there.
    pub fn commit(mut self) -> Result<PathBuf, FileError> {
        self.file.sync_all().map_err(FileError::io("write", &self.partial))?;
        std::fs::rename(&self.partial, &self.target).map_err(FileError::io("create", &self.target))?;
        self.committed = true;
        #[cfg(unix)]
        {
            let folder = folder_of(&self.target);
            // The file is whole and has its name; a file system that can't sync folders doesn't change that.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(self.target.clone())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing more can be done about a file that will not go; the next run takes it over.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Opens and locks `path`, as it stands under that name: a file that was renamed or removed between opening and
/// locking belongs to somebody else.
fn open_locked(path: &Path) -> Result<File, FileError> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        }
        let file = options.open(path).map_err(FileError::io("create", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FileError::Locked(path.with_extension(""))),
            // A file system without locks: nobody else can hold one either.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path)(error)),
        }
        let opened = file.metadata().map_err(FileError::io("read", path))?;
        if !opened.is_file() {
            return Err(FileError::NotAFile(path.to_owned()));
        }
        match std::fs::symlink_metadata(path) {
            Ok(named) if is_same_file(&opened, &named) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::io("read", path)(error)),
        }
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
        drop(PartialFile::create(&target, 10).unwrap());
        assert!(names(folder.path()).is_empty());
        let partial = PartialFile::create(&target, 4).unwrap();
        partial.writer().write_at(b"data", 0).unwrap();
        assert_eq!(names(folder.path()), ["x.tar.partial"]);
        partial.commit().unwrap();
        assert_eq!(names(folder.path()), ["x.tar"]);
        assert_eq!(std::fs::read(&target).unwrap(), b"data");
    }

    #[test]
    fn one_output_has_one_writer_and_a_dead_ones_rest_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        let first = PartialFile::create(&target, 4).unwrap();
        assert!(matches!(PartialFile::create(&target, 4), Err(FileError::Locked(path)) if path == target));
        drop(first);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(folder.path().join("x.tar.partial"))
            .unwrap();
        PartialFile::create(&target, 4).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [0; 4]);
    }

    #[test]
    fn what_stands_in_the_way_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let create = |name: &str, size| PartialFile::create(&folder.path().join(name), size).unwrap_err();
        assert!(matches!(create("no/x.tar", 1), FileError::NoFolder(_)));
        std::fs::create_dir(folder.path().join("taken.tar")).unwrap();
        assert!(matches!(create("taken.tar", 1), FileError::IsAFolder(_)));
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
