//! A layer file into a container, in the place of the layer it has.

use std::path::Path;
use std::sync::Arc;

use super::check::has_layers;
use super::docker::{Docker, require_stopped};
use super::error::{ContainerLayerError, NamedImage};
use super::exchange::{Exchange, Occasion};
use super::moment::now;
use super::place::{Place, STAGED};
use super::upper::{driver_of, is_overlayfs};
use super::users::user_namespace;
use super::{Progress, awaited};
use crate::daemon::Container;
use crate::event::{Event, LayerWork, Reporter, Warning};
use crate::fsio::space;
use crate::layer_file::{LayerFile, LayerFileError, Metadata, Verdict, VerifiedLayerFile, VerifiedTree};
use crate::overlay::{Devices, Tree};

/// What is imported, and how.
pub struct Import<'a> {
    /// Who has the container.
    pub docker: &'a Docker,
    /// The file.
    pub file: &'a Path,
    /// The container's name or ID.
    pub container: &'a str,
    /// True if the old layer stays as a backup.
    pub keeps_backup: bool,
    /// True if the container's image may be another than the layer's.
    pub force_image: bool,
    /// Whether devices are made.
    pub devices: Devices,
    /// Who is told what happens.
    pub reporter: Arc<dyn Reporter>,
}

/// A layer that took another's place.
#[derive(Debug)]
pub struct Imported {
    /// The container's name.
    pub container: String,
    /// The old layer's name among the container's backups.
    pub backup: Option<String>,
    /// What is in the new layer; none where that was a backup.
    pub tree: Option<Tree>,
}

impl Import<'_> {
    /// Imports. Whatever happens, the container is as it was before, or has the layer of the file.
    pub async fn run(self) -> Result<Imported, ContainerLayerError> {
        let container = self.docker.container(self.container).await?;
        require_stopped(&container)?;
        let place = self.docker.place(&container, &self.reporter).await?;
        let file = self.verified(&place).await?;
        self.check_fit(&container, file.metadata()).await?;
        for lost in file.lost() {
            self.reporter.report(Event::Warning(&Warning::LostInFile { what: lost.clone() }));
        }
        let tree = file.tree().clone();
        let (place, staged) = self.unpack(place, file).await?;
        let before = format!("import of {}", self.file.display());
        let exchange = Exchange::with_tree(&place, staged, Occasion::of(&container, before))?;
        // Not awaited: no signal comes between its steps.
        let backup =
            exchange.run(&place, &|| self.docker.ask_unused(&container, &place), self.keeps_backup)?;
        Ok(Imported { container: container.name, backup, tree: Some(tree) })
    }

    /// The file, all of whose bytes are as they have to be.
    async fn verified(&self, place: &Place) -> Result<VerifiedLayerFile, ContainerLayerError> {
        let (path, reporter) = (self.file.to_owned(), Arc::clone(&self.reporter));
        let free_bytes = space(place.path()).map_or(u64::MAX, |space| space.free_bytes);
        let beside = place.path().to_owned();
        match awaited(move |is_awaited| verify(&path, Some(&beside), free_bytes, &reporter, is_awaited)).await
        {
            Ok(Verdict::Whole(file)) => Ok(*file),
            Ok(Verdict::Broken { problems, .. }) => {
                Err(ContainerLayerError::Broken { path: self.file.to_owned(), problems })
            }
            Err(error @ ContainerLayerError::LayerFile(LayerFileError::Scratch(_))) => {
                Err(not_unpacked(place.path(), error))
            }
            Err(error) => Err(error),
        }
    }

    /// Does the layer go with the container?
    async fn check_fit(&self, container: &Container, metadata: &Metadata) -> Result<(), ContainerLayerError> {
        check_driver(container, metadata)?;
        check_users(self.docker, metadata)?;
        let of_layer = &metadata.container_metadata;
        let image = self.docker.image(&container.image_id).await?;
        let layers = image.as_ref().and_then(|image| image.diff_ids.as_deref());
        let is_same = of_layer.image_id == container.image_id || has_layers(layers, metadata);
        if is_same {
            return Ok(());
        }
        let named = |name: &str, id: &str| Box::new(NamedImage { name: name.to_owned(), id: id.to_owned() });
        let of_layer = named(&of_layer.image, &of_layer.image_id);
        let of_container = named(&container.image, &container.image_id);
        if !self.force_image {
            let name = container.name.clone();
            return Err(ContainerLayerError::OtherImage { name, of_layer, of_container });
        }
        let (of_layer, of_container) = (of_layer.to_string(), of_container.to_string());
        self.reporter.report(Event::Warning(&Warning::LayerOfOtherImage { of_layer, of_container }));
        Ok(())
    }

    /// Unpacks beside the container's layer, and looks at all of it again.
    async fn unpack(
        &self,
        place: Place,
        file: VerifiedLayerFile,
    ) -> Result<(Place, VerifiedTree), ContainerLayerError> {
        let folder = place.path().to_owned();
        self.unpack_in(place, file).await.map_err(|error| match error.file() {
            Some(_) => not_unpacked(&folder, error),
            None => error,
        })
    }

    async fn unpack_in(
        &self,
        place: Place,
        file: VerifiedLayerFile,
    ) -> Result<(Place, VerifiedTree), ContainerLayerError> {
        let (reporter, devices) = (Arc::clone(&self.reporter), self.devices);
        let work = move |is_awaited: &(dyn Fn() -> bool + Sync)| {
            let (name, size_bytes) = (place.random_name(STAGED)?, file.unpacking_bytes());
            let path = place.path_of(&name);
            file.check_room(place.path())?;
            let progress = Progress { reporter: &reporter, is_awaited };
            let unpacked = progress.of(LayerWork::Unpack, &path, size_bytes, |watch| {
                file.unpack(place.folder(), name.as_ref(), devices, watch)
            })?;
            let tree = progress.of(LayerWork::Compare, &path, size_bytes, |watch| unpacked.verify(watch))?;
            Ok((place, tree))
        };
        awaited(work).await
    }
}

