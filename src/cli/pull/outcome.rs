//! How a pull of several images ended: a table, and the first failure's exit code.

use sealift::pull::{Failed, PlannedArchive, Written};

use crate::cli::progress::Mode;
use crate::cli::report::Failure;
use crate::cli::ui;

/// What became of each image so far.
pub(in crate::cli) struct Outcome {
    /// How many files, written or not, there were to be.
    of: usize,
    rows: Vec<(&'static str, String)>,
    failures: Vec<Failure>,
}

impl Outcome {
    /// Begins with what could not even be planned; `archives` are still to come.
    pub(in crate::cli) fn new(failures: Vec<Failed>, archives: usize) -> Self {
        let of = failures.len() + archives;
        let mut outcome = Self { of, rows: Vec::new(), failures: Vec::new() };
        for Failed { image, error } in failures {
            outcome.fail(&image, error);
        }
        outcome
    }

    pub(super) fn written(&mut self, archive: &PlannedArchive, written: &Written) {
        let how = match written {
            Written::Fetched(_) => "written",
            Written::UpToDate(_) => "up to date",
        };
        self.rows.push((how, format!("{}  {}", names(archive), archive.path.display())));
    }

    pub(in crate::cli) fn failed(&mut self, archive: &PlannedArchive, error: sealift::Error) {
        self.fail(&names(archive), error);
    }

    fn fail(&mut self, image: &str, error: sealift::Error) {
        self.rows.push(("failed", format!("{image}  {error}")));
        self.failures.push(error.into());
    }

    /// Success, the one failure there was, or a table of all and the first failure's exit code.
    pub(in crate::cli) fn end(mut self, mode: Mode) -> Result<(), Failure> {
        if self.failures.is_empty() {
            return Ok(());
        }
        if self.of == 1 {
            return Err(self.failures.swap_remove(0));
        }
        if mode.has_words() {
            for (how, what) in &self.rows {
                ui::talk(&format!("{how:<10}  {what}"));
            }
        }
        Err(Failure::Several { of: self.of, failures: self.failures })
    }
}

fn names(archive: &PlannedArchive) -> String {
    archive.images.iter().map(|image| image.reference.to_string()).collect::<Vec<_>>().join(", ")
}
