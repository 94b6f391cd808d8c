//! Logging in and out: are credentials right, and where docker keeps them.
//!
//! A password that the token server trades for an identity token (distribution's `refresh_token`, docker's
//! `identitytoken`) is not kept; the token is, as docker does it.
//!
//! Threats: a password is asked for the registry's own answer before it is stored, so a wrong one is never written down.
//! It goes to a credential helper's stdin, or into docker's config.json, which then is its owner's alone to read;
//! never into an argument, the environment or a message.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};

use crate::config::Environment;
use crate::fsio::{FileError, replace_private};
use crate::image::Registry;
use crate::secret::Secret;

use super::challenge::Challenge;
use super::client::{Client, read_challenge};
use super::credential_helper;
use super::credentials::{Credential, CredentialSource, Found, TOKEN_USER, docker_config_path};
use super::docker_config::{CredentialFileProblem, DockerConfig, Layout, is_key_of, key_of};
use super::docker_config_edit::{Change, edit};
use super::error::RegistryError;
use super::retry_after::RetryAfter;
use super::said::{Said, is_html};
use super::token::{self, Purpose};
use super::transport::Answer;

/// What a registry said to credentials that it does not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// They are right.
    Accepted,
    /// It asked for none, so nobody knows.
    NotAsked,
}

/// Why credentials could not be stored or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Docker's file or its helper stands in the way.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// This machine does.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no folder for docker's file.
    #[error("there is no place for credentials: neither HOME nor DOCKER_CONFIG is set")]
    NoFolder,
}

impl Client {
    /// Asks `registry` whether it takes `credential`: its `/v2/`, and the token server that leads there.
    pub async fn check_credential(
        &self,
        registry: &Registry,
        credential: &Credential,
    ) -> Result<Checked, RegistryError> {
        Ok(self.show(registry, credential, Purpose::Run).await?.0)
    }

    /// As [`check_credential`](Self::check_credential), and what to keep: an identity token, where the token server
    /// gives one for the password, or else `credential`.
    pub async fn log_in(
        &self,
        registry: &Registry,
        credential: Credential,
    ) -> Result<(Checked, Credential), RegistryError> {
        let (checked, identity) = self.show(registry, &credential, Purpose::Login).await?;
        Ok((checked, identity.map_or(credential, Credential::IdentityToken)))
    }

    async fn show(
        &self,
        registry: &Registry,
        credential: &Credential,
        purpose: Purpose,
    ) -> Result<(Checked, Option<Secret>), RegistryError> {
        let transport = self.transport();
        let base = self.find_base(registry).await?;
        let answer = transport.get(&base, &HeaderMap::new(), None).await?;
        if answer.response.status() != StatusCode::UNAUTHORIZED || answer.from_elsewhere {
            return accepted(answer, None).await.map(|()| (Checked::NotAsked, None));
        }
        let challenge = read_challenge(registry, &answer)?.map(Challenge::without_scope);
        let mut identity = None;
        let header = match (challenge, credential) {
            (Some(Challenge::Bearer(bearer)), _) => {
                let found = Found { credential: Some(credential.clone()), ..Found::default() };
                let token = token::fetch(transport, registry, &base, &bearer, "", &found, purpose).await?;
                identity = token.identity;
                token.header
            }
            (Some(Challenge::Basic), Credential::Password { username, password }) => {
                token::basic_header(username, password)
            }
            (Some(Challenge::Basic), Credential::IdentityToken(token)) => {
                token::basic_header(TOKEN_USER, token)
            }
            (None, _) => {
                let header = "none".to_owned();
                return Err(RegistryError::BadChallenge { registry: registry.clone(), header });
            }
        };
        let answer = transport.get(&base, &HeaderMap::new(), Some(&header)).await?;
        if matches!(answer.response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let said = Said::read(answer.response, Some(&header)).await;
            return Err(RegistryError::LoginRefused { registry: registry.clone(), said });
        }
        accepted(answer, Some(&header)).await.map(|()| (Checked::Accepted, identity))
    }
}

