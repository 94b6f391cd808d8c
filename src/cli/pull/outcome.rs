//! How a pull of several images ended: a table, and the first failure's exit code.

use sealift::pull::{Failed, PlannedArchive, Written};

use crate::cli::progress::Mode;
use crate::cli::report::Failure;
use crate::cli::ui;

/// What became of each image so far.
pub(super) struct Outcome {
    rows: Vec<(&'static str, String)>,
    failures: Vec<Failure>,
}

impl Outcome {
    /// Begins with what could not even be planned.
    pub(super) fn new(failures: Vec<Failed>) -> Self {
        let mut outcome = Self { rows: Vec::new(), failures: Vec::new() };
        for Failed { image, error } in failures {
            outcome.fail(&image, error);
        }
        outcome
    }

    pub(super) fn written(&mut self, archive: &PlannedArchive, written: &Written) {
        let how = match written {
            Written::Fetched(_) => "written",
            Written::UpToDate => "up to date",
        };
        self.rows.push((how, format!("{}  {}", names(archive), archive.path.display())));
    }

    pub(super) fn failed(&mut self, archive: &PlannedArchive, error: sealift::Error) {
        self.fail(&names(archive), error);
    }

    fn fail(&mut self, image: &str, error: sealift::Error) {
        self.rows.push(("failed", format!("{image}  {error}")));
        self.failures.push(error.into());
    }

    /// Success, the one failure there was, or a table of all and the first failure's exit code.
    pub(super) fn end(mut self, archives: usize, mode: Mode) -> Result<(), Failure> {
        if self.failures.is_empty() {
            return Ok(());
        }
        if archives == 0 && self.failures.len() == 1 || self.rows.len() == 1 {
            return Err(self.failures.swap_remove(0));
        }
        if mode.has_words() {
            for (how, what) in &self.rows {
                ui::talk(&format!("{how:<10}  {what}"));
            }
        }
        Err(Failure::Several { of: self.rows.len().max(archives), failures: self.failures })
    }
}

fn names(archive: &PlannedArchive) -> String {
    archive.images.iter().map(|image| image.reference.to_string()).collect::<Vec<_>>().join(", ")
}
