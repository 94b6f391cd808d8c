//! Grab: one layer out of a running daemon, which pushes it to a registry that is there for nothing else.
//!
//! ```text
//! find the layer ──▶ shim ──▶ name ──▶ push ──layer whole?──▶ cancel ──▶ unname ──▶ output
//!                               ▲          └──manifest──▶ which blob it is ──▶ push again
//! ```
//!
//! A first push shows by its manifest which blob is which layer; what the daemon has never pushed or pulled it uploads at
//! once, and then the layer may be there already. A second push brings just the blob that is wanted.
//!
//! Neighbours: [`crate::daemon`] speaks to Docker, podman and containerd; the shim is a [`crate::registry::server`] over a
//! storage of its own; [`crate::archive`] plans archives of what was grabbed.

mod archive;
mod documents;
mod error;
mod find;
mod layers;
mod output;
mod shim;
mod temporary_name;

use std::collections::HashSet;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{self, UnboundedReceiver};

use self::shim::{Asked, Guard, KeptLayer, Shim, Spool, Step, guarded};
use self::temporary_name::TemporaryNames;
use crate::blob::{InflateError, Limits, Packing};
use crate::daemon::{Daemon, DaemonError, DaemonImage, Destination, PassingName};
use crate::error::Result;
use crate::event::{Event, Reporter, Warning};
use crate::fsio::FileError;
use crate::image::manifest::Parsed;
use crate::image::media_type::LayerType;
use crate::image::{Compression, DiffId, Digest, Document, Manifest, MediaType, Reference};
use crate::registry::server::{Server, Store, StoredManifest, router};
use crate::secret::{Secret, random_word};

pub use archive::{Archived, Base};
pub use error::GrabError;
pub use find::{Choice, Found};
pub use layers::LayerRow;
pub use output::Written;
pub use shim::Form;

/// How often a daemon is asked for one layer: for its manifest, for the blob, and for blobs that it knows the layer by, too.
const PUSHES: usize = 5;

/// What all steps of a grab work with.
pub struct Grab<'a> {
    /// Who has the layers.
    pub daemon: &'a Daemon,
    /// Who is told what happens.
    pub reporter: &'a dyn Reporter,
    /// Where the daemon is to push to: an address of this machine. One that is none of loopback is for a daemon elsewhere,
    /// which then logs in.
    pub address: IpAddr,
    /// The port; 0 for any.
    pub port: u16,
    /// True if it is told what the daemon asks.
    pub traces: bool,
    /// How far layers may inflate.
    pub limits: Limits,
    /// True if images are pushed where nobody knows otherwise which of them has a blob.
    pub searches_blobs: bool,
    /// True if images that nothing else refers to are let go once their layers are safe, which warnings then say.
    pub cleans: bool,
    /// The names that images of the daemon have for a while.
    names: TemporaryNames,
    /// True once a layer came: then `address` is the daemon's way to this machine, and no other's.
    is_reached: AtomicBool,
}

/// A layer that was grabbed.
#[derive(Debug)]
pub struct Grabbed {
    /// Its diff ID, which it was verified to have.
    pub diff_id: DiffId,
    /// The digest of the blob that the daemon pushed.
    pub digest: Digest,
    /// The blob's size.
    pub size_bytes: u64,
    /// The blob's media type.
    pub media_type: MediaType,
    /// What it inflates to.
    pub plain_bytes: u64,
    /// How much came besides, and was thrown away.
    pub thrown_away_bytes: u64,
    /// The file it is in, in the form that was asked for.
    pub file: File,
}

/// A registry that a daemon pushes to, for one layer.
struct Session<'a> {
    server: Server,
    shim: Shim,
    steps: UnboundedReceiver<Step>,
    name: Reference,
    password: Option<Secret>,
    reporter: &'a dyn Reporter,
    traces: bool,
    /// What errors call the spool.
    path: PathBuf,
    thrown_away_bytes: u64,
    /// An upload of the last push that may have been the layer.
    too_large: Option<InflateError>,
}

/// How a push ended.
enum Ended {
    Kept(Box<KeptLayer>),
    /// The daemon has said all it had to say, or gave up.
    Pushed(Result<(), DaemonError>),
}

