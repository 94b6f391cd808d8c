//! Back to a layer that a container had before.

use std::sync::Arc;

use super::backups::{Backup, backups_at};
use super::docker::{Docker, require_stopped};
use super::error::ContainerLayerError;
use super::exchange::{Exchange, Occasion};
use super::import::Imported;
use crate::event::Reporter;

/// What is restored, and how.
pub struct Restore<'a> {
    /// Who has the container.
    pub docker: &'a Docker,
    /// Its name or ID.
    pub container: &'a str,
    /// Which backup; the latest without a name.
    pub backup: Option<&'a str>,
    /// True if the layer that goes stays as a backup, too.
    pub keeps_backup: bool,
    /// Who is told what happens.
    pub reporter: Arc<dyn Reporter>,
}

impl Restore<'_> {
    /// Restores. What the container has now becomes a backup itself. The restored backup is given back, too.
    pub async fn run(self) -> Result<(Backup, Imported), ContainerLayerError> {
        let container = self.docker.container(self.container).await?;
        require_stopped(&container)?;
        let place = self.docker.place(&container, &self.reporter).await?;
        let backup = choose(backups_at(&place)?, self.backup, &container.name)?;
        let occasion = Occasion::of(&container, format!("restore of {}", backup.name));
        let exchange = Exchange::with_backup(&place, &backup, occasion)?;
        // Not awaited: no signal comes between its steps.
        let kept = exchange.run(&place, &|| self.docker.ask_unused(&container, &place), self.keeps_backup)?;
        Ok((backup, Imported { container: container.name, backup: kept, tree: None }))
    }
}

fn choose(
    mut backups: Vec<Backup>,
    wanted: Option<&str>,
    container: &str,
) -> Result<Backup, ContainerLayerError> {
    let name = container.to_owned();
    match wanted {
        None => backups.pop().ok_or(ContainerLayerError::NoBackup { name }),
        Some(wanted) => {
            let found = backups.into_iter().find(|one| one.name == wanted);
            found.ok_or(ContainerLayerError::NoSuchBackup { name, backup: wanted.to_owned() })
        }
    }
}
