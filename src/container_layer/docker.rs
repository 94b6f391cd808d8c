//! The Docker of this machine, asked about containers and their layers.

use std::sync::Arc;

use super::error::ContainerLayerError;
use super::exchange::{Recovered, Recovery, recover};
use super::place::Place;
use super::rights::require_root;
use super::undivided::undivided;
use super::upper::{directories, is_overlayfs, mounted_at};
use crate::daemon::{Container, Engine, Held, Info, Maker};
use crate::event::{Event, Reporter, Warning, with_causes};
use crate::fsio::blocking;

/// A Docker that answers.
pub struct Docker {
    pub(super) engine: Arc<Engine>,
    pub(super) info: Info,
}

impl Docker {
    /// Asks a daemon about itself.
    pub async fn of(engine: Engine) -> Result<Self, ContainerLayerError> {
        let info = engine.info().await?;
        Ok(Self { engine: Arc::new(engine), info })
    }

    /// Who it is and where.
    pub fn description(&self) -> String {
        self.engine.description()
    }

    /// The container of this name or ID, if its layer is one that can be had.
    pub(super) async fn container(&self, name: &str) -> Result<Container, ContainerLayerError> {
        let daemon = self.description();
        if self.engine.maker() != Maker::Docker {
            return Err(ContainerLayerError::Podman { daemon });
        }
        if !self.engine.is_local() {
            return Err(ContainerLayerError::Remote { daemon });
        }
        let bare = name.strip_prefix('/').unwrap_or(name);
        let found = if is_name(bare) { self.engine.container(bare).await? } else { None };
        match found {
            None => Err(ContainerLayerError::NoSuchContainer { daemon, name: name.to_owned() }),
            Some(Container { name, driver, .. }) if !is_overlayfs(&driver) => {
                Err(ContainerLayerError::Driver { name, driver })
            }
            Some(container) => Ok(container),
        }
    }

    /// The image of this name or ID; none if there is none.
    pub(super) async fn image(&self, name: &str) -> Result<Option<Held>, ContainerLayerError> {
        // What a file says is no path of the API.
        let is_in_names = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
        let is_name = !name.is_empty() && !name.contains("..") && name.bytes().all(is_in_names);
        if is_name { Ok(self.engine.find(name).await?) } else { Ok(None) }
    }

    /// The folder that a container's layer is in, cleaned of what a dead run left there.
    pub(super) async fn place(
        &self,
        container: &Container,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Place, ContainerLayerError> {
        let (container, info) = (container.clone(), self.info.clone());
        let locked = blocking(move || {
            require_root()?;
            let directories = directories(&container, &info)?;
            if let Some(at) = mounted_at(&directories.upper).filter(|_| !container.state.running) {
                return Err(ContainerLayerError::Mounted { name: container.name, at });
            }
            let place = Place::lock(directories)?;
            let recovered = recover(&place)?;
            Ok((place, recovered))
        });
        let (place, Recovery { done, stays }) = locked.await?;
        if let Some(done) = done {
            let (folder, is_ended) = (place.path().to_owned(), done == Recovered::Ended);
            reporter.report(Event::Warning(&Warning::ImportLeftOver { folder, is_ended }));
        }
        for error in stays {
            reporter.report(Event::Warning(&Warning::LeftOverStays { why: with_causes(&error) }));
        }
        Ok(place)
    }

    /// An error if a container that was stopped is used by anybody. Nothing else is done meanwhile.
    pub(super) fn ask_unused(&self, container: &Container, place: &Place) -> Result<(), ContainerLayerError> {
        undivided(self.check_untouched(container))?;
        match mounted_at(&place.path_of(place.layer())) {
            Some(at) => Err(ContainerLayerError::Mounted { name: container.name.clone(), at }),
            None => Ok(()),
        }
    }

    /// An error if a container that was stopped, or frozen, is not what it was.
    pub(super) async fn check_untouched(&self, container: &Container) -> Result<(), ContainerLayerError> {
        let now = self.container(&container.id).await?.state;
        let before = &container.state;
        let expected = if before.running { "paused" } else { &before.status };
        if (now.status.as_str(), &now.started_at) == (expected, &before.started_at) {
            Ok(())
        } else {
            Err(ContainerLayerError::Started { name: container.name.clone() })
        }
    }
}

/// Can a container be called so? Nothing else is asked for, as it would be a part of a path.
fn is_name(text: &str) -> bool {
    let is_in_names = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(is_in_names)
}

/// An error unless the container is stopped.
pub(super) fn require_stopped(container: &Container) -> Result<(), ContainerLayerError> {
    match container.state.status.as_str() {
        "created" | "exited" => Ok(()),
        status => Err(ContainerLayerError::NotStopped {
            name: container.name.clone(),
            status: status.to_owned(),
            may_be_frozen: matches!(status, "running" | "paused"),
        }),
    }
}
