//! Planned archives on their way to files or stdout, with a word on each.

use std::time::{Duration, Instant};

use sealift::image::{Descriptor, Digest, ResolvedImage};
use sealift::pull::{PlannedArchive, Pull, Written};
use sealift::sidecar::Checksum;
use serde::Serialize;

use super::outcome::Outcome;
use super::reuse::Tally;
use super::sidecars::{self, Beside};
use crate::cli::progress::Mode;
use crate::cli::report::Failure;
use crate::cli::ui;

/// How archives are written and told of.
pub(in crate::cli) struct Delivery<'a> {
    pub(in crate::cli) pull: Pull<'a>,
    pub(in crate::cli) tally: &'a Tally,
    pub(in crate::cli) as_json: bool,
    pub(in crate::cli) mode: Mode,
}

/// A file that is there, with what stands beside it.
struct Done {
    written: Written,
    /// How long the file alone took.
    took: Duration,
    checksum: Option<Checksum>,
}

impl Delivery<'_> {
    /// Writes each archive to stdout.
    pub(in crate::cli) async fn pipe(&self, archives: &[PlannedArchive]) -> Result<(), Failure> {
        for archive in archives {
            self.pull.pipe(archive, ui::raw_stdout()?).await?;
            if let Some(words) = self.tally.words().filter(|_| self.mode.has_words()) {
                ui::talk(&words);
            }
        }
        Ok(())
    }

    /// Writes each archive to its file, once all have names and room; one that fails doesn't stop the others.
    pub(in crate::cli) async fn write(
        &self,
        archives: &[PlannedArchive],
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        self.pull.check(archives)?;
        for archive in archives {
            match self.write_one(archive).await {
                Ok(done) => {
                    self.tell(archive, &done)?;
                    outcome.written(archive, &done.written);
                }
                Err(error) => outcome.failed(archive, error),
            }
        }
        Ok(())
    }

    async fn write_one(&self, archive: &PlannedArchive) -> sealift::Result<Done> {
        let started = Instant::now();
        let written = self.pull.write(archive).await?;
        let took = started.elapsed();
        Ok(Done { written, took, checksum: self.pull.write_sidecars(archive).await? })
    }

    /// Says where the file is, and how to load it.
    fn tell(&self, archive: &PlannedArchive, done: &Done) -> Result<(), Failure> {
        let written = &done.written;
        if self.as_json {
            ui::json(&self.file(archive, done))?;
        } else {
            ui::data(&archive.path.display().to_string())?;
        }
        if self.mode.has_words() {
            let how = match written {
                Written::Fetched(_) => format!("in {:.1} s", done.took.as_secs_f64()),
                Written::UpToDate(_) => "up to date, nothing was fetched".to_owned(),
            };
            let (size, path) = (ui::size(written.archive().size_bytes), ui::shell_word(&archive.path));
            if let Written::Fetched(_) = written
                && let Some(words) = self.tally.words()
            {
                ui::talk(&words);
            }
            ui::talk(&format!("{size} {how}; to load it: docker load -i {path}"));
            sidecars::tell(&archive.path, self.pull.sidecars);
        }
        Ok(())
    }

    fn file<'a>(&self, planned: &'a PlannedArchive, done: &'a Done) -> File<'a> {
        let written = &done.written;
        File {
            images: Identity::all_of(planned),
            size_bytes: written.archive().size_bytes,
            path: planned.path.display().to_string(),
            up_to_date: matches!(written, Written::UpToDate(_)),
            reused_bytes: if matches!(written, Written::Fetched(_)) { self.tally.reused_bytes() } else { 0 },
            beside: Beside::of(&planned.path, self.pull.sidecars),
            sha256: done.checksum.as_ref().map(|checksum| checksum.digest.hex()),
        }
    }
}

/// A file that was written, for programs.
#[derive(Serialize)]
struct File<'a> {
    images: Vec<Identity<'a>>,
    size_bytes: u64,
    path: String,
    /// True if the file was there already.
    up_to_date: bool,
    /// What was copied from files that are here, not fetched.
    reused_bytes: u64,
    #[serde(flatten)]
    beside: Beside,
    /// The file's own SHA-256, where something that stands beside it needed that.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
}

/// What is known of an image before its layers come.
#[derive(Serialize)]
pub(super) struct Identity<'a> {
    pub(super) image: String,
    pub(super) platform: String,
    /// What the name resolved to.
    pub(super) digest: &'a Digest,
    pub(super) manifest: &'a Digest,
    pub(super) config: &'a Digest,
    pub(super) layers: &'a [Descriptor],
}

impl<'a> Identity<'a> {
    pub(super) fn all_of(planned: &'a PlannedArchive) -> Vec<Self> {
        let identity = |image: &'a ResolvedImage| Self {
            image: image.reference.to_string(),
            platform: image.platform.to_string(),
            digest: &image.target.digest,
            manifest: image.manifest_document.digest(),
            config: &image.manifest.config.digest,
            layers: &image.manifest.layers,
        };
        planned.images.iter().map(identity).collect()
    }
}
