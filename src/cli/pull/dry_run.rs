//! `--dry-run`: a plan, as a table or as JSON.

use std::path::Path;

use sealift::fsio::{FAT32_MAX_FILE_BYTES, folder_of, space};
use sealift::image::Digest;
use sealift::pull::PlannedArchive;
use sealift::reuse::Pool;
use sealift::sidecar::Sidecar;
use serde::Serialize;

use super::delivery::Identity;
use super::sidecars::Beside;
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
    /// Layers that files named by `--reuse` claim to hold. Nobody hashed them yet.
    reused: Vec<Reused>,
    /// Of the layers, what would be copied and what fetched.
    reuse_bytes: u64,
    fetch_bytes: u64,
    #[serde(flatten)]
    beside: Beside,
}

#[derive(Serialize)]
struct Reused {
    digest: Digest,
    size_bytes: u64,
    from: String,
}

/// What of `planned` would be copied from `pool`.
fn reused(planned: &PlannedArchive, pool: &Pool) -> Vec<Reused> {
    let layers = planned.plan.layers().filter_map(|layer| {
        let claim = pool.candidates(layer).into_iter().next()?;
        let from = claim.origin().display().to_string();
        Some(Reused { digest: layer.digest.clone(), size_bytes: layer.size_bytes, from })
    });
    layers.collect()
}

/// Prints what a pull of `planned` would fetch and write.
pub(super) fn show(
    planned: &PlannedArchive,
    sidecars: &[Sidecar],
    pool: Option<&Pool>,
    as_json: bool,
) -> Result<(), Failure> {
    let size_bytes = planned.plan.size_bytes();
    let reused = pool.map(|pool| reused(planned, pool)).unwrap_or_default();
    let reuse_bytes = reused.iter().map(|layer| layer.size_bytes).sum();
    let layer_bytes: u64 = planned.plan.layers().map(|layer| layer.size_bytes).sum();
    let dry_run = DryRun {
        images: Identity::all_of(planned),
        size_bytes,
        size_is_estimate: planned.plan.is_estimate(),
        path: planned.path.display().to_string(),
        free_bytes: space(folder_of(&planned.path)).map(|space| space.free_bytes),
        fits_fat32: size_bytes <= FAT32_MAX_FILE_BYTES,
        reused,
        reuse_bytes,
        fetch_bytes: layer_bytes - reuse_bytes,
        beside: Beside::of(&planned.path, sidecars),
    };
    if as_json {
        return ui::json(&dry_run);
    }
    ui::data(&ui::printable(&table(&dry_run, pool.is_some())))
}

fn table(dry_run: &DryRun<'_>, with_reuse: bool) -> String {
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
        rows.extend(layers.map(|layer| {
            let reused = dry_run.reused.iter().find(|reused| reused.digest == layer.digest);
            let from = reused.map(|reused| format!("  from {}", ui::shell_word(Path::new(&reused.from))));
            let layer = format!("{}  {}", layer.digest, ui::size(layer.size_bytes));
            ("layer", layer + &from.unwrap_or_default())
        }));
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
    if with_reuse {
        rows.extend([
            ("to copy", format!("{}, if it is what it claims to be", ui::size(dry_run.reuse_bytes))),
            ("to fetch", ui::size(dry_run.fetch_bytes)),
        ]);
    }
    rows.extend([
        ("file", dry_run.path.clone()),
        ("size", size),
        ("free space", free.unwrap_or_else(|| "unknown".into())),
        ("FAT32", fat32.into()),
    ]);
    rows.extend(dry_run.beside.checksum.clone().map(|path| ("checksum", path)));
    rows.extend(dry_run.beside.load_script.clone().map(|path| ("load script", path)));
    rows.iter().map(|(name, value)| format!("{name:<11} {value}")).collect::<Vec<_>>().join("\n")
}
