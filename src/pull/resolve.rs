//! Resolve: a reference → the manifest of one platform → its config, each verified before it is read.

mod choose;
mod error;

use std::collections::HashSet;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::Pull;
use super::small::fetch_small;
use crate::error::Result;
use crate::event::{Event, MAX_GRAPH_DRIVER_LAYERS, Warning};
use crate::image::config::MAX_CONFIG_BYTES;
use crate::image::manifest::Parsed;
use crate::image::{
    Descriptor, Document, ImageConfig, Index, Manifest, MediaType, Platform, Reference, ResolvedImage,
};
use crate::source::Selector;

pub use error::{Offered, ResolveError};

/// Indexes of indexes exist; deeper nests than this are somebody's joke.
const MAX_INDEX_DEPTH: usize = 4;
/// How many entries of an index that don't say what they are for are looked into.
const MAX_UNMARKED: usize = 16;
/// How many manifests and indexes are fetched on the way to one image: indexes of indexes multiply.
const MAX_DOCUMENTS: usize = 64;

impl Pull<'_> {
    /// Follows `reference` to one image. Without a `platform` it is linux/amd64, or whatever the only image is for. What
    /// the name leads to is kept in `named`.
    pub(super) async fn resolve(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        named: &OnceCell<Document>,
    ) -> Result<ResolvedImage> {
        let selector = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Selector::Digest(digest.clone()),
            (None, tag) => Selector::Tag(tag.unwrap_or("latest").to_owned()),
        };
        let wanted = platform.cloned().unwrap_or_else(Platform::linux_amd64);
        let mut search = Search {
            pull: self,
            reference,
            wanted,
            is_asked_for: platform.is_some(),
            offered: vec![],
            known: HashSet::new(),
            fetched: 1,
        };
        let fetch = || self.source.fetch_manifest(reference.repository(), &selector);
        let document = named.get_or_try_init(fetch).await?.clone();
        let media_type = search.parse(&document)?.media_type().clone();
        let target = document.descriptor(media_type);
        match search.descend(document, Position::Named, vec![]).await? {
            Some(found) => {
                search.warn_of_many_layers(&found.manifest);
                Ok(ResolvedImage {
                    reference: reference.clone(),
                    target,
                    platform: found.platform,
                    asked_os_version: platform.and_then(|asked| asked.os_version.clone()),
                    indexes: found.indexes,
                    manifest_document: found.document,
                    manifest: found.manifest,
                    config: found.config,
                })
            }
            None => Err(search.nothing_fits(true).into()),
        }
    }
}

/// The way from a name through indexes to the image for one platform.
struct Search<'a> {
    pull: &'a Pull<'a>,
    reference: &'a Reference,
    wanted: Platform,
    is_asked_for: bool,
    /// What was met that is for other platforms.
    offered: Vec<Platform>,
    /// The same, to tell what was met before.
    known: HashSet<Platform>,
    /// How many documents were fetched.
    fetched: usize,
}

/// How a document was come by.
enum Position {
    /// By the name itself.
    Named,
    /// As an index entry that says what it is for.
    Marked(Platform),
    /// As one that doesn't.
    Unmarked,
}

struct Found {
    platform: Platform,
    indexes: Vec<Document>,
    document: Document,
    manifest: Manifest,
    config: ImageConfig,
}

