//! `sealift containerd-store list`.

use std::collections::BTreeMap;

use clap::Args;
use sealift::containerd_store::{
    BlobState, HeldBlob, HeldPlatform, Inventory, LayersFrom, Store, StoreError, StoredImage, Timestamp,
};
use sealift::foreign::shown;
use sealift::fsio::blocking;
use sealift::image::{Digest, MediaType};
use serde::Serialize;

use super::{Context, StoreArguments, tell};
use crate::cli::report::Failure;
use crate::cli::ui;

/// Blobs that are not there, and those that are not what they should be, in words.
const MISSING: &str = "missing";
const DAMAGED: &str = "damaged";
/// How many missing blobs of an image are named in the table.
const MAX_NAMED: usize = 3;

/// List the images, with what of each is there
///
/// Manifests and configs are read and hashed; of layers only the size is looked at. SIZE is what is there, of all
/// platforms.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Tell all that is known of each image: media type, times, labels, every blob
    #[arg(short, long, conflicts_with = "json")]
    long: bool,
    /// Print a line of JSON for each image
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let format = arguments.format();
    let (store, environment) = (arguments.store, context.environment);
    let (rows, problems) =
        blocking(move || Ok::<_, StoreError>(listed(&store.open(&environment)?, format))).await?;
    let text = match format {
        Format::Table => table(&rows),
        Format::Long => joined(rows, "\n\n"),
        Format::Json => joined(rows, "\n"),
    };
    if !text.is_empty() {
        ui::data(&if format == Format::Json { text.into() } else { ui::printable(&text) })?;
    } else if problems.is_empty() {
        ui::talk("no images");
    }
    tell(problems, Ok(()))
}

/// How images are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Long,
    Json,
}

impl Arguments {
    fn format(&self) -> Format {
        match (self.json, self.long) {
            (true, _) => Format::Json,
            (_, true) => Format::Long,
            _ => Format::Table,
        }
    }
}

/// All images as they are shown, and what is wrong with those that can't be read.
fn listed(stores: &[Store], format: Format) -> (Vec<Row>, Vec<StoreError>) {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for store in stores {
        let mut images = Vec::new();
        // What is damaged of one namespace hides no other.
        for image in store.images().unwrap_or_else(|problem| vec![Err(problem)]) {
            match image {
                Ok(image) => images.push(image),
                Err(problem) => problems.push(problem),
            }
        }
        rows.extend(store.survey(&images, |image, inventory| {
            let told = Told::of(store, image, inventory);
            match format {
                Format::Table => Row::of(&told),
                Format::Long => Row::of_text(block(&told)),
                Format::Json => Row::of_text(json(&told)),
            }
        }));
    }
    (rows, problems)
}

/// Our types have string keys and no failing serializers, so this can't fail.
fn json(told: &Told<'_>) -> String {
    serde_json::to_string(told).unwrap_or_default()
}

fn joined(rows: Vec<Row>, between: &str) -> String {
    rows.into_iter().flat_map(|row| row.cells).collect::<Vec<_>>().join(between)
}

/// What is told of an image.
#[derive(Serialize)]
struct Told<'a> {
    namespace: &'a str,
    name: &'a str,
    digest: &'a Digest,
    media_type: &'a MediaType,
    /// What its blobs that are there take.
    size_bytes: u64,
    created: Option<String>,
    updated: Option<String>,
    labels: &'a BTreeMap<String, String>,
    /// True if a platform of it is there with all its blobs; of others containerd may have the manifests alone.
    is_whole: bool,
    /// The platforms that are whole or, where none is, those whose manifests are there.
    available: Vec<String>,
    /// All that the index names.
    platforms: Vec<ToldPlatform<'a>>,
    blobs: Vec<ToldBlob<'a>>,
}

#[derive(Serialize)]
struct ToldPlatform<'a> {
    platform: Option<String>,
    manifest: &'a Digest,
    config: Option<&'a Digest>,
    /// Whether its manifest is there.
    is_there: bool,
    /// By its descriptors; 0 where the manifest isn't there.
    size_bytes: u64,
    /// How many of its blobs are missing or damaged.
    lacking: usize,
    /// Where blobs are missing: the snapshotter that has the image unpacked, if one has.
    unpacked_in: Option<&'a str>,
}

#[derive(Serialize)]
struct ToldBlob<'a> {
    digest: &'a Digest,
    media_type: &'a MediaType,
    size_bytes: u64,
    state: &'static str,
}

