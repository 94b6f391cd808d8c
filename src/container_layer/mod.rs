//! A container's own layer: what it wrote above its image, out into a file, and from one into another container.
//!
//! ```text
//! export   container ──inspect──▶ stopped, or frozen ──▶ upper directory ──plan──▶ layer file, by one rename
//! import   layer file ──verify──▶ container: stopped, same image, same driver, room ──unpack──▶ beside its layer
//!          ──verify──▶ exchange, by one rename ──▶ the old layer is a backup
//! check    layer file ──verify──▶ every part ──against this Docker──▶ pass, fail, skipped, not checked
//! restore  backup ──▶ exchange
//! ```
//!
//! Threats: the file may be anybody's, so nothing is touched before all of it was verified, and it is unpacked by
//! [`crate::overlay`], which reaches nothing by a path. Runs die: `exchange` is before or after, never between, and what a
//! dead run left is ended or undone by the next. Docker starts containers when it likes: it is asked before and after, and an import
//! has made the old layer a backup by then.
//!
//! Neighbours: [`crate::layer_file`] is the file, [`crate::overlay`] the tree, [`crate::daemon`] knows containers.

mod backups;
mod check;
mod docker;
mod error;
mod exchange;
mod export;
mod import;
mod moment;
mod mounts;
mod place;
mod restore;
mod rights;
mod still;
mod undivided;
mod upper;
mod users;

pub use backups::{Backup, backups};
pub use check::{Check, Line, Outcome, Report, Skip};
pub use docker::Docker;
pub use error::{ContainerLayerError, NamedImage};
pub use export::{Export, Exported};
pub use import::{Import, Imported};
pub use restore::Restore;

use std::path::Path;
use std::sync::Arc;

use crate::event::{Event, LayerWork, Reporter};
use crate::fsio::Waiting;
use crate::overlay::Watch;

/// Tells of work on a layer from its beginning to its end, and stops it where nobody waits any more.
struct Progress<'a> {
    reporter: &'a Arc<dyn Reporter>,
    is_awaited: &'a (dyn Fn() -> bool + Sync),
}

impl Progress<'_> {
    /// Does `work`, of so many bytes, with a watch that tells of it.
    fn of<T>(&self, doing: LayerWork, path: &Path, size_bytes: u64, work: impl FnOnce(Watch<'_>) -> T) -> T {
        self.reporter.report(Event::LayerStarted { doing, path, size_bytes });
        let watch = |bytes| {
            self.reporter.report(Event::LayerProgressed { bytes });
            (self.is_awaited)()
        };
        let result = work(&watch);
        self.reporter.report(Event::LayerEnded);
        result
    }
}

/// Runs work that may take long where it may wait; dropped, it is told that nobody waits.
async fn awaited<T: Send + 'static>(
    work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> T + Send + 'static,
) -> T {
    let waiting = Waiting::default();
    let asked = waiting.asked();
    let done = crate::fsio::blocking(move || work(&asked)).await;
    drop(waiting);
    done
}