/// Is this a registry's `/v2/`, and a success? It was asked with `authorization`.
pub(super) async fn accepted(
    answer: Answer,
    authorization: Option<&HeaderValue>,
) -> Result<(), RegistryError> {
    let (status, url) = (answer.response.status(), Box::new(answer.url));
    let is_page = is_html(answer.response.headers());
    if status.is_success() && !is_page {
        return Ok(());
    }
    let retry_after = RetryAfter::of(answer.response.headers());
    let said = Said::read(answer.response, authorization).await;
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited { url, retry_after, said },
        status if status.is_server_error() => {
            RegistryError::ServerError { url, status: status.as_u16(), retry_after, said }
        }
        _ if said == Some(Said::NoClientCertificate) => RegistryError::no_client_certificate(url),
        _ if is_page || said == Some(Said::WebPage) => {
            RegistryError::WebPage { url, status: status.as_u16() }
        }
        _ => RegistryError::UnexpectedStatus { url, status: status.as_u16(), said },
    })
}

/// Stores `credential` as `docker login` does, and says where.
pub async fn store(
    registry: &Registry,
    credential: &Credential,
    environment: &Environment,
) -> Result<CredentialSource, StoreError> {
    let file = DockerFile::open(registry, environment).await?;
    let (username, secret) = match credential {
        Credential::Password { username, password } => (username.as_str(), password),
        Credential::IdentityToken(token) => (TOKEN_USER, token),
    };
    if let Some(helper) = &file.helper {
        credential_helper::store(helper, registry, username, secret, environment).await?;
        file.change(&Change::Elsewhere)?;
        return Ok(CredentialSource::Helper { helper: helper.clone(), file: file.path });
    }
    let encoded = BASE64.encode(format!("{username}:{}", secret.reveal()));
    file.change(&match credential {
        Credential::Password { .. } => Change::Auth(&encoded),
        Credential::IdentityToken(token) => Change::IdentityToken(token.reveal()),
    })?;
    Ok(CredentialSource::File(file.path))
}

/// Removes what `docker login` or [`store`] left; none if there was nothing.
pub async fn erase(
    registry: &Registry,
    environment: &Environment,
) -> Result<Option<CredentialSource>, StoreError> {
    let file = DockerFile::open(registry, environment).await?;
    let mut source = None;
    if let Some(helper) = &file.helper
        && credential_helper::erase(helper, registry, environment).await?
    {
        source = Some(CredentialSource::Helper { helper: helper.clone(), file: file.path.clone() });
    }
    if file.change(&Change::Remove)? {
        source.get_or_insert(CredentialSource::File(file.path));
    }
    Ok(source)
}

/// Docker's config.json on its way to be changed.
struct DockerFile<'a> {
    registry: &'a Registry,
    path: PathBuf,
    text: Option<String>,
    helper: Option<String>,
}

impl<'a> DockerFile<'a> {
    async fn open(registry: &'a Registry, environment: &Environment) -> Result<Self, StoreError> {
        let path = docker_config_path(environment).ok_or(StoreError::NoFolder)?;
        let Some(config) = DockerConfig::read(&path, Layout::Docker).await? else {
            return Ok(Self { registry, path, text: None, helper: None });
        };
        let helper = config.store_of(registry).map(str::to_owned);
        let text = tokio::fs::read_to_string(&path).await.map_err(|error| unusable(&path, error))?;
        Ok(Self { registry, path, text: Some(text), helper })
    }

    /// Writes the file with the change made, unless it changes nothing; true if there was an entry.
    fn change(&self, change: &Change<'_>) -> Result<bool, StoreError> {
        let is_same = |key: &str| is_key_of(key, self.registry);
        let text = self.text.as_deref().unwrap_or_default();
        let (changed, was_there) = edit(text, key_of(self.registry), is_same, change).map_err(|error| {
            let problem = CredentialFileProblem::NotValid { line: error.line(), column: error.column() };
            RegistryError::CredentialFile { path: self.path.clone(), problem }
        })?;
        if was_there || !matches!(change, Change::Remove) {
            replace_private(&self.path, changed.as_bytes())?;
        }
        Ok(was_there)
    }
}

fn unusable(path: &std::path::Path, error: std::io::Error) -> RegistryError {
    let problem = CredentialFileProblem::Unreadable(error);
    RegistryError::CredentialFile { path: path.to_owned(), problem }
}
