//! What all files may take (`--max-disk`): asked before an archive begins, and kept for it until it is there.

use std::sync::{Arc, Mutex};

use super::failure::ExportError;
use super::files::Files;
use super::folder::FileName;
use super::lock;
use crate::fsio::FileError;

/// Room that is kept for an archive, however much of it is there already; given back when this is dropped.
pub(super) struct Reserved {
    files: Arc<Files>,
    name: FileName,
    /// Why it did not get more.
    refused: Mutex<Option<ExportError>>,
}

/// There is not enough.
#[allow(clippy::struct_field_names, reason = "units stand in names")]
#[derive(Debug, thiserror::Error)]
#[error(
    "it takes {needed_bytes} bytes, and of the {max_bytes} that --max-disk allows {used_bytes} are taken: \
     delete files, or clean up"
)]
pub(super) struct OverBudget {
    needed_bytes: u64,
    used_bytes: u64,
    max_bytes: u64,
}

impl Files {
    /// Keeps room for an archive. What an earlier try left of it counts as its own. Blocks.
    pub(super) fn reserve(
        self: &Arc<Self>,
        name: &FileName,
        needed_bytes: u64,
    ) -> Result<Reserved, ExportError> {
        self.keep_room(name, needed_bytes)?;
        Ok(Reserved { files: Arc::clone(self), name: name.clone(), refused: Mutex::default() })
    }

    fn keep_room(&self, name: &FileName, needed_bytes: u64) -> Result<(), ExportError> {
        let mut reserved = lock(&self.reserved);
        if let Some(max_bytes) = self.max_disk_bytes {
            // What is on its way to a name, or stands beside it, begins with it.
            let is_kept_for = |found: &[u8]| {
                let mut names = reserved.keys().chain([name]);
                names.any(|own| found.starts_with(own.as_str().as_bytes()))
            };
            let written = self.folder.used_bytes(|found| !is_kept_for(found));
            let written = written.map_err(FileError::io("read", self.folder.path()))?;
            let others = reserved.iter().filter(|(other, _)| *other != name);
            let used_bytes = others.fold(written, |sum, (_, bytes)| sum.saturating_add(*bytes));
            if used_bytes.saturating_add(needed_bytes) > max_bytes {
                return Err(OverBudget { needed_bytes, used_bytes, max_bytes }.into());
            }
        }
        reserved.insert(name.clone(), needed_bytes);
        Ok(())
    }
}

impl Reserved {
    /// Keeps more room for it, where so much is needed: layers inflate to more than was foretold. Blocks.
    pub(super) fn may_take(&self, needed_bytes: u64) -> bool {
        if lock(&self.files.reserved).get(&self.name).is_some_and(|kept| *kept >= needed_bytes) {
            return true;
        }
        let kept = self.files.keep_room(&self.name, needed_bytes);
        kept.map_err(|error| *lock(&self.refused) = Some(error)).is_ok()
    }

    /// Why it did not get more room in the end.
    pub(super) fn refused(&self) -> Option<ExportError> {
        lock(&self.refused).take()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        lock(&self.files.reserved).remove(&self.name);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::*;
    use crate::serve::folder::Folder;

    #[test]
    fn room_is_kept_for_what_is_under_way_and_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("old.tar"), [0; 30]).unwrap();
        let files = Arc::new(Files::new(Folder::open(folder.path()).unwrap(), Some(100), String::new()));
        let name = |text: &str| text.parse::<FileName>().unwrap();
        let reserve = |text, bytes| files.reserve(&name(text), bytes);
        let one = reserve("one.tar", 40).unwrap();
        std::fs::write(folder.path().join("one.tar.partial"), [0; 40]).unwrap();
        let Err(ExportError::OverBudget(refused)) = reserve("two.tar", 31) else { panic!("there is room") };
        assert_eq!((refused.used_bytes, refused.needed_bytes, refused.max_bytes), (70, 31, 100));
        let two = reserve("two.tar", 30).unwrap();
        drop(one);
        assert!(reserve("three.tar", 1).is_err(), "what was written still counts");
        std::fs::remove_file(folder.path().join("one.tar.partial")).unwrap();
        assert!(reserve("three.tar", 40).is_ok());
        assert!(two.may_take(70) && !two.may_take(71), "the rest of it, and no more");
        assert!(matches!(two.refused(), Some(ExportError::OverBudget(_))));
        assert!(reserve("three.tar", 1).is_err(), "what it took is its own");
        drop(two);
        std::fs::write(folder.path().join("two.tar.layers.partial"), [0; 60]).unwrap();
        assert!(reserve("two.tar", 70).is_ok(), "what an earlier try left is its own");
    }
}
