//! `sealift containerd-store export`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::Args;
use sealift::archive::LayerMode;
use sealift::attempts::Retries;
use sealift::blob::Limits;
use sealift::config::Environment;
use sealift::containerd_store::{StoreError, StoreSource, find_images, names_for_archive};
use sealift::event::{Event, Reporter, Warning};
use sealift::fsio::{Existing, blocking};
use sealift::image::{Platform, Reference};
use sealift::pull::{Output, Planned, PlannedArchive, Pull};

use super::{Context, StoreArguments};
use crate::cli::progress::ProgressArguments;
use crate::cli::pull::{Delivery, Outcome, Tally, check_stdout, layer_modes};
use crate::cli::report::Failure;

/// Write images of the store into files that docker, containerd, podman and skopeo load
///
/// The files are those of `sealift pull`: one for each image, or all in one with `-o FILE`. Every blob is hashed. Names
/// are as people write them (`nginx` is docker.io/library/nginx:latest), patterns (`'quay.io/*'`), digests or their first
/// digits. Without a platform it is linux/amd64 or, where the store has but another, that one. The path of each file
/// goes to stdout, all else to stderr.
#[derive(Args)]
pub(super) struct Arguments {
    /// Images: `nginx`, `quay.io/org/app:1`, `'registry.k8s.io/*'`, `sha256:3fbc63…`
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    #[command(flatten)]
    store: StoreArguments,
    /// Write all images to this file, `-` for stdout; a folder, or a name that ends in a slash, takes a file of the
    /// default name for each
    #[arg(short, long, value_name = "FILE|DIR/|-", default_value = "./")]
    output: PathBuf,
    /// Platform to export; several times for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT][:OS_VERSION]", conflicts_with = "all_platforms")]
    platform: Vec<String>,
    /// Every platform that is there
    #[arg(long)]
    all_platforms: bool,
    /// How layers are stored
    #[arg(long, value_name = "MODE", value_parser = layer_modes(), default_value = "auto")]
    layers: LayerMode,
    /// Leave files alone that are there already, and fail
    #[arg(long)]
    no_clobber: bool,
    /// Print a line of JSON for each file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let mode = arguments.progress.mode();
    let asked = arguments.platform.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>()?;
    let output = Output::of(arguments.output.clone());
    if output == Output::Stdout {
        check_stdout(arguments.json)?;
    }
    let (existing, layers, as_json) = (arguments.existing(), arguments.layers, arguments.json);
    let environment = context.environment;
    let chosen = blocking(move || choose(&arguments, &environment, &asked)).await?;
    let tally = Tally::of(mode.reporter());
    for (reference, platforms) in &chosen.images {
        warn_of_another(reference, platforms, chosen.is_asked, &tally);
    }
    let pull = Pull {
        source: &chosen.source,
        reporter: &tally,
        connections: std::thread::available_parallelism().map_or(1, NonZero::get),
        retries: Retries { times: 0, delay: None },
        existing,
        layers,
        limits: Limits::default(),
        reuse: None,
        sidecars: &[],
    };
    let wanted = chosen.images.iter().map(|(reference, platforms)| (reference, &platforms[..]));
    let Planned { archives, failures } = pull.plan_each(wanted, &output).await?;
    chosen.source.hold(archives.iter().flat_map(|archive: &PlannedArchive| archive.plan.layers()))?;
    let mut outcome = Outcome::new(failures, archives.len());
    let delivery = Delivery { pull, tally: &tally, as_json, mode };
    if output == Output::Stdout {
        return delivery.pipe(&archives).await;
    }
    delivery.write(&archives, &mut outcome).await?;
    outcome.end(mode)
}

/// What is to be exported, and where it comes from.
struct Chosen {
    source: StoreSource,
    images: Vec<(Reference, Vec<Platform>)>,
    /// True if somebody said for which platforms.
    is_asked: bool,
}

/// Finds the images that are meant, and the platforms of each. Blocks.
fn choose(
    arguments: &Arguments,
    environment: &Environment,
    asked: &[Platform],
) -> Result<Chosen, StoreError> {
    let stores = arguments.store.open(environment)?;
    let mut found = Vec::new();
    for text in &arguments.images {
        found.extend(find_images(&stores, text)?);
    }
    let named = names_for_archive(found)?;
    let mut images = Vec::new();
    for (number, reference, image) in &named {
        let store = &stores[*number];
        let all = if arguments.all_platforms { store.whole_platforms(image) } else { Vec::new() };
        let platforms = if all.is_empty() { store.platforms(image, asked)? } else { all };
        images.push((reference.clone(), platforms));
    }
    let targets = named.iter().map(|(_, reference, image)| (reference, &image.target));
    let content = stores.first().map(|store| store.root().content().clone());
    let source = content.map(|content| StoreSource::new(content, targets));
    let nowhere = || StoreError::NoNamespace { name: arguments.images.join(", ") };
    Ok(Chosen {
        source: source.ok_or_else(nowhere)?,
        images,
        is_asked: arguments.all_platforms || !asked.is_empty(),
    })
}

/// Says where an image is for another platform than one would think.
fn warn_of_another(reference: &Reference, platforms: &[Platform], is_asked: bool, reporter: &dyn Reporter) {
    let usual = Platform::linux_amd64();
    for found in platforms.iter().filter(|found| !is_asked && usual.distance_to(found).is_none()) {
        let warning =
            Warning::OtherPlatform { reference: reference.clone().into(), found: found.clone().into() };
        reporter.report(Event::Warning(&warning));
    }
}

impl Arguments {
    fn existing(&self) -> Existing {
        if self.no_clobber { Existing::Refuse } else { Existing::Replace }
    }
}
