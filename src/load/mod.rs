//! Load: an archive into a daemon. What is there already is not sent; what the daemon says it loaded is looked at.
//!
//! ```text
//! find each image ──all there──▶ done
//!        └──────▶ verify, room ──▶ send ──▶ find each image again ──▶ new names
//! ```
//!
//! Neighbours: [`crate::daemon`] speaks to Docker, podman and containerd; [`crate::archived`] tells what is in the
//! archive, [`crate::verify`] whether it is whole.

mod error;
mod expected;
mod made_manifest;
mod wanted;

use std::fs::Metadata;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::archived::{Archive, Measuring, Problem, Unsound};
use crate::blob::Limits;
use crate::daemon::{Daemon, Freight, Held};
use crate::error::Result;
use crate::event::{Event, Reporter, Warning};
use crate::fsio::{blocking, space};
use crate::image::{Digest, Platform, Reference};

use crate::verify::loader::breaks;
use crate::verify::{Report, Verify};

pub use error::LoadError;
use expected::ExpectedImage;
use wanted::{Found, Wanted};

/// What all steps of a load work with.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// Who is to have the images.
    pub daemon: &'a Daemon,
    /// Who is told what happens.
    pub reporter: &'a dyn Reporter,
    /// Names that the archive's one image gets besides its own.
    pub tags: &'a [Reference],
    /// True if images for other machines are loaded, too.
    pub any_platform: bool,
}

/// An image that a daemon has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its name, as the daemon shows it; none for images without one.
    pub name: Option<String>,
    /// What the daemon calls it.
    pub id: Digest,
    /// What was done.
    pub done: Done,
}

/// What was done for an image to be there by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was sent.
    Loaded,
    /// It was sent, and another had the name before.
    Replaced {
        /// The other.
        before: Digest,
    },
    /// Nothing: it was there.
    AlreadyThere,
    /// It got the name.
    Tagged,
}

