//! A container's layer into a file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::docker::{Docker, require_stopped};
use super::error::ContainerLayerError;
use super::moment::now;
use super::place::Place;
use super::still::Frozen;
use super::users::user_namespace;
use super::{Progress, awaited};
use crate::daemon::{Container, Held};
use crate::event::{Event, LayerWork, Reporter, Warning};
use crate::fsio::{Existing, check_target};
use crate::layer_file::{
    About, ContainerMetadata, DockerInfo, LayerFileError, Mount, Seal, WrittenFile, write,
};
use crate::overlay::Plan;

/// What is exported, and how.
pub struct Export<'a> {
    /// Who has the container.
    pub docker: &'a Docker,
    /// Its name or ID.
    pub container: &'a str,
    /// The file.
    pub target: &'a Path,
    /// What is done with a file that is there.
    pub existing: Existing,
    /// What the file is packed with.
    pub packing: Option<Seal>,
    /// True if a container that runs is frozen meanwhile.
    pub allow_running: bool,
    /// Who is told what happens.
    pub reporter: Arc<dyn Reporter>,
}

/// A layer that was exported.
#[derive(Debug)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// The container's name.
    pub container: String,
    /// The file's size, and what it says of itself.
    pub file: WrittenFile,
}

impl Export<'_> {
    /// Exports. The file is there whole, or not at all.
    pub async fn run(self) -> Result<Exported, ContainerLayerError> {
        let container = self.docker.container(self.container).await?;
        if !self.allow_running || !matches!(container.state.status.as_str(), "running" | "paused") {
            require_stopped(&container)?;
        }
        check_target(self.target, self.existing)?;
        let place = self.docker.place(&container, &self.reporter).await?;
        let image = self.docker.image(&container.image_id).await?;
        self.tell_mounts(&container);
        let frozen = if container.state.running {
            Frozen::of(self.docker, &container, &self.reporter).await?
        } else {
            None
        };
        let about = about(&container, self.docker, image);
        // Dropped with an error, it lets the container go on as well.
        let file = self.write(&container, place, about).await?;
        if let Some(frozen) = frozen {
            frozen.thaw().await?;
        }
        self.tell_left_out(&file);
        let (path, size_bytes) = (self.target, file.size_bytes);
        self.reporter.report(Event::Committed { path, size_bytes });
        Ok(Exported { path: path.to_owned(), container: container.name, file })
    }

    async fn write(
        &self,
        container: &Container,
        place: Place,
        about: About,
    ) -> Result<WrittenFile, ContainerLayerError> {
        let (reporter, target) = (Arc::clone(&self.reporter), self.target.to_owned());
        let (existing, packing) = (self.existing, self.packing);
        let docker = Docker { engine: Arc::clone(&self.docker.engine), info: self.docker.info.clone() };
        let (container, runtime) = (container.clone(), Handle::current());
        let work = move |is_awaited: &(dyn Fn() -> bool + Sync)| {
            let (upper, below) = (place.path_of(place.layer()), place.below().to_vec());
            let plan = Plan::of(&upper, below, about.docker.mounted_by(), &|_| is_awaited())?;
            let size_bytes = plan.size_bytes();
            let untouched = || runtime.block_on(docker.check_untouched(&container));
            // The file gets its name after its last byte, and that is taken only if nobody started the container meanwhile.
            let (done_bytes, started) = (AtomicU64::new(0), Mutex::new(None));
            let written = Progress { reporter: &reporter, is_awaited }.of(
                LayerWork::Export,
                &target,
                size_bytes,
                |watch| {
                    let watch = |bytes| {
                        let done = done_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
                        if !watch(bytes) {
                            return false;
                        }
                        let verdict = if done >= size_bytes { untouched() } else { Ok(()) };
                        let is_untouched = verdict.is_ok();
                        if let (Err(error), Ok(mut started)) = (verdict, started.lock()) {
                            *started = Some(error);
                        }
                        is_untouched
                    };
                    write(&target, existing, &plan, packing, about, &watch)
                },
            );
            match (written, started.into_inner()) {
                (Err(LayerFileError::Stopped), Ok(Some(error))) => Err(error),
                (written, _) => Ok(written?),
            }
        };
        awaited(work).await
    }

    fn tell_mounts(&self, container: &Container) {
        for mount in &container.mounts {
            let (kind, inside) = (mount.kind.clone(), mount.destination.clone());
            let outside = if mount.name.is_empty() { mount.source.clone() } else { mount.name.clone() };
            self.reporter.report(Event::Warning(&Warning::NotInLayer { kind, outside, inside }));
        }
    }

    fn tell_left_out(&self, file: &WrittenFile) {
        if let Some(left_out) = file.metadata.left_out.as_ref().filter(|left_out| left_out.sockets > 0) {
            let (sockets, paths) = (left_out.sockets, left_out.socket_paths.clone());
            self.reporter.report(Event::Warning(&Warning::SocketsLeftOut { sockets, paths }));
        }
    }
}

/// What the file says of the container and of the Docker that has it.
fn about(container: &Container, docker: &Docker, image: Option<Held>) -> About {
    let info = &docker.info;
    let hex = container.image_id.strip_prefix("sha256:").unwrap_or(&container.image_id);
    let mount = |mount: &crate::daemon::Mount| Mount {
        kind: mount.kind.clone(),
        name: mount.name.clone(),
        source: mount.source.clone(),
        destination: mount.destination.clone(),
        mode: mount.mode.clone(),
        rw: mount.rw,
        propagation: mount.propagation.clone(),
    };
    About {
        created: now(),
        container: ContainerMetadata {
            id: container.id.clone(),
            name: container.name.clone(),
            image: container.image.clone(),
            image_id: container.image_id.clone(),
            image_sha256: hex.to_owned(),
            image_layers: image.as_ref().and_then(|image| image.diff_ids.clone()).unwrap_or_default(),
            created: container.created.clone(),
            state: container.state.status.clone(),
            status: container.state.status.clone(),
            labels: container.labels.clone(),
            mounts: container.mounts.iter().map(mount).collect(),
        },
        docker: DockerInfo {
            id: info.id.clone(),
            name: info.name.clone(),
            driver: container.driver.clone(),
            driver_status: info.driver_status.clone(),
            kernel_version: info.kernel.clone(),
            operating_system: info.operating_system.clone(),
            os_type: info.os_type.clone(),
            architecture: info.architecture.clone(),
            server_version: info.version.clone(),
            docker_root_dir: info.root_dir.to_string_lossy().into_owned(),
            user_namespace: user_namespace(docker),
        },
        platform: image.map(|image| image.platform.to_string()),
    }
}
