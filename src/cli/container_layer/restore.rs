//! `sealift container-layer restore`.

use std::sync::Arc;

use clap::Args;
use sealift::container_layer::Restore;

use super::{Context, DockerArguments, tell_backup};
use crate::cli::progress::ProgressArguments;
use crate::cli::report::Failure;
use crate::cli::ui;

/// Give a container a layer back that it had before
///
/// The container must be stopped. What it has now becomes a backup itself, whose name goes to stdout.
#[derive(Args)]
pub(super) struct Arguments {
    /// The container's name or ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Which backup, as `sealift container-layer backups` lists them; without it the latest
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
    /// Remove the layer that goes
    #[arg(long)]
    no_backup: bool,
    #[command(flatten)]
    docker: DockerArguments,
    #[command(flatten)]
    progress: ProgressArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let mode = arguments.progress.mode();
    let docker = arguments.docker.docker(&context.environment).await?;
    let restore = Restore {
        docker: &docker,
        container: &arguments.container,
        backup: arguments.backup.as_deref(),
        keeps_backup: !arguments.no_backup,
        reporter: Arc::from(mode.reporter()),
    };
    let (backup, restored) = restore.run().await?;
    if mode.has_words() {
        ui::talk(&format!("`{}` has {} again", restored.container, backup.name));
    }
    tell_backup(&restored, mode)
}
