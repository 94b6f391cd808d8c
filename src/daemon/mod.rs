//! Daemons that take images: Docker and podman's service by the Docker Engine API, containerd by its `ctr`.
//!
//! [`endpoint`] finds out which is meant, [`Daemon`] is one that answers. Nothing here knows archives: bytes go in, and what is
//! there by a name can be asked.

pub mod address;
mod answer;
mod connection;
mod container;
mod ctr;
pub mod endpoint;
mod engine;
mod error;
mod freight;
mod held;
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

    /// Takes away a name that podman gave by itself.
    pub async fn untag(&self, name: &str) -> Result<(), DaemonError> {
        match self {
            Self::Engine(engine) => engine.untag(name).await,
            Self::Containerd(_) => Ok(()),
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
