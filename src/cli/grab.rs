//! `sealift grab`.

use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;
use sealift::event::{Event, Warning};
use sealift::fsio::{Existing, check_target};
use sealift::grab::{Base, Choice, Form, Found, Grab, GrabError, Grabbed, LayerRow};
use sealift::image::{DiffId, Digest, MediaType, Reference};
use serde::Serialize;

use super::Context;
use super::daemon_arguments::{DaemonArguments, DaemonKind, Direction};
use super::progress::ProgressArguments;
use super::pull::limits;
use super::report::Failure;
use super::ui;

/// Grab single layers out of a running docker, podman or containerd
///
/// The daemon pushes to a registry on this machine that is there for nothing else: it says that it has all layers but the
/// one that is wanted. A layer is named by its image (then it is the last one, or that of `--layer`), by an image ID of
/// `docker history`, by its diff ID or by the digest of its blob; the first digits do. The path of each file goes to stdout,
/// all else to stderr.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Arguments {
    /// Images or layers: `app:1`, `51a9c7c1f8bb`, `sha256:3fbc63…`
    #[arg(required = true, value_name = "LAYER")]
    layers: Vec<String>,
    /// Which layer of the image: from 0, or -1 for the last, or its diff ID; several times for several
    #[arg(long, value_name = "N|DIFF_ID", allow_hyphen_values = true)]
    layer: Vec<String>,
    /// Show the layers of an image, and grab none
    #[arg(long, conflicts_with_all = ["layer", "outdir", "registry_format", "tar", "clean"])]
    list: bool,
    /// The folder where each layer gets a folder of its own
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    outdir: PathBuf,
    /// Write the blob as it was pushed, with its digest, size and media type beside it, instead of `json`, `VERSION` and
    /// `layer.tar`
    #[arg(long)]
    registry_format: bool,
    /// Write one archive instead, with an image of just these layers, which docker load and the others take
    #[arg(long, value_name = "FILE", conflicts_with_all = ["outdir", "registry_format"])]
    tar: Option<PathBuf>,
    /// The name of that image [default: sealift-grab:DIGITS]
    #[arg(long, value_name = "NAME", requires = "tar")]
    name: Option<String>,
    /// The layers are the last ones of an image: keep that image as it is, ID and all, and leave out the layers below. Out of
    /// containerd or Docker with its image store it loads where those are; out of podman or Docker with a graph driver,
    /// only into a Docker with a graph driver that has them
    #[arg(long, requires = "tar")]
    on_base: bool,
    /// Once the layers are safe, have docker remove the images they are of, if nothing else refers to those
    #[arg(long)]
    clean: bool,
    /// The largest that a layer may inflate to, e.g. 200GiB. Without it 64 GiB, and nothing that grows more than
    /// 1,100 times, as only a bomb does
    #[arg(long, value_name = "SIZE")]
    max_layer_size: Option<ByteSize>,
    /// Show what the daemon asks of the registry
    #[arg(long)]
    debug: bool,
    /// The port of the registry; without it any that is free
    #[arg(short, long, value_name = "PORT")]
    port: Option<u16>,
    /// An address of this machine that a daemon on another one reaches; it logs in with a password of this one push, over
    /// plain HTTP (docker's setting: insecure-registries)
    #[arg(long, value_name = "IP")]
    listen: Option<IpAddr>,
    /// Out of what; without it out of docker, or out of podman where only its socket is there
    #[arg(long, value_name = "DAEMON", value_enum)]
    from: Option<DaemonKind>,
    #[command(flatten)]
    daemon: DaemonArguments,
    /// Print a line of JSON for each layer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArguments,
}

