//! `sealift containerd-store export`.

use std::path::{Path, PathBuf};

use clap::Args;
use sealift::archive::{LayerMode, Plan};
use sealift::config::Environment;
use sealift::containerd_store::{
    FoundImages, LayersFrom, NamedImages, RebuiltSource, Store, StoreError, StoreSource, StoredImage,
    find_images, names_for_archive, names_for_mirror, rebuilt, under_one_index,
};
use sealift::event::{Event, Reporter, Warning};
use sealift::fsio::{Existing, blocking};
use sealift::image::{Platform, Reference};
use sealift::pull::{Failed, Output, Planned, PlannedArchive, Pull};

use super::mirror::{MetadataChoice, MirrorDelivery};
use super::{Context, StoreArguments, tell};
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
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
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
    /// Copy the images as they are into the folder of `-o`, as a containerd root of its own: a mirror. What is there
    /// already is verified, and stays
    #[arg(long, conflicts_with_all = ["layers", "no_clobber", "from_snapshots"])]
    mirror: bool,
    /// The mirror's metadata
    #[arg(long, value_name = "HOW", value_enum, requires = "mirror")]
    metadata: Option<MetadataChoice>,
    /// Make layers that containerd has only unpacked anew, from the snapshots of overlayfs. Where one can't be made to the
    /// byte, the image gets another ID
    #[arg(long)]
    from_snapshots: bool,
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
    let is_mirror = arguments.mirror;
    let ended = export(arguments, context).await;
    if is_mirror { ended.map_err(Failure::of_mirror) } else { ended }
}

async fn export(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let mode = arguments.progress.mode();
    let asked = arguments.platform.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>()?;
    let output = Output::of(arguments.output.clone());
    arguments.check_mirror()?;
    if output == Output::Stdout {
        check_stdout(arguments.json)?;
    }
    let mirror = arguments.mirror.then(|| arguments.output.clone());
    let metadata = arguments.metadata.unwrap_or(MetadataChoice::Anew);
    let from_snapshots = arguments.from_snapshots;
    let (existing, layers, as_json) = (arguments.existing(), arguments.layers, arguments.json);
    let environment = context.environment;
    // With a file for each image, one that fails doesn't stop the others.
    let is_each = matches!(output, Output::Folder(_)) && mirror.is_none();
    let chosen = blocking(move || choose(&arguments, &environment, &asked, is_each)).await?;
    let tally = Tally::of(mode.reporter());
    for image in &chosen.images {
        warn_of_another(&image.reference, &image.platforms, chosen.is_asked, &tally);
    }
    let pull = Pull { existing, layers, ..Pull::of_files(&chosen.source, &tally) };
    if let Some(folder) = &mirror {
        let ended = MirrorDelivery { reporter: &tally, folder, metadata, as_json, mode }.write(&chosen).await;
        return tell(chosen.problems, ended);
    }
    let wanted = chosen.images.iter().map(|image| (&image.reference, &image.platforms[..]));
    let Planned { archives: planned, mut failures } = pull.plan_each(wanted, &output).await?;
    let mut source = RebuiltSource::new(&chosen.source);
    let is_each = is_each && planned.len() + failures.len() + chosen.failures.len() > 1;
    let mut archives = Vec::new();
    for mut archive in planned {
        match hold(&mut archive, &mut source, &chosen, pull, from_snapshots).await {
            Ok(()) => archives.push(archive),
            Err(error) if is_each => {
                let image = archive.images.first().map(|image| image.reference.to_string());
                failures.push(Failed { image: image.unwrap_or_default(), error });
            }
            Err(error) => return Err(error.into()),
        }
    }
    failures.extend(chosen.failures);
    let mut outcome = Outcome::new(failures, archives.len());
    let delivery = Delivery { pull: Pull { source: &source, ..pull }, tally: &tally, as_json, mode };
    if output == Output::Stdout {
        let ended = delivery.pipe(&archives).await;
        return tell(chosen.problems, ended);
    }
    delivery.write(&archives, &mut outcome).await?;
    tell(chosen.problems, outcome.end(mode))
}

/// What is to be exported, and where it comes from.
pub(super) struct Chosen {
    pub(super) source: StoreSource,
    pub(super) images: Vec<ChosenImage>,
    /// What can't be read of the metadata, so that there may be more images of a pattern.
    problems: Vec<StoreError>,
    /// Images that can't be had.
    failures: Vec<Failed>,
    /// True if somebody said for which platforms.
    is_asked: bool,
}

