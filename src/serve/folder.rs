//! The folder of archives: files in it by their names, and nothing else.
//!
//! Threats: names come from requests, and others may write to the folder too. A name is one component, never a path; it is
//! looked up below the folder as it was opened at the start, and what is a link, a pipe or a device is not there. Names
//! that begin with a dot (our own state) or belong to unfinished files are no names.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::clock::Time;
use crate::archived::{Archive, OpenError};
use crate::foreign::steers;
use crate::fsio::FileError;

/// Where the server keeps what it must know after a restart, in the folder.
const STATE: &str = ".sealift";

/// The name of a file that may be handed out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileName(Box<str>);

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// `….tar`
    Archive,
    /// `….tar.sha256`
    Checksum,
    /// `tag_….sh`
    Script,
}

impl FileName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn kind(&self) -> FileKind {
        match Path::new(&*self.0).extension() {
            Some(extension) if extension == "tar" => FileKind::Archive,
            Some(extension) if extension == "sha256" => FileKind::Checksum,
            _ => FileKind::Script,
        }
    }

    /// The script that loads this archive: `tag_<name>.sh`.
    pub(super) fn script(&self) -> Self {
        Self(format!("tag_{}.sh", self.0.strip_suffix(".tar").unwrap_or(&self.0)).into())
    }

    /// Its checksum's file.
    pub(super) fn checksum(&self) -> Self {
        Self(format!("{}.sha256", self.0).into())
    }
}

impl FromStr for FileName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let ends_in = |extension: &str| Path::new(text).extension().is_some_and(|found| found == extension);
        let is_kept =
            ends_in("tar") || text.ends_with(".tar.sha256") || (text.starts_with("tag_") && ends_in("sh"));
        let is_plain = !text.starts_with('.') && text.len() <= 255 && !text.contains(['/', '\\', '\0']);
        if is_kept && is_plain && !text.contains(steers) { Ok(Self(text.into())) } else { Err(()) }
    }
}

/// What tells a file from one that took its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Identity {
    inode: u64,
    pub(super) size_bytes: u64,
    modified_seconds: i64,
    modified_nanoseconds: u64,
}

impl Identity {
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "these fields differ by system")]
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino as u64,
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified_seconds: i64::from(stat.st_mtime),
            modified_nanoseconds: stat.st_mtime_nsec as u64,
        }
    }

    pub(super) fn modified(&self) -> Time {
        Time::of_seconds(self.modified_seconds)
    }

    /// A strong one: a file is replaced by rename.
    pub(super) fn entity_tag(&self) -> String {
        let Self { inode, size_bytes, modified_seconds, modified_nanoseconds } = self;
        format!("\"{inode:x}-{size_bytes:x}-{modified_seconds:x}.{modified_nanoseconds:x}\"")
    }
}

/// The folder, open.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    file: OwnedFd,
}