/// Reads all of a file. What is needed for a while goes to `scratch`, or where such things go. Blocks.
pub(super) fn verify(
    path: &Path,
    scratch: Option<&Path>,
    free_bytes: u64,
    reporter: &Arc<dyn Reporter>,
    is_awaited: &(dyn Fn() -> bool + Sync),
) -> Result<Verdict, ContainerLayerError> {
    let mut file = LayerFile::open(path)?;
    if let Some(folder) = scratch {
        file = file.with_scratch_in(folder);
    }
    reporter.report(Event::CheckStarted { path, size_bytes: Some(file.size_bytes()) });
    let verdict = file.verify(free_bytes, &|bytes| {
        reporter.report(Event::CheckProgressed { bytes });
        is_awaited()
    });
    reporter.report(Event::Checked { path });
    Ok(verdict?)
}

fn not_unpacked(folder: &Path, error: ContainerLayerError) -> ContainerLayerError {
    ContainerLayerError::NotUnpacked { folder: folder.to_owned(), source: Box::new(error) }
}

/// Docker's graph driver and containerd's snapshotter keep the same thing on overlayfs; others keep others.
fn check_driver(container: &Container, metadata: &Metadata) -> Result<(), ContainerLayerError> {
    let of_layer = driver_of(metadata);
    if is_overlayfs(of_layer) {
        return Ok(());
    }
    let (name, of_layer, of_container) =
        (container.name.clone(), of_layer.to_owned(), container.driver.clone());
    Err(ContainerLayerError::OtherDriver { name, of_layer, of_container })
}

/// What is root's in one user namespace is nobody's in another.
fn check_users(docker: &Docker, metadata: &Metadata) -> Result<(), ContainerLayerError> {
    let (of_layer, here) = (metadata.docker_info.user_namespace.clone(), user_namespace(docker));
    if of_layer == here { Ok(()) } else { Err(ContainerLayerError::OtherUsers { of_layer, here }) }
}

impl Occasion {
    pub(super) fn of(container: &Container, before: String) -> Self {
        Self {
            date: now(),
            before,
            container_id: container.id.clone(),
            container: container.name.clone(),
            image: container.image.clone(),
            image_id: container.image_id.clone(),
        }
    }
}