/// An image that is to be exported.
pub(super) struct ChosenImage {
    pub(super) store: Store,
    pub(super) reference: Reference,
    pub(super) stored: StoredImage,
    pub(super) platforms: Vec<Platform>,
}

/// Finds the images that are meant, and the platforms of each. Blocks.
fn choose(
    arguments: &Arguments,
    environment: &Environment,
    asked: &[Platform],
    is_each: bool,
) -> Result<Chosen, StoreError> {
    let stores = arguments.store.open(environment)?;
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for text in &arguments.images {
        let FoundImages { images, problems: unread } = find_images(&stores, text)?;
        found.extend(images);
        problems.extend(unread);
    }
    let NamedImages { images: named, nameless } = if arguments.mirror {
        NamedImages { images: names_for_mirror(found), nameless: Vec::new() }
    } else {
        names_for_archive(found)
    };
    let targets = named.iter().map(|(_, reference, image)| (reference, &image.target));
    let content = stores.first().map(|store| store.root().content().clone());
    let source = content.map(|content| StoreSource::new(content, targets));
    let nowhere = || StoreError::NoNamespace { name: arguments.images.join(", ") };
    let source = source.ok_or_else(nowhere)?;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    let is_each = is_each && named.len() + nameless.len() > 1;
    for (image, error) in nameless {
        if !is_each {
            return Err(error);
        }
        failures.push(Failed { image: image.name, error: error.into() });
    }
    let layers = arguments.layers_from();
    for (number, reference, stored) in named {
        let store = stores[number].clone();
        let is_all = arguments.all_platforms;
        let all = if is_all { store.inventory(&stored).whole(layers) } else { Vec::new() };
        match if all.is_empty() { store.platforms(&stored, asked, layers) } else { Ok(all) } {
            Ok(platforms) => images.push(ChosenImage { store, reference, stored, platforms }),
            Err(error) if is_each => failures.push(Failed { image: stored.name, error: error.into() }),
            Err(error) => return Err(error),
        }
    }
    Ok(Chosen { source, images, problems, failures, is_asked: arguments.all_platforms || !asked.is_empty() })
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

/// Opens what the archive is made of, so that it stays; layers that are unpacked only are made anew, if asked for.
async fn hold(
    archive: &mut PlannedArchive,
    source: &mut RebuiltSource<'_>,
    chosen: &Chosen,
    pull: Pull<'_>,
    from_snapshots: bool,
) -> sealift::Result<()> {
    if from_snapshots {
        rebuild(archive, source, chosen, pull).await?;
    }
    let layers = archive.plan.layers().filter(|layer| !source.has(&layer.digest));
    Ok(chosen.source.hold(layers)?)
}

/// Makes layers that the content store hasn't anew, and plans the archive with them.
async fn rebuild(
    archive: &mut PlannedArchive,
    source: &mut RebuiltSource<'_>,
    chosen: &Chosen,
    pull: Pull<'_>,
) -> sealift::Result<()> {
    let mut is_another = false;
    for image in &mut archive.images {
        let is_it = |one: &&ChosenImage| {
            one.reference == image.reference && one.stored.target.digest == image.target.digest
        };
        let Some(store) = chosen.images.iter().find(is_it).map(|one| one.store.clone()) else { continue };
        let resolved = image.clone();
        let made = blocking(move || rebuilt(store.root(), store.namespace(), &resolved)).await;
        let Some(made) = made? else { continue };
        for warning in made.warnings() {
            pull.reporter.report(Event::Warning(&warning));
        }
        *image = source.add(made);
        is_another = true;
    }
    if is_another {
        under_one_index(&mut archive.images);
        archive.plan = Plan::of(&archive.images, pull.layers)?;
    }
    Ok(())
}

impl Arguments {
    fn check_mirror(&self) -> Result<(), Failure> {
        if self.mirror && [".", "-"].iter().any(|place| Path::new(place) == self.output) {
            return Err(Failure::Usage("a mirror is a folder of its own: name it with `-o DIR`"));
        }
        Ok(())
    }

    fn layers_from(&self) -> LayersFrom {
        if self.from_snapshots { LayersFrom::Snapshots } else { LayersFrom::Content }
    }

    fn existing(&self) -> Existing {
        if self.no_clobber { Existing::Refuse } else { Existing::Replace }
    }
}
