//! From a verified file to a verified tree on the disk.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::fs::{fsync, syncfs};

use super::error::LayerFileError;
use super::metadata::Metadata;
use super::verify::LayerFile;
use super::version_1::Indexed;
use crate::blob::HashThread;
use crate::fsio::{FileError, check_room_for_tree};
use crate::overlay::{
    Devices, Entries, Made, OverlayError, RawReader, Staged, Summed, Tree, UnpackError, Watch, check,
    check_root, finish_root, read_header, unpack,
};

/// A layer file all of whose bytes were verified.
#[derive(Debug)]
pub struct VerifiedLayerFile {
    pub(super) file: LayerFile,
    pub(super) metadata: Metadata,
    pub(super) layer: Layer,
    pub(super) lost: Vec<String>,
}

/// The layer of a file that was verified.
#[derive(Debug)]
pub(super) enum Layer {
    /// A raw tar.
    Raw {
        summed: Box<Summed>,
        /// The size of its entry.
        layer_bytes: u64,
    },
    /// Of version 1.0: what it was read to be.
    Version1(Arc<Indexed>),
}

impl Layer {
    fn summed(&self) -> &Summed {
        match self {
            Self::Raw { summed, .. } => summed,
            Self::Version1(indexed) => &indexed.summed,
        }
    }
}

impl VerifiedLayerFile {
    /// What it says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What was lost already when the file was made: lines to tell, of files of version 1.0 only.
    pub fn lost(&self) -> &[String] {
        &self.lost
    }

    /// What is in it; of files of version 1.0 too.
    pub fn tree(&self) -> &Tree {
        &self.layer.summed().tree
    }

    /// The path of a device in it that is no whiteout, if there is one.
    pub fn first_device(&self) -> Option<PathBuf> {
        self.layer.summed().first_device.as_deref().map(|name| {
            use std::os::unix::ffi::OsStrExt;
            OsStr::from_bytes(name).into()
        })
    }

    /// How much unpacking tells `watch` of, and reading back again.
    pub fn unpacking_bytes(&self) -> u64 {
        self.layer.summed().tar_bytes
    }

    /// About what the tree takes of a disk.
    pub fn disk_bytes(&self) -> u64 {
        self.layer.summed().disk_bytes
    }

    /// An error if there is no room for it where `folder` is, and for others to go on.
    pub fn check_room(&self, folder: &Path) -> Result<(), LayerFileError> {
        Ok(check_room_for_tree(folder, self.disk_bytes(), self.tree().counts.entries)?)
    }

    /// Unpacks into a new folder `name` (0700 until it is verified) within `beside`. Blocks. Where that fails, or what it gives
    /// is dropped, the new folder is removed.
    pub fn unpack(
        &self,
        beside: BorrowedFd<'_>,
        name: &OsStr,
        devices: Devices,
        watch: Watch<'_>,
    ) -> Result<Unpacked, LayerFileError> {
        if let (Devices::Refuse, Some(device)) = (devices, self.first_device()) {
            return Err(OverlayError::Device(device).into());
        }
        let staged = Staged::new(beside, name)?;
        let made = match &self.layer {
            Layer::Raw { layer_bytes, .. } => {
                let (tap, mut stream) = self.file.stream(false, &|_| true)?;
                // Its header, which was verified.
                let at_layer = matches!(read_header(&mut stream), Ok(Some(_)));
                let mut entries = RawReader::new(stream.take(if at_layer { *layer_bytes } else { 0 }));
                let made = self.make(&mut entries, &staged, watch);
                tap.failure().map_or(made, Err)?
            }
            Layer::Version1(indexed) => self.make(&mut indexed.entries(), &staged, watch)?,
        };
        let expected = self.layer.summed().clone();
        Ok(Unpacked { staged, made, expected, checksum: self.checksum() })
    }

    fn make(
        &self,
        entries: &mut dyn Entries,
        staged: &Staged,
        watch: Watch<'_>,
    ) -> Result<Made, LayerFileError> {
        unpack(entries, &self.layer.summed().entries, staged, watch).map_err(|error| match error {
            UnpackError::Tree(error) => error.into(),
            UnpackError::Changed => LayerFileError::Changed(self.file.path.clone()),
        })
    }

    /// What paths and contents hash to, as they are read back.
    fn checksum(&self) -> String {
        match &self.layer {
            Layer::Raw { .. } => self.metadata.layer_checksum.clone(),
            Layer::Version1(indexed) => indexed.checksum.clone(),
        }
    }
}

/// A tree that was unpacked and not looked at yet. Dropped, it is removed.
#[derive(Debug)]
pub struct Unpacked {
    staged: Staged,
    made: Made,
    expected: Summed,
    checksum: String,
}

impl Unpacked {
    /// Reads it back, compares it with the file's tree digest and layer checksum, and waits until the disk has it. Blocks.
    /// `watch` is told of about the same bytes as when it was unpacked. The root gets its own mode, owner and time as the
    /// last thing.
    pub fn verify(self, watch: Watch<'_>) -> Result<VerifiedTree, LayerFileError> {
        let Self { staged, made, expected, checksum } = self;
        let mut contents = HashThread::new();
        let (checked, synced) = thread::scope(|scope| {
            // The disk is busy meanwhile; what is read is still in memory.
            let syncing = scope.spawn(|| syncfs(staged.folder()));
            let checked = check(&staged, &made, &expected, &mut |bytes| contents.update(bytes), watch);
            (checked, syncing.join())
        });
        checked?;
        let failed = |error: io::Error| FileError::io("write", Path::new(staged.name()))(error);
        match synced {
            Ok(synced) => synced.map_err(|errno| failed(errno.into()))?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        if contents.finish().hex() != checksum {
            let path = PathBuf::from("./");
            return Err(OverlayError::NotTheSame { path, what: "the contents of its files" }.into());
        }
        finish_root(&staged, &made.root)?;
        check_root(&staged, &expected)?;
        fsync(staged.folder()).map_err(|errno| failed(errno.into()))?;
        Ok(VerifiedTree { staged })
    }
}

/// A tree on disk that is the file's, to the bit, and synced. Dropped, it is removed: [`keep`](Self::keep) says otherwise.
#[derive(Debug)]
pub struct VerifiedTree {
    staged: Staged,
}

impl VerifiedTree {
    /// The tree's root, open.
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.staged.folder()
    }

    /// The folder it is in, open.
    pub fn beside(&self) -> BorrowedFd<'_> {
        self.staged.beside()
    }

    /// Its name there.
    pub fn name(&self) -> &OsStr {
        self.staged.name()
    }

    /// From here on it is the caller's (call it just before the rename): nothing is removed any more.
    pub fn keep(self) -> io::Result<OwnedFd> {
        let mut staged = self.staged;
        staged.keep();
        staged.folder().try_clone_to_owned()
    }
}
