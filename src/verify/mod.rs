//! Verify: is an archive what it says it is? All that is wrong, not the first thing.
//!
//! Three readings, each cheaper to get wrong than the one before: the entries and documents by themselves
//! ([`crate::archived`] finds those problems), the contents against what is said of them (`check`), and, where sealift
//! wrote the archive, every byte of it against what sealift writes (`exact`). What each loader makes of it is told by
//! [`loader`], and `repair` writes anew what can be mended.

pub mod against;
mod check;
mod exact;
mod extra;
pub mod loader;
mod repair;

use std::path::Path;
use std::sync::Arc;

use crate::archived::{Archive, Contents, Measuring, OpenError, Problem};
use crate::image::Platform;

pub use repair::{Repair, RepairError, Repaired};

/// What is asked of an archive.
#[derive(Clone, Copy)]
pub struct Verify<'a> {
    /// How contents are measured.
    pub measuring: Measuring<'a>,
    /// What its images should be for.
    pub platform: Option<&'a Platform>,
    /// Loaders that should take it.
    pub loaders: &'a [loader::Loader],
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// The archive.
    pub archive: Arc<Archive>,
    /// What its contents are.
    pub contents: Contents,
    /// What is wrong with it, first what its entries and documents show.
    pub problems: Vec<Problem>,
    /// Entries that nothing in it names, which is no problem.
    pub extra: Vec<String>,
    /// True if every byte is what sealift writes for these images.
    pub is_exact: bool,
}

impl Verify<'_> {
    /// Reads all of the file or folder at `path`. Blocks, and keeps all processors busy.
    pub fn archive(&self, path: &Path) -> Result<Report, OpenError> {
        self.report(Archive::open_measured(path, self.measuring)?)
    }

    /// Reads all of an archive that is open; one that comes through a pipe was measured on its way. Blocks, and keeps all
    /// processors busy.
    pub fn report(&self, mut archive: Archive) -> Result<Report, OpenError> {
        let contents = archive.measure(self.measuring)?;
        let mut problems = archive.take_problems();
        problems.extend(check::problems(&archive, &contents));
        if let Some(wanted) = self.platform {
            problems.extend(wrong_platforms(&archive, wanted));
        }
        let exact = exact::compare(&archive);
        let is_exact = exact.as_ref().is_some_and(|exact| exact.is_exact) && problems.is_empty();
        // Of what is known already nobody needs to hear twice.
        if problems.is_empty() {
            problems.extend(exact.into_iter().flat_map(|exact| exact.altered));
        }
        let mut refused = Vec::new();
        for loader in self.loaders {
            if let loader::Verdict::Refuses(why) = loader.verdict(&archive, &contents, &problems) {
                refused
                    .push(Problem::Loader { loader: loader.name(), verdict: format!("refuses it: {why}") });
            }
        }
        problems.extend(refused);
        let extra = extra::entries(&archive);
        Ok(Report { archive: archive.into(), contents, problems: problems.into_vec(), extra, is_exact })
    }
}

impl Report {
    /// What a loader makes of it.
    pub fn verdict(&self, loader: loader::Loader) -> loader::Verdict {
        loader.verdict(&self.archive, &self.contents, &self.problems)
    }

    /// How much was read of contents.
    pub fn read_bytes(&self) -> u64 {
        self.contents.keys().map(|place| place.size_bytes).sum()
    }
}

fn wrong_platforms(archive: &Archive, wanted: &Platform) -> Vec<Problem> {
    let images = archive.images().iter();
    let found = images.filter_map(|image| {
        let found = image.platform()?;
        let is_other = wanted.distance_to(&found).is_none();
        is_other.then(|| Problem::WrongPlatform {
            image: image.label(),
            found: found.into(),
            wanted: wanted.clone().into(),
        })
    });
    found.collect()
}
