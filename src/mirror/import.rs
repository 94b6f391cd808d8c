//! A root's images into a running containerd, through its own `ctr`.
//!
//! ```text
//! what it has already ──▶ the rest, by platform ──plan──▶ an archive that is nowhere ──pipe──▶ ctr ──▶ what it has now
//! ```
//!
//! The archive is that of a pull, so what goes in is verified on the way, and a stream that fails ends within an entry.

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::containerd_store::{
    BlobState, LayersFrom, NamedImages, Store, StoreError, StoreSource, StoredImage, names_for_archive,
    two_of_one_name,
};
use crate::daemon::{Ctr, DaemonError, Freight, Held};
use crate::error::{Error, Result};
use crate::event::{Event, Reporter, Silent};
use crate::image::{Platform, Reference};
use crate::load::{Done, LoadError, Loaded};
use crate::pull::{Failed, Output, PlannedArchive, Pull};

/// What containerd is called in messages.
const DAEMON: &str = "containerd";

/// What all steps of an import work with.
#[derive(Clone, Copy)]
pub struct Import<'a> {
    /// Who is to have the images.
    pub ctr: &'a Ctr,
    /// Who is told what happens.
    pub reporter: &'a dyn Reporter,
}

/// What became of the images so far.
#[derive(Debug, Default)]
pub struct Imported {
    /// Those that containerd has now.
    pub loaded: Vec<Loaded>,
    /// Those that it has not.
    pub failures: Vec<Failed>,
}

/// An image on its way.
struct Wanted {
    reference: Reference,
    image: StoredImage,
    platform: Platform,
    before: Option<Held>,
}

impl Wanted {
    /// The name that it gets there, which may be longer than the one it has, or without the digest in it.
    fn name(&self) -> String {
        self.reference.name_in_archives()
    }

    fn is_in(&self, held: Option<&Held>) -> bool {
        held.is_some_and(|held| held.id == self.image.target.digest && held.is_whole)
    }

    fn was_in(&self) -> bool {
        self.is_in(self.before.as_ref())
    }
}

impl Imported {
    fn fail(&mut self, image: &str, error: impl Into<Error>) {
        self.failures.push(Failed { image: image.to_owned(), error: error.into() });
    }
}

