//! Mirrors: other places that have a registry's images, asked in its stead.
//!
//! [`Mirrored`] is a [`Source`] over a [`Client`] for each place. Every request goes to the best place that is left, and
//! on to the next one if that fails; a body that breaks off is for the caller to open again where it stopped, and comes
//! from another place then, so one blob may be of several. The order is [`ledger`]'s, where a mirror is [`address`]'s.
//!
//! Threats: a mirror is somebody else. It gets the credentials of its own host and no other's. What it says of a digest is
//! verified, as ever; whoever finds that a blob isn't what its digest says calls [`Source::distrust`], and the mirrors that had a part in it
//! are asked nothing more. What it says of a *tag* can't be verified but by the registry: `verify_tag` asks there.
//! Images keep the names they were asked for by.

mod address;
mod diagnosis;
mod last_word;
mod ledger;
mod problems;
mod route;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;

use crate::config::Registries;
use crate::event::SharedReporter;
use crate::image::{Descriptor, Digest, Document, Registry, Repository};
use crate::source::{BlobStream, Selector, Source, SourceError};

use super::client::Client;
use super::error::RegistryError;
use super::object::Object;
use super::{blob, manifest, tags};
use problems::PlaceProblems as Problems;
use route::Route;

pub use address::{MirrorAddress, MirrorAddressError, MirrorAddressProblem};
pub use diagnosis::PlaceDiagnoses;
pub use problems::PlaceProblems;

/// Registries and their mirrors.
pub struct Mirrored {
    client: Client,
    routes: HashMap<Registry, Arc<Route>>,
}

impl Mirrored {
    /// The registries that `client` reaches, some of them by the mirrors or limits that are set for them.
    pub fn new(
        client: Client,
        registries: &Registries,
        reporter: &SharedReporter,
    ) -> Result<Self, RegistryError> {
        let mut routes = HashMap::new();
        for (name, settings) in registries {
            let route = Route::new(&client, &name.0, settings, reporter.clone())?;
            routes.insert(name.0.clone(), Arc::new(route));
        }
        Ok(Self { client, routes })
    }

