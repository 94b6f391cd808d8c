//! `sealift containerd-store import`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use sealift::containerd_store::Root;
use sealift::daemon::Ctr;
use sealift::fsio::blocking;
use sealift::load::Done;
use sealift::mirror::Import;

use super::Context;
use crate::cli::load::show;
use crate::cli::progress::ProgressArguments;
use crate::cli::report::Failure;
use crate::cli::ui;

/// Put the images of a mirror, or of another containerd's folder, into a running containerd
///
/// It is spoken to by its own `ctr`. Each image goes into the namespace it has, for the platform that containerd runs;
/// what is there already is not sent, and what was imported is looked at. The names and digests go to stdout, all else to
/// stderr.
#[derive(Args)]
pub(super) struct Arguments {
    /// The mirror
    #[arg(value_name = "DIR")]
    mirror: PathBuf,
    /// containerd's socket [env: CONTAINERD_ADDRESS]
    #[arg(long, value_name = "SOCKET")]
    address: Option<PathBuf>,
    /// Put all images into this namespace of containerd's
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Print a line of JSON for each name
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let started = Instant::now();
    let mode = arguments.progress.mode();
    let mirror = arguments.mirror;
    let root = blocking(move || Root::open(&mirror)).await?;
    let reporter = mode.reporter();
    let mut loaded = Vec::new();
    let mut daemon = None;
    for namespace in root.namespaces()? {
        let into = arguments.namespace.clone().unwrap_or_else(|| namespace.clone());
        let ctr = Ctr::connect(arguments.address.clone(), Some(into), &context.environment).await?;
        let import = Import { ctr: &ctr, reporter: &*reporter };
        loaded.extend(import.run(&root.store(&namespace)).await?);
        daemon = Some(ctr.description());
    }
    // Bars are taken away before anything is said.
    drop(reporter);
    show(&loaded, arguments.json)?;
    if mode.has_words() {
        let was_sent = loaded.iter().any(|loaded| !matches!(loaded.done, Done::AlreadyThere));
        let how = if was_sent { "imported into" } else { "nothing was sent to" };
        match daemon.filter(|_| !loaded.is_empty()) {
            Some(daemon) => {
                let seconds = started.elapsed().as_secs_f64();
                ui::talk(&format!("{how} {daemon} in {seconds:.1} s"));
            }
            None => ui::talk("no images"),
        }
    }
    Ok(())
}
