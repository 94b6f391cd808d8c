//! `sealift pull`.

mod dry_run;
mod images;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use sealift::archive::CommittedArchive;
use sealift::config::MAX_CONNECTIONS;
use sealift::image::{Descriptor, Platform};
use sealift::pull::{Output, PlannedArchive, Pull};
use serde::Serialize;

use super::Context;
use super::connection::ConnectionArguments;
use super::progress::Mode;
use super::report::Failure;
use super::ui;
use images::ImageArguments;

/// Pull images from their registries, each into one file that docker, containerd, podman and skopeo load
///
/// Without a platform it is linux/amd64. The path of each file goes to stdout, all else to stderr.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    images: ImageArguments,
    /// Write to this file; a folder, or a name that ends in a slash, takes files of the default name
    /// [env: SEALIFT_OUTPUT]
    #[arg(short, long, value_name = "FILE|DIR/")]
    output: Option<PathBuf>,
    /// Platform to pull [env: SEALIFT_PLATFORM]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Architecture to pull, for short: `--arch arm64` is `--platform linux/arm64`
    #[arg(short, long, value_name = "ARCH", conflicts_with = "platform")]
    arch: Option<String>,
    /// Blobs fetched at the same time, 1 to 64 [env: SEALIFT_CONNECTIONS]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_CONNECTIONS)))]
    connections: Option<u8>,
    /// Show what would be fetched and written, to the byte, and stop
    #[arg(long)]
    dry_run: bool,
    /// Print a line of JSON for each file
    #[arg(long)]
    json: bool,
    /// How progress is shown on stderr
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Mode::Auto)]
    progress: Mode,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let mode = if arguments.quiet { Mode::Quiet } else { arguments.progress };
    if arguments.images.reads_stdin() && arguments.connection.reads_stdin() {
        return Err(Failure::Usage("--file - and --password-stdin don't go together: there is one stdin"));
    }
    let references = arguments.images.references(mode.has_words())?;
    let platform = arguments.platform()?.or_else(|| context.config.platform.clone());
    let output = Output::of(arguments.output.clone().unwrap_or_else(|| context.config.output.clone()));
    if matches!(output, Output::File(_)) && references.len() > 1 {
        return Err(Failure::Usage("-o FILE takes one image; for several name a folder: -o DIR/"));
    }
    let client = arguments.connection.client(&references, &context)?;
    let reporter = mode.reporter();
    let pull = Pull {
        source: &client,
        reporter: &*reporter,
        connections: arguments.connections.unwrap_or(context.config.connections).into(),
    };
    let planned = pull.plan(&references, platform.as_ref(), &output).await?;
    if arguments.dry_run {
        return planned.iter().try_for_each(|archive| dry_run::show(archive, arguments.json));
    }
    Pull::check(&planned)?;
    for planned in planned {
        let started = Instant::now();
        let archive = pull.write(&planned).await?;
        if arguments.json {
            ui::json(&Pulled::of(&planned, &archive))?;
        } else {
            ui::data(&archive.path.display().to_string())?;
        }
        if mode.has_words() {
            ui::talk(&format!(
                "{} in {:.1} s; to load it: docker load -i {}",
                ui::size(archive.size_bytes),
                started.elapsed().as_secs_f64(),
                ui::shell_word(&archive.path)
            ));
        }
    }
    Ok(())
}

impl Arguments {
    /// The platform asked for by `--platform` or `--arch`.
    fn platform(&self) -> Result<Option<Platform>, Failure> {
        match (&self.platform, &self.arch) {
            (Some(text), _) => Ok(Some(text.parse()?)),
            (None, Some(text)) => Ok(Some(Platform::of_architecture(text)?)),
            (None, None) => Ok(None),
        }
    }
}

/// An image that was pulled, for programs.
#[derive(Serialize)]
struct Pulled<'a> {
    #[serde(flatten)]
    identity: Identity<'a>,
    size_bytes: u64,
    path: String,
}

/// What is known of an image before its layers come.
#[derive(Serialize)]
struct Identity<'a> {
    image: String,
    platform: String,
    /// What the name resolved to.
    digest: &'a sealift::image::Digest,
    manifest: &'a sealift::image::Digest,
    config: &'a sealift::image::Digest,
    layers: &'a [Descriptor],
}

impl<'a> Identity<'a> {
    fn of(planned: &'a PlannedArchive) -> Self {
        let image = &planned.image;
        Self {
            image: image.reference.to_string(),
            platform: image.platform.to_string(),
            digest: &image.target.digest,
            manifest: image.manifest_document.digest(),
            config: &image.manifest.config.digest,
            layers: &image.manifest.layers,
        }
    }
}

impl<'a> Pulled<'a> {
    fn of(planned: &'a PlannedArchive, archive: &'a CommittedArchive) -> Self {
        Self {
            identity: Identity::of(planned),
            size_bytes: archive.size_bytes,
            path: archive.path.display().to_string(),
        }
    }
}
