//! `sealift pull`.

mod delivery;
mod dry_run;
mod images;
mod outcome;
mod reuse;
mod sidecars;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use bytesize::ByteSize;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sealift::archive::LayerMode;
use sealift::blob::Limits;
use sealift::config::MAX_CONNECTIONS;
use sealift::event::{Reporter, SharedReporter};
use sealift::fsio::Existing;
use sealift::image::Platform;
use sealift::pull::{Output, Planned, Pull};

use super::Context;
use super::connection::ConnectionArguments;
use super::progress::ProgressArguments;
use super::report::Failure;
use super::retry_arguments::RetryArguments;
use super::ui;
use images::ImageArguments;
use sidecars::SidecarArguments;

pub(super) use delivery::Delivery;
pub(super) use outcome::Outcome;
pub(super) use reuse::Tally;

/// Pull images from their registries into files that docker, containerd, podman and skopeo load
///
/// Each image gets a file of its own, or all go into one with `-o FILE`. Without a platform it is linux/amd64. The path
/// of each file goes to stdout, all else to stderr.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Arguments {
    #[command(flatten)]
    images: ImageArguments,
    /// Write all images to this file, `-` for stdout; a folder, or a name that ends in a slash, takes
    /// a file of the default name for each [env: SEALIFT_OUTPUT]
    #[arg(short, long, value_name = "FILE|DIR/|-")]
    output: Option<PathBuf>,
    /// Platform to pull; several times for several [env: SEALIFT_PLATFORM]
    ///
    /// Windows images are for one version of Windows: `windows/amd64:10.0.20348` takes the highest
    /// revision of that version, `windows/amd64` the highest version there is.
    #[arg(long, value_name = "OS/ARCH[/VARIANT][:OS_VERSION]")]
    platform: Vec<String>,
    /// Architecture to pull, for short: `--arch arm64` is `--platform linux/arm64`
    #[arg(short, long, value_name = "ARCH", conflicts_with = "platform")]
    arch: Option<String>,
    /// How layers are stored [env: SEALIFT_LAYERS]
    #[arg(long, value_name = "MODE", value_parser = layer_modes())]
    layers: Option<LayerMode>,
    /// The largest that a layer may inflate to, e.g. 200GiB. Without it 64 GiB, and nothing that grows more than
    /// 1,100 times, as only a bomb does
    #[arg(long, value_name = "SIZE")]
    max_layer_size: Option<ByteSize>,
    /// Connections that fetch blobs at the same time, 1 to 64; several may serve one large blob
    /// [env: SEALIFT_CONNECTIONS]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_CONNECTIONS)))]
    connections: Option<u8>,
    #[command(flatten)]
    retry: RetryArguments,
    /// Copy blobs that are in PATH already instead of fetching them, once they are verified; several times for several
    ///
    /// PATH is an archive, a folder of archives (`*.tar`) or an OCI layout. Archives of this run are reused too.
    #[arg(long, value_name = "PATH")]
    reuse: Vec<PathBuf>,
    #[command(flatten)]
    sidecars: SidecarArguments,
    /// Leave files alone that are there already, and fail
    #[arg(long)]
    no_clobber: bool,
    /// Show what would be fetched and written, to the byte, and stop
    #[arg(long)]
    dry_run: bool,
    /// Print a line of JSON for each file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let mode = arguments.progress.mode();
    if arguments.images.reads_stdin() && arguments.connection.reads_stdin() {
        return Err(Failure::Usage("--file - and --password-stdin don't go together: there is one stdin"));
    }
    let references = arguments.images.references(mode.has_words())?;
    let platforms = arguments.platforms(&context)?;
    let output = Output::of(arguments.output.clone().unwrap_or_else(|| context.config.output.clone()));
    if output == Output::Stdout && !arguments.dry_run {
        check_stdout(arguments.json)?;
    }
    let sidecars = arguments.sidecars.sidecars();
    if output == Output::Stdout && !sidecars.is_empty() {
        return Err(Failure::Usage(
            "-o - writes no file that a checksum or a script could stand beside: give -o FILE",
        ));
    }
    let limits = limits(arguments.max_layer_size);
    let paths = reuse::paths(&arguments.reuse, &context.config)?;
    let reporter = Arc::new(Tally::of(mode.reporter()));
    let shared = SharedReporter::new(Arc::clone(&reporter) as Arc<dyn Reporter>);
    let source = arguments.connection.source(&references, &context, &shared)?;
    let pool = reuse::open(paths, &*reporter).await;
    let pull = Pull {
        source: &source,
        reporter: &*reporter,
        connections: arguments.connections.unwrap_or(context.config.connections).into(),
        retries: arguments.retry.retries(&context.config),
        existing: if arguments.no_clobber { Existing::Refuse } else { Existing::Replace },
        layers: arguments.layers.unwrap_or(context.config.layers),
        limits,
        reuse: pool.as_ref(),
        sidecars: &sidecars,
        may_grow: None,
    };
    let Planned { archives, failures } = pull.plan(&references, &platforms, &output).await?;
    let mut outcome = Outcome::new(failures, archives.len());
    if arguments.dry_run {
        archives
            .iter()
            .try_for_each(|archive| dry_run::show(archive, &sidecars, pool.as_ref(), arguments.json))?;
        return outcome.end(mode);
    }
    let delivery = Delivery { pull, tally: &reporter, as_json: arguments.json, mode };
    if output == Output::Stdout {
        return delivery.pipe(&archives).await;
    }
    delivery.write(&archives, &mut outcome).await?;
    if mode.has_words() {
        tell_places(&source.sent_bytes());
    }
    outcome.end(mode)
}

