//! One layer in the place of another, in one step that nothing divides.
//!
//! ```text
//! a directory beside the layer, verified ──journal──▶ exchange ──still unused?──▶ the old one gets a backup's name ──▶ no journal
//! ```
//!
//! The journal says which inode the layer had and which it is to have. Whoever finds it knows by the layer's inode whether
//! the exchange was before or is to come, and ends or undoes what a dead run began. It ends as the note of the backup. The old
//! layer is always a backup first: a container may have been started in that very moment, and write into either.

use serde::{Deserialize, Serialize};

use super::backups::Backup;
use super::error::ContainerLayerError;
use super::place::{DOOMED, Place, STAGED};
use crate::fsio::FileError;
use crate::layer_file::VerifiedTree;

/// The journal.
const JOURNAL: &str = "sealift-import.json";
/// What backups are called, before their date.
pub(super) const BACKUP: &str = "sealift-backup-";
/// Behind a backup's name: its note.
pub(super) const NOTE: &str = ".json";
/// The version of journals and notes.
const VERSION: u32 = 1;

/// What is exchanged, as the journal and then the backup's note have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exchange {
    version: u32,
    /// The directory that takes the layer's place; afterwards the old layer has that name.
    staged: String,
    /// True if it was a backup, which stays if nothing comes of it.
    is_backup: bool,
    old_inode: u64,
    new_inode: u64,
    /// What the old layer is called in the end.
    backup: String,
    #[serde(flatten)]
    pub(super) occasion: Occasion,
}

/// Why and when there was an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Occasion {
    /// When, as RFC 3339 has it.
    pub(super) date: String,
    /// What the layer made room for: `import of FILE`.
    pub(super) before: String,
    /// The container's ID.
    pub(super) container_id: String,
    /// Its name.
    pub(super) container: String,
    /// The name of its image.
    pub(super) image: String,
    /// The image's ID.
    pub(super) image_id: String,
}

/// How what a dead run left was cleaned up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovered {
    /// It had put its layer in the place already: what was missing of it was done.
    Ended,
    /// It had not: what it had made is removed.
    Undone,
}

/// What became of what a dead run left.
#[derive(Debug)]
pub(super) struct Recovery {
    /// None if there was nothing, or nothing of it went away.
    pub(super) done: Option<Recovered>,
    /// Why something is still there. The container needs nothing of it.
    pub(super) stays: Vec<ContainerLayerError>,
}

/// A step, which may be done again.
type Step = fn(&Exchange, &Place) -> Result<(), ContainerLayerError>;

/// In this order. The second is the exchange; those after it are done again by whoever finds the journal.
const STEPS: [Step; 5] =
    [Exchange::begin, Exchange::exchange, Exchange::keep_old, Exchange::forget_restored, Exchange::end];
const AFTER_EXCHANGE: usize = 2;

/// Says whether somebody has taken the container up.
pub(super) type Ask<'a> = &'a dyn Fn() -> Result<(), ContainerLayerError>;

impl Exchange {
    /// The exchange of the layer with one that was unpacked beside it and verified; that is the journal's matter from here
    /// on.
    pub(super) fn with_tree(
        place: &Place,
        tree: VerifiedTree,
        occasion: Occasion,
    ) -> Result<Self, ContainerLayerError> {
        let exchange = Self::of(place, &tree.name().to_string_lossy(), occasion)?;
        let kept = tree.keep();
        kept.map_err(FileError::io("open", &place.path_of(&exchange.staged)))?;
        Ok(exchange)
    }

    /// The exchange of the layer with a backup.
    pub(super) fn with_backup(
        place: &Place,
        backup: &Backup,
        occasion: Occasion,
    ) -> Result<Self, ContainerLayerError> {
        Self::of(place, &backup.name, occasion)
    }

    fn of(place: &Place, staged: &str, occasion: Occasion) -> Result<Self, ContainerLayerError> {
        let inode = |name: &std::ffi::OsStr| {
            let found = place.inode(name)?;
            found.ok_or_else(|| ContainerLayerError::NotHere { path: place.path_of(name) })
        };
        let backup = free_name(place, &occasion.date)?;
        Ok(Self {
            version: VERSION,
            staged: staged.to_owned(),
            is_backup: staged.starts_with(BACKUP),
            old_inode: inode(place.layer())?,
            new_inode: inode(staged.as_ref())?,
            backup,
            occasion,
        })
    }

    /// Does it all. All that is in the new layer is on the disk. The container is asked about before and after. The name of
    /// the backup is given back; a backup that isn't to stay goes last.
    pub(super) fn run(
        self,
        place: &Place,
        ask: Ask<'_>,
        is_kept: bool,
    ) -> Result<Option<String>, ContainerLayerError> {
        let begun = ask().and_then(|()| self.begin(place)).and_then(|()| self.exchange(place));
        if let Err(error) = begun {
            // The new layer may be there, but not for certain on the disk: that is the next run's to end.
            if place.inode(place.layer()).is_ok_and(|inode| inode == Some(self.new_inode)) {
                return Err(unfinished(place, error));
            }
            // Should that fail, too, the next run does it.
            let _ = recover(place);
            return Err(error);
        }
        let used = ask().err();
        let ended = STEPS[AFTER_EXCHANGE..].iter().try_for_each(|step| step(&self, place));
        ended.map_err(|error| unfinished(place, error))?;
        if let Some(source) = used {
            let (backup, source) = (place.path_of(&self.backup), Box::new(source));
            return Err(ContainerLayerError::TakenUp { backup, source });
        }
        if is_kept {
            return Ok(Some(self.backup));
        }
        remove_backup(place, &self.backup).map_err(|error| unfinished(place, error))?;
        Ok(None)
    }

