//! The walk of an upper directory, and the tar it becomes.
//!
//! Order, names and numbers are those of containerd's differ (`continuity/fs`, `archive.ChangeWriter`), so that what it
//! unpacked of a layer it wrote itself becomes that layer again, to the byte.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

use super::MountedBy;
use super::error::OverlayError;
use super::header::{BLOCK_BYTES, Header, Kind, Time};
use super::raw::{header, kind_of};
use super::walk::{Contents, Found, Walk};
use crate::foreign::shown;
use crate::fsio::FileError;

/// Whose snapshot it is nothing tells; images have attributes of neither.
const MADE_BY: MountedBy = MountedBy::User;
/// What stands before a removed file's name.
const WHITEOUT: &[u8] = b".wh.";
/// The name that says that a directory hides what stands below it.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The one attribute that containerd's differ writes.
const CAPABILITY: &[u8] = b"security.capability";

/// How much of an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What containerd's differ and `BuildKit` write: whole seconds, and of extended attributes capabilities only.
    Containerd,
    /// What Docker's graph driver writes, and so its classic builder; podman and buildah too: the same, but that modes say
    /// what kind of file it is, and whiteouts whose they are.
    Docker,
    /// All there is.
    Full,
}

/// Something that a layer can't hold. Paths are from the layer's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// A socket: it is nothing without the program that listens there.
    Socket(PathBuf),
    /// In a layer this name would remove another.
    ReservedName(PathBuf),
    /// An extended attribute whose name can't stand in a tar.
    Attribute {
        /// Whose.
        path: PathBuf,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |path: &Path| shown(&path.to_string_lossy());
        match self {
            Self::Socket(path) => write!(formatter, "the socket `{}`", name(path)),
            Self::ReservedName(path) => {
                write!(formatter, "`{}`, whose name would remove another", name(path))
            }
            Self::Attribute { path, name: attribute } => {
                write!(formatter, "the attribute `{}` of `{}`", shown(attribute), name(path))
            }
        }
    }
}

/// A layer that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The tar's size.
    pub size_bytes: u64,
    /// True where the form left out times or attributes.
    pub is_abridged: bool,
}

/// Writes the upper directory at `root` as a layer. Blocks.
pub fn write_layer(
    root: &Path,
    form: Form,
    output: &mut dyn Write,
    tell: &mut dyn FnMut(LeftOut),
) -> Result<Written, OverlayError> {
    let written = Written { size_bytes: 0, is_abridged: false };
    let mut layer = Layer { form, output, tell, links: HashMap::new(), written };
    let mut walk = Walk::open(root)?;
    while walk.advance()? {
        layer.add(&mut walk)?;
    }
    layer.write(&[0; 2 * BLOCK_BYTES])?;
    Ok(layer.written)
}

struct Layer<'a> {
    form: Form,
    output: &'a mut dyn Write,
    tell: &'a mut dyn FnMut(LeftOut),
    /// The first name of each file that has several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    written: Written,
}

