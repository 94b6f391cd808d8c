//! `sealift containerd-store export --mirror`.

use std::path::Path;
use std::time::Instant;

use clap::ValueEnum;
use sealift::event::Reporter;
use sealift::mirror::{Metadata, Mirror, Mirrored, WantedImage};
use serde::Serialize;

use super::export::{Chosen, ChosenImage};
use crate::cli::progress::Mode;
use crate::cli::report::Failure;
use crate::cli::ui;

/// What the mirror's metadata is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MetadataChoice {
    /// Written anew with what is exported: containerd runs on it
    Anew,
    /// The root's, byte for byte, with what the mirror doesn't have
    Verbatim,
}

impl MetadataChoice {
    fn metadata(self) -> Metadata {
        match self {
            Self::Anew => Metadata::Anew,
            Self::Verbatim => Metadata::Verbatim,
        }
    }
}

/// How a mirror is written and told of.
pub(super) struct MirrorDelivery<'a> {
    pub(super) reporter: &'a dyn Reporter,
    pub(super) folder: &'a Path,
    pub(super) metadata: MetadataChoice,
    pub(super) as_json: bool,
    pub(super) mode: Mode,
}

impl MirrorDelivery<'_> {
    pub(super) async fn write(&self, chosen: &Chosen) -> Result<(), Failure> {
        let started = Instant::now();
        let Some(first) = chosen.images.first() else { return Ok(()) };
        let mirror = Mirror {
            root: first.store.root(),
            folder: self.folder,
            metadata: self.metadata.metadata(),
            reporter: self.reporter,
        };
        let wanted = |one: &ChosenImage| WantedImage {
            store: one.store.clone(),
            image: one.stored.clone(),
            platforms: one.platforms.clone(),
        };
        let mirrored = mirror.export(&chosen.images.iter().map(wanted).collect::<Vec<_>>()).await?;
        let path = self.folder.display().to_string();
        if self.as_json {
            let images = chosen.images.iter().map(|one| one.stored.name.as_str()).collect();
            let Mirrored { blobs, blob_bytes, kept, earlier } = mirrored;
            ui::json(&Folder { path, images, blobs, blob_bytes, kept, earlier })?;
        } else {
            ui::data(&path)?;
        }
        if self.mode.has_words() {
            let there = match mirrored.kept {
                0 => String::new(),
                kept => format!(", {kept} of {} blobs were there already", mirrored.blobs),
            };
            match mirrored.earlier {
                0 => {}
                1 => ui::talk("another image that it had is verified, and stays"),
                earlier => ui::talk(&format!("{earlier} other images that it had are verified, and stay")),
            }
            let (size, seconds) = (ui::size(mirrored.blob_bytes), started.elapsed().as_secs_f64());
            let word = ui::shell_word(self.folder);
            ui::talk(&format!(
                "{size} in {seconds:.1} s{there}; to load it: sealift containerd-store import {word}"
            ));
        }
        Ok(())
    }
}

/// A mirror that was written, for programs.
#[derive(Serialize)]
struct Folder<'a> {
    path: String,
    images: Vec<&'a str>,
    blobs: usize,
    blob_bytes: u64,
    /// How many of the blobs were there already.
    kept: usize,
    /// How many other images were there already, and stay.
    earlier: usize,
}
