//! Daemons that take images: Docker and podman's service by the Docker Engine API, containerd by its `ctr`.
//!
//! [`endpoint`] finds out which is meant, [`Daemon`] is one that answers. Nothing here knows archives: bytes go in, and what is
//! there by a name can be asked.

pub mod address;
mod answer;
mod connection;
mod container;
mod ctr;
mod ctr_image;
pub mod endpoint;
mod engine;
mod error;
mod freight;
mod held;
mod history;
mod image;
mod passing_name;
mod push;
#[cfg(unix)]
mod ssh;

use crate::event::Reporter;
use crate::image::{Digest, Platform, Reference};

pub use container::{Container, Info, Mount, State};
pub use ctr::Ctr;
pub use endpoint::{Endpoint, EndpointError};
pub use engine::{Engine, Maker, Storage};
pub use error::{DaemonError, SshSaid, Why};
pub use freight::Freight;
pub use held::Held;
pub use history::Step;
pub use image::{DaemonImage, Documents};
pub use passing_name::PassingName;
pub use push::{Destination, USER};

/// A daemon that answers.
pub enum Daemon {
    /// Docker, or podman's service.
    Engine(Box<Engine>),
    /// containerd, by its own client.
    Containerd(Box<Ctr>),
}

impl Daemon {
    /// As people call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Engine(engine) => engine.maker().name(),
            Self::Containerd(_) => "containerd",
        }
    }

    /// Who it is and where.
    pub fn description(&self) -> String {
        match self {
            Self::Engine(engine) => engine.description(),
            Self::Containerd(ctr) => ctr.description(),
        }
    }

    /// What it runs.
    pub fn platform(&self) -> &Platform {
        match self {
            Self::Engine(engine) => engine.platform(),
            Self::Containerd(ctr) => ctr.platform(),
        }
    }

    /// True if what is for this platform runs there. Docker does not tell which variant its machine is.
    pub fn runs(&self, platform: &Platform) -> bool {
        let own = self.platform();
        let is_alike = || (&own.os, &own.architecture) == (&platform.os, &platform.architecture);
        own.distance_to(platform).is_some() || own.variant.is_none() && is_alike()
    }

    /// True if it is podman, which has names of its own for images that come without a registry's.
    pub fn is_podman(&self) -> bool {
        matches!(self, Self::Engine(engine) if engine.maker() == Maker::Podman)
    }

    /// True if it has images without a name.
    pub fn keeps_nameless(&self) -> bool {
        matches!(self, Self::Engine(_))
    }

    /// A name as its own client shows it.
    pub fn shown_name(&self, name: &Reference) -> String {
        match self {
            Self::Engine(engine) if engine.maker() == Maker::Docker => {
                name.familiar_tagged_name().unwrap_or_else(|| name.to_string())
            }
            _ => name.to_string(),
        }
    }

    /// Where it keeps images.
    pub async fn storage(&self) -> Result<Storage, DaemonError> {
        match self {
            Self::Engine(engine) => engine.storage().await,
            Self::Containerd(ctr) => Ok(Storage { folder: ctr.folder().cloned(), unpacks_archives: false }),
        }
    }

    /// The image that has this name; none if there is none.
    pub async fn find(&self, name: &str) -> Result<Option<Held>, DaemonError> {
        match self {
            Self::Engine(engine) => engine.find(name).await,
            Self::Containerd(ctr) => ctr.find(name).await,
        }
    }

    /// The image with one of these digests, whatever its name.
    pub async fn find_by_digest(&self, digests: &[Digest]) -> Result<Option<Held>, DaemonError> {
        let Self::Engine(engine) = self else { return Ok(None) };
        for digest in digests {
            if let Some(held) = engine.find(&digest.to_string()).await? {
                return Ok(Some(held));
            }
        }
        Ok(None)
    }

    /// Gives the image `source`, a name or where those are not needed an ID, another name.
    pub async fn tag(&self, source: &str, name: &Reference) -> Result<(), DaemonError> {
        match self {
            Self::Engine(engine) => engine.tag(source, name).await,
            Self::Containerd(ctr) => ctr.tag(source, name).await,
        }
    }

    /// Takes away a name. An image that nothing else refers to goes with it, or by its ID.
    pub async fn untag(&self, name: &str) -> Result<(), DaemonError> {
        match self {
            Self::Engine(engine) => engine.untag(name).await,
            Self::Containerd(_) => Ok(()),
        }
    }

    /// True if it pushes an image only by the name that it is to have there.
    pub fn pushes_by_name(&self) -> bool {
        matches!(self, Self::Engine(engine) if engine.maker() == Maker::Docker)
    }

    /// Takes away a name that an image of Docker's has for a while, and leaves the image as it was, even where nothing else
    /// refers to it: that would go with its last name, but stays when the name goes to another.
    pub async fn untag_and_keep(&self, name: &Reference) -> Result<(), DaemonError> {
        if let Self::Engine(engine) = self {
            engine.import_nothing(name).await?;
        }
        self.untag(&name.to_string()).await
    }

    /// The names that images have for a push; none of containerd.
    pub async fn passing_names(&self) -> Result<Vec<PassingName>, DaemonError> {
        match self {
            Self::Engine(engine) => engine.passing_names().await,
            Self::Containerd(_) => Ok(Vec::new()),
        }
    }

    /// True if it keeps several platforms of an image, of which a push may be for one: Docker with containerd's image store.
    pub async fn has_platforms(&self) -> Result<bool, DaemonError> {
        match self {
            Self::Engine(engine) if engine.maker() == Maker::Docker => {
                Ok(!engine.storage().await?.unpacks_archives)
            }
            _ => Ok(false),
        }
    }

    /// A name as the daemon wants to be asked by it: containerd knows full names alone.
    pub fn full_name(&self, text: &str) -> String {
        match self {
            Self::Engine(_) => text.to_owned(),
            Self::Containerd(_) => {
                text.parse::<Reference>().map_or_else(|_| text.to_owned(), |name| name.to_string())
            }
        }
    }

    /// The image that this name or ID is for, with what it is made of; none if there is none.
    pub async fn image(&self, name: &str) -> Result<Option<DaemonImage>, DaemonError> {
        match self {
            Self::Engine(engine) => engine.image(name).await,
            Self::Containerd(ctr) => ctr.image(name).await,
        }
    }

    /// All its images, each as [`image`](Self::image) tells it; with `all` those between two steps of a build, too.
    pub async fn images(&self, all: bool) -> Result<Vec<DaemonImage>, DaemonError> {
        let handles: Vec<String> = match self {
            Self::Engine(engine) => engine.image_ids(all).await?.iter().map(ToString::to_string).collect(),
            Self::Containerd(ctr) => ctr.names().await?,
        };
        let mut images = Vec::new();
        for handle in handles {
            // One that went away meanwhile is none.
            images.extend(self.image(&handle).await?);
        }
        Ok(images)
    }

    /// The steps by which an image came about, the first one first.
    pub async fn history(&self, image: &DaemonImage) -> Result<Vec<Step>, DaemonError> {
        match self {
            Self::Engine(engine) => engine.history(&image.handle).await,
            Self::Containerd(_) => Ok(history::of_config(image)),
        }
    }

    /// Pushes an image. Docker's has to have the destination's name.
    pub async fn push(&self, image: &DaemonImage, to: Destination<'_>) -> Result<(), DaemonError> {
        match self {
            Self::Engine(engine) => engine.push(image, to).await,
            Self::Containerd(ctr) => ctr.push(image, to).await,
        }
    }

    /// Loads an archive with images for `platform`; without one they are for several. Its word that it went well is no proof.
    pub async fn load(
        &self,
        freight: Freight,
        platform: Option<&Platform>,
        reporter: &dyn Reporter,
    ) -> Result<(), DaemonError> {
        match self {
            Self::Engine(engine) => engine.load(freight, reporter).await,
            Self::Containerd(ctr) => ctr.load(freight, platform, reporter).await,
        }
    }
}
