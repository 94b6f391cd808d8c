//! The SHA-256 of archives: told if it is known, or else read; a few at a time, as that keeps disks busy.

use std::sync::Arc;

use super::App;
use super::answer::{Refusal, failed};
use super::folder::{FileName, Identity};
use crate::fsio::blocking;

/// Files that are read to their ends at a time.
pub(super) const READERS: usize = 2;

impl App {
    /// The hex digits of an archive's SHA-256, and which file they are of.
    pub(super) async fn sha256(self: &Arc<Self>, name: &FileName) -> Result<(Identity, String), Refusal> {
        let known = {
            let (app, name) = (Arc::clone(self), name.clone());
            blocking(move || app.known_sha256(&name)).await?
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let (app, name) = (Arc::clone(self), name.clone());
        self.reading(move || {
            // Whoever was before may have asked the same.
            if let Some(known) = app.known_sha256(&name)? {
                return Ok(known);
            }
            let read = app.files.catalogue.read_checksum(&app.files.folder, &name).map_err(failed)?;
            read.ok_or(Refusal::NO_FILE)
        })
        .await?
    }

    /// Does what reads a file to its end, when it is its turn. It keeps its turn if nobody waits for it any more.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = Arc::clone(&self.readers).acquire_owned().await.map_err(failed)?;
        let done = blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        Ok(done.await)
    }

    fn known_sha256(&self, name: &FileName) -> Result<Option<(Identity, String)>, Refusal> {
        let identity = self.files.folder.identity(name).map_err(failed)?.ok_or(Refusal::NO_FILE)?;
        let sha256 = self.files.catalogue.of(name, &identity).and_then(|known| known.sha256);
        Ok(sha256.map(|sha256| (identity, sha256)))
    }
}
