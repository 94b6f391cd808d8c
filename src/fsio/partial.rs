//! A file on its way to its name.
//!
//! The partial file is locked while it is written, so two sealifts never write one output. What an earlier run left is
//! taken over if its journal says that it was to become the same file, and removed otherwise. Before the rename it is
//! made sure that the name is still this file's.
//!
//! Threats: the folder may be others' too. Nothing is written through links: what is found must be a file of ours that
//! has one name. What is in it is for the reader to verify.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FileError;
use super::handle::FileHandle;
use super::journal::{self, Header, Journal};
use super::ranges::Ranges;
use super::space::{check_room, check_size};

/// The extension of a file that isn't whole.
pub(super) const PARTIAL: &str = "partial";

/// What is less is not worth a file that lies about.
const WORTH_KEEPING_BYTES: u64 = 1 << 20;

pub(super) fn partial_path(target: &Path) -> PathBuf {
    let mut path = OsString::from(target);
    path.push(".");
    path.push(PARTIAL);
    path.into()
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

/// A file on its way to its name. Dropped uncommitted, it goes away, unless there is something in it to carry on from.
#[derive(Debug)]
pub struct PartialFile {
    file: Arc<File>,
    journal: Option<Arc<Journal>>,
    /// True while what an earlier run left stays even without a journal of this one.
    has_old_claims: bool,
    partial: PathBuf,
    target: PathBuf,
    existing: Existing,
    committed: bool,
}

impl PartialFile {
    /// Creates `<target>.partial`, locked and empty, with `size_bytes` of disk set aside for it. Where `target` is a
    /// link, it is the file it leads to that will be replaced.
    pub fn create(target: &Path, size_bytes: u64, existing: Existing) -> Result<Self, FileError> {
        let target = followed(target, existing)?;
        let partial = partial_path(&target);
        let file = Arc::new(create_locked(&partial, &target)?);
        let created =
            Self { file, journal: None, has_old_claims: false, partial, target, existing, committed: false };
        check_room(&[(&created.target, size_bytes)])?;
        created.allocate(size_bytes)?;
        Ok(created)
    }

    /// Like [`create`](Self::create), but what an earlier run left is carried on from if it was to become the same:
    /// `identity`, a word, says what. The handle then has what is claimed to be there already.
    pub fn resume(
        target: &Path,
        size_bytes: u64,
        existing: Existing,
        identity: &str,
    ) -> Result<(Self, LeftOver), FileError> {
        let target = followed(target, existing)?;
        let partial = partial_path(&target);
        let journal_path = journal_path(&partial);
        let found = open_left_over(&partial, &target)?;
        let claims = found.as_ref().and_then(|file| claims_of(&journal_path, file, identity));
        let (file, claims, left_over) = match (found, claims) {
            (Some(file), Some(claims)) => (file, claims, LeftOver::Same),
            (found, _) => {
                let was_another = found.is_some() && journal_path.exists();
                drop(found); // and its lock
                let left_over = if was_another { LeftOver::Another } else { LeftOver::Nothing };
                (create_locked(&partial, &target)?, Ranges::default(), left_over)
            }
        };
        let file = Arc::new(file);
        let mut opened = Self {
            file: Arc::clone(&file),
            journal: None,
            has_old_claims: left_over == LeftOver::Same,
            partial,
            target,
            existing,
            committed: false,
        };
        // On errors from here on, what an earlier run left stays if it was claimed.
        let header = Header {
            identity: identity.to_owned(),
            file: name_of(&file).map_err(FileError::io("read", &opened.partial))?,
            boot: journal::this_boot(),
            process: std::process::id(),
        };
        let begun = replace_journal(&journal_path, file, &header, claims);
        opened.journal = Some(Arc::new(begun.map_err(FileError::io("write", &journal_path))?));
        check_room(&[(&opened.target, size_bytes)])?;
        opened.allocate(size_bytes)?;
        opened.file.set_len(size_bytes).map_err(FileError::io("allocate", &opened.partial))?;
        Ok((opened, left_over))
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

    /// Makes the file this long. What it has beyond goes.
    pub fn resize(&self, size_bytes: u64) -> Result<(), FileError> {
        check_size(&self.target, size_bytes)?;
        self.file.set_len(size_bytes).map_err(FileError::io("resize", &self.partial))
    }

    /// A handle for writing and reading at offsets, from any thread.
    pub fn handle(&self) -> FileHandle {
        FileHandle::new(Arc::clone(&self.file), self.journal.clone(), &self.partial)
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
        if let Some(journal) = &self.journal {
            // Before the rename: after it, the name is another run's. A journal without its file means nothing.
            let _ = std::fs::remove_file(journal.path());
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

    /// Removes the file, whatever there is in it.
    pub fn remove(self) {
        if let Some(journal) = &self.journal {
            journal.throw_away(&(0..u64::MAX));
        }
    }

    /// False if the partial file was removed or replaced under us: then its name is another's.
    fn has_its_name(&self) -> Result<bool, FileError> {
        names_this_file(&self.partial, &self.file)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        let is_worth_keeping = self
            .journal
            .as_ref()
            .map_or(self.has_old_claims, |journal| journal.claims().bytes() >= WORTH_KEEPING_BYTES);
        if !self.committed && !is_worth_keeping && self.has_its_name().is_ok_and(|is_ours| is_ours) {
            // The journal first: once the file is gone, its name is another run's. Nothing more can be done about a file
            // that will not go; the next run removes it.
            if let Some(journal) = &self.journal {
                let _ = std::fs::remove_file(journal.path());
            }
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

/// What an earlier run left under the name of a partial file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOver {
    /// Nothing that could be used.
    Nothing,
    /// The same file, so far as it got.
    Same,
    /// What was to become another file. It is gone.
    Another,
}

fn journal_path(partial: &Path) -> PathBuf {
    let mut path = OsString::from(partial);
    path.push(".journal");
    path.into()
}

/// Where `target` leads, if a file may be put there.
fn followed(target: &Path, existing: Existing) -> Result<PathBuf, FileError> {
    check_target(target, existing)?;
    if target.is_symlink() {
        target.canonicalize().map_err(FileError::io("follow", target))
    } else {
        Ok(target.to_owned())
    }
}

/// Creates and locks a new file. What a dead run left under the name is removed, not written to: it may be a link to
/// something else, or open elsewhere.
fn create_locked(path: &Path, target: &Path) -> Result<File, FileError> {
    loop {
        match OpenOptions::new().read(true).write(true).create_new(true).open(path) {
            Ok(file) => {
                match file.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) => return Err(locked(path, target)),
                    // Without locks there is still that only one of two can create the file.
                    Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                    Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path)(error)),
                }
                if names_this_file(path, &file)? {
                    return Ok(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if let Some(file) = open_left_over(path, target)?
                    && names_this_file(path, &file)?
                {
                    std::fs::remove_file(path).map_err(FileError::io("remove", path))?;
                }
            }
            Err(error) => return Err(FileError::io("create", path)(error)),
        }
    }
}

/// Opens and locks the partial file of a run that is dead: one that lives holds its lock.
fn open_left_over(path: &Path, target: &Path) -> Result<Option<File>, FileError> {
    let Some(file) = open_plain(path)? else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(locked(path, target)),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Err(FileError::LeftOver(path.to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(FileError::io("lock", path)(error)),
    }
}

/// Opens a regular file, if there is one; not what a link leads to.
fn open_plain(path: &Path) -> Result<Option<File>, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io("open", path)(error)),
    };
    if file.metadata().map_err(FileError::io("read", path))?.is_file() {
        Ok(Some(file))
    } else {
        Err(FileError::NotAFile(path.to_owned()))
    }
}

/// Who holds the lock, by the journal.
fn locked(partial: &Path, target: &Path) -> FileError {
    let journal = open_plain(&journal_path(partial)).ok().flatten();
    let process = journal.and_then(|file| journal::read(&file, "")).map(|read| read.header.process);
    FileError::Locked { target: target.to_owned(), process }
}

/// What the journal claims of `file`, if it is this file's, of this identity, and the file is ours alone.
fn claims_of(journal: &Path, file: &File, identity: &str) -> Option<Ranges> {
    if !is_ours_alone(file) || !names_this_file(&journal.with_extension(""), file).ok()? {
        return None;
    }
    let read = journal::read(&open_plain(journal).ok()??, &journal::this_boot())?;
    let is_its = read.header.identity == identity && read.header.file == name_of(file).ok()?;
    is_its.then_some(read.claims)
}

/// Puts a new journal in the place of any that is there.
fn replace_journal(path: &Path, data: Arc<File>, header: &Header, claims: Ranges) -> io::Result<Journal> {
    let mut new = OsString::from(path);
    new.push(".new");
    let new = PathBuf::from(new);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    let begun = Journal::begin(file, path, data, header, claims)
        .and_then(|journal| std::fs::rename(&new, path).map(|()| journal));
    begun.inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })
}

/// A word that no other file on this machine has at the same time.
#[cfg(unix)]
fn name_of(file: &File) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map(|metadata| format!("{}:{}", metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn name_of(_: &File) -> io::Result<String> {
    Ok("-".to_owned())
}

#[cfg(unix)]
fn is_ours_alone(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 1 && metadata.uid() == own)
}

#[cfg(not(unix))]
fn is_ours_alone(_: &File) -> bool {
    true
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
        partial.handle().write_at(b"data", 0).unwrap();
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
            matches!(PartialFile::create(&target, 4, Existing::Replace), Err(FileError::Locked { target: path, .. }) if path == target)
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
        second.handle().write_at(b"mine", 0).unwrap();
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