impl Search<'_> {
    /// Follows `document`, which `indexes` led to; `None` if nothing there is for the platform wanted.
    fn descend(
        &mut self,
        document: Document,
        position: Position,
        indexes: Vec<Document>,
    ) -> BoxFuture<'_, Result<Option<Found>>> {
        async move {
            match self.parse(&document)? {
                Parsed::Index(index) => self.look_into(document, &index, indexes).await,
                Parsed::Manifest(manifest) => self.take(document, *manifest, position, indexes).await,
            }
        }
        .boxed()
    }

    /// The entry that says it fits, or else the first that turns out to.
    async fn look_into(
        &mut self,
        document: Document,
        index: &Index,
        mut indexes: Vec<Document>,
    ) -> Result<Option<Found>> {
        if indexes.len() == MAX_INDEX_DEPTH {
            return Err(ResolveError::TooDeep { reference: self.reference.clone().into() }.into());
        }
        indexes.push(document);
        if let Some(entry) = choose::fitting(index, &self.wanted) {
            let child = self.fetch(entry).await?;
            let position = entry.platform.clone().map_or(Position::Unmarked, Position::Marked);
            if let Some(found) = self.descend(child, position, indexes.clone()).await? {
                self.warn_of_os_versions(index, &found.platform);
                return Ok(Some(found));
            }
        }
        choose::platforms(index).for_each(|platform| self.offer(platform));
        let wanted = self.wanted.clone();
        for entry in choose::unmarked(index, &wanted).take(MAX_UNMARKED) {
            let child = self.fetch(entry).await?;
            if let Some(found) = self.descend(child, Position::Unmarked, indexes.clone()).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Takes a manifest, if it is an image for the platform wanted. What an index says of it goes before what its
    /// config says: old tools write configs without a variant, or with the builder's architecture.
    async fn take(
        &mut self,
        document: Document,
        manifest: Manifest,
        position: Position,
        indexes: Vec<Document>,
    ) -> Result<Option<Found>> {
        if matches!(position, Position::Unmarked) && !manifest.config.media_type.is_image_config() {
            return Ok(None); // an artifact in an index
        }
        let config = self.config(&manifest).await?;
        let stated = config.platform();
        let fits = self.wanted.distance_to(&stated).is_some();
        let platform = match position {
            Position::Marked(marked) => {
                let marked = marked.normalised();
                if (&marked.os, &marked.architecture) != (&stated.os, &stated.architecture) {
                    self.warn(&Warning::PlatformsDiffer {
                        reference: self.reference.clone().into(),
                        index: marked.clone().into(),
                        config: stated.into(),
                    });
                }
                marked
            }
            _ if fits => stated,
            Position::Unmarked => {
                self.offer(stated);
                return Ok(None);
            }
            Position::Named if self.is_asked_for => {
                self.offer(stated);
                return Err(self.nothing_fits(false).into());
            }
            Position::Named => {
                let found = stated.clone().into();
                self.warn(&Warning::OtherPlatform { reference: self.reference.clone().into(), found });
                stated
            }
        };
        Ok(Some(Found { platform, indexes, document, manifest, config }))
    }

    async fn fetch(&mut self, entry: &Descriptor) -> Result<Document> {
        if self.fetched == MAX_DOCUMENTS {
            return Err(ResolveError::TooMany { reference: self.reference.clone().into() }.into());
        }
        self.fetched += 1;
        let selector = Selector::Digest(entry.digest.clone());
        let document = self.pull.source.fetch_manifest(self.reference.repository(), &selector).await?;
        let (expected, got) = (entry.size_bytes, document.bytes().len() as u64);
        if expected != got {
            return Err(ResolveError::WrongSize { digest: entry.digest.clone(), expected, got }.into());
        }
        Ok(document)
    }

    fn parse(&self, document: &Document) -> Result<Parsed> {
        let reference = || Box::new(self.reference.clone());
        let parsed = document.parse().map_err(|source| ResolveError::Manifest {
            reference: reference(),
            digest: document.digest().clone(),
            source,
        })?;
        Ok(parsed)
    }

    async fn config(&self, manifest: &Manifest) -> Result<ImageConfig> {
        let reference = || Box::new(self.reference.clone());
        let Descriptor { media_type, digest, size_bytes, .. } = &manifest.config;
        if !media_type.is_image_config() {
            let config_type: MediaType = media_type.clone();
            return Err(ResolveError::NotAnImage { reference: reference(), config_type }.into());
        }
        if *size_bytes > MAX_CONFIG_BYTES {
            return Err(
                ResolveError::ConfigTooLarge { reference: reference(), size_bytes: *size_bytes }.into()
            );
        }
        let bytes = fetch_small(self.pull.source, self.reference.repository(), &manifest.config).await?;
        let config = ImageConfig::parse(bytes).map_err(|source| ResolveError::Config {
            reference: reference(),
            digest: digest.clone(),
            source,
        })?;
        Ok(config)
    }

    fn offer(&mut self, platform: Platform) {
        if self.known.insert(platform.clone()) {
            self.offered.push(platform);
        }
    }

    fn nothing_fits(&self, by_index: bool) -> ResolveError {
        ResolveError::NoSuchPlatform {
            reference: self.reference.clone().into(),
            wanted: self.wanted.clone().into(),
            offered: Offered { by_index, platforms: self.offered.clone() },
        }
    }

    fn warn_of_os_versions(&self, index: &Index, taken: &Platform) {
        let others = choose::other_os_versions(index, taken);
        if self.wanted.os_version.is_none() && !others.is_empty() {
            let (reference, taken) = (self.reference.clone().into(), taken.clone().into());
            self.warn(&Warning::OsVersions { reference, taken, others });
        }
    }

    fn warn_of_many_layers(&self, manifest: &Manifest) {
        let layers = manifest.layers.len();
        if layers > MAX_GRAPH_DRIVER_LAYERS {
            self.warn(&Warning::ManyLayers { reference: self.reference.clone().into(), layers });
        }
    }

    fn warn(&self, warning: &Warning) {
        self.pull.reporter.report(Event::Warning(warning));
    }
}
