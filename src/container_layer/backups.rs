//! The layers that a container had before.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use super::docker::Docker;
use super::error::ContainerLayerError;
use super::exchange::{BACKUP, NOTE, read_note};
use super::place::Place;
use crate::event::Reporter;
use crate::fsio::blocking;

/// A layer that a container had before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// When it was put aside (RFC 3339); none where the note beside it is gone.
    pub date: Option<String>,
    /// For what: `import of FILE`.
    pub before: Option<String>,
    /// The image of the container, by name.
    pub image: Option<String>,
}

/// The backups of a container, the oldest first.
pub async fn backups(
    docker: &Docker,
    container: &str,
    reporter: Arc<dyn Reporter>,
) -> Result<Vec<Backup>, ContainerLayerError> {
    let container = docker.container(container).await?;
    let place = docker.place(&container, &reporter).await?;
    blocking(move || backups_at(&place)).await
}

/// Those in a folder. Blocks.
pub(super) fn backups_at(place: &Place) -> Result<Vec<Backup>, ContainerLayerError> {
    let names = place.names()?;
    let mut names: Vec<&str> = names.iter().filter_map(|name| name.to_str()).collect();
    names.retain(|name| name.starts_with(BACKUP));
    names.sort_unstable();
    let mut backups = Vec::new();
    for name in names {
        if place.inode(OsStr::new(name))?.is_none() {
            continue;
        }
        let occasion = read_note(place, &format!("{name}{NOTE}"))?.map(|note| note.occasion);
        let (date, before, image) = match occasion {
            Some(occasion) => (Some(occasion.date), Some(occasion.before), Some(occasion.image)),
            None => (None, None, None),
        };
        backups.push(Backup { name: name.to_owned(), path: place.path_of(name), date, before, image });
    }
    Ok(backups)
}
