//! `sealift container-layer export|import|check|restore|backups`.

mod backups;
mod check;
mod export;
mod import;
mod restore;

use clap::{Args, Subcommand};
use sealift::config::Environment;
use sealift::container_layer::{Docker, Imported};
use sealift::daemon::{Endpoint, Engine, Maker};

use super::Context;
use super::progress::Mode;
use super::report::Failure;
use super::ui;

/// A container's own layer, what it wrote above its image: out into a file, in again, and back
///
/// For Docker on this machine, with overlay2 or containerd's overlayfs, as root. Nothing is lost on the way: removed files stay
/// removed, owners, modes, times, links, devices, holes and extended attributes are what they were, and every byte of the file
/// has a check. Volumes and bind mounts are not in the layer.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Export(export::Arguments),
    Import(import::Arguments),
    Check(check::Arguments),
    Restore(restore::Arguments),
    Backups(backups::Arguments),
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    match arguments.action {
        Action::Export(command) => export::run(command, context).await,
        Action::Import(command) => import::run(command, context).await,
        Action::Check(command) => check::run(command, context).await,
        Action::Restore(command) => restore::run(command, context).await,
        Action::Backups(command) => backups::run(command, context).await,
    }
}

/// Which Docker is meant, the same for all that is done with it.
#[derive(Args)]
struct DockerArguments {
    /// Where Docker is: unix:///PATH
    #[arg(short = 'H', long, value_name = "URL", conflicts_with = "context")]
    host: Option<String>,
    /// The docker context to take
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl DockerArguments {
    async fn docker(&self, environment: &Environment) -> Result<Docker, Failure> {
        let endpoint = Endpoint::of_docker(self.host.as_deref(), self.context.as_deref(), environment)?;
        let engine = Engine::connect(&endpoint, Maker::Docker, environment).await?;
        Ok(Docker::of(engine).await?)
    }
}

/// Says what became of the layer that was replaced; its name, if it has one, is the data.
fn tell_backup(imported: &Imported, mode: Mode) -> Result<(), Failure> {
    let container = ui::shell_word(imported.container.as_ref());
    if mode.has_words() {
        ui::talk(&match &imported.backup {
            Some(_) => format!(
                "the layer before it is a backup; to go back: sealift container-layer restore {container}"
            ),
            None => "the layer before it is gone".to_owned(),
        });
    }
    imported.backup.as_deref().map_or(Ok(()), ui::data)
}
