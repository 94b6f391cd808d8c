//! `sealift containerd-store list|export|import`.

mod export;
mod import;
mod list;
mod mirror;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealift::config::Environment;
use sealift::containerd_store::{Store, StoreError, find_root};

use super::Context;
use super::report::Failure;
use super::ui;

/// Read images out of containerd's folder on disk, whether it runs or not
///
/// Nothing is asked of a daemon, nothing is written there and nothing locked: it may be the disk of a node that died. The
/// folders looked for are those of containerd, Docker, k3s, RKE2 and the user's own rootless ones.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    List(list::Arguments),
    Export(Box<export::Arguments>),
    Import(import::Arguments),
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    match arguments.action {
        Action::List(command) => list::run(command, context).await,
        Action::Export(command) => export::run(*command, context).await,
        Action::Import(command) => import::run(command, context).await,
    }
}

/// How it ended, after what could not be read was said; without another failure the last of that decides the exit code.
fn tell(mut problems: Vec<StoreError>, ended: Result<(), Failure>) -> Result<(), Failure> {
    let last = if ended.is_ok() { problems.pop() } else { None };
    for problem in problems {
        ui::talk(&Failure::from(problem).text());
    }
    last.map_or(ended, |problem| Err(problem.into()))
}

/// Which images are meant, the same for all that is done with them.
#[derive(Args)]
struct StoreArguments {
    /// containerd's folder, or where the disk of another system is mounted: `/mnt` for `/mnt/var/lib/containerd`
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// containerd's namespace: `k8s.io` for Kubernetes, `moby` for Docker; without it all there are
    /// [env: CONTAINERD_NAMESPACE]
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// All namespaces, whatever CONTAINERD_NAMESPACE says
    #[arg(long)]
    all_namespaces: bool,
}

impl StoreArguments {
    /// The namespaces that are meant. Blocks.
    fn open(&self, environment: &Environment) -> Result<Vec<Store>, StoreError> {
        let root = find_root(self.root.as_deref(), environment)?;
        let known = root.namespaces()?;
        let usual = environment.text("CONTAINERD_NAMESPACE").filter(|_| !self.all_namespaces);
        let Some(wanted) = self.namespace.as_deref().or(usual) else {
            return Ok(known.iter().map(|namespace| root.store(namespace)).collect());
        };
        if !known.iter().any(|namespace| namespace == wanted) {
            let (namespace, root) = (wanted.to_owned(), root.path().to_owned());
            return Err(StoreError::NoSuchNamespace { namespace, root, known });
        }
        Ok(vec![root.store(wanted)])
    }
}
