//! `sealift load`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use sealift::archived::{Archive, Unsound};
use sealift::fsio::blocking;
use sealift::image::{Digest, Reference};
use sealift::load::{Done, Load, Loaded};
use serde::Serialize;

use super::Context;
use super::daemon_arguments::{DaemonArguments, DaemonKind, Direction};
use super::progress::ProgressArguments;
use super::report::Failure;
use super::ui;

/// Load an archive into docker, podman or containerd
///
/// What is there already is not sent, and what was loaded is looked at. The names and IDs go to stdout, all else to
/// stderr. Docker is found as its own client finds it: `--host`, `--context`, DOCKER_HOST, DOCKER_CONTEXT, the context
/// in use, /var/run/docker.sock, with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH; podman by CONTAINER_HOST and its sockets;
/// containerd by CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE, through its `ctr`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The archive
    #[arg(value_name = "ARCHIVE", required_unless_present = "input")]
    archive: Option<PathBuf>,
    /// The archive, as `docker load` has it
    #[arg(short, long, value_name = "ARCHIVE", conflicts_with = "archive")]
    input: Option<PathBuf>,
    /// Into what; without it into docker, or into podman where only its socket is there
    #[arg(long, value_name = "DAEMON", value_enum)]
    to: Option<DaemonKind>,
    #[command(flatten)]
    daemon: DaemonArguments,
    /// Give the image this name, too; several times for several. The archive must hold one image
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// Load images for other machines, too
    #[arg(long)]
    any_platform: bool,
    /// Print a line of JSON for each name
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let started = Instant::now();
    let mode = arguments.progress.mode();
    let tags = arguments.tags()?;
    let archive = arguments.archive.as_ref().or(arguments.input.as_ref());
    let archive = archive.ok_or(Failure::LoadUsage("the archive is missing"))?;
    let path = archive.clone();
    let opened = blocking(move || Archive::open_readable(&path)).await;
    let mut opened = opened.map_err(sealift::Error::from)?;
    if opened.images().is_empty() {
        return Err(sealift::Error::from(Unsound::of(archive, opened.take_problems())).into());
    }
    let way = arguments.daemon.find(arguments.to, Direction::To, &context.environment)?;
    let daemon = way.connect(&context.environment).await?;
    let reporter = mode.reporter();
    let load =
        Load { daemon: &daemon, reporter: &*reporter, tags: &tags, any_platform: arguments.any_platform };
    let loaded = load.run(opened).await;
    // Bars are taken away before anything is said.
    drop(reporter);
    let loaded = loaded?;
    show(&loaded, arguments.json)?;
    if mode.has_words() {
        let was_sent =
            loaded.iter().any(|loaded| matches!(loaded.done, Done::Loaded | Done::Replaced { .. }));
        let how = if was_sent { "loaded into" } else { "nothing was sent to" };
        let seconds = started.elapsed().as_secs_f64();
        ui::talk(&format!("{how} {} in {seconds:.1} s", daemon.description()));
        if loaded.iter().any(|loaded| loaded.name.is_none()) {
            ui::talk("an image without a name gets one with `--tag NAME`");
        }
    }
    Ok(())
}

impl Arguments {
    fn tags(&self) -> Result<Vec<Reference>, Failure> {
        let tags: Vec<Reference> = self.tag.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        if tags.iter().any(|tag| tag.digest().is_some()) {
            return Err(Failure::LoadUsage("`--tag` takes a name with a tag, without a digest"));
        }
        Ok(tags)
    }
}

/// A name and what the daemon has by it, for programs.
#[derive(Serialize)]
struct Row<'a> {
    name: Option<&'a str>,
    id: &'a Digest,
    done: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<&'a Digest>,
}

impl<'a> Row<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        let (done, replaced) = match &loaded.done {
            Done::Loaded => ("loaded", None),
            Done::Replaced { before } => ("loaded", Some(before)),
            Done::AlreadyThere => ("already_there", None),
            Done::Tagged => ("tagged", None),
        };
        Self { name: loaded.name.as_deref(), id: &loaded.id, done, replaced }
    }
}

/// The names and what the daemon has by them.
pub(super) fn show(loaded: &[Loaded], as_json: bool) -> Result<(), Failure> {
    let rows: Vec<_> = loaded.iter().map(Row::of).collect();
    if as_json {
        return rows.iter().try_for_each(ui::json);
    }
    let shown = |row: &Row<'_>| row.name.unwrap_or("<none>").to_owned();
    let width = rows.iter().map(|row| shown(row).len()).max().unwrap_or(0);
    rows.iter().try_for_each(|row| {
        let instead = row.replaced.map(|id| format!(", in place of {id}")).unwrap_or_default();
        let done = row.done.replace('_', " ");
        ui::data(&format!("{:<width$}  {}  {done}{instead}", shown(row), row.id))
    })
}