impl Folder {
    /// Opens it, and makes it if need be.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        if path.exists() && !path.is_dir() {
            return Err(FileError::NotAFolder(path.to_owned()));
        }
        std::fs::create_dir_all(path).map_err(FileError::io("create", path))?;
        let path = path.canonicalize().map_err(FileError::io("open", path))?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(CWD, &path, flags, Mode::empty());
        let file = file.map_err(|errno| FileError::io("open", &path)(errno.into()))?;
        crate::fsio::check_folder(&path)?;
        let folder = Self { path, file };
        let state = folder.state();
        match rustix::fs::mkdirat(&folder.file, STATE, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(FileError::io("create", &state)(errno.into())),
        }
        let is_folder = std::fs::symlink_metadata(&state).is_ok_and(|found| found.is_dir());
        if is_folder { Ok(folder) } else { Err(FileError::NotAFolder(state)) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the server keeps its own.
    pub(super) fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// A path for who writes the file whole.
    pub(super) fn path_of(&self, name: &FileName) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// All archives, in any order. Blocks.
    pub(super) fn archives(&self) -> io::Result<Vec<(FileName, Identity)>> {
        let mut archives = Vec::new();
        for entry in Dir::read_from(&self.file)? {
            let entry = entry?;
            let name = entry.file_name().to_str().ok().and_then(|name| name.parse::<FileName>().ok());
            let Some(name) = name.filter(|name| name.kind() == FileKind::Archive) else { continue };
            if let Some(identity) = self.identity(&name)? {
                archives.push((name, identity));
            }
        }
        Ok(archives)
    }

    /// What the files with these names take, unfinished ones too. Blocks.
    pub(super) fn used_bytes(&self, counts: impl Fn(&[u8]) -> bool) -> io::Result<u64> {
        let mut used = 0_u64;
        for entry in Dir::read_from(&self.file)? {
            let entry = entry?;
            if !counts(entry.file_name().to_bytes()) {
                continue;
            }
            match statat(&self.file, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_file() => {
                    used = used.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(used)
    }

    /// What has this name; none unless it is a file. Blocks.
    pub(super) fn identity(&self, name: &FileName) -> io::Result<Option<Identity>> {
        match statat(&self.file, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_file() => Ok(Some(Identity::of(&stat))),
            Ok(_) | Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens a file for reading; none unless it is one. Blocks.
    pub(super) fn open_file(&self, name: &FileName) -> io::Result<Option<(File, Identity)>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.file, name.as_str(), flags, Mode::empty()) {
            Ok(file) => file,
            // A link, nothing, a socket.
            Err(Errno::LOOP | Errno::NOENT | Errno::NXIO | Errno::NAMETOOLONG) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(None);
        }
        Ok(Some((File::from(file), Identity::of(&stat))))
    }

    /// Opens an archive, by its name only here; none unless it is a file. Blocks; one that is packed is read to its end.
    pub(super) fn archive(&self, name: &FileName) -> Result<Option<(Archive, Identity)>, OpenError> {
        let path = self.path_of(name);
        let opened = self.open_file(name).map_err(FileError::io("open", &path))?;
        opened.map(|(file, identity)| Ok((Archive::of_foreign(&path, file)?, identity))).transpose()
    }

    /// Removes a file; false if there is none. Who reads it reads on. Blocks.
    pub(super) fn remove(&self, name: &FileName) -> io::Result<bool> {
        if self.identity(name)?.is_none() {
            return Ok(false);
        }
        match unlinkat(&self.file, name.as_str(), AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Puts removals on the disk. Blocks.
    pub(super) fn sync(&self) {
        // A file system that can't sync folders doesn't change what is there.
        let _ = rustix::fs::fsync(&self.file);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_files_that_are_handed_out_are_names() {
        for good in ["a.tar", "my image.tar", "é.tar", "tag_a.sh", "a.tar.sha256", "a..tar"] {
            assert!(good.parse::<FileName>().is_ok(), "{good}");
        }
        let long = format!("{}.tar", "a".repeat(252));
        for bad in [
            "",
            ".",
            "..",
            ".tar",
            ".a.tar",
            "../a.tar",
            "a/b.tar",
            "/etc/passwd",
            "a.tar.partial",
            "a\\b.tar",
            "a\0.tar",
            "a\n.tar",
            "a.sh",
            "a.tar.partial.journal",
            ".sealift",
            "a\u{202e}.tar",
            &long,
        ] {
            assert!(bad.parse::<FileName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn links_pipes_and_folders_are_not_there() {
        let (outside, inside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| inside.path().join(name);
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), at("link.tar")).unwrap();
        std::fs::create_dir(at("folder.tar")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe.tar"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.tar")).unwrap();
        std::fs::write(at("file.tar"), "file").unwrap();
        let folder = Folder::open(inside.path()).unwrap();
        let names: Vec<_> = folder.archives().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["file.tar".parse().unwrap()]);
        for name in ["link.tar", "folder.tar", "pipe.tar", "socket.tar", "nothing.tar"] {
            let name = name.parse().unwrap();
            assert!(folder.open_file(&name).unwrap().is_none(), "{name:?}");
            assert!(folder.archive(&name).unwrap().is_none(), "{name:?}");
            assert!(!folder.remove(&name).unwrap(), "{name:?}");
        }
        assert!(folder.open_file(&"file.tar".parse().unwrap()).unwrap().is_some());
        assert!(folder.remove(&"file.tar".parse().unwrap()).unwrap());
        assert!(at("link.tar").is_symlink() && at("folder.tar").is_dir());
    }
}
