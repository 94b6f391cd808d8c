//! `--dry-run`: a plan, as a table or as JSON.

use sealift::fsio::{FAT32_MAX_FILE_BYTES, folder_of, space};
use sealift::pull::PlannedArchive;
use serde::Serialize;

use super::Identity;
use crate::cli::report::Failure;
use crate::cli::ui;

#[derive(Serialize)]
struct DryRun<'a> {
    images: Vec<Identity<'a>>,
    size_bytes: u64,
    /// True where layers are to be inflated: then the size is a guess.
    size_is_estimate: bool,
    path: String,
    /// None where the system can't tell.
    free_bytes: Option<u64>,
    fits_fat32: bool,
}

/// Prints what a pull of `planned` would fetch and write.
pub(super) fn show(planned: &PlannedArchive, as_json: bool) -> Result<(), Failure> {
    let size_bytes = planned.plan.size_bytes();
    let dry_run = DryRun {
        images: Identity::all_of(planned),
        size_bytes,
        size_is_estimate: planned.plan.is_estimate(),
        path: planned.path.display().to_string(),
        free_bytes: space(folder_of(&planned.path)).map(|space| space.free_bytes),
        fits_fat32: size_bytes <= FAT32_MAX_FILE_BYTES,
    };
    if as_json { ui::json(&dry_run) } else { ui::data(&ui::printable(&table(&dry_run))) }
}

fn table(dry_run: &DryRun<'_>) -> String {
    let mut rows = Vec::new();
    for image in &dry_run.images {
        rows.extend([
            ("image", image.image.clone()),
            ("platform", image.platform.clone()),
            ("digest", image.digest.to_string()),
            ("manifest", image.manifest.to_string()),
            ("config", image.config.to_string()),
        ]);
        let layers = image.layers.iter();
        rows.extend(
            layers.map(|layer| ("layer", format!("{}  {}", layer.digest, ui::size(layer.size_bytes)))),
        );
    }
    let is_estimate = dry_run.size_is_estimate;
    let fits_disk = |free| match (free < dry_run.size_bytes, is_estimate) {
        (false, false) => "enough",
        (false, true) => "probably enough",
        (true, false) => "too little",
        (true, true) => "probably too little",
    };
    let free = dry_run.free_bytes.map(|free| format!("{}: {}", ui::size(free), fits_disk(free)));
    let fat32 = match (dry_run.fits_fat32, is_estimate) {
        (true, false) => "fits",
        (true, true) => "probably fits",
        (false, false) => "too large: a file there has at most 4 GiB",
        (false, true) => "probably too large: a file there has at most 4 GiB",
    };
    let size = if is_estimate {
        format!("about {}: layers are inflated, their size is an estimate", ui::size(dry_run.size_bytes))
    } else {
        format!("{} bytes ({})", dry_run.size_bytes, ui::size(dry_run.size_bytes))
    };
    rows.extend([
        ("file", dry_run.path.clone()),
        ("size", size),
        ("free space", free.unwrap_or_else(|| "unknown".into())),
        ("FAT32", fat32.into()),
    ]);
    rows.iter().map(|(name, value)| format!("{name:<11} {value}")).collect::<Vec<_>>().join("\n")
}
