//! Files on their way in: locked while their process lives, removed unless renamed.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// A new file, open for reading and writing. Dropped without [`rename`](Temporary::rename), it is removed.
pub(super) struct Temporary {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Temporary {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("{:016x}", RandomState::new().hash_one(std::process::id())));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let temporary = Self { path, file, renamed: false };
        // Tells `remove_abandoned` of another process that this one is alive.
        temporary.file.try_lock()?;
        Ok(temporary)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its final name, in place of any that has it.
    pub(super) fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is removed when the store is next opened.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what processes that are no more left in `folder`.
pub(super) fn remove_abandoned(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
