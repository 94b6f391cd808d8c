//! Which layers a registry was found not to hold: of a layer with URLs of its own it is asked once, however many parts
//! of it are fetched at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::image::{Digest, Repository};

use super::error::RegistryError;

/// Whether the registry said that it does not have the layer, or has it.
type Verdict = Arc<AsyncMutex<Option<bool>>>;

/// What the registry said of each layer that may be elsewhere.
#[derive(Default)]
pub(super) struct Lacking(Mutex<HashMap<(Repository, Digest), Verdict>>);

impl Lacking {
    /// What `fetch` gets from the registry; none if it does not have the layer. While the first request is under way the
    /// others wait for its head.
    pub(super) async fn ask<T, F: Future<Output = Result<T, RegistryError>>>(
        &self,
        repository: &Repository,
        layer: &Digest,
        fetch: impl FnOnce() -> F,
    ) -> Result<Option<T>, RegistryError> {
        let verdict = {
            let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(verdicts.entry((repository.clone(), layer.clone())).or_default())
        };
        let mut lacks = verdict.lock().await;
        match *lacks {
            Some(true) => Ok(None),
            Some(false) => {
                drop(lacks);
                unless_missing(fetch().await)
            }
            None => {
                let answer = unless_missing(fetch().await)?;
                *lacks = Some(answer.is_none());
                Ok(answer)
            }
        }
    }
}

fn unless_missing<T>(answer: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(RegistryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
