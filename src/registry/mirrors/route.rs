//! The places that have one registry's images: its mirrors, and the registry itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::{OnceCell, Semaphore};

use super::address::MirrorAddress;
use super::ledger::{Ledger, Trouble};
use super::problems::PlaceProblems;
use crate::config::{MirrorOrder, OriginUse, RegistrySettings, TagAuthority};
use crate::event::{SharedReporter, Warning};
use crate::foreign::shown;
use crate::image::{Digest, Registry, Repository};
use crate::registry::client::Client;
use crate::registry::error::RegistryError;
use crate::registry::kind::Kind;

/// How long a mirror has to answer to be ranked.
const PING_TIME: Duration = Duration::from_secs(3);

/// The way to one registry's images.
pub(super) struct Route {
    registry: Registry,
    pub(super) places: Vec<Place>,
    /// The registry itself, if it says what tags name.
    pub(super) tags: Option<Client>,
    /// How many blobs are fetched at the same time.
    pub(super) connections: Option<Arc<Semaphore>>,
    order: MirrorOrder,
    ranking: OnceCell<Vec<usize>>,
    ledger: Mutex<Ledger>,
    reporter: SharedReporter,
}

/// A mirror, or the registry itself.
pub(super) struct Place {
    /// As it is configured.
    pub(super) name: String,
    pub(super) client: Client,
    /// None for the registry itself.
    mirror: Option<MirrorAddress>,
    /// What blobs it sent.
    pub(super) sent_bytes: AtomicU64,
}

impl Place {
    pub(super) fn is_origin(&self) -> bool {
        self.mirror.is_none()
    }

    /// What `repository` is called there; none if that is no name.
    pub(super) fn repository(&self, repository: &Repository) -> Option<Repository> {
        match &self.mirror {
            Some(mirror) => mirror.repository(repository),
            None => Some(repository.clone()),
        }
    }
}

impl Route {
    /// The route that `settings` say. A registry without mirrors is its own only place.
    pub(super) fn new(
        client: &Client,
        registry: &Registry,
        settings: &RegistrySettings,
        reporter: SharedReporter,
    ) -> Result<Self, RegistryError> {
        let mut places = Vec::new();
        for mirror in &settings.mirrors {
            let client = client.at(mirror.base().cloned());
            places.push(Place {
                name: mirror.to_string(),
                client: client.ok_or_else(|| RegistryError::PlainMirror { mirror: mirror.clone().into() })?,
                mirror: Some(mirror.clone()),
                sent_bytes: AtomicU64::default(),
            });
        }
        let with_origin = settings.origin == OriginUse::Last || places.is_empty();
        let ledger = Mutex::new(Ledger::new(places.len(), with_origin));
        let origin = with_origin.then(|| Place {
            name: registry.to_string(),
            client: client.clone(),
            mirror: None,
            sent_bytes: AtomicU64::default(),
        });
        places.extend(origin);
        Ok(Self {
            registry: registry.clone(),
            places,
            tags: (settings.verify_tag == TagAuthority::Origin).then(|| client.clone()),
            connections: settings.connections.map(|count| Arc::new(Semaphore::new(count.into()))),
            order: settings.order,
            ranking: OnceCell::new(),
            ledger,
            reporter,
        })
    }

    /// Whom to ask for something of `repository`, in order.
    pub(super) async fn order(&self, repository: &Repository, blob: Option<&Digest>) -> Vec<usize> {
        let ranking = self.ranking.get_or_init(|| self.rank()).await;
        self.ledger().order(ranking, repository, blob, Instant::now())
    }

    async fn rank(&self) -> Vec<usize> {
        let mut ranking: Vec<usize> = (0..self.places.len()).collect();
        if self.order == MirrorOrder::Priority {
            return ranking;
        }
        let pings = self.places.iter().map(|place| async {
            let Some(mirror) = &place.mirror else { return (1, Duration::ZERO) };
            match tokio::time::timeout(PING_TIME, place.client.ping(mirror.registry())).await {
                Ok(Ok(time)) => (0, time),
                // Behind those that answer, but still a mirror.
                _ => (0, PING_TIME),
            }
        });
        let times = join_all(pings).await;
        ranking.sort_by_key(|place| times[*place]);
        ranking
    }

    /// Writes down that a place failed, in the accounts and among `problems`; an error that all places would give comes
    /// back.
    pub(super) fn failed(
        &self,
        place: usize,
        repository: &Repository,
        blob: Option<&Digest>,
        error: RegistryError,
        problems: &mut PlaceProblems,
    ) -> Result<(), RegistryError> {
        let Some(trouble) = trouble(&error, blob.is_some()) else { return Err(error) };
        let is_news = self.ledger().failed(place, repository, blob, trouble, Instant::now());
        let Place { name, mirror, .. } = &self.places[place];
        if is_news && mirror.is_some() && error.kind() != Kind::NotFound {
            self.reporter.warn(&match &error {
                RegistryError::DigestMismatch { expected, .. } => self.dropped(name, expected),
                _ => Warning::MirrorPassedOver {
                    mirror: name.clone(),
                    registry: self.registry.clone(),
                    problem: shown(&error.to_string()),
                },
            });
        }
        problems.push(name, mirror.is_none(), error);
        Ok(())
    }

    /// A place sent bytes for a blob, the first or more of them.
    pub(super) fn gave(&self, place: usize, blob: &Digest, bytes: usize, is_first: bool) {
        self.places[place].sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if is_first {
            self.ledger().gave(place, blob);
        }
    }

    /// A place did not send all that it was asked for.
    pub(super) fn broke(&self, place: usize, blob: &Digest) {
        self.ledger().broke(place, blob);
    }

    /// What was sent for a blob was not the blob: true if others may have it.
    pub(super) fn distrust(&self, blob: &Digest) -> bool {
        let judgement = self.ledger().distrust(blob);
        for place in judgement.dropped {
            self.reporter.warn(&self.dropped(&self.places[place].name, blob));
        }
        judgement.others_left
    }

    fn dropped(&self, mirror: &str, digest: &Digest) -> Warning {
        let (mirror, registry) = (mirror.to_owned(), self.registry.clone());
        Warning::MirrorDropped { mirror, registry, digest: digest.clone().into() }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error says of the place it came from; none if it is about sealift itself.
fn trouble(error: &RegistryError, of_blob: bool) -> Option<Trouble> {
    let only_this = if of_blob { Trouble::Blob } else { Trouble::Place(Duration::ZERO) };
    Some(match error {
        RegistryError::DigestMismatch { .. } => Trouble::Lie,
        RegistryError::RateLimited { retry_after, .. } | RegistryError::ServerError { retry_after, .. } => {
            Trouble::Place(retry_after.map(super::super::RetryAfter::wait).unwrap_or_default())
        }
        RegistryError::Interrupted { .. }
        | RegistryError::StoreRefused { .. }
        | RegistryError::BadHeader { .. }
        | RegistryError::RangeIgnored { .. } => only_this,
        error => match error.kind() {
            Kind::Setup => return None,
            Kind::NotFound if of_blob => Trouble::Blob,
            // Old mirrors convert manifests to schema 1.
            Kind::NotFound | Kind::Access | Kind::Unsupported => Trouble::Repository,
            Kind::Integrity => only_this,
            Kind::Network => Trouble::Place(Duration::ZERO),
        },
    })
}
