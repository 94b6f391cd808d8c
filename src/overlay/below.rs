//! What an upper directory hides by a name of its own: directories one above the other, looked through as overlayfs does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::MountedBy;
use super::attributes::Attributes;
use super::error::OverlayError;

/// Nothing is opened to be read, and no link is followed.
const HOLD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Directories one above the other, the highest first.
#[derive(Debug)]
pub(super) struct Stack {
    directories: Vec<PathBuf>,
    mounted_by: MountedBy,
}

/// What a directory has by a name.
enum Held {
    Nothing,
    /// What stands for the absence of something below.
    Whiteout,
    Folder(OwnedFd, Attributes),
    Other,
}

/// A folder of one of the directories, and the directories below that one.
type Level<'a> = (OwnedFd, &'a [OwnedFd]);

impl Stack {
    pub(super) fn new(upper: &Path, below: &[PathBuf], mounted_by: MountedBy) -> Self {
        let directories = std::iter::once(upper.to_owned()).chain(below.iter().cloned());
        Self { directories: directories.collect(), mounted_by }
    }

    /// Would something show up at the path, which is one of the highest directory, if that had nothing there?
    pub(super) fn hides(&self, path: &[u8]) -> Result<bool, OverlayError> {
        let open = |path: &PathBuf| {
            openat(CWD, path, HOLD | OFlags::DIRECTORY, Mode::empty()).map_err(OverlayError::reading(path))
        };
        let directories: Vec<OwnedFd> = self.directories.iter().map(open).collect::<Result<_, _>>()?;
        let found = self.shows_below(&directories, path);
        found.map_err(OverlayError::reading(&self.directories[0].join(OsStr::from_bytes(path))))
    }

    fn shows_below(&self, directories: &[OwnedFd], path: &[u8]) -> Result<bool, Errno> {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (folder, name) = slash.map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]));
        for (folder, _) in self.merged(directories, folder)?.iter().skip(1) {
            match self.look_up(folder, name)? {
                Held::Nothing => {}
                Held::Whiteout => return Ok(false),
                Held::Folder(..) | Held::Other => return Ok(true),
            }
        }
        Ok(false)
    }

    /// The folders that are one folder at the path, the highest first.
    fn merged<'a>(&self, directories: &'a [OwnedFd], path: &[u8]) -> Result<Vec<Level<'a>>, Errno> {
        let root = |(at, directory): (usize, &OwnedFd)| {
            let folder = openat(directory, ".", HOLD | OFlags::DIRECTORY, Mode::empty());
            folder.map(|folder| (folder, &directories[at + 1..]))
        };
        let mut here: Vec<Level<'a>> = directories.iter().enumerate().map(root).collect::<Result<_, _>>()?;
        let mut above: Vec<u8> = Vec::new();
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            // The kernel writes no such paths, and follows none.
            if matches!(name, b"." | b"..") {
                return Ok(Vec::new());
            }
            let mut inner = Vec::new();
            for (folder, below) in here {
                match self.look_up(&folder, name)? {
                    Held::Nothing => {}
                    Held::Whiteout | Held::Other => break,
                    Held::Folder(folder, attributes) => {
                        inner.push((folder, below));
                        if attributes.are_opaque(self.mounted_by) {
                            break;
                        }
                        // Renamed: below it has this name, from the root or in the same folder.
                        if let Some(renamed) = attributes.redirect(self.mounted_by) {
                            let is_from_root = renamed.starts_with(b"/");
                            let path =
                                if is_from_root { renamed.to_vec() } else { [&above[..], renamed].concat() };
                            inner.extend(self.merged(below, &path)?);
                            break;
                        }
                    }
                }
            }
            here = inner;
            above.extend(name);
            above.push(b'/');
        }
        Ok(here)
    }

    fn look_up(&self, folder: &OwnedFd, name: &[u8]) -> Result<Held, Errno> {
        let held = match openat(folder, name, HOLD, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Held::Nothing),
            held => held?,
        };
        let stat = fstat(&held)?;
        let attributes = Attributes::of_held(&held)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Held::Folder(held, attributes),
            FileType::CharacterDevice if stat.st_rdev == 0 => Held::Whiteout,
            FileType::RegularFile if attributes.are_whiteout(self.mounted_by) => Held::Whiteout,
            _ => Held::Other,
        })
    }
}
