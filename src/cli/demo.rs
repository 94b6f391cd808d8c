//! `sealift demo`: the main job against an embedded registry, in seconds and without internet.

use std::path::PathBuf;

use clap::Args;
use sealift::archive::LayerMode;
use sealift::attempts::Retries;
use sealift::blob::Limits;
use sealift::demo::DemoRegistry;
use sealift::fsio::Existing;
use sealift::image::Reference;
use sealift::pull::{Output, Pull};
use sealift::registry::{Client, ClientOptions};
use tempfile::TempDir;

use super::Context;
use super::progress::Mode;
use super::report::Failure;
use super::ui;

/// Pull a small image from a registry inside sealift, and show what is in the file
#[derive(Args)]
pub(super) struct Arguments {
    /// Write to this file or folder instead of a new temporary folder
    #[arg(short, long, value_name = "FILE|DIR/")]
    output: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let (output, folder) = match arguments.output {
        Some(path) => (Output::of(path), None),
        None => temporary_folder().map(|folder| (Output::Folder(folder.path().to_owned()), Some(folder)))?,
    };
    let registry = DemoRegistry::start().await.map_err(|error| Failure::Other(error.into()))?;
    let reference: Reference = registry.reference().parse()?;
    ui::talk("A registry now runs inside this process, with a small image for two platforms in it.");
    ui::talk(&format!("$ sealift pull {reference}"));

    // The demo asks nobody else: no proxy, no credentials.
    let client = Client::new(ClientOptions::default())?;
    let reporter = Mode::Auto.reporter();
    let pull = Pull {
        source: &client,
        reporter: &*reporter,
        connections: context.config.connections.into(),
        retries: Retries::default(),
        existing: Existing::Replace,
        layers: LayerMode::default(),
        reuse: None,
        sidecars: &[],
        limits: Limits::default(),
        may_grow: None,
    };
    let planned = pull.plan(&[reference], &[], &output).await?;
    if let Some(failed) = planned.failures.into_iter().next() {
        return Err(failed.error.into());
    }
    for planned in planned.archives {
        pull.write(&planned).await?;
        ui::talk("");
        ui::talk(
            "The file, entry by entry: a `docker save` archive and an OCI image layout at once. Each blob stands",
        );
        ui::talk("there once: the empty entries below blobs/ are links to it.");
        for entry in planned.plan.entries() {
            ui::talk(&format!("  {:>6}  {}", entry.content_size_bytes(), shortened(&entry.path)));
        }
        let path = ui::shell_word(&planned.path);
        ui::talk("");
        ui::talk("It loads as it is, with the registry's digest kept:");
        for loader in ["docker load -i", "podman load -i", "ctr image import"] {
            ui::talk(&format!("  {loader} {path}"));
        }
        ui::talk(&format!("  skopeo copy docker-archive:{path} dir:/tmp/demo"));
        ui::talk("");
        ui::talk("The same for a real image:");
        ui::talk("  sealift pull busybox:latest");
        ui::data(&planned.path.display().to_string())?;
    }
    // What was made stays, for the file to be looked at.
    let _ = folder.map(TempDir::keep);
    Ok(())
}

/// A path with its digests cut to what a person compares.
fn shortened(path: &str) -> String {
    let cut = |part: &str| match part.get(..64) {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            format!("{}…{}", &hex[..12], &part[64..])
        }
        _ => part.to_owned(),
    };
    path.split('/').map(cut).collect::<Vec<_>>().join("/")
}

/// A new folder, which goes away unless the demo succeeds.
fn temporary_folder() -> Result<TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("sealift-demo-").tempdir();
    folder
        .map_err(|error| Failure::Other(anyhow::Error::new(error).context("cannot make a temporary folder")))
}
