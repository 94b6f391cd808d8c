//! A container that runs, frozen for as long as its layer is read.

use std::sync::Arc;

use super::docker::Docker;
use super::error::ContainerLayerError;
use super::undivided::undivided;
use crate::daemon::{Container, DaemonError, Engine};
use crate::event::{Event, Reporter, Warning};

/// A container that was frozen here. It goes on when this is dropped, whatever the reason is.
pub(super) struct Frozen {
    engine: Arc<Engine>,
    id: String,
    name: String,
    reporter: Arc<dyn Reporter>,
    is_held: bool,
}

impl Frozen {
    /// Freezes a container that runs; one that is frozen already stays as it is.
    pub(super) async fn of(
        docker: &Docker,
        container: &Container,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Option<Self>, ContainerLayerError> {
        let (id, name) = (container.id.clone(), container.name.clone());
        if container.state.status == "paused" {
            return Ok(None);
        }
        // From the moment it is asked for, the answer may be lost.
        let (engine, reporter) = (Arc::clone(&docker.engine), Arc::clone(reporter));
        let frozen = Self { engine, id, name, reporter, is_held: true };
        docker.engine.pause(&frozen.id).await?;
        let container = frozen.name.clone();
        frozen.reporter.report(Event::Warning(&Warning::Frozen { container }));
        Ok(Some(frozen))
    }

    /// Lets it go on.
    pub(super) async fn thaw(mut self) -> Result<(), ContainerLayerError> {
        self.is_held = false;
        self.engine.unpause(&self.id).await.map_err(|error| self.still_paused(error))
    }

    fn still_paused(&self, source: DaemonError) -> ContainerLayerError {
        ContainerLayerError::StillPaused { name: self.name.clone(), source: Box::new(source) }
    }
}

impl Drop for Frozen {
    /// Waits until the daemon has done it: the process may end next.
    fn drop(&mut self) {
        if !self.is_held {
            return;
        }
        let unpaused = undivided(async { Ok(self.engine.unpause(&self.id).await?) });
        if unpaused.is_err() {
            let container = self.name.clone();
            self.reporter.report(Event::Warning(&Warning::StillPaused { container }));
        }
    }
}
