//! A root's images into a running containerd, through its own `ctr`.
//!
//! ```text
//! what it has already ──▶ the rest, by platform ──plan──▶ an archive that is nowhere ──pipe──▶ ctr ──▶ what it has now
//! ```
//!
//! The archive is that of a pull, so what goes in is verified on the way, and a stream that fails ends within an entry.

use std::collections::BTreeMap;
use std::io;

use crate::containerd_store::{Store, StoreError, StoreSource, StoredImage, names_for_archive};
use crate::daemon::{Ctr, DaemonError, Freight, Held};
use crate::error::{Error, Result};
use crate::event::{Event, Reporter, Silent};
use crate::image::{Platform, Reference};
use crate::load::{Done, LoadError, Loaded};
use crate::pull::{Output, PlannedArchive, Pull};

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

/// An image on its way.
struct Wanted {
    reference: Reference,
    image: StoredImage,
    platform: Platform,
    before: Option<Held>,
}

impl Wanted {
    fn is_in(&self, held: Option<&Held>) -> bool {
        held.is_some_and(|held| held.id == self.image.target.digest && held.is_whole)
    }
}

impl Import<'_> {
    /// Imports the images of a namespace, each for the platform that containerd runs, or else for the first it is there
    /// for. Images whose names are no references (the IDs that Kubernetes gives them) come by their other names.
    pub async fn run(&self, store: &Store) -> Result<Vec<Loaded>> {
        let mut wanted = self.wanted(store)?;
        for image in &mut wanted {
            image.before = self.ctr.find(&image.image.name).await?;
        }
        let targets = wanted.iter().map(|one| (&one.reference, &one.image.target));
        let source = StoreSource::new(store.root().content().clone(), targets);
        let mut by_platform: BTreeMap<String, (&Platform, Vec<&Reference>)> = BTreeMap::new();
        for image in wanted.iter().filter(|image| !image.is_in(image.before.as_ref())) {
            let of_platform = by_platform.entry(image.platform.to_string());
            of_platform.or_insert((&image.platform, Vec::new())).1.push(&image.reference);
        }
        for (platform, references) in by_platform.values() {
            self.send(store, &source, platform, references).await?;
        }
        let mut loaded = Vec::new();
        for image in &wanted {
            loaded.push(self.checked(image).await?);
        }
        Ok(loaded)
    }

    /// The images that can be imported, and for what.
    fn wanted(&self, store: &Store) -> Result<Vec<Wanted>> {
        let images = store.list()?.into_iter().filter(|image| image.reference().is_some());
        let named = names_for_archive(images.map(|image| (0, image)).collect())?;
        let wanted = named.into_iter().map(|(_, reference, image)| {
            let inventory = store.inventory(&image);
            let whole = || inventory.platforms.iter().filter(|held| held.is_whole());
            let runs = self.ctr.platform();
            let nearest = whole()
                .filter_map(|held| held.platform.as_ref())
                .min_by_key(|platform| runs.distance_to(platform).map_or((1, 0), |distance| (0, distance)));
            let lacking = inventory.lacking().next().map_or(&image.target, |blob| &blob.descriptor);
            let missing = || StoreError::Missing { path: store.root().content().path(&lacking.digest) };
            let platform = nearest.ok_or_else(missing)?.clone();
            Ok(Wanted { reference, image, platform, before: None })
        });
        wanted.collect()
    }

    /// Sends images for one platform, all in one archive.
    async fn send(
        &self,
        store: &Store,
        source: &StoreSource,
        platform: &Platform,
        references: &[&Reference],
    ) -> Result<()> {
        let pull = Pull::of_files(source, &Silent);
        let platforms = [platform.clone()];
        let wanted = references.iter().map(|reference| (*reference, &platforms[..]));
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
        let name = wanted.image.name.clone();
        let found = if wanted.is_in(wanted.before.as_ref()) {
            wanted.before.clone()
        } else {
            self.ctr.find(&name).await?
        };
        let held = found.ok_or_else(|| LoadError::Missing { daemon: DAEMON, image: name.clone() })?;
        if !wanted.is_in(Some(&held)) {
            return Err(LoadError::Another { daemon: DAEMON, image: name, found: held.id }.into());
        }
        let done = match &wanted.before {
            before if wanted.is_in(before.as_ref()) => Done::AlreadyThere,
            Some(before) if before.id != held.id => Done::Replaced { before: before.id.clone() },
            _ => Done::Loaded,
        };
        Ok(Loaded { name: Some(name), id: held.id, done })
    }
}