/// Says how much came from which mirror.
fn tell_places(sent_bytes: &[(&str, u64)]) {
    if !sent_bytes.is_empty() {
        let places = sent_bytes.iter().map(|(place, bytes)| format!("{} from {place}", ui::size(*bytes)));
        ui::talk(&format!("fetched {}", places.collect::<Vec<_>>().join(", ")));
    }
}

/// Can an archive go to stdout?
pub(super) fn check_stdout(as_json: bool) -> Result<(), Failure> {
    if std::io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "-o - writes the archive to stdout, which is a terminal: pipe it into something",
        ));
    }
    if as_json {
        return Err(Failure::Usage("-o - and --json both want stdout"));
    }
    Ok(())
}

impl Arguments {
    /// The platforms asked for by `--platform` or `--arch`, or else by the settings.
    fn platforms(&self, context: &Context) -> Result<Vec<Platform>, Failure> {
        let mut platforms: Vec<Platform> = Vec::new();
        let asked_for = self.platform.iter().map(|text| text.parse());
        for platform in asked_for.chain(self.arch.iter().map(|text| Platform::of_architecture(text))) {
            let platform = platform?;
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        if platforms.is_empty() {
            platforms.extend(context.config.platform.clone());
        }
        Ok(platforms)
    }
}

/// How far layers may inflate, where somebody says so.
pub(super) fn limits(max_layer_size: Option<ByteSize>) -> Limits {
    match max_layer_size {
        Some(ByteSize(layer_bytes)) => Limits { layer_bytes, check_ratio: false },
        None => Limits::default(),
    }
}

/// The names of [`LayerMode`], with what they mean.
pub(super) fn layer_modes() -> impl TypedValueParser<Value = LayerMode> {
    PossibleValuesParser::new([
        PossibleValue::new("auto")
            .help("gzip'd and bare layers as they are, zstd'd ones inflated: loads everywhere"),
        PossibleValue::new("keep").help("all as the registry holds them; zstd needs Docker 23 or later"),
        PossibleValue::new("plain").help("all inflated: bare tars, whose digests are the image's diff IDs"),
    ])
    .try_map(|name| name.parse())
}
