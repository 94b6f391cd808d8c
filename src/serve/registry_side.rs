//! The images in the folder at `/v2/`, read-only: nodes pull straight from the archives, by the original digests.
//!
//! A name is looked for as it stands, on any registry; with the registry in front (`quay.io/org/name`); or on the registry
//! that containerd asks a mirror for (`?ns=`). Of several archives that have a name the newest counts. What came without
//! a manifest of its registry gets the one that a push would make, the same each time.
//!
//! Threats: archives are foreign: only those that have the name asked for are opened ([`super::opened`]), and what is
//! handed out is what its digest says only where whoever pulls makes sure of that, as all do. Nothing is written.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use url::form_urlencoded;

use super::App;
use super::folder::{FileName, Identity};
use super::lock;
use super::log::Asker;
use super::opened::OpenedArchive;
use crate::fsio::blocking;
use crate::image::{Digest, Reference};
use crate::registry::server::{
    Answer, BlobBytes, ManifestReference, RepositoryName, ServerError, Storage, Store, StoredManifest, Tag,
    router,
};

/// Names that are remembered for being in several archives.
const MAX_TOLD: usize = 10_000;

tokio::task_local! {
    /// What the request under way asks for.
    static ASKED: Asked;
}

/// What a request says besides what storage is told.
struct Asked {
    /// The registry that is meant.
    namespace: Option<String>,
    /// Whose blobs are meant.
    repository: Option<String>,
}

/// The `/v2/` API over the folder's archives.
pub(super) fn routes(app: &Arc<App>) -> Router {
    let archives = Archives { app: Arc::clone(app), told: Mutex::default() };
    router(Store::new(archives)).layer(from_fn(with_what_is_asked))
}

async fn with_what_is_asked(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let namespace = form_urlencoded::parse(query.as_bytes())
        .find_map(|(key, value)| (key == "ns").then(|| value.into_owned()));
    let path = request.uri().path().strip_prefix("/v2/").unwrap_or_default();
    // Before the endpoint and its digest or tag.
    let repository = path.rsplitn(3, '/').nth(2).map(str::to_owned);
    ASKED.scope(Asked { namespace, repository }, next.run(request)).await
}

struct Archives {
    app: Arc<App>,
    /// What was told of names that several archives have.
    told: Mutex<HashSet<String>>,
}

/// Which images a request means.
struct Wanted {
    repository: String,
    namespace: Option<String>,
}

impl Wanted {
    fn of(repository: &RepositoryName) -> Self {
        let namespace = ASKED.try_with(|asked| asked.namespace.clone()).ok().flatten();
        Self { repository: repository.as_str().to_owned(), namespace }
    }

    /// Those whose blobs are asked for.
    fn of_blob() -> Option<Self> {
        let asked = ASKED.try_with(|asked| (asked.repository.clone(), asked.namespace.clone())).ok();
        asked.and_then(|(repository, namespace)| Some(Self { repository: repository?, namespace }))
    }

    fn means(&self, reference: &Reference) -> bool {
        let repository = reference.repository();
        match &self.namespace {
            Some(namespace) => {
                repository.registry().as_str() == namespace && repository.path() == self.repository
            }
            None => repository.path() == self.repository || repository.to_string() == self.repository,
        }
    }
}

impl Archives {
    /// The archives that are there, the newest first, with the names in them.
    async fn there(&self) -> Result<Vec<(FileName, Identity, Vec<Reference>)>, ServerError> {
        let files = Arc::clone(&self.app.files);
        Ok(blocking(move || files.named()).await?)
    }

    async fn tagged(&self, wanted: &Wanted, tag: &Tag) -> Result<Option<StoredManifest>, ServerError> {
        let is_it = |reference: &Reference| wanted.means(reference) && reference.tag() == Some(tag.as_str());
        let mut there = self.there().await?;
        there.retain(|(_, _, names)| names.iter().any(is_it));
        if let [(newest, ..), _, ..] = &there[..] {
            self.tell_once(newest, &format!("{}:{}", wanted.repository, tag.as_str()), there.len());
        }
        for (name, identity, _) in there {
            let Some(opened) = self.app.opened.open(&self.app, &name, identity).await else { continue };
            let target =
                opened.names.iter().find(|(reference, _)| is_it(reference)).map(|(_, target)| target);
            if let Some(found) = target.and_then(|target| opened.documents.get(target)) {
                return Ok(Some(found.clone()));
            }
        }
        Ok(None)
    }

