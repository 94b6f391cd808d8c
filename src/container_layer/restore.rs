//! Back to a layer that a container had before.

use std::sync::Arc;

use super::backups::{Backup, backups_at};
use super::docker::{Docker, require_stopped};
use super::error::ContainerLayerError;
use super::exchange::{Exchange, Occasion};
use super::import::Imported;
use crate::event::Reporter;
use crate::fsio::blocking;

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
        self.docker.check_untouched(&container).await?;
        let (wanted, keeps_backup) = (self.backup.map(str::to_owned), self.keeps_backup);
        let exchange = move || {
            let backup = choose(backups_at(&place)?, wanted, &container.name)?;
            let occasion = Occasion::of(&container, format!("restore of {}", backup.name));
            let kept = Exchange::with_backup(&place, &backup, keeps_backup, occasion)?.run(&place)?;
            Ok((backup, Imported { container: container.name, backup: kept, tree: None }))
        };
        blocking(exchange).await
    }
}

fn choose(
    mut backups: Vec<Backup>,
    wanted: Option<String>,
    container: &str,
) -> Result<Backup, ContainerLayerError> {
    let name = container.to_owned();
    match wanted {
        None => backups.pop().ok_or(ContainerLayerError::NoBackup { name }),
        Some(backup) => {
            let found = backups.into_iter().find(|one| one.name == backup);
            found.ok_or(ContainerLayerError::NoSuchBackup { name, backup })
        }
    }
}
