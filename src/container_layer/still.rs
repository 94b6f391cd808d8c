//! A container that runs, frozen for as long as its layer is read.

use std::sync::Arc;
use std::thread;

use super::docker::Docker;
use super::error::ContainerLayerError;
use crate::daemon::{Container, DaemonError, Engine};
use crate::event::{Event, Reporter, Warning};

/// A container that was frozen here. It goes on when this is dropped, whatever the reason is.
pub(super) struct Frozen {
    engine: Arc<Engine>,
    id: String,
    name: String,
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
        let frozen = Self { engine: Arc::clone(&docker.engine), id, name, is_held: true };
        docker.engine.pause(&frozen.id).await?;
        reporter.report(Event::Warning(&Warning::Frozen { container: frozen.name.clone() }));
        Ok(Some(frozen))
    }

    /// Lets it go on.
    pub(super) async fn thaw(mut self) -> Result<(), ContainerLayerError> {
        self.engine.unpause(&self.id).await.map_err(|error| self.still_paused(error))?;
        self.is_held = false;
        Ok(())
    }

    fn still_paused(&self, source: DaemonError) -> ContainerLayerError {
        ContainerLayerError::StillPaused { name: self.name.clone(), source: Box::new(source) }
    }
}

impl Drop for Frozen {
    /// Waits until the daemon has done it: the process may end next. The runtime here may be ending, so it is one of its own.
    fn drop(&mut self) {
        if !self.is_held {
            return;
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                if let Ok(runtime) = runtime {
                    // There is nobody left to tell; Docker says that it is paused.
                    let _ = runtime.block_on(self.engine.unpause(&self.id));
                }
            });
        });
    }
}