impl<'a> Told<'a> {
    fn of(store: &'a Store, image: &'a StoredImage, inventory: &'a Inventory) -> Self {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self {
            namespace: store.namespace(),
            name: &image.name,
            digest: &image.target.digest,
            media_type: &image.target.media_type,
            size_bytes: inventory.size_bytes(),
            created: time(image.created),
            updated: time(image.updated),
            labels: &image.labels,
            is_whole: inventory.is_usable(),
            available: inventory.available(LayersFrom::Content).iter().map(ToString::to_string).collect(),
            platforms: inventory.platforms.iter().map(ToldPlatform::of).collect(),
            blobs: blobs(inventory),
        }
    }

    fn state(&self) -> String {
        let count = |state| self.blobs.iter().filter(|blob| blob.state == state).count();
        let (missing, damaged) = (count(MISSING), count(DAMAGED));
        let unpacked = self.platforms.iter().find_map(|held| held.unpacked_in);
        match (missing, damaged, unpacked) {
            (_, 0, _) if self.is_whole => "whole".to_owned(),
            (0, 0, _) => "nothing of it".to_owned(),
            (0, damaged, _) => format!("{damaged} damaged"),
            (missing, 0, Some(snapshotter)) => {
                format!("{missing} missing, unpacked in {}", shown(snapshotter))
            }
            (missing, 0, None) => format!("{missing} of {} missing", self.blobs.len()),
            (missing, damaged, _) => format!("{missing} missing, {damaged} damaged"),
        }
    }

    /// What an export would miss.
    fn lacking(&self) -> Vec<&ToldBlob<'_>> {
        let is_lacking =
            |blob: &&ToldBlob<'_>| blob.state == DAMAGED || !self.is_whole && blob.state == MISSING;
        self.blobs.iter().filter(is_lacking).collect()
    }
}

impl<'a> ToldPlatform<'a> {
    fn of(held: &'a HeldPlatform) -> Self {
        let is_there = held.state == BlobState::There;
        Self {
            platform: held.platform.as_ref().map(ToString::to_string),
            manifest: &held.manifest.digest,
            config: held.config.as_ref().map(|config| &config.digest),
            is_there,
            size_bytes: if is_there { held.size_bytes() } else { 0 },
            lacking: held.lacking,
            unpacked_in: held.unpacked_in.as_deref(),
        }
    }
}

fn blobs(inventory: &Inventory) -> Vec<ToldBlob<'_>> {
    inventory.blobs.iter().map(ToldBlob::of).collect()
}

/// An image as it is shown: a row of the table, and below it what the image lacks; or a text by itself.
struct Row {
    cells: Vec<String>,
    below: Vec<String>,
}

impl Row {
    fn of(image: &Told<'_>) -> Self {
        let updated = image.updated.as_deref().and_then(|time| time.get(..10)).unwrap_or("-");
        let cells = vec![
            shown(image.namespace),
            shown(image.name),
            image.digest.short().to_owned(),
            ui::size(image.size_bytes),
            if image.available.is_empty() { "-".to_owned() } else { image.available.join(",") },
            updated.to_owned(),
            image.state(),
        ];
        let lacking = image.lacking();
        let mut below: Vec<_> =
            lacking.iter().take(MAX_NAMED).map(|blob| format!("  {}", blob.words())).collect();
        if lacking.len() > MAX_NAMED {
            below.push(format!("  and {} more", lacking.len() - MAX_NAMED));
        }
        Self { cells, below }
    }

    fn of_text(text: String) -> Self {
        Self { cells: vec![text], below: Vec::new() }
    }
}

/// A row for each image; nothing without images.
fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heading = ["NAMESPACE", "NAME", "DIGEST", "SIZE", "PLATFORMS", "UPDATED", "STATE"];
    let heading = heading.map(str::to_owned).to_vec();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| &row.cells).chain([&heading]);
        cells.map(|cells| cells[column].chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..heading.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&heading)];
    for Row { cells, below } in rows {
        lines.push(line(cells));
        lines.extend_from_slice(below);
    }
    lines.join("\n")
}

impl<'a> ToldBlob<'a> {
    fn of(HeldBlob { descriptor, state }: &'a HeldBlob) -> Self {
        Self {
            digest: &descriptor.digest,
            media_type: &descriptor.media_type,
            size_bytes: descriptor.size_bytes,
            state: match state {
                BlobState::There => "there",
                BlobState::Missing => MISSING,
                BlobState::Damaged => DAMAGED,
            },
        }
    }

    fn words(&self) -> String {
        format!("{:<8} {}  {}  {}", self.state, self.digest, ui::size(self.size_bytes), self.media_type)
    }
}

/// All that is known of an image.
fn block(image: &Told<'_>) -> String {
    let mut rows = vec![
        ("image", shown(image.name)),
        ("namespace", shown(image.namespace)),
        ("digest", image.digest.to_string()),
        ("type", image.media_type.to_string()),
        ("size", ui::size(image.size_bytes)),
        ("created", image.created.clone().unwrap_or("-".into())),
        ("updated", image.updated.clone().unwrap_or("-".into())),
        ("state", image.state()),
    ];
    rows.extend(
        image.labels.iter().map(|(key, value)| ("label", format!("{}={}", shown(key), shown(value)))),
    );
    for held in &image.platforms {
        let platform = held.platform.as_deref().unwrap_or("unknown");
        let state = match (held.is_there, held.lacking) {
            (false, _) => "not there".to_owned(),
            (true, 0) => ui::size(held.size_bytes),
            (true, lacking) => format!("{}, {lacking} blobs not there", ui::size(held.size_bytes)),
        };
        rows.push(("platform", format!("{platform}  {}  {state}", held.manifest)));
    }
    rows.extend(image.blobs.iter().map(|blob| ("blob", blob.words())));
    let lines: Vec<_> = rows.iter().map(|(name, value)| format!("{name:<10} {value}")).collect();
    lines.join("\n")
}