impl Import<'_> {
    /// Imports the images of a namespace, each for the platform that containerd runs, or else for the first it is there
    /// for. Images whose names are no references (the IDs that Kubernetes gives them) come by their other names; one that
    /// has none can't come. What fails of one image doesn't stop the others; an error is one of all of them, and what was
    /// done before is told all the same.
    pub async fn run(&self, store: &Store, imported: &mut Imported) -> Result<()> {
        let mut wanted = wanted(store, self.ctr.platform(), imported)?;
        for image in &mut wanted {
            image.before = self.ctr.find(&image.name()).await?;
        }
        let targets = wanted.iter().map(|one| (&one.reference, &one.image.target));
        let source = StoreSource::new(store.root().content().clone(), targets);
        let mut by_platform: BTreeMap<String, Vec<&Wanted>> = BTreeMap::new();
        for image in wanted.iter().filter(|image| !image.was_in()) {
            by_platform.entry(image.platform.to_string()).or_default().push(image);
        }
        let mut failed = HashMap::new();
        for images in by_platform.values() {
            // What they share goes once, but if one fails all do: then each goes by itself.
            match self.send(store, &source, images).await {
                Ok(()) => {}
                Err(error) if images.len() == 1 => _ = failed.insert(images[0].name(), error),
                Err(_) => {
                    for image in images {
                        if let Err(error) = self.send(store, &source, &[image]).await {
                            failed.insert(image.name(), error);
                        }
                    }
                }
            }
        }
        for image in &wanted {
            let name = image.name();
            let checked = match failed.remove(&name) {
                Some(error) => Err(error),
                None => self.checked(image).await,
            };
            match checked {
                Ok(loaded) => imported.loaded.push(loaded),
                Err(error) => imported.fail(&name, error),
            }
        }
        Ok(())
    }

    /// Sends images for one platform, all in one archive.
    async fn send(&self, store: &Store, source: &StoreSource, images: &[&Wanted]) -> Result<()> {
        let Some(platform) = images.first().map(|image| &image.platform) else { return Ok(()) };
        let pull = Pull::of_files(source, &Silent);
        let platforms = std::slice::from_ref(platform);
        let wanted = images.iter().map(|image| (&image.reference, platforms));
        for planned in pull.plan_each(wanted, &Output::Stdout).await?.archives {
            source.hold(planned.plan.layers())?;
            self.pipe(store, pull, &planned, platform).await?;
        }
        Ok(())
    }

    async fn pipe(
        &self,
        store: &Store,
        pull: Pull<'_>,
        planned: &PlannedArchive,
        platform: &Platform,
    ) -> Result<()> {
        let (reader, writer) = io::pipe().map_err(DaemonError::Ctr)?;
        let path = store.root().path();
        let size_bytes = planned.plan.size_bytes();
        let freight = Freight { reader: Box::new(reader), path: path.to_owned(), size_bytes };
        let daemon = self.ctr.description();
        self.reporter.report(Event::LoadStarted { daemon: &daemon, path, size_bytes });
        let (written, loaded) =
            tokio::join!(pull.pipe(planned, writer), self.ctr.load(freight, Some(platform), self.reporter));
        self.reporter.report(Event::LoadEnded);
        match written {
            // Where ctr ends early nothing can be written to it, and it says why.
            Ok(()) | Err(Error::Stream(_)) => Ok(loaded?),
            Err(error) => Err(error),
        }
    }

    /// What containerd has by the name now must be what the mirror has by it.
    async fn checked(&self, wanted: &Wanted) -> Result<Loaded> {
        let name = wanted.name();
        let found = if wanted.was_in() { wanted.before.clone() } else { self.ctr.find(&name).await? };
        let held = found.ok_or_else(|| LoadError::Missing { daemon: DAEMON, image: name.clone() })?;
        if !wanted.is_in(Some(&held)) {
            return Err(LoadError::Another { daemon: DAEMON, image: name, found: held.id }.into());
        }
        let done = match &wanted.before {
            _ if wanted.was_in() => Done::AlreadyThere,
            Some(before) if before.id != held.id => Done::Replaced { before: before.id.clone() },
            _ => Done::Loaded,
        };
        Ok(Loaded { name: Some(name), id: held.id, done })
    }
}

/// The images that can be imported, and for what; those that can't have failed.
fn wanted(store: &Store, runs: &Platform, imported: &mut Imported) -> Result<Vec<Wanted>> {
    let mut images = Vec::new();
    for image in store.images()? {
        match image {
            Ok(image) => images.push((0, image)),
            Err(StoreError::Field { path, image, field }) => {
                imported.fail(&image.clone(), StoreError::Field { path, image, field });
            }
            // Nobody knows which images there are.
            Err(error) => return Err(error.into()),
        }
    }
    let NamedImages { images, nameless } = names_for_archive(images);
    for (image, error) in nameless {
        imported.fail(&image.name, error);
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for (_, reference, image) in images {
        let name = reference.name_in_archives();
        if let Some(other) = wanted.iter().find(|one| one.name() == name) {
            if other.image.target.digest != image.target.digest {
                imported.fail(&image.name, two_of_one_name(name, &other.image, &image));
            }
            continue;
        }
        match nearest(store, &image, runs) {
            Ok(platform) => wanted.push(Wanted { reference, image, platform, before: None }),
            Err(error) => imported.fail(&image.name, error),
        }
    }
    Ok(wanted)
}

/// The platform of an image that goes, of those that are whole.
fn nearest(store: &Store, image: &StoredImage, runs: &Platform) -> Result<Platform, StoreError> {
    let inventory = store.inventory(image);
    let whole = inventory.whole(LayersFrom::Content).into_iter();
    let distance = |platform: &Platform| runs.distance_to(platform).map_or((1, 0), |distance| (0, distance));
    let lacking = || {
        let lacking = inventory.lacking().next();
        let path = |digest| store.root().content().path(digest);
        match lacking {
            Some(blob) if blob.state == BlobState::Damaged => {
                StoreError::WrongBytes { path: path(&blob.descriptor.digest) }
            }
            Some(blob) => StoreError::Missing { path: path(&blob.descriptor.digest) },
            None => StoreError::NoImage { name: image.name.clone() },
        }
    };
    whole.min_by_key(distance).ok_or_else(lacking)
}