impl Load<'_> {
    /// Loads `archive`, and says for each name what the daemon has by it now. What is not there is verified before it is
    /// sent.
    pub async fn run(&self, mut archive: Archive) -> Result<Vec<Loaded>> {
        let images = &expected::images(&archive);
        if images.is_empty() {
            let problems = archive.take_problems();
            return Err(Unsound::of(archive.path(), problems).into());
        }
        let wanted = Wanted::of(images);
        self.check(&wanted)?;
        let before = self.find_all(&wanted).await?;
        let mut after = before.clone();
        // Of an image whose config can't be read nobody knows whether it is there.
        let is_all_known = images.len() == archive.images().len();
        if !is_all_known
            || !wanted.iter().zip(&before).all(|(wanted, found)| wanted.is_surely_in(found.as_ref()))
        {
            let strays = self.find_strays(&wanted).await?;
            let archive = self.verified(archive).await?;
            self.send(archive, images).await?;
            after = self.find_all(&wanted).await?;
            for ((wanted, found), stray) in wanted.iter().zip(&mut after).zip(strays) {
                if !wanted.is_in(found.as_ref()) && stray.is_none() {
                    *found = self.mend_name(wanted).await?.or(found.take());
                }
            }
        }
        let mut loaded = Vec::new();
        for ((wanted, before), after) in wanted.iter().zip(before).zip(after) {
            let Found { held, is_named } = self.checked(wanted, after)?;
            let done = match before {
                Some(before) if wanted.is_surely_in(Some(&before)) => Done::AlreadyThere,
                Some(Found { held: before, .. }) if before.id != held.id => {
                    Done::Replaced { before: before.id }
                }
                _ => Done::Loaded,
            };
            let name = wanted.name.filter(|_| is_named).map(|name| self.daemon.shown_name(name));
            loaded.push(Loaded { name, id: held.id, done });
        }
        self.tag(&wanted, &mut loaded).await?;
        Ok(loaded)
    }

    /// What can be told before anything is asked.
    fn check(&self, wanted: &[Wanted<'_>]) -> Result<(), LoadError> {
        let images = wanted.iter().filter(|wanted| wanted.is_first_name).count();
        if !self.tags.is_empty() && images != 1 {
            return Err(LoadError::OneImageOnly(images));
        }
        let daemon = self.daemon.name();
        if let Some(nameless) = wanted.iter().find(|wanted| wanted.name.is_none())
            && !self.daemon.keeps_nameless()
        {
            return Err(LoadError::Nameless { daemon, id: nameless.config().clone() });
        }
        let is_foreign = |wanted: &&Wanted<'_>| !wanted.platforms().any(|one| self.daemon.runs(one));
        let foreign = wanted.iter().filter(is_foreign);
        let images: Vec<_> = foreign
            .map(|wanted| (wanted.shown(self.daemon), wanted.platforms().cloned().collect()))
            .collect();
        if images.is_empty() || self.any_platform {
            return Ok(());
        }
        Err(self.other_platform(images))
    }

    fn other_platform(&self, images: Vec<(String, Vec<Platform>)>) -> LoadError {
        let wanted = Box::new(self.daemon.platform().clone());
        LoadError::OtherPlatform { daemon: self.daemon.name(), wanted, images }
    }

    async fn find_all(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Option<Found>>> {
        let mut found = Vec::new();
        for wanted in wanted {
            let named = match wanted.name {
                Some(name) => self.daemon.find(&name.to_string()).await?,
                None => None,
            };
            // Docker's graph driver has no name for what was pulled by its digest.
            let has_tag = wanted.name.is_some_and(|name| name.tag().is_some());
            found.push(match named {
                Some(held) => Some(Found { held, is_named: true }),
                None if has_tag => None,
                None => {
                    let held = self.daemon.find_by_digest(wanted.ids()).await?;
                    held.map(|held| Found { held, is_named: false })
                }
            });
        }
        Ok(found)
    }

    /// The archive, if nothing is wrong with it that keeps it from being loaded.
    async fn verified(&self, archive: Archive) -> Result<Arc<Archive>> {
        let path = archive.path().to_owned();
        let size_bytes = path.metadata().ok().filter(Metadata::is_file).map(|file| file.len());
        self.reporter.report(Event::CheckStarted { path: &path, size_bytes });
        let (sender, mut progress) = mpsc::unbounded_channel();
        let verifying = blocking(move || {
            let progress = |bytes| _ = sender.send(bytes);
            let measuring = Measuring { limits: Limits::default(), progress: &progress };
            Verify { measuring, platform: None, loaders: &[] }.report(archive)
        });
        let telling = async {
            while let Some(bytes) = progress.recv().await {
                self.reporter.report(Event::CheckProgressed { bytes });
            }
        };
        let (report, ()) = tokio::join!(verifying, telling);
        self.reporter.report(Event::Checked { path: &path });
        let Report { archive, problems, .. } = report?;
        // Some loaders take a file that was cut between two entries for whole.
        let is_fatal =
            |problem: &Problem| matches!(problem, Problem::NoEnd { .. }) || breaks(&archive, problem);
        if problems.iter().any(is_fatal) {
            return Err(Unsound::of(&path, problems.into_iter().filter(is_fatal)).into());
        }
        Ok(archive)
    }

    async fn send(&self, archive: Arc<Archive>, images: &[ExpectedImage]) -> Result<()> {
        let path = archive.path().to_owned();
        let (reader, size_bytes) = blocking(move || archive.tar()).await?.ok_or(LoadError::WentBy)?;
        let freight = Freight { reader: Box::new(reader), path, size_bytes };
        self.check_room(freight.size_bytes).await?;
        let path = freight.path.clone();
        let daemon = self.daemon.description();
        let size_bytes = freight.size_bytes;
        self.reporter.report(Event::LoadStarted { daemon: &daemon, path: &path, size_bytes });
        let sent = self.daemon.load(freight, self.one_platform(images), self.reporter).await;
        self.reporter.report(Event::LoadEnded);
        Ok(sent?)
    }

    /// What all images are for, if they are for one platform or have one for the daemon's.
    fn one_platform<'a>(&'a self, images: &'a [ExpectedImage]) -> Option<&'a Platform> {
        if Wanted::of(images).iter().all(|wanted| wanted.platforms().any(|one| self.daemon.runs(one))) {
            return Some(self.daemon.platform());
        }
        let (first, others) = images.split_first()?;
        others.iter().all(|other| other.platform == first.platform).then_some(&first.platform)
    }

    /// A daemon that unpacks archives as a whole needs their size; another may have parts of it already.
    async fn check_room(&self, size_bytes: u64) -> Result<()> {
        let storage = self.daemon.storage().await?;
        let Some(folder) = storage.folder else { return Ok(()) };
        let Some(free_bytes) = space(&folder).map(|space| space.free_bytes) else { return Ok(()) };
        if free_bytes >= size_bytes {
            return Ok(());
        }
        if storage.unpacks_archives {
            return Err(LoadError::NoRoom { folder, size_bytes, free_bytes }.into());
        }
        self.reporter.report(Event::Warning(&Warning::DaemonMayBeFull { folder, size_bytes, free_bytes }));
        Ok(())
    }

    /// What the daemon has by the name must be what the archive has by it.
    fn checked(&self, wanted: &Wanted<'_>, found: Option<Found>) -> Result<Found, LoadError> {
        let (daemon, image) = (self.daemon.name(), wanted.shown(self.daemon));
        match found {
            // Of several platforms Docker's graph driver takes the first of the archive.
            Some(Found { held, .. }) if !self.any_platform && !self.daemon.runs(&held.platform) => {
                Err(self.other_platform(vec![(image, vec![held.platform])]))
            }
            Some(found) if wanted.is(&found.held) => Ok(found),
            Some(Found { held, .. }) => Err(LoadError::Another { daemon, image, found: held.id }),
            None => Err(LoadError::Missing { daemon, image }),
        }
    }

    /// What podman has by the names it would make up: that is a person's.
    async fn find_strays(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Option<Held>>> {
        let mut held = Vec::new();
        for wanted in wanted {
            held.push(match stray_name(wanted).filter(|_| self.daemon.is_podman()) {
                Some(name) => self.daemon.find(&name).await?,
                None => None,
            });
        }
        Ok(held)
    }

    /// Where an archive has several images, podman takes Docker Hub's short names for its own, `localhost/…`.
    async fn mend_name(&self, wanted: &Wanted<'_>) -> Result<Option<Found>> {
        let (Some(name), Some(stray)) = (wanted.name, stray_name(wanted)) else { return Ok(None) };
        if !self.daemon.is_podman() {
            return Ok(None);
        }
        let Some(held) = self.daemon.find(&stray).await?.filter(|held| wanted.is(held)) else {
            return Ok(None);
        };
        self.daemon.tag(&stray, name).await?;
        self.daemon.untag(&stray).await?;
        Ok(Some(Found { held, is_named: true }))
    }

    /// Gives the archive's one image its new names.
    async fn tag(&self, wanted: &[Wanted<'_>], loaded: &mut Vec<Loaded>) -> Result<()> {
        let (Some(first), Some(held)) = (wanted.first(), loaded.first().cloned()) else { return Ok(()) };
        // containerd has no image without a name, the others take IDs.
        let source = match first.name {
            Some(name) if held.name.is_some() => name.to_string(),
            _ => held.id.to_string(),
        };
        for tag in self.tags {
            self.daemon.tag(&source, tag).await?;
            let name = Some(self.daemon.shown_name(tag));
            loaded.push(Loaded { name, id: held.id.clone(), done: Done::Tagged });
        }
        // What had no name has one now.
        if !self.tags.is_empty() {
            loaded.retain(|loaded| loaded.name.is_some());
        }
        Ok(())
    }
}

fn stray_name(wanted: &Wanted<'_>) -> Option<String> {
    let name = wanted.name.filter(|name| name.registry().is_docker_hub())?;
    Some(format!("localhost/{}", name.familiar_tagged_name()?))
}