    fn begin(&self, place: &Place) -> Result<(), ContainerLayerError> {
        let bytes = serde_json::to_vec_pretty(self);
        let bytes =
            bytes.map_err(|source| ContainerLayerError::Note { path: place.path_of(JOURNAL), source })?;
        Ok(place.write(JOURNAL, &bytes)?)
    }

    fn exchange(&self, place: &Place) -> Result<(), ContainerLayerError> {
        Ok(place.exchange(&self.staged, place.layer())?)
    }

    /// The old layer, which now has the staged name, gets its own.
    fn keep_old(&self, place: &Place) -> Result<(), ContainerLayerError> {
        if place.inode(&self.staged)? == Some(self.old_inode) {
            place.rename(&self.staged, &self.backup)?;
            place.sync()?;
        }
        Ok(())
    }

    /// What was a backup is the layer now.
    fn forget_restored(&self, place: &Place) -> Result<(), ContainerLayerError> {
        if self.is_backup {
            place.unlink(&format!("{}{NOTE}", self.staged))?;
        }
        Ok(())
    }

    /// The journal is the note of the backup from here on.
    fn end(&self, place: &Place) -> Result<(), ContainerLayerError> {
        place.rename(JOURNAL, format!("{}{NOTE}", self.backup))?;
        Ok(place.sync()?)
    }
}

/// What was to take the layer's place is nobody's from here on.
fn undo(place: &Place) -> Result<(), ContainerLayerError> {
    place.unlink(JOURNAL)?;
    Ok(place.sync()?)
}

/// Removes a backup. It has another name before anything of it is gone, so half of one is never taken for a whole.
fn remove_backup(place: &Place, backup: &str) -> Result<(), ContainerLayerError> {
    place.remove(rename_doomed(place, backup)?)
}

/// Gives a backup that is to go a name that the next run removes.
fn rename_doomed(place: &Place, backup: &str) -> Result<String, ContainerLayerError> {
    let doomed = place.random_name(DOOMED)?;
    place.unlink(&format!("{backup}{NOTE}"))?;
    place.rename(backup, &doomed)?;
    place.sync()?;
    Ok(doomed)
}

fn unfinished(place: &Place, error: ContainerLayerError) -> ContainerLayerError {
    ContainerLayerError::Unfinished { folder: place.path().to_owned(), source: Box::new(error) }
}

/// Ends or undoes what a dead run began. Blocks. An error is what leaves it open which layer is the container's.
pub(super) fn recover(place: &Place) -> Result<Recovery, ContainerLayerError> {
    let mut done = None;
    let journal = read_note(place, JOURNAL).map_err(|error| match error {
        ContainerLayerError::Note { path, source } => ContainerLayerError::Journal { path, source },
        error => error,
    })?;
    if let Some(exchange) = journal {
        let is_known = exchange.version == VERSION;
        match place.inode(place.layer())? {
            Some(inode) if is_known && inode == exchange.new_inode => {
                for step in &STEPS[AFTER_EXCHANGE..] {
                    step(&exchange, place)?;
                }
                done = Some(Recovered::Ended);
            }
            Some(inode) if is_known && inode == exchange.old_inode => {
                undo(place)?;
                done = Some(Recovered::Undone);
            }
            _ => {
                let (journal, layer) = (place.path_of(JOURNAL), place.path_of(place.layer()));
                return Err(ContainerLayerError::Unclear { journal, layer });
            }
        }
    }
    let mut stays: Vec<_> =
        place.unlink(&format!("{JOURNAL}.new")).err().map(Into::into).into_iter().collect();
    // Without a journal nothing is exchanged.
    for (left, how) in [(DOOMED, Recovered::Ended), (STAGED, Recovered::Undone)] {
        for removed in place.remove_left(left)? {
            match removed {
                Ok(()) => done = done.or(Some(how)),
                Err(error) => stays.push(error),
            }
        }
    }
    Ok(Recovery { done, stays })
}

/// A journal or note; none if there is no such file.
pub(super) fn read_note(place: &Place, name: &str) -> Result<Option<Exchange>, ContainerLayerError> {
    let Some(bytes) = place.read(name)? else { return Ok(None) };
    let note = serde_json::from_slice(&bytes);
    note.map(Some).map_err(|source| ContainerLayerError::Note { path: place.path_of(name), source })
}

/// A backup's name that nothing has: by the date, and where several are of one second by a number behind it.
fn free_name(place: &Place, date: &str) -> Result<String, ContainerLayerError> {
    let date: String = date.chars().filter(|character| !"-:".contains(*character)).collect();
    let names = place.names()?;
    let is_free = |name: &String| {
        let note = format!("{name}{NOTE}");
        !names.iter().any(|taken| *taken == **name || *taken == *note)
    };
    let numbered = (2_u32..).map(|number| format!("{BACKUP}{date}-{number}"));
    let mut all = std::iter::once(format!("{BACKUP}{date}")).chain(numbered);
    Ok(all.find(is_free).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests;
