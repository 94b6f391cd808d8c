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
use crate::registry::object::Object;
use crate::registry::said::Denial;

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
    pub(super) mirror: Option<MirrorAddress>,
    /// What blobs it sent.
    pub(super) sent_bytes: AtomicU64,
    /// Why it is left alone, for whoever would ask it meanwhile.
    last_word: Mutex<Option<RegistryError>>,
}

impl Place {
    fn new(name: String, client: Client, mirror: Option<MirrorAddress>) -> Self {
        Self { name, client, mirror, sent_bytes: AtomicU64::default(), last_word: Mutex::default() }
    }

    pub(super) fn is_origin(&self) -> bool {
        self.mirror.is_none()
    }

    /// Keeps the error, if the place is to be left alone for it. A refusal has no end, so nothing later replaces it.
    fn said(&self, error: &RegistryError, object: &Object, trouble: Trouble) {
        let mut last_word = self.last_word();
        let wait = match trouble {
            Trouble::LeaveAlone(wait)
                if last_word.as_ref().is_none_or(|word| word.kind() != Kind::Access) =>
            {
                wait
            }
            Trouble::Credentials => Duration::MAX,
            _ => return,
        };
        *last_word = error.said_again(object, wait);
    }

    fn last_word(&self) -> MutexGuard<'_, Option<RegistryError>> {
        self.last_word.lock().unwrap_or_else(PoisonError::into_inner)
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
            let client =
                client.ok_or_else(|| RegistryError::PlainMirror { mirror: mirror.clone().into() })?;
            places.push(Place::new(mirror.to_string(), client, Some(mirror.clone())));
        }
        let with_origin = settings.origin == OriginUse::Last || places.is_empty();
        let ledger = Mutex::new(Ledger::new(places.len(), with_origin));
        places.extend(with_origin.then(|| Place::new(registry.to_string(), client.clone(), None)));
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

    /// The places as they are ranked.
    pub(super) async fn ranked(&self) -> impl Iterator<Item = &Place> {
        self.ranking.get_or_init(|| self.rank()).await.iter().map(|place| &self.places[*place])
    }

    /// Whom to ask for `object`, in order. What those said that are to be left alone is among `problems`.
    pub(super) async fn order(&self, object: &Object, problems: &mut PlaceProblems) -> Vec<usize> {
        let ranking = self.ranking.get_or_init(|| self.rank()).await;
        let now = Instant::now();
        let ledger = self.ledger();
        for (place, left) in ledger.left_alone(now) {
            let place = &self.places[place];
            if let Some(error) = place.last_word().as_ref().and_then(|error| error.said_again(object, left)) {
                problems.push(&place.name, place.is_origin(), error);
            }
        }
        ledger.order(ranking, object.repository(), object.blob(), now)
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

    /// Writes down that a place did not give `object`, in the accounts and among `problems`; an error that all places
    /// would give comes back.
    pub(super) fn failed(
        &self,
        place: usize,
        object: &Object,
        error: RegistryError,
        problems: &mut PlaceProblems,
    ) -> Result<(), RegistryError> {
        let blob = object.blob();
        let Some(trouble) = trouble(&error, blob.is_some()) else { return Err(error) };
        let now = Instant::now();
        self.places[place].said(&error, object, trouble);
        let Place { name, mirror, .. } = &self.places[place];
        let is_news = self.ledger().failed(place, object.repository(), blob, trouble, now);
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
    let only_this = if of_blob { Trouble::Blob } else { Trouble::Place };
    Some(match error {
        RegistryError::DigestMismatch { .. } => Trouble::Lie,
        RegistryError::RateLimited { retry_after, .. } | RegistryError::ServerError { retry_after, .. } => {
            retry_after.map_or(Trouble::Place, |asked| Trouble::LeaveAlone(asked.wait()))
        }
        RegistryError::AccessDenied { denial: Denial::CredentialsRefused, .. }
        | RegistryError::TokenRefused { denial: Denial::CredentialsRefused, .. } => Trouble::Credentials,
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
            Kind::Network => Trouble::Place,
        },
    })
}