impl<'a> Grab<'a> {
    /// Grabs from `daemon`, which pushes to this machine's loopback.
    pub fn new(daemon: &'a Daemon, reporter: &'a dyn Reporter) -> Self {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            daemon,
            reporter,
            address,
            port: 0,
            traces: false,
            limits: Limits::default(),
            searches_blobs: true,
            cleans: false,
            names: TemporaryNames::default(),
            is_reached: AtomicBool::new(false),
        }
    }

    /// Takes away names that runs left which were killed, once those of this run are. Where nothing was grabbed nobody knows
    /// which of them lead to this machine, so all stay.
    pub async fn clean_up_after_others(&self) -> Result<()> {
        if self.is_reached.load(Ordering::Relaxed) && self.names.are_taken_away() {
            temporary_name::take_away_stale(self.daemon, self.address).await?;
        }
        Ok(())
    }

    /// Takes away the names that images were given for a while, where they still have them.
    pub async fn clean_up(&self) -> Result<()> {
        self.names.take_away(self.daemon).await
    }

    /// Lets those images go that nothing refers to: for whoever has the layers safe. What another grab or a container is at
    /// stays, and what others were built on.
    pub async fn let_go(&self, found: &[Found]) -> Result<()> {
        let mut ids: Vec<String> = found.iter().map(|found| found.image.id.to_string()).collect();
        ids.sort();
        ids.dedup();
        for id in ids {
            match self.daemon.image(&id).await? {
                Some(image) if !image.is_referred_to && !image.is_being_pushed => {}
                _ => continue,
            }
            match self.daemon.untag(&id).await {
                Err(DaemonError::Answered { status: 409, .. }) => {}
                gone => gone?,
            }
        }
        Ok(())
    }

    /// Has the layer pushed into `file`, from its start; errors call it `path`.
    async fn fetch(&self, found: &Found, file: File, path: &Path, form: Form) -> Result<Grabbed> {
        self.warn_of_loneliness(found).await?;
        let image = self.smallest_with(found).await?;
        let mut session = self.session(Spool { file: Some(file), form, limits: self.limits }, path).await?;
        self.given_name(&session, &image).await?;
        let fetched = self.fetch_from(&mut session, &image, found).await;
        self.end(session).await;
        if fetched.is_ok() {
            self.is_reached.store(true, Ordering::Relaxed);
        }
        fetched
    }

    /// Takes the name away and stops the registry.
    async fn end(&self, session: Session<'_>) {
        // Whoever ends the grab tries it again, and tells why if it can't be done.
        let _ = self.clean_up().await;
        session.server.shutdown().await;
    }

    async fn fetch_from(
        &self,
        session: &mut Session<'_>,
        image: &DaemonImage,
        found: &Found,
    ) -> Result<Grabbed> {
        let wanted = found.diff_id();
        self.reporter
            .report(Event::GrabStarted { daemon: &self.daemon.description(), layer: wanted.digest() });
        let mut asked = self.first_question(image, found);
        let mut known: Vec<Manifest> =
            image.documents.iter().map(|documents| documents.manifest.clone()).collect();
        let mut pushed = Ok(());
        for _ in 0..PUSHES {
            session.shim.ask(asked.clone());
            match session.push(self.daemon, image).await? {
                Ended::Kept(kept) => return Ok(self.grabbed(*kept, wanted, &known, session)),
                Ended::Pushed(how) => pushed = how,
            }
            let named = session.manifests_of(image.diff_ids.len());
            let next = told_by(&named, wanted, found.position);
            if named.is_empty() || next.others == asked.others && next.missing == asked.missing {
                break;
            }
            asked = next;
            known.extend(named);
        }
        if let Some(source) = session.too_large.take() {
            let source = Box::new(source);
            return Err(GrabError::TooLarge { image: found.shown(), layer: wanted.clone(), source }.into());
        }
        pushed?;
        let (daemon, image) = (self.daemon.name(), found.shown());
        Err(GrabError::NotSent { daemon, image, layer: wanted.clone() }.into())
    }

    /// Warns where an image has layers that nothing else keeps: no name, no other image.
    async fn warn_of_loneliness(&self, found: &Found) -> Result<()> {
        let image = &found.image;
        if image.is_referred_to || !self.daemon.pushes_by_name() {
            return Ok(());
        }
        let shares = |other: &DaemonImage| {
            let pairs = image.diff_ids.iter().zip(&other.diff_ids);
            pairs.take_while(|(one, other)| one == other).count()
        };
        let mut others = self.daemon.images(true).await?;
        others.retain(|other| other.id != image.id);
        // What the classic builder made on the way here is there for this image's sake.
        let mut below = image.parent.clone();
        while let Some(id) = below.take() {
            let is_step = |other: &DaemonImage| other.id == id && !other.is_referred_to;
            if let Some(at) = others.iter().position(is_step) {
                below = others.swap_remove(at).parent;
            }
        }
        let first = others.iter().map(shares).max().unwrap_or(0);
        if first <= found.position {
            let warning = Warning::NothingElse { id: image.id.clone().into(), first, goes: self.cleans };
            self.reporter.report(Event::Warning(&warning));
        }
        Ok(())
    }

    /// What is known before the daemon has pushed anything: of containerd the manifest, of podman that it calls layers by
    /// their diff IDs.
    fn first_question(&self, image: &DaemonImage, found: &Found) -> Asked {
        let wanted = found.diff_id();
        if let Some(documents) = &image.documents {
            return told_by(std::slice::from_ref(&documents.manifest), wanted, found.position);
        }
        let asked = Asked { layer: Some(wanted.clone()), takes_uploads: true, ..Asked::default() };
        if self.daemon.is_podman() {
            let others = image.diff_ids.iter().filter(|other| *other != wanted);
            let others = Some(others.map(|other| other.digest().clone()).collect());
            return Asked { missing: [wanted.digest().clone()].into(), others, ..asked };
        }
        Asked { missing: found.blob.iter().cloned().collect(), ..asked }
    }

    fn grabbed(
        &self,
        kept: KeptLayer,
        wanted: &DiffId,
        known: &[Manifest],
        session: &Session<'_>,
    ) -> Grabbed {
        let KeptLayer { digest, size_bytes, layer, file } = kept;
        let thrown_away_bytes = session.thrown_away_bytes;
        self.reporter.report(Event::Grabbed {
            layer: wanted.digest(),
            size_bytes,
            inflated_bytes: layer.size_bytes,
            thrown_away_bytes,
        });
        let mut named = known.iter().flat_map(|manifest| &manifest.layers);
        let named = named.find(|layer| layer.digest == digest).map(|layer| layer.media_type.clone());
        let compression = match layer.packing {
            Packing::Gzip => Compression::Gzip,
            Packing::Zstd => Compression::Zstd,
            _ => Compression::Plain,
        };
        let oci = !self.daemon.pushes_by_name();
        // What no manifest names yet is called as this daemon would.
        let made = || MediaType::Layer(LayerType { compression, foreign: false, oci });
        let media_type = named.unwrap_or_else(made);
        let plain_bytes = layer.size_bytes;
        let diff_id = wanted.clone();
        Grabbed { diff_id, digest, size_bytes, media_type, plain_bytes, thrown_away_bytes, file }
    }

    async fn session(&self, spool: Spool, path: &Path) -> Result<Session<'a>> {
        let (sender, steps) = mpsc::unbounded_channel();
        let shim = Shim::new(spool, sender.clone());
        let random = || random_word().map_err(|_| GrabError::NoRandomness);
        let repository = PassingName::repository(&random()?);
        let password = if self.address.is_loopback() { None } else { Some(Secret::new(random()?)) };
        let guard = Guard { repository: repository.clone(), password: password.clone(), steps: sender };
        let router = guarded(router(Store::new(shim.clone())), guard);
        let address = SocketAddr::new(self.address, self.port);
        let server = match &password {
            None => Server::start(router, address).await,
            Some(_) => Server::start_guarded(router, address).await,
        };
        let server = server.map_err(GrabError::Start)?;
        let name = PassingName::of(server.address(), &repository).reference;
        let (reporter, path) = (self.reporter, path.to_owned());
        Ok(Session {
            server,
            shim,
            steps,
            name,
            password,
            reporter,
            traces: self.traces,
            path,
            thrown_away_bytes: 0,
            too_large: None,
        })
    }

    /// Docker pushes what has the registry's name.
    async fn given_name(&self, session: &Session<'_>, image: &DaemonImage) -> Result<()> {
        if !self.daemon.pushes_by_name() {
            return Ok(());
        }
        self.names.give(self.daemon, image, &session.name).await
    }

    /// Of the images that the image was built on, by IDs of their own, the one whose last layer it is: what is above need not
    /// be pushed.
    async fn smallest_with(&self, found: &Found) -> Result<DaemonImage> {
        let mut image = found.image.clone();
        while image.diff_ids.len() > found.position + 1
            && let Some(parent) = &image.parent
            && let Some(below) = self.daemon.image(&parent.to_string()).await?
            && below.diff_ids.len() > found.position
        {
            image = below;
        }
        Ok(image)
    }
}