impl Layer<'_> {
    /// Writes what the walk came to. A folder is walked next.
    fn add(&mut self, walk: &mut Walk) -> Result<(), OverlayError> {
        let name = walk.path().to_vec();
        let (folder, base) = name.split_at(name.len() - walk.base().len());
        if base.starts_with(WHITEOUT) {
            (self.tell)(LeftOut::ReservedName(path(&name)));
            return Ok(());
        }
        let Found { stat, attributes, contents } = walk.look_at()?;
        let Some(kind) = kind_of(&contents) else {
            (self.tell)(LeftOut::Socket(path(&name)));
            return Ok(());
        };
        let mut header = header(name.clone(), kind, &stat);
        if header.is_whiteout() || attributes.are_whiteout(MADE_BY) {
            let name = [folder, WHITEOUT, base].concat();
            return self.write_whiteout(Header { mode: 0o600, ..self::header(name, Kind::File, &stat) });
        }
        if attributes.lead_below(MADE_BY) {
            return Err(OverlayError::Below(walk.shown()));
        }
        let is_opaque = attributes.are_opaque(MADE_BY);
        header.attributes = attributes.into_own(MADE_BY);
        self.abridge(&mut header);
        if kind != Kind::Directory && stat.st_nlink > 1 && self.is_linked(&mut header, &stat) {
            return self.write(&header.to_blocks());
        }
        match contents {
            Contents::File(file) => {
                header.size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
                self.write(&header.to_blocks())?;
                self.write_content(file, header.size_bytes, || walk.shown())?;
            }
            Contents::Folder(opened) => {
                header.name.push(b'/');
                self.write(&header.to_blocks())?;
                if is_opaque {
                    let marker = [&header.name, OPAQUE].concat();
                    self.write_whiteout(Header {
                        mode: stat.st_mode & 0o777,
                        ..self::header(marker, Kind::File, &stat)
                    })?;
                }
                walk.enter(opened)?;
            }
            Contents::Symlink(target) => {
                header.target = target;
                self.write(&header.to_blocks())?;
            }
            Contents::Special(_) => self.write(&header.to_blocks())?,
        }
        Ok(())
    }

    /// Takes away what the form leaves out, and what no tar can say.
    fn abridge(&mut self, header: &mut Header) {
        let (named, unnamable): (Vec<_>, Vec<_>) =
            std::mem::take(&mut header.attributes).into_iter().partition(|(name, _)| !name.contains(&b'='));
        for (name, _) in unnamable {
            let name = String::from_utf8_lossy(&name).into_owned();
            (self.tell)(LeftOut::Attribute { path: path(&header.name), name });
        }
        header.attributes = named.into_iter().collect();
        if self.form == Form::Docker {
            header.mode |= header.kind.mode();
        }
        if self.form != Form::Full {
            let count = header.attributes.len();
            header.attributes.retain(|name, _| name == CAPABILITY);
            self.written.is_abridged |= header.attributes.len() < count || header.modified.nanoseconds > 0;
            header.modified.nanoseconds = 0;
        }
    }

    /// Makes the header one of a link, if the file was written by another name.
    fn is_linked(&mut self, header: &mut Header, stat: &Stat) -> bool {
        let file = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&file) {
            header.kind = Kind::Link;
            header.target.clone_from(first);
            return true;
        }
        self.links.insert(file, header.name.clone());
        false
    }

    /// Writes the empty file that says that there is none, or none below. It has no time: containerd 2 gives it none,
    /// and that at which a snapshot was unpacked says nothing.
    fn write_whiteout(&mut self, header: Header) -> Result<(), OverlayError> {
        let (mode, uid, gid) = match self.form {
            Form::Docker => (header.mode, header.uid, header.gid),
            Form::Containerd | Form::Full => (0, 0, 0),
        };
        let modified = Time::default();
        self.write(&Header { mode, uid, gid, modified, ..header }.to_blocks())
    }

    /// Writes so much of a file and pads it. What was added since it was looked at isn't in it.
    fn write_content(
        &mut self,
        file: impl Read,
        size_bytes: u64,
        path: impl Fn() -> PathBuf,
    ) -> Result<(), OverlayError> {
        let mut chunk = vec![0; 256 << 10];
        let mut file = file.take(size_bytes);
        let mut left_bytes = size_bytes;
        while left_bytes > 0 {
            match file.read(&mut chunk) {
                Ok(0) => return Err(OverlayError::Changed(path())),
                Ok(read) => {
                    self.write(&chunk[..read])?;
                    left_bytes -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::io("read", &path())(error).into()),
            }
        }
        let padding = size_bytes.next_multiple_of(BLOCK_BYTES as u64) - size_bytes;
        self.write(&[0; BLOCK_BYTES][..usize::try_from(padding).unwrap_or(0)])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), OverlayError> {
        self.written.size_bytes += bytes.len() as u64;
        self.output.write_all(bytes).map_err(OverlayError::Output)
    }
}

fn path(name: &[u8]) -> PathBuf {
    OsStr::from_bytes(name).into()
}
