//! Access to one registry: its scheme, its credentials, a token for each repository and what is done there.
//!
//! Tokens are shared: whoever needs one that is missing or ending asks for it while the others wait, so that many
//! blobs cost one token call. Credentials are looked up once for a repository, when first asked for, and go to the
//! registry itself (Basic) or its token server (Bearer). Nothing here opens a blob; [`super::client`] does, and replays once after
//! [`Access::renew`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use reqwest::header::HeaderValue;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use url::Url;

use crate::image::Registry;

use super::challenge::Challenge;
use super::credentials::{Credential, Credentials, Found, Scope};
use super::error::RegistryError;
use super::reach::Reach;
use super::said::Denial;
use super::token::{self, Purpose};
use super::transport::Transport;

/// What is known of one registry.
pub(super) struct Access {
    registry: Registry,
    base: OnceCell<Url>,
    /// By the scope they are for.
    grants: Mutex<HashMap<String, Arc<AsyncMutex<Grant>>>>,
}

/// What one reach is asked with.
#[derive(Default)]
struct Grant {
    found: Option<Found>,
    challenge: Option<Challenge>,
    header: Option<HeaderValue>,
    renew_at: Option<Instant>,
    /// Counts the headers, so that two requests refused with the same one renew it once.
    generation: u64,
}

/// The `Authorization` header of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Permit {
    pub(super) header: Option<HeaderValue>,
    generation: u64,
}

impl Permit {
    /// True if a token was sent: the registry knows what it refuses.
    pub(super) fn is_token(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.as_bytes().starts_with(b"Bearer "))
    }
}

impl Access {
    /// Nothing known yet.
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, base: OnceCell::new(), grants: Mutex::new(HashMap::new()) }
    }

    /// The registry it is about.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registry's `/v2/`, found once by `find`; a failure is not kept.
    pub(super) async fn base<F>(&self, find: impl FnOnce() -> F) -> Result<&Url, RegistryError>
    where
        F: Future<Output = Result<Url, RegistryError>>,
    {
        self.base.get_or_try_init(find).await
    }

    /// Why the registry denies `reach` as to a stranger; none if credentials were looked for and found.
    pub(super) async fn stranger(&self, reach: Reach<'_>) -> Option<Denial> {
        let grant = self.grant(reach);
        let grant = grant.lock().await;
        grant.found.as_ref().map_or(Some(Denial::NoCredentials), Found::stranger)
    }

    /// True if there are credentials. Where they can't be looked up there are none: nobody asked for them yet.
    pub(super) async fn can_find_credential(&self, credentials: &Credentials, reach: Reach<'_>) -> bool {
        let grant = self.grant(reach);
        let mut grant = grant.lock().await;
        grant.find(credentials, reach).await.is_ok_and(|found| found.credential.is_some())
    }

    /// What to ask for `reach` with now: nothing before the first challenge, a fresh token after the last one ended.
    pub(super) async fn permit(
        &self,
        transport: &Transport,
        credentials: &Credentials,
        reach: Reach<'_>,
    ) -> Result<Permit, RegistryError> {
        let grant = self.grant(reach);
        let mut grant = grant.lock().await;
        if grant.renew_at.is_some_and(|renew_at| renew_at <= Instant::now()) {
            self.refresh(&mut grant, transport, credentials, reach).await?;
        }
        Ok(grant.permit())
    }

    /// What to ask with after `challenge` (status 401) came for a request with `refused`; none if there is nothing
    /// better to send.
    pub(super) async fn renew(
        &self,
        transport: &Transport,
        credentials: &Credentials,
        reach: Reach<'_>,
        challenge: Challenge,
        refused: &Permit,
    ) -> Result<Option<Permit>, RegistryError> {
        let grant = self.grant(reach);
        let mut grant = grant.lock().await;
        if grant.generation == refused.generation {
            let same_again = challenge == Challenge::Basic && refused.header.is_some() && !refused.is_token();
            let challenge = match grant.challenge.take() {
                Some(former) => challenge.merged_with(former),
                None => challenge,
            };
            grant.challenge =
                Some(if reach.is_pull() { challenge } else { challenge.with_scope(&reach.scope()) });
            if same_again || !self.refresh(&mut grant, transport, credentials, reach).await? {
                return Ok(None);
            }
        }
        Ok(Some(grant.permit()))
    }

    /// Answers the grant's challenge; false if that takes credentials and there are none.
    async fn refresh(
        &self,
        grant: &mut Grant,
        transport: &Transport,
        credentials: &Credentials,
        reach: Reach<'_>,
    ) -> Result<bool, RegistryError> {
        let found = grant.find(credentials, reach).await?;
        let (header, renew_at) = match (&grant.challenge, &found.credential) {
            (Some(Challenge::Bearer(bearer)), _) => {
                let scope = reach.scope();
                let Some(base) = self.base.get() else { return Ok(false) };
                let token =
                    token::fetch(transport, &self.registry, base, bearer, &scope, &found, Purpose::Run)
                        .await?;
                (token.header, Some(token.renew_at))
            }
            (Some(Challenge::Basic), Some(Credential::Password { username, password })) => {
                (token::basic_header(username, password), None)
            }
            (Some(Challenge::Basic) | None, _) => return Ok(false),
        };
        grant.header = Some(header);
        grant.renew_at = renew_at;
        grant.generation += 1;
        Ok(true)
    }

    fn grant(&self, reach: Reach<'_>) -> Arc<AsyncMutex<Grant>> {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(grants.entry(reach.scope()).or_default())
    }
}

impl Grant {
    /// The credentials for the repository, looked up once; a failure is not kept.
    async fn find(&mut self, credentials: &Credentials, reach: Reach<'_>) -> Result<Found, RegistryError> {
        if let Some(found) = &self.found {
            return Ok(found.clone());
        }
        let repository = reach.repository();
        let scope = Scope { registry: repository.registry(), path: repository.path() };
        Ok(self.found.insert(credentials.of(scope).await?).clone())
    }

    fn permit(&self) -> Permit {
        Permit { header: self.header.clone(), generation: self.generation }
    }
}
