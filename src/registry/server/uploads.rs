//! The uploads under way, by the ID in their URL.
//!
//! Threats: clients open uploads and go away. The number of open ones has a limit, and one that nothing came to for an
//! hour is dropped when the next begins. An ID is only ever looked up here, it never becomes part of a path.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::ServerError;
use super::name::RepositoryName;
use super::receive::Receiving;

/// Each holds a file open; processes commonly may open 1024.
const MAX_OPEN: usize = 256;
/// After this long without a byte an upload counts as abandoned.
const IDLE: Duration = Duration::from_hours(1);
/// How long a request waits for another one to let go of an upload: a client that lost its connection is back before
/// the server has noticed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The uploads of all repositories.
#[derive(Default)]
pub(super) struct Uploads(Mutex<HashMap<String, Session>>);

struct Session {
    repository: RepositoryName,
    /// `None` once it is finished, cancelled or spoilt.
    receiving: Arc<tokio::sync::Mutex<Option<Receiving>>>,
}

impl Uploads {
    /// Takes on an upload and gives it an ID.
    pub(super) fn add(
        &self,
        repository: RepositoryName,
        receiving: Receiving,
    ) -> Result<String, ServerError> {
        let mut sessions = self.lock();
        sessions.retain(|_, session| !session.is_abandoned(IDLE));
        if sessions.len() >= MAX_OPEN {
            return Err(ServerError::TooManyUploads);
        }
        let random = || RandomState::new().hash_one(sessions.len());
        let id = format!("{:016x}{:016x}", random(), random());
        let receiving = Arc::new(tokio::sync::Mutex::new(Some(receiving)));
        sessions.insert(id.clone(), Session { repository, receiving });
        Ok(id)
    }

    /// Takes hold of an upload; no one else writes to it meanwhile.
    pub(super) async fn hold(&self, repository: &RepositoryName, id: &str) -> Result<Held, ServerError> {
        let receiving = match self.lock().get(id) {
            Some(session) if session.repository == *repository => Arc::clone(&session.receiving),
            _ => return Err(ServerError::UploadUnknown),
        };
        match tokio::time::timeout(PATIENCE, receiving.lock_owned()).await {
            Ok(held) if held.is_some() => Ok(Held(held)),
            Ok(_) => Err(ServerError::UploadUnknown),
            Err(_) => Err(ServerError::UploadBusy),
        }
    }

    /// Forgets an upload.
    pub(super) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Every change under the lock is one call on the map, so poison is none.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_abandoned(&self, idle: Duration) -> bool {
        let Ok(receiving) = self.receiving.try_lock() else { return false };
        receiving.as_ref().is_none_or(|receiving| receiving.touched().elapsed() >= idle)
    }
}

/// An upload that this request alone works on.
pub(super) struct Held(OwnedMutexGuard<Option<Receiving>>);

impl Held {
    /// The blob on its way in.
    pub(super) fn receiving(&mut self) -> Result<&mut Receiving, ServerError> {
        self.0.as_mut().ok_or(ServerError::UploadUnknown)
    }

    /// Takes the blob out of the upload, which is thereby over.
    pub(super) fn take(mut self) -> Result<Receiving, ServerError> {
        self.0.take().ok_or(ServerError::UploadUnknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Algorithm;
    use crate::registry::server::Store;

    async fn session() -> Session {
        let receiving = Receiving::start(&Store::memory(), Algorithm::Sha256).await.unwrap();
        Session {
            repository: "a".parse().unwrap(),
            receiving: Arc::new(tokio::sync::Mutex::new(Some(receiving))),
        }
    }

    #[tokio::test]
    async fn idle_uploads_are_abandoned_unless_a_request_holds_them() {
        let session = session().await;
        assert!(!session.is_abandoned(IDLE));
        assert!(session.is_abandoned(Duration::ZERO));
        let held = session.receiving.lock().await;
        assert!(!session.is_abandoned(Duration::ZERO));
        drop(held);
        session.receiving.lock().await.take();
        assert!(session.is_abandoned(IDLE));
    }

    #[tokio::test]
    async fn there_is_a_limit_to_open_uploads() {
        let (uploads, store) = (Uploads::default(), Store::memory());
        let name: RepositoryName = "a".parse().unwrap();
        let mut last = String::new();
        for _ in 0..MAX_OPEN {
            let receiving = Receiving::start(&store, Algorithm::Sha256).await.unwrap();
            last = uploads.add(name.clone(), receiving).unwrap();
        }
        let receiving = Receiving::start(&store, Algorithm::Sha256).await.unwrap();
        assert!(matches!(uploads.add(name.clone(), receiving), Err(ServerError::TooManyUploads)));
        uploads.hold(&name, &last).await.unwrap().take().unwrap();
        let receiving = Receiving::start(&store, Algorithm::Sha256).await.unwrap();
        assert!(uploads.add(name, receiving).is_ok());
    }
}