impl Session<'_> {
    /// Has the daemon push, until the layer is there, or all else that was asked for, or the daemon ends.
    async fn push(&mut self, daemon: &Daemon, image: &DaemonImage) -> Result<Ended> {
        self.too_large = None;
        let (name, password) = (self.name.clone(), self.password.clone());
        let platform = daemon.has_platforms().await?.then(|| image.platform.clone());
        let to = Destination { name: &name, password: password.as_ref(), platform: platform.as_ref() };
        let push = daemon.push(image, to);
        tokio::pin!(push);
        loop {
            tokio::select! {
                biased;
                Some(step) = self.steps.recv() => {
                    if let Some(ended) = self.took(step)? {
                        return Ok(ended);
                    }
                }
                pushed = &mut push => {
                    // What it sent last may still wait to be looked at.
                    while let Ok(step) = self.steps.try_recv() {
                        if let Some(ended) = self.took(step)? {
                            return Ok(ended);
                        }
                    }
                    return Ok(Ended::Pushed(pushed));
                }
            }
        }
    }

    fn took(&mut self, step: Step) -> Result<Option<Ended>> {
        match step {
            Step::Answered(request) if self.traces => {
                self.reporter.report(Event::GrabAnswered { request: &request });
            }
            Step::Answered(_) => {}
            Step::Received(bytes) => self.reporter.report(Event::GrabProgressed { bytes }),
            Step::ThrownAway(bytes) => self.thrown_away_bytes += bytes,
            Step::Kept(kept) => return Ok(Some(Ended::Kept(Box::new(kept)))),
            Step::TooLarge(error) => self.too_large = Some(error),
            Step::Documented => return Ok(Some(Ended::Pushed(Ok(())))),
            Step::Failed(failure) => {
                return Err(FileError::io("write", &self.path)(failure).into());
            }
        }
        Ok(None)
    }

    /// The manifests that came, of images with so many layers.
    fn manifests_of(&self, layers: usize) -> Vec<Manifest> {
        self.documents_of(layers).into_iter().map(|(_, manifest)| manifest).collect()
    }

    /// The same with their bytes.
    fn documents_of(&self, layers: usize) -> Vec<(Document, Manifest)> {
        let documents = self.shim.manifests().into_iter().map(|manifest| {
            let StoredManifest { media_type, bytes, .. } = manifest;
            Document::of(bytes, media_type)
        });
        let parsed = documents.filter_map(|document| match document.parse() {
            Ok(Parsed::Manifest(manifest)) => Some((document, *manifest)),
            _ => None,
        });
        parsed.filter(|(_, manifest)| manifest.layers.len() == layers).collect()
    }
}

/// What to ask when manifests tell which blobs the layer at `position` may be, and which it is not.
fn told_by(manifests: &[Manifest], wanted: &DiffId, position: usize) -> Asked {
    let missing: HashSet<Digest> =
        manifests.iter().filter_map(|manifest| Some(manifest.layers.get(position)?.digest.clone())).collect();
    let named = manifests.iter().flat_map(|manifest| manifest.layers.iter().chain([&manifest.config]));
    let others = named.map(|blob| blob.digest.clone()).filter(|digest| !missing.contains(digest));
    let others = Some(others.collect());
    Asked { layer: Some(wanted.clone()), documents: HashSet::new(), missing, others, takes_uploads: true }
}
