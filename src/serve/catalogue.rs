//! What is known of the archives in the folder beyond their names and sizes: the images inside and the SHA-256, each
//! for the file that it was found of. Kept on disk, so that a restart reads none of them again.
//!
//! Threats: others put files there. An archive is opened by its own reader, which bounds it; what its documents say are
//! claims, told as such. A file that took the name of another has another identity, and nothing known.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::folder::{FileName, Folder, Identity};
use super::lock;
use super::progress::with_causes;
use crate::archive::reader::ReadError;
use crate::archived::OpenError;
use crate::fsio::{Existing, FileError, ForeignFolder, write_whole};
use crate::image::Algorithm;
use crate::sidecar::{Checksum, Reading};

const FILE: &str = "files.json";
/// No such file is read that is larger.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// No archive is told to hold more images.
const MAX_NAMES: usize = 1000;

/// What is known of one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    identity: Identity,
    /// Its images' names; none before it was opened.
    pub(super) images: Option<Vec<String>>,
    /// Why they can't be told.
    pub(super) problem: Option<Problem>,
    /// The hex digits of its SHA-256; none before it was read.
    pub(super) sha256: Option<String>,
}

/// Why a file's images can't be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Problem {
    /// The same in a word, for the page's other language.
    pub(super) code: Cow<'static, str>,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), text: text.into() }
    }

    fn of(error: &OpenError) -> Self {
        let code = match error {
            OpenError::File(_) => "unreadable",
            OpenError::Packing { .. } => "packed",
            OpenError::NotAnArchive { source: ReadError::NotATar, .. } => "not_an_archive",
            OpenError::NotAnArchive { .. } | OpenError::Unpack { .. } | OpenError::TooManyFiles { .. } => {
                "damaged"
            }
        };
        Self::new(code, with_causes(error))
    }
}

/// What is known of all files.
pub(super) struct Catalogue {
    path: PathBuf,
    known: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    files: HashMap<String, Known>,
    is_saved: bool,
}

impl Catalogue {
    /// What an earlier run wrote down; nothing, if that can't be read.
    pub(super) fn open(folder: &Folder) -> Self {
        let path = folder.state().join(FILE);
        let bytes = ForeignFolder::open(&folder.state()).and_then(|state| state.read(FILE, MAX_FILE_BYTES));
        let files = bytes.ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let known = Content { files: files.unwrap_or_default(), is_saved: true };
        Self { path, known: Mutex::new(known) }
    }

    /// What is known of this very file.
    pub(super) fn of(&self, name: &FileName, identity: &Identity) -> Option<Known> {
        let content = lock(&self.known);
        content.files.get(name.as_str()).filter(|known| known.identity == *identity).cloned()
    }

    /// True if this very file was opened.
    pub(super) fn knows(&self, name: &FileName, identity: &Identity) -> bool {
        let content = lock(&self.known);
        let known = content.files.get(name.as_str());
        known.is_some_and(|known| known.identity == *identity && known.images.is_some())
    }

    /// Takes down what an export put into a file.
    pub(super) fn exported(
        &self,
        name: &FileName,
        identity: Identity,
        images: Vec<String>,
        sha256: Option<String>,
    ) {
        self.put(name, Known { identity, images: Some(images), problem: None, sha256 });
    }

    /// Opens an archive for its images. Blocks, for a few reads.
    pub(super) fn open_archive(&self, folder: &Folder, name: &FileName, identity: Identity) {
        let (identity, images, problem) = match folder.archive(name) {
            Ok(None) => (identity, Vec::new(), Some(Problem::new("no_file", "it is gone"))),
            Ok(Some((archive, identity))) => {
                let names = archive.images().iter().flat_map(|image| &image.names);
                let names: Vec<_> = names.map(|name| name.text.clone()).take(MAX_NAMES).collect();
                let problem = names.is_empty().then(|| Problem::new("no_names", "no image in it has a name"));
                (identity, names, problem)
            }
            Err(error) => (identity, Vec::new(), Some(Problem::of(&error))),
        };
        let sha256 = self.of(name, &identity).and_then(|known| known.sha256);
        self.put(name, Known { identity, images: Some(images), problem, sha256 });
    }

    /// Reads a file to its end for its checksum; none if there is no such file. Blocks.
    pub(super) fn read_checksum(
        &self,
        folder: &Folder,
        name: &FileName,
    ) -> Result<Option<(Identity, String)>, FileError> {
        let path = folder.path_of(name);
        let opened = folder.open_file(name).map_err(FileError::io("open", &path))?;
        let Some((file, identity)) = opened else { return Ok(None) };
        let Checksum { digest, .. } = read(Reading::of_opened(&path, file, Algorithm::Sha256)?)?;
        let sha256 = digest.hex().to_owned();
        let known = self.of(name, &identity);
        let known = known.unwrap_or(Known { identity, images: None, problem: None, sha256: None });
        self.put(name, Known { sha256: Some(sha256.clone()), ..known });
        Ok(Some((identity, sha256)))
    }

    fn put(&self, name: &FileName, known: Known) {
        let mut content = lock(&self.known);
        content.files.insert(name.as_str().to_owned(), known);
        content.is_saved = false;
    }

    /// Forgets files that are gone, and writes the rest down. Blocks.
    pub(super) fn save(&self, is_there: impl Fn(&str) -> bool) {
        let bytes = {
            let mut content = lock(&self.known);
            let before = content.files.len();
            content.files.retain(|name, _| is_there(name));
            if content.is_saved && content.files.len() == before {
                return;
            }
            content.is_saved = true;
            serde_json::to_vec(&content.files)
        };
        // What can't be written down is found again.
        let _ = bytes.map(|bytes| write_whole(&self.path, &bytes, Existing::Replace));
    }
}

fn read(mut reading: Reading) -> Result<Checksum, FileError> {
    loop {
        let bytes;
        (reading, bytes) = reading.advance()?;
        if bytes == 0 {
            return Ok(reading.finish());
        }
    }
}
