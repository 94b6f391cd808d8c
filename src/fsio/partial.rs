//! A file on its way to its name.
//!
//! The partial file is locked while it is written, so two sealifts never write one output. What an earlier run left is
//! taken over if its journal says that it was to become the same file, and removed otherwise. Before the rename it is
//! made sure that the name is still this file's. What may be carried on from is told in [`super::left_over`].

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FileError;
use super::handle::FileHandle;
use super::journal::{self, Header, Journal};
use super::left_over::{
    LeftOver, Readers, claims_of, create_locked, journal_path, name_of, names_this_file, open_left_over,
    replace_journal,
};
use super::ranges::Ranges;
use super::space::{check_room, check_size};
use super::target::{Existing, check_target, followed};

/// The extension of a file that isn't whole.
pub(super) const PARTIAL: &str = "partial";

pub(super) fn partial_path(target: &Path) -> PathBuf {
    let mut path = OsString::from(target);
    path.push(".");
    path.push(PARTIAL);
    path.into()
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
        Self::create_for(Readers::AsUsual, target, size_bytes, existing)
    }

    /// The same, readable by its owner only (0600): files with secrets in them.
    pub fn create_private(target: &Path, size_bytes: u64, existing: Existing) -> Result<Self, FileError> {
        Self::create_for(Readers::Owner, target, size_bytes, existing)
    }

    fn create_for(
        readers: Readers,
        target: &Path,
        size_bytes: u64,
        existing: Existing,
    ) -> Result<Self, FileError> {
        check_target(target, existing)?;
        let target = followed(target)?;
        let partial = partial_path(&target);
        let file = Arc::new(create_locked(&partial, &target, readers)?);
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
        check_target(target, existing)?;
        let target = followed(target)?;
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
                (create_locked(&partial, &target, Readers::AsUsual)?, Ranges::default(), left_over)
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

    /// Lets whoever may read the file run it, where the file system knows of that.
    pub(super) fn make_executable(&self) {
        #[cfg(unix)]
        if let Ok(metadata) = self.file.metadata() {
            use std::os::unix::fs::PermissionsExt;
            let mut permissions = metadata.permissions();
            permissions.set_mode(permissions.mode() | (permissions.mode() & 0o444) >> 2);
            // FAT refuses; `sh FILE` runs it all the same.
            let _ = self.file.set_permissions(permissions);
        }
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
            let _ = File::open(super::target::folder_of(&self.target)).and_then(|folder| folder.sync_all());
        }
        Ok(self.target.clone())
    }

    /// Removes the file, whatever there is in it.
    pub fn remove(self) {
        if let Some(journal) = &self.journal {
            journal.give_up();
        }
    }

    /// False if the partial file was removed or replaced under us: then its name is another's.
    fn has_its_name(&self) -> Result<bool, FileError> {
        names_this_file(&self.partial, &self.file)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        let is_worth_keeping =
            self.journal.as_ref().map_or(self.has_old_claims, |journal| journal.is_worth_keeping());
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

/// Renames, unless there is something of the new name, in one step where the system can.
pub(super) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
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
