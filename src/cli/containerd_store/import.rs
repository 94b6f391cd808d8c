//! `sealift containerd-store import`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use sealift::config::Environment;
use sealift::containerd_store::Root;
use sealift::daemon::Ctr;
use sealift::event::Reporter;
use sealift::foreign::shown;
use sealift::fsio::blocking;
use sealift::load::Done;
use sealift::mirror::{Import, Imported};

use super::Context;
use crate::cli::load::show;
use crate::cli::progress::ProgressArguments;
use crate::cli::report::Failure;
use crate::cli::ui;

/// Put the images of a mirror, or of another containerd's folder, into a running containerd
///
/// It is spoken to by its own `ctr`. Each image goes into the namespace it has, for the platform that containerd runs;
/// what is there already is not sent, and what was imported is looked at. An image that can't be had is told and the others
/// are imported. The names and digests go to stdout, all else to stderr.
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
    let mirror = arguments.mirror.clone();
    let root = blocking(move || Root::open(&mirror)).await?;
    let reporter = mode.reporter();
    let mut imported = Imported::default();
    let ended = arguments.import(&root, &context.environment, &*reporter, &mut imported).await;
    // Bars are taken away before anything is said.
    drop(reporter);
    let Imported { loaded, failures } = imported;
    show(&loaded, arguments.json)?;
    let count = loaded.len() + failures.len();
    if mode.has_words() && count > 1 {
        for failed in &failures {
            ui::talk(&format!("{:<10}  {}  {}", "failed", shown(&failed.image), failed.error));
        }
    }
    let mut failures: Vec<_> =
        failures.into_iter().map(|failed| Failure::of_import(failed.error.into())).collect();
    let daemon = match ended {
        Ok(daemon) => daemon,
        Err(error) => {
            for failure in failures {
                ui::talk(&failure.text());
            }
            return Err(error.of_import());
        }
    };
    if mode.has_words() {
        let was_sent = loaded.iter().any(|loaded| !matches!(loaded.done, Done::AlreadyThere));
        let how = if was_sent { "imported into" } else { "nothing was sent to" };
        match daemon.filter(|_| count > 0) {
            Some(daemon) => {
                let seconds = started.elapsed().as_secs_f64();
                ui::talk(&format!("{how} {daemon} in {seconds:.1} s"));
            }
            None => ui::talk("no images"),
        }
    }
    match failures.len() {
        0 => Ok(()),
        1 if count == 1 => Err(failures.swap_remove(0)),
        _ => Err(Failure::Several { of: count, failures }),
    }
}

impl Arguments {
    /// Imports the images of all namespaces; who has the last of them now.
    async fn import(
        &self,
        root: &Root,
        environment: &Environment,
        reporter: &dyn Reporter,
        imported: &mut Imported,
    ) -> Result<Option<String>, Failure> {
        let mut daemon = None;
        for namespace in root.namespaces()? {
            let into = self.namespace.clone().unwrap_or_else(|| namespace.clone());
            let ctr = Ctr::connect(self.address.clone(), Some(into), environment).await?;
            Import { ctr: &ctr, reporter }.run(&root.store(&namespace), imported).await?;
            daemon = Some(ctr.description());
        }
        Ok(daemon)
    }
}
