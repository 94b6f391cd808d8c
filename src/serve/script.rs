//! The script that loads an archive: the one that was made with it, or one of what the archive holds.

use std::io::Read;
use std::sync::Arc;

use super::App;
use super::answer::{Refusal, failed};
use super::folder::FileName;
use crate::archived::Archive;
use crate::fsio::blocking;
use crate::image::{Digest, ResolvedImage};
use crate::sidecar::{Checksum, script_named};

/// No script is larger.
const MAX_SCRIPT_BYTES: u64 = 4 << 20;

/// `tag_<name>.sh` of this archive; one that somebody else put there is read to its end for it.
pub(super) async fn script(app: &Arc<App>, name: &FileName) -> Result<Vec<u8>, Refusal> {
    let made = {
        let (app, name) = (Arc::clone(app), name.clone());
        blocking(move || made(&app, &name)).await?
    };
    if let Some(made) = made {
        return Ok(made);
    }
    let (identity, sha256) = app.sha256(name).await?;
    let (reading, name) = (Arc::clone(app), name.clone());
    let script = app.reading(move || {
        let opened = reading.files.folder.archive(&name).map_err(|error| Refusal::unreadable(&error))?;
        let (archive, _) = opened.filter(|(_, opened)| *opened == identity).ok_or(Refusal::NO_FILE)?;
        let digest: Digest = format!("sha256:{sha256}").parse().map_err(failed)?;
        let checksum = Checksum { digest, size_bytes: identity.size_bytes };
        Ok(script_named(name.as_str(), &checksum, &images(&archive, &name)?))
    });
    script.await?
}

/// The one that stands beside it. Blocks.
fn made(app: &App, name: &FileName) -> Result<Option<Vec<u8>>, Refusal> {
    let folder = &app.files.folder;
    let identity = folder.identity(name).map_err(failed)?.ok_or(Refusal::NO_FILE)?;
    let made = folder.open_file(&name.script()).map_err(failed)?;
    let Some((file, _)) = made.filter(|(_, made)| made.modified() >= identity.modified()) else {
        return Ok(None);
    };
    let mut script = Vec::new();
    file.take(MAX_SCRIPT_BYTES).read_to_end(&mut script).map_err(failed)?;
    Ok(Some(script))
}

/// The images by the names they are to have.
fn images(archive: &Archive, name: &FileName) -> Result<Vec<ResolvedImage>, Refusal> {
    let (nameless, bare) = (|| Refusal::nameless(name.as_str()), || Refusal::no_manifest(name.as_str()));
    let mut images = Vec::new();
    for image in archive.images() {
        let reference = image.reference().cloned().ok_or_else(nameless)?;
        images.push(image.resolved(reference).ok_or_else(bare)?);
    }
    if images.is_empty() { Err(nameless()) } else { Ok(images) }
}
