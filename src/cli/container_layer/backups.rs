//! `sealift container-layer backups`.

use std::sync::Arc;

use clap::Args;
use sealift::container_layer::{Backup, backups};
use sealift::foreign::shown;
use serde::Serialize;

use super::{Context, DockerArguments};
use crate::cli::progress::Mode;
use crate::cli::report::Failure;
use crate::cli::ui;

/// List the layers that a container had before, the oldest first
///
/// They are folders beside the layer (`--json` tells where) and go with the container, or with `rm -r`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The container's name or ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Print a line of JSON for each backup
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    docker: DockerArguments,
}

/// A backup, for programs.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    path: String,
    date: Option<&'a str>,
    before: Option<&'a str>,
    image: Option<&'a str>,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let docker = arguments.docker.docker(&context.environment).await?;
    let found = backups(&docker, &arguments.container, Arc::from(Mode::None.reporter())).await?;
    if found.is_empty() {
        ui::talk("no backups");
    }
    if arguments.json {
        return found.iter().map(Row::of).try_for_each(|row| ui::json(&row));
    }
    let width = found.iter().map(|backup| backup.name.len()).max().unwrap_or(0);
    found.iter().try_for_each(|backup| {
        let before = backup
            .before
            .as_deref()
            .map_or("its note is gone".to_owned(), |before| format!("before the {}", shown(before)));
        ui::data(&format!("{:<width$}  {before}", backup.name))
    })
}

impl<'a> Row<'a> {
    fn of(backup: &'a Backup) -> Self {
        Self {
            name: &backup.name,
            path: backup.path.display().to_string(),
            date: backup.date.as_deref(),
            before: backup.before.as_deref(),
            image: backup.image.as_deref(),
        }
    }
}
