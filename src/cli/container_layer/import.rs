//! `sealift container-layer import`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use sealift::container_layer::Import;
use sealift::overlay::Devices;

use super::{Context, DockerArguments, tell_backup};
use crate::cli::progress::ProgressArguments;
use crate::cli::report::Failure;
use crate::cli::ui;

/// Put the layer of a file into a container, in the place of the one it has
///
/// The container must be there, stopped, and of the layer's image. The whole file is verified before anything is touched, and
/// what was unpacked of it before it takes the old layer's place, in one step: however the import ends, the container has its
/// old layer or the new one. The old one stays as a backup, whose name goes to stdout; it goes with the container
/// (`docker rm`).
#[derive(Args)]
pub(super) struct Arguments {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The container's name or ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Remove the old layer once the new one is in its place
    #[arg(long)]
    no_backup: bool,
    /// Import into a container of another image, too
    #[arg(long)]
    force_image: bool,
    /// Refuse files with devices in them. What stands for removed files is always made
    #[arg(long)]
    no_devices: bool,
    #[command(flatten)]
    docker: DockerArguments,
    #[command(flatten)]
    progress: ProgressArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let started = Instant::now();
    let mode = arguments.progress.mode();
    let docker = arguments.docker.docker(&context.environment).await?;
    let import = Import {
        docker: &docker,
        file: &arguments.file,
        container: &arguments.container,
        keeps_backup: !arguments.no_backup,
        force_image: arguments.force_image,
        devices: if arguments.no_devices { Devices::Refuse } else { Devices::Allow },
        reporter: Arc::from(mode.reporter()),
    };
    let imported = import.run().await?;
    if mode.has_words() {
        let entries = imported.tree.as_ref().map_or(0, |tree| tree.counts.entries);
        let seconds = started.elapsed().as_secs_f64();
        ui::talk(&format!("{entries} entries are in `{}`, in {seconds:.1} s", imported.container));
    }
    tell_backup(&imported, mode)
}
