//! The name by which Docker pushes an image to the shim: given for as long as a push takes, taken away whatever happens.
//!
//! A name that a killed run left is taken away by the next one, if nobody answers by it any more. An image goes with its
//! last name; so one that had none before gets rid of it without going.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::GrabError;
use crate::daemon::{Daemon, DaemonError, DaemonImage};
use crate::error::Result;
use crate::image::{Digest, Reference};

/// What the shim's repositories begin with.
const REPOSITORY: &str = "sealift-grab-";
/// How long another run may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// A repository that nobody can guess.
pub(super) fn repository() -> String {
    format!("{REPOSITORY}{}", random())
}

/// A word that nobody can guess: hashes under keys that the system made up.
pub(super) fn random() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}

/// The name that an image has for now; none if none has.
#[derive(Default)]
pub(super) struct TemporaryName(Mutex<Option<Given>>);

#[derive(Clone)]
struct Given {
    name: Reference,
    image: Digest,
    /// True if the image may go with the name, or won't.
    may_go: bool,
}

impl TemporaryName {
    /// Gives `image` the name. From now on it is to be taken away.
    pub(super) async fn give(
        &self,
        daemon: &Daemon,
        image: &DaemonImage,
        name: &Reference,
        may_go: bool,
    ) -> Result<()> {
        *self.lock() = Some(Given { name: name.clone(), image: image.id.clone(), may_go });
        match daemon.tag(&image.handle, name).await {
            // It went since it was found.
            Err(DaemonError::Answered { status: 404, .. }) => {
                self.lock().take();
                let (daemon, text) = (daemon.name(), image.shown());
                Err(GrabError::Nothing { daemon, text }.into())
            }
            tagged => Ok(tagged?),
        }
    }

    /// Takes the name away, if one was given.
    pub(super) async fn take_away(&self, daemon: &Daemon) -> Result<()> {
        let Some(Given { name, image, may_go }) = self.lock().clone() else { return Ok(()) };
        take_away(daemon, &name, may_go).await.map_err(|source| {
            let (name, source) = (name.to_string(), Box::new(source));
            GrabError::NotUntagged { image, name, source }
        })?;
        self.lock().take();
        Ok(())
    }

    /// Every change under the lock is one move, so poison is none.
    fn lock(&self) -> MutexGuard<'_, Option<Given>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take_away(daemon: &Daemon, name: &Reference, may_go: bool) -> Result<(), DaemonError> {
    if !may_go {
        return daemon.untag_and_keep(name).await;
    }
    match daemon.untag(&name.to_string()).await {
        // A container needs an image that has no other name.
        Err(DaemonError::Answered { status: 409, .. }) => daemon.untag_and_keep(name).await,
        untagged => untagged,
    }
}

/// Takes away the names that runs left which are no more.
pub(super) async fn take_away_stale(daemon: &Daemon) -> Result<()> {
    for name in daemon.names_with(&format!("/{REPOSITORY}")).await? {
        let Ok(reference) = name.parse::<Reference>() else { continue };
        if is_somebody_there(&reference).await {
            continue;
        }
        let Some(image) = daemon.image(&name).await? else { continue };
        take_away(daemon, &reference, image.names.len() > 1).await?;
    }
    Ok(())
}

/// Does a shim answer to this name? Where nobody can tell, it does.
async fn is_somebody_there(name: &Reference) -> bool {
    let url = format!("http://{}/v2/{}/tags/list", name.registry(), name.repository().path());
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    let Ok(client) = client else { return true };
    match client.get(url).send().await {
        Ok(answer) => answer.status() != reqwest::StatusCode::NOT_FOUND,
        Err(error) => {
            let kind = crate::registry::find::<io::Error>(&error).map(io::Error::kind);
            kind != Some(io::ErrorKind::ConnectionRefused)
        }
    }
}
