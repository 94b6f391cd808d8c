//! `sealift push`.

mod report;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use sealift::config::{MAX_CONNECTIONS, RegistryName};
use sealift::event::{Reporter, SharedReporter};
use sealift::fsio::blocking;
use sealift::push::{Destination, Push, PushableArchive, Rename, SourceImage};

use super::Context;
use super::connection::ConnectionArguments;
use super::progress::ProgressArguments;
use super::report::Failure;
use super::retry_arguments::RetryArguments;
use super::ui;
use report::Outcome;

/// Push all images of an archive to a registry
///
/// Manifests go as they are, so digests stay; what the registry has is not sent again. An image keeps its path: into
/// `reg.example/mirror`, `docker.io/library/busybox:latest` goes as `reg.example/mirror/library/busybox:latest`, and
/// `quay.io/org/app:1` as `reg.example/mirror/org/app:1`. The name and digest of each goes to stdout, all else to stderr.
#[derive(Args)]
pub(super) struct Arguments {
    /// The archive, of whatever maker, packed or not; an OCI layout; `-` for an archive from stdin
    #[arg(value_name = "ARCHIVE")]
    archive: PathBuf,
    /// Where to: a registry, with or without a path to put before the images' own; with a tag, the whole name of the
    /// archive's one image
    #[arg(value_name = "HOST[:PORT][/PATH[:TAG]]")]
    destination: String,
    /// Put this before the images' paths, after that of the destination
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// Rename what begins with FROM, a name in full, by whole parts: `docker.io/library=hub`, `docker.io/library=`,
    /// `quay.io/org/app:1=app:one`; several times for several, the longest FROM counts
    #[arg(long, value_name = "FROM=TO")]
    rename: Vec<String>,
    /// Show under which names and digests images would go, and what would be sent, and stop
    #[arg(long)]
    dry_run: bool,
    /// Connections that send blobs at the same time, 1 to 64 [env: SEALIFT_CONNECTIONS]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_CONNECTIONS)))]
    connections: Option<u8>,
    #[command(flatten)]
    retry: RetryArguments,
    /// Print a line of JSON for each image
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let mode = arguments.progress.mode();
    let (destination, rules) = (arguments.destination()?, arguments.rules()?);
    let path = arguments.archive.clone();
    let PushableArchive { source, images } = blocking(move || PushableArchive::open(&path)).await?;
    let names = destination.names(&images, &rules)?;
    let registry = destination.registry().clone();

    let reporter = mode.reporter();
    let reporter: Arc<dyn Reporter> = Arc::from(reporter);
    let shared = SharedReporter::new(Arc::clone(&reporter));
    let limit = context.config.registries.get(&RegistryName(registry.clone()));
    let limit = limit.and_then(|settings| settings.connections).map_or(usize::MAX, usize::from);
    let connections = usize::from(arguments.connections.unwrap_or(context.config.connections));
    let retries = arguments.retry.retries(&context.config);
    let client = arguments.connection.client(&registry, &context, &shared)?;
    let push = Push {
        source: &source,
        origin: &arguments.archive.display().to_string(),
        client: &client,
        reporter: &*reporter,
        connections: connections.min(limit),
        retries,
    };
    let mut gathered = Vec::new();
    for (image, name) in images.iter().zip(names) {
        gathered.push(push.gather(image, name).await?);
    }
    if mode.has_words() {
        images.iter().filter(|image| image.is_made).for_each(tell_new);
    }
    if arguments.dry_run {
        let surveys = push.survey(&gathered).await?;
        return gathered
            .iter()
            .zip(&surveys)
            .zip(&images)
            .try_for_each(|((image, survey), from)| report::survey(image, survey, from, arguments.json));
    }
    let results = push.push(&gathered).await;
    let mut outcome = Outcome::new(gathered.len());
    for ((image, result), from) in gathered.iter().zip(results).zip(&images) {
        match result {
            Ok(pushed) => outcome.pushed(image, &pushed, from, arguments.json)?,
            Err(error) => outcome.failed(image, error),
        }
    }
    drop(reporter);
    outcome.end(mode)
}

impl Arguments {
    fn destination(&self) -> Result<Destination, Failure> {
        let destination: Destination = self.destination.parse()?;
        Ok(match &self.prefix {
            Some(prefix) => destination.with_prefix(prefix)?,
            None => destination,
        })
    }

    fn rules(&self) -> Result<Vec<Rename>, Failure> {
        Ok(self.rename.iter().map(|rule| rule.parse()).collect::<Result<_, _>>()?)
    }
}

fn tell_new(image: &SourceImage) {
    ui::talk(&format!(
        "{image}: the archive does not have the registry's manifest; one is made of its layers, so the digest is new"
    ));
}