pub(super) async fn run(
    arguments: Arguments,
    context: Context,
    interrupted: impl Future<Output = Failure> + Unpin,
) -> Result<(), Failure> {
    let mut interrupted = interrupted;
    arguments.check()?;
    let name = arguments.name.as_deref().map(str::parse::<Reference>).transpose()?;
    let way = arguments.daemon.find(arguments.from, Direction::From, &context.environment)?;
    if let Some(address) = way.elsewhere().filter(|_| !arguments.is_reachable() && !arguments.list) {
        let address = Box::new(address.clone());
        return Err(sealift::Error::from(GrabError::Remote { address }).into());
    }
    let daemon = tokio::select! {
        biased;
        daemon = way.connect(&context.environment) => daemon?,
        failure = &mut interrupted => return Err(failure),
    };
    if arguments.listen.is_some() && arguments.from == Some(DaemonKind::Containerd) {
        return Err(Failure::GrabUsage("`--listen` is for docker and podman: containerd is on this machine"));
    }
    let reporter = arguments.progress.mode().reporter();
    let mut grab = Grab::new(&daemon, &*reporter);
    grab.address = arguments.listen.unwrap_or(grab.address);
    grab.port = arguments.port.unwrap_or(0);
    (grab.traces, grab.cleans) = (arguments.debug, arguments.clean);
    // A list pushes nothing.
    grab.searches_blobs = !arguments.list;
    grab.limits = limits(arguments.max_layer_size);
    let ended = tokio::select! {
        biased;
        ended = arguments.grab(&grab, name.as_ref()) => ended,
        failure = &mut interrupted => Err(failure),
    };
    let cleaned = grab.clean_up().await;
    if let (Err(_), Err(sealift::Error::Grab(GrabError::NotUntagged { image, name, .. }))) =
        (&ended, &cleaned)
    {
        let warning = Warning::StillNamed { image: image.clone().into(), name: name.clone() };
        reporter.report(Event::Warning(&warning));
    }
    // Bars are taken away before anything is said.
    drop(reporter);
    ended.and(cleaned.map_err(Failure::from))
}

impl Arguments {
    fn check(&self) -> Result<(), Failure> {
        if self.layers.iter().any(String::is_empty) {
            return Err(Failure::GrabUsage("the name of an image or a layer is missing"));
        }
        if !self.layer.is_empty() && self.layers.len() > 1 {
            return Err(Failure::GrabUsage("`--layer` goes with one image"));
        }
        if self.listen.is_some_and(|address| address.is_unspecified()) {
            return Err(Failure::GrabUsage("`--listen` takes the one address that the daemon is to push to"));
        }
        if self.list && self.layers.len() > 1 {
            return Err(Failure::GrabUsage("`--list` shows one image"));
        }
        Ok(())
    }

    /// True if another machine reaches what listens here.
    fn is_reachable(&self) -> bool {
        self.listen.is_some_and(|address| !address.is_loopback())
    }

    async fn grab(&self, grab: &Grab<'_>, name: Option<&Reference>) -> Result<(), Failure> {
        if self.list {
            let found = grab.find(&self.layers[0], None).await?;
            return show_layers(&grab.layers(&found.image).await?, self.json);
        }
        if let Some(path) = &self.tar {
            check_target(path, Existing::Refuse)?;
        }
        let mut found: Vec<Found> = Vec::new();
        for text in &self.layers {
            let choices: Vec<Choice> = self.layer.iter().map(|text| Choice::of(text)).collect();
            let choices = if choices.is_empty() { vec![None] } else { choices.iter().map(Some).collect() };
            for choice in choices {
                found.push(grab.find(text, choice).await?);
            }
        }
        match &self.tar {
            Some(path) => self.archive(grab, &found, path, name).await?,
            None => self.folders(grab, &found).await?,
        }
        if self.clean {
            grab.let_go(&found).await?;
        }
        Ok(grab.clean_up_after_others().await?)
    }

