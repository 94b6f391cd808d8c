//! Images of containerd for whoever wants a part of one: told from its content, pushed by its `ctr`.

use std::collections::BTreeMap;
use std::process::Stdio;

use super::ctr::{Ctr, checked};
use super::error::DaemonError;
use super::image::{DaemonImage, Documents};
use super::push::Destination;
use crate::image::config::MAX_CONFIG_BYTES;
use crate::image::manifest::{MAX_MANIFEST_BYTES, Parsed};
use crate::image::{Digest, ImageConfig};

/// Indexes within indexes are followed so far.
const MAX_DEPTH: usize = 4;

impl Ctr {
    /// All names.
    pub(super) async fn names(&self) -> Result<Vec<String>, DaemonError> {
        let listed = self.run("list its images", &["images", "list", "--quiet"]).await?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// The image of this full name, for the platform that containerd runs; none if there is none.
    pub(super) async fn image(&self, name: &str) -> Result<Option<DaemonImage>, DaemonError> {
        let Some(id) = self.target(name).await? else { return Ok(None) };
        let Some(documents) = self.documents(&id).await? else { return Ok(None) };
        let config = &documents.config;
        let fields = config.raw_fields();
        let told = ["created", "author", "config", "container_config", "docker_version"];
        let config_fields: BTreeMap<_, _> = told
            .iter()
            .filter_map(|field| {
                Some(((*field).to_owned(), serde_json::from_str(fields.get(*field)?.get()).ok()?))
            })
            .collect();
        Ok(Some(DaemonImage {
            id,
            handle: name.to_owned(),
            names: vec![name.to_owned()],
            is_being_pushed: false,
            is_referred_to: true,
            parent: None,
            platform: config.platform(),
            diff_ids: config.diff_ids().to_vec(),
            config_fields,
            documents: Some(documents),
        }))
    }

    /// The manifest and config that `digest` leads to, for the platform that containerd runs; none where one is missing.
    async fn documents(&self, digest: &Digest) -> Result<Option<Documents>, DaemonError> {
        let mut digest = digest.clone();
        for _ in 0..MAX_DEPTH {
            let Some(document) = self.content(&digest, MAX_MANIFEST_BYTES).await? else { return Ok(None) };
            match document.parse() {
                Ok(Parsed::Manifest(manifest)) => {
                    let config = self.content(&manifest.config.digest, MAX_CONFIG_BYTES).await?;
                    let config = config.and_then(|config| ImageConfig::parse(config.bytes().clone()).ok());
                    return Ok(config.map(|config| Documents { document, manifest: *manifest, config }));
                }
                Ok(Parsed::Index(index)) => {
                    let fits = index.manifests.iter().filter(|entry| entry.may_be_image());
                    let nearest = fits
                        .filter_map(|entry| {
                            let found = entry.platform.as_ref()?.normalised();
                            Some((self.platform().distance_to(&found)?, entry.digest.clone()))
                        })
                        .min();
                    match nearest {
                        Some((_, found)) => digest = found,
                        None => return Ok(None),
                    }
                }
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Pushes an image over plain HTTP, to this machine: nobody asks for a password there.
    pub(super) async fn push(&self, image: &DaemonImage, to: Destination<'_>) -> Result<(), DaemonError> {
        let (platform, there) = (self.platform().to_string(), to.name.to_string());
        let mut command = self.command(&["images", "push", "--plain-http", "--platform", &platform]);
        let output = command.arg(there).arg(&image.handle).stdin(Stdio::null()).output().await;
        checked(&format!("push {}", image.shown()), &output.map_err(DaemonError::Ctr)?).map(drop)
    }
}
