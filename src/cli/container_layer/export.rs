//! `sealift container-layer export`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use sealift::container_layer::Export;
use sealift::fsio::Existing;
use sealift::layer_file::Seal;

use super::{Context, DockerArguments};
use crate::cli::progress::ProgressArguments;
use crate::cli::report::Failure;
use crate::cli::ui;

/// Write a container's layer to a file
///
/// The container must be stopped. The path of the file goes to stdout, all else to stderr.
#[derive(Args)]
pub(super) struct Arguments {
    /// The container's name or ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Pack the file as a whole
    #[arg(long, value_name = "HOW", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "gzip")]
    compress: Option<Packing>,
    /// Take a container that runs, too: it is paused until its layer is read. The file then has what was written until that
    /// moment, as a disk after a power cut: databases recover from that or don't, and what programs hold in memory is not in it
    #[arg(long)]
    allow_running: bool,
    /// Leave a file alone that is there already, and fail
    #[arg(long)]
    no_clobber: bool,
    #[command(flatten)]
    docker: DockerArguments,
    #[command(flatten)]
    progress: ProgressArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Packing {
    Gzip,
    Zstd,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let started = Instant::now();
    let mode = arguments.progress.mode();
    let docker = arguments.docker.docker(&context.environment).await?;
    let packing = arguments.compress.map(|packing| match packing {
        Packing::Gzip => Seal::Gzip,
        Packing::Zstd => Seal::Zstd,
    });
    let export = Export {
        docker: &docker,
        container: &arguments.container,
        target: &arguments.file,
        existing: if arguments.no_clobber { Existing::Refuse } else { Existing::Replace },
        packing,
        allow_running: arguments.allow_running,
        reporter: Arc::from(mode.reporter()),
    };
    let exported = export.run().await?;
    if mode.has_words() {
        let entries = exported.file.metadata.tree.as_ref().map_or(0, |tree| tree.counts.entries);
        let (size, seconds) = (ui::size(exported.file.size_bytes), started.elapsed().as_secs_f64());
        ui::talk(&format!(
            "{entries} entries of `{}`, {size} in {seconds:.1} s; to import it: sealift container-layer import {} CONTAINER",
            exported.container,
            ui::shell_word(&exported.path)
        ));
    }
    ui::data(&exported.path.display().to_string())
}