    async fn folders(&self, grab: &Grab<'_>, found: &[Found]) -> Result<(), Failure> {
        let form = if self.registry_format { Form::AsPushed } else { Form::Plain };
        for found in found {
            let written = grab.write(found, &self.outdir, form).await?;
            if self.json {
                ui::json(&Row::of(found, written.grabbed.as_ref(), &written.files))?;
                continue;
            }
            for file in &written.files {
                ui::data(&file.display().to_string())?;
            }
        }
        Ok(())
    }

    async fn archive(
        &self,
        grab: &Grab<'_>,
        found: &[Found],
        path: &Path,
        name: Option<&Reference>,
    ) -> Result<(), Failure> {
        let base = if self.on_base { Base::LeftOut } else { Base::None };
        if self.on_base && !are_last(found) {
            return Err(Failure::GrabUsage(
                "`--on-base` takes the last layers of one image, the lowest first: `--layer -2 --layer -1`",
            ));
        }
        let archived = grab.write_archive(found, path, name, base).await?;
        let path = archived.path.display().to_string();
        if self.json {
            let layers = archived.layers.iter().map(|layer| &layer.diff_id).collect();
            return ui::json(&ArchiveRow { path, name: archived.name.to_string(), layers });
        }
        ui::data(&path)?;
        if self.progress.mode().has_words() {
            ui::talk(&format!("it holds an image {}", archived.name));
        }
        Ok(())
    }
}

/// True for the last layers of an image, in their order.
fn are_last(found: &[Found]) -> bool {
    let Some(last) = found.last() else { return false };
    let first = last.image.diff_ids.len() - found.len().min(last.image.diff_ids.len());
    found
        .iter()
        .enumerate()
        .all(|(number, found)| found.image.id == last.image.id && found.position == first + number)
}

/// A layer that was grabbed, for programs.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    diff_id: &'a DiffId,
    files: Vec<String>,
    done: &'static str,
    #[serde(flatten)]
    pushed: Option<Pushed<'a>>,
}

#[derive(Serialize)]
struct Pushed<'a> {
    digest: &'a Digest,
    size_bytes: u64,
    media_type: &'a MediaType,
    thrown_away_bytes: u64,
}

impl<'a> Row<'a> {
    fn of(found: &'a Found, grabbed: Option<&'a Grabbed>, files: &[PathBuf]) -> Self {
        let pushed = grabbed.map(|grabbed| Pushed {
            digest: &grabbed.digest,
            size_bytes: grabbed.size_bytes,
            media_type: &grabbed.media_type,
            thrown_away_bytes: grabbed.thrown_away_bytes,
        });
        Self {
            id: found.id(),
            diff_id: found.diff_id(),
            files: files.iter().map(|file| file.display().to_string()).collect(),
            done: if grabbed.is_some() { "grabbed" } else { "already_there" },
            pushed,
        }
    }
}

/// An archive of grabbed layers, for programs.
#[derive(Serialize)]
struct ArchiveRow<'a> {
    path: String,
    name: String,
    layers: Vec<&'a DiffId>,
}

/// A layer of an image, for programs.
#[derive(Serialize)]
struct ListedLayer<'a> {
    number: usize,
    diff_id: &'a DiffId,
    size_bytes: Option<u64>,
    created_by: Option<&'a str>,
}

fn show_layers(rows: &[LayerRow], as_json: bool) -> Result<(), Failure> {
    if as_json {
        return rows.iter().try_for_each(|row| {
            let LayerRow { number, diff_id, size_bytes, created_by } = row;
            let created_by = created_by.as_deref();
            ui::json(&ListedLayer { number: *number, diff_id, size_bytes: *size_bytes, created_by })
        });
    }
    let width = rows.len().saturating_sub(1).to_string().len();
    rows.iter().try_for_each(|row| {
        let size = row.size_bytes.map_or_else(|| "?".to_owned(), ui::size);
        let created_by = ui::printable(row.created_by.as_deref().unwrap_or("?")).replace('\n', " ");
        ui::data(&format!("{:>width$}  {}  {size:>10}  {}", row.number, row.diff_id, created_by.trim()))
    })
}