    /// Every node asks, and the log need not say it each time.
    fn tell_once(&self, newest: &FileName, name: &str, count: usize) {
        let mut told = lock(&self.told);
        if told.len() >= MAX_TOLD {
            told.clear();
        }
        if told.insert(format!("{} {name}", newest.as_str())) {
            let outcome = format!("{count} archives have `{name}`: the newest is taken");
            self.app.log.add(&Asker::server(), "registry", newest.as_str(), &outcome);
        }
    }

    /// The first archive with a name that is wanted in which `find` finds something: those that are open go first.
    async fn first<T>(
        &self,
        wanted: &Wanted,
        find: impl Fn(&Arc<OpenedArchive>) -> Option<T>,
    ) -> Result<Option<T>, ServerError> {
        let mut there = self.there().await?;
        there.retain(|(_, _, names)| names.iter().any(|name| wanted.means(name)));
        there.sort_by_key(|(name, identity, _)| !self.app.opened.has(name, *identity));
        for (name, identity, _) in &there {
            let opened = self.app.opened.open(&self.app, name, *identity).await;
            if let Some(found) = opened.as_ref().and_then(&find) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// An archive that has the blob which is asked for.
    async fn with_blob(&self, digest: &Digest) -> Result<Option<Arc<OpenedArchive>>, ServerError> {
        let Some(wanted) = Wanted::of_blob() else { return Ok(None) };
        self.first(&wanted, |opened| opened.blobs.contains_key(digest).then(|| Arc::clone(opened))).await
    }
}

impl Storage for Archives {
    fn blob_size_bytes<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<u64>> {
        Box::pin(async move {
            let opened = self.with_blob(digest).await?;
            Ok(opened.and_then(|opened| opened.blobs.get(digest).map(|blob| blob.size_bytes)))
        })
    }

    fn open_blob<'a>(&'a self, digest: &'a Digest, range: Range<u64>) -> Answer<'a, BlobBytes> {
        Box::pin(async move {
            let opened = self.with_blob(digest).await?;
            let opened = opened.ok_or_else(|| ServerError::BlobUnknown(digest.clone()))?;
            let bytes = opened.read(digest, range).await.map_err(io::Error::other)?;
            bytes.ok_or_else(|| ServerError::BlobUnknown(digest.clone()))
        })
    }

    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a ManifestReference,
    ) -> Answer<'a, Option<StoredManifest>> {
        let wanted = Wanted::of(repository);
        Box::pin(async move {
            match reference {
                ManifestReference::Tag(tag) => self.tagged(&wanted, tag).await,
                ManifestReference::Digest(digest) => {
                    self.first(&wanted, |opened| opened.documents.get(digest).cloned()).await
                }
            }
        })
    }

    fn tags<'a>(&'a self, repository: &'a RepositoryName) -> Answer<'a, Option<Vec<Tag>>> {
        let wanted = Wanted::of(repository);
        Box::pin(async move {
            let there = self.there().await?;
            let meant = there.iter().flat_map(|(_, _, names)| names).filter(|name| wanted.means(name));
            let mut tags: Vec<&str> = meant.filter_map(Reference::tag).collect();
            tags.sort_unstable();
            tags.dedup();
            let tags: Vec<Tag> = tags.into_iter().filter_map(|tag| tag.parse().ok()).collect();
            Ok((!tags.is_empty()).then_some(tags))
        })
    }

    fn repositories(&self) -> Answer<'_, Vec<RepositoryName>> {
        Box::pin(async move {
            let there = self.there().await?;
            let mut paths: Vec<&str> =
                there.iter().flat_map(|(_, _, names)| names).map(|name| name.repository().path()).collect();
            paths.sort_unstable();
            paths.dedup();
            Ok(paths.into_iter().filter_map(|path| path.parse().ok()).collect())
        })
    }
}
