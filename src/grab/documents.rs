//! The config and manifest of an image, to the byte, as its daemon pushes them.

use std::collections::HashSet;
use std::path::Path;

use super::shim::{Asked, Form, Spool};
use super::{Ended, Found, Grab, GrabError};
use crate::daemon::Documents;
use crate::error::Result;
use crate::image::{Digest, Document, ImageConfig, Manifest};

/// How often a daemon is asked: for its manifest, and for the config that it names.
const PUSHES: usize = 3;

/// What an image was made by.
pub(super) struct PushedDocuments {
    /// The config.
    pub(super) config: ImageConfig,
    /// Its digest.
    pub(super) config_digest: Digest,
    /// The manifest, where the daemon keeps one. Others make it for each push, of what they know.
    pub(super) manifest: Option<(Document, Manifest)>,
}

impl Grab<'_> {
    /// The documents of the image that a layer was found in. Layers that the daemon has never pushed it sends once more,
    /// which costs time.
    pub(super) async fn documents_of(&self, found: &Found) -> Result<PushedDocuments> {
        let image = &found.image;
        if let Some(Documents { document, manifest, config }) = image.documents.clone() {
            let config_digest = manifest.config.digest.clone();
            return Ok(PushedDocuments { config, config_digest, manifest: Some((document, manifest)) });
        }
        let keeps_manifest = self.daemon.has_platforms().await?;
        let spool = Spool { file: None, form: Form::AsPushed, limits: self.limits };
        let mut session = self.session(spool, Path::new("")).await?;
        self.given_name(&session, image).await?;
        // Without containerd's store an image's ID is its config's digest.
        let mut wanted: HashSet<Digest> = (!keeps_manifest).then(|| image.id.clone()).into_iter().collect();
        let mut candidates: Vec<(Document, Manifest)> = Vec::new();
        let mut pushed = None;
        for _ in 0..PUSHES {
            session.shim.ask(Asked { documents: wanted.clone(), takes_uploads: true, ..Asked::default() });
            let ended = session.push(self.daemon, image).await;
            candidates.extend(session.documents_of(image.diff_ids.len()));
            // Some daemons push all platforms, and what is said of them: of these one has just the image's layers.
            let config = |digest: &Digest| {
                let config = ImageConfig::parse(session.shim.document(digest)?).ok()?;
                (config.diff_ids() == image.diff_ids).then_some(config)
            };
            pushed = if keeps_manifest {
                candidates.iter().find_map(|(document, manifest)| {
                    let config_digest = manifest.config.digest.clone();
                    let manifest = Some((document.clone(), manifest.clone()));
                    Some(PushedDocuments { config: config(&config_digest)?, config_digest, manifest })
                })
            } else {
                let config_digest = image.id.clone();
                config(&image.id).map(|config| PushedDocuments { config, config_digest, manifest: None })
            };
            if pushed.is_some() {
                break;
            }
            if keeps_manifest {
                wanted.extend(candidates.iter().map(|(_, manifest)| manifest.config.digest.clone()));
            }
            if let Ok(Ended::Pushed(Err(error))) | Err(crate::Error::Daemon(error)) = ended
                && candidates.is_empty()
            {
                self.end(session).await;
                return Err(error.into());
            }
        }
        self.end(session).await;
        let (daemon, image) = (self.daemon.name(), found.shown());
        Ok(pushed.ok_or(GrabError::NoDocument { daemon, image, what: "config" })?)
    }
}
