//! The name by which Docker pushes an image to the shim: given for as long as a push takes, taken away whatever happens.
//!
//! A name that a killed run left is taken away by the next one, if nobody answers by it any more. An image goes with its
//! last name, and nobody can know whether a name is the last: so each image gets rid of it without going.

use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::GrabError;
use super::shim::PRESENCE;
use crate::daemon::{Daemon, DaemonError, DaemonImage, PassingName};
use crate::error::Result;
use crate::image::{Digest, Reference};

/// How long another run may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// The names that images have for now.
#[derive(Default)]
pub(super) struct TemporaryNames(Mutex<Vec<Given>>);

#[derive(Clone)]
struct Given {
    name: Reference,
    image: Digest,
}

impl TemporaryNames {
    /// Gives `image` the name. From now on it is to be taken away.
    pub(super) async fn give(&self, daemon: &Daemon, image: &DaemonImage, name: &Reference) -> Result<()> {
        self.lock().push(Given { name: name.clone(), image: image.id.clone() });
        match daemon.tag(&image.handle, name).await {
            // It went since it was found.
            Err(DaemonError::Answered { status: 404, .. }) => {
                self.lock().pop();
                Err(GrabError::Nothing { daemon: daemon.name(), text: image.shown() }.into())
            }
            named => Ok(named?),
        }
    }

    /// Takes away what was given.
    pub(super) async fn take_away(&self, daemon: &Daemon) -> Result<()> {
        loop {
            let Some(Given { name, image }) = self.lock().last().cloned() else { return Ok(()) };
            take_away(daemon, &name).await.map_err(|source| {
                let (name, source) = (name.to_string(), Box::new(source));
                GrabError::NotUntagged { image, name, source }
            })?;
            self.lock().pop();
        }
    }

    /// True if no image has one any more.
    pub(super) fn are_taken_away(&self) -> bool {
        self.lock().is_empty()
    }

    /// Every change under the lock is one move, so poison is none.
    fn lock(&self) -> MutexGuard<'_, Vec<Given>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a name away from its image, which stays.
async fn take_away(daemon: &Daemon, name: &Reference) -> Result<(), DaemonError> {
    let text = name.to_string();
    let Some(image) = daemon.image(&text).await? else { return Ok(()) };
    if image.is_of_nothing() {
        return daemon.untag(&text).await;
    }
    match daemon.untag_and_keep(name).await {
        // It can't make the image of nothing: its disk may be full. This one has other names.
        Err(DaemonError::NotMade { .. } | DaemonError::Answered { .. }) if !image.names.is_empty() => {
            daemon.untag(&text).await
        }
        untagged => untagged,
    }
}

/// Takes away the names that runs left which are no more, of those that lead to registries at this address of ours.
pub(super) async fn take_away_stale(daemon: &Daemon, address: IpAddr) -> Result<()> {
    for name in daemon.passing_names().await? {
        if name.registry.ip() == address && !is_somebody_there(&name).await {
            take_away(daemon, &name.reference).await?;
        }
    }
    Ok(())
}

/// Does a shim answer to this name? Where nobody can tell, it does.
async fn is_somebody_there(name: &PassingName) -> bool {
    let url = format!("http://{}/v2/{}/tags/list", name.registry, name.reference.repository().path());
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    let Ok(client) = client else { return true };
    match client.get(url).send().await {
        Ok(answer) => answer.headers().contains_key(PRESENCE),
        Err(error) => {
            let kind = crate::registry::find::<io::Error>(&error).map(io::Error::kind);
            kind != Some(io::ErrorKind::ConnectionRefused)
        }
    }
}