    /// How many bytes of blobs came from each place of registries with mirrors, the most first; none from the others.
    pub fn sent_bytes(&self) -> Vec<(&str, u64)> {
        let with_mirrors =
            self.routes.values().filter(|route| route.places.iter().any(|place| !place.is_origin()));
        let places = with_mirrors.flat_map(|route| &route.places);
        let mut sent: Vec<_> =
            places.map(|place| (place.name.as_str(), place.sent_bytes.load(Ordering::Relaxed))).collect();
        sent.retain(|(_, bytes)| *bytes > 0);
        sent.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), *name));
        sent
    }

    async fn manifest(
        &self,
        repository: &Repository,
        selector: &Selector,
    ) -> Result<Document, RegistryError> {
        let Some(route) = self.routes.get(repository.registry()) else {
            return manifest::fetch(&self.client, repository, selector).await;
        };
        let verified = match (&route.tags, selector) {
            (Some(origin), Selector::Tag(tag)) => match origin.tag_digest(repository, tag).await {
                Ok(Some(digest)) => Selector::Digest(digest),
                Err(error @ RegistryError::Unreachable { .. }) => return Err(error),
                // Some state no digest, or refuse HEAD; and an answer to GET says more of what is wrong.
                Ok(None) | Err(_) => return manifest::fetch(origin, repository, selector).await,
            },
            _ => selector.clone(),
        };
        let object = Object::Manifest { repository: repository.clone(), selector: selector.clone() };
        let mut problems = Problems::default();
        for at in route.order(&object, &mut problems).await {
            let place = &route.places[at];
            let Some(there) = place.repository(repository) else { continue };
            match manifest::fetch(&place.client, &there, &verified).await {
                Ok(document) => return Ok(document),
                Err(error) => route.failed(at, &object, error, &mut problems)?,
            }
        }
        Err(problems.into_error(object))
    }

    /// The tags of a repository, in its registry's order, or the first `limit`; from the first place that has them.
    pub async fn tags(
        &self,
        repository: &Repository,
        limit: Option<usize>,
    ) -> Result<Vec<String>, RegistryError> {
        let Some(route) = self.routes.get(repository.registry()) else {
            return tags::list(&self.client, repository, limit).await;
        };
        let object = Object::Tags { repository: repository.clone() };
        let mut problems = Problems::default();
        for at in route.order(&object, &mut problems).await {
            let place = &route.places[at];
            let Some(there) = place.repository(repository) else { continue };
            match tags::list(&place.client, &there, limit).await {
                Ok(tags) => return Ok(tags),
                Err(error) => route.failed(at, &object, error, &mut problems)?,
            }
        }
        Err(problems.into_error(object))
    }

    async fn blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        range: Range<u64>,
    ) -> Result<BlobStream, RegistryError> {
        let Some(route) = self.routes.get(repository.registry()) else {
            return blob::open(&self.client, repository, blob, range).await;
        };
        let permit = match &route.connections {
            // It is never closed, so there is always a permit some day.
            Some(connections) => Arc::clone(connections).acquire_owned().await.ok(),
            None => None,
        };
        let left_bytes = range.end.saturating_sub(range.start);
        let object = Object::Blob { repository: repository.clone(), digest: blob.digest.clone() };
        let mut problems = Problems::default();
        let order = route.order(&object, &mut problems).await;
        // A layer's own URLs come after all registries that may have it.
        let bare = Descriptor { urls: Vec::new(), ..blob.clone() };
        for (number, at) in order.iter().copied().enumerate() {
            let place = &route.places[at];
            let Some(there) = place.repository(repository) else { continue };
            let asked = if number + 1 == order.len() { blob } else { &bare };
            match blob::open(&place.client, &there, asked, range.clone()).await {
                Ok(stream) => {
                    let (route, digest) = (Arc::clone(route), blob.digest.clone());
                    let watched =
                        Watched { stream, route, at, digest, left_bytes, is_first: true, _permit: permit };
                    return Ok(watched.into_stream());
                }
                Err(error) => route.failed(at, &object, error, &mut problems)?,
            }
        }
        Err(problems.into_error(object))
    }
}

impl Source for Mirrored {
    fn fetch_manifest<'a>(
        &'a self,
        repository: &'a Repository,
        selector: &'a Selector,
    ) -> BoxFuture<'a, Result<Document, SourceError>> {
        async move { Ok(self.manifest(repository, selector).await?) }.boxed()
    }

    fn open_blob<'a>(
        &'a self,
        repository: &'a Repository,
        blob: &'a Descriptor,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<BlobStream, SourceError>> {
        async move { Ok(self.blob(repository, blob, range).await?) }.boxed()
    }

    fn distrust(&self, repository: &Repository, blob: &Descriptor) -> bool {
        self.routes.get(repository.registry()).is_some_and(|route| route.distrust(&blob.digest))
    }
}

/// A body whose end is written down: one that is dropped before all of it came broke off, or was too slow for whoever
/// read it.
struct Watched {
    stream: BlobStream,
    route: Arc<Route>,
    at: usize,
    digest: Digest,
    left_bytes: u64,
    is_first: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Watched {
    fn into_stream(self) -> BlobStream {
        let next = |mut watched: Self| async {
            let chunk = watched.next().await?;
            Ok(chunk.map(|chunk| (chunk, watched)))
        };
        stream::try_unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let chunk = self.stream.try_next().await?;
        if let Some(chunk) = &chunk {
            self.route.gave(self.at, &self.digest, chunk.len(), self.is_first);
            self.is_first = false;
            self.left_bytes = self.left_bytes.saturating_sub(chunk.len() as u64);
        }
        Ok(chunk)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.left_bytes > 0 {
            self.route.broke(self.at, &self.digest);
        }
    }
}
