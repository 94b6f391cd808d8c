//! Files of credentials: docker's config.json (docker/cli `config/configfile`, `config/credentials`) and the auth.json of
//! podman and skopeo (containers-auth.json(5)), which has keys for parts of a registry as well.
//!
//! Threats: the file holds secrets, so neither its content nor serde's quotes of it reach an error. The helpers it
//! names are run, so a name with a path in it is refused.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use crate::foreign::shown;
use crate::image::Registry;
use crate::secret::Secret;

use super::credentials::{Credential, Scope};
use super::error::RegistryError;

const MAX_FILE_BYTES: u64 = 4 << 20;
/// Docker Hub's key: the address of a registry that ended in 2015.
pub(super) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const DOCKER_HUB_HOSTS: [&str; 3] = ["index.docker.io", "docker.io", "registry-1.docker.io"];
/// Standard base64, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whose file it is: they name registries in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Docker's: a key is a registry, whatever path it has.
    Docker,
    /// That of containers/image: a key may be `host/namespace` or `host/namespace/name`, for what is below it alone.
    Containers,
}

/// A file that was read.
pub(super) struct DockerConfig {
    path: PathBuf,
    layout: Layout,
    file: File,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: Option<HashMap<String, Option<Entry>>>,
    #[serde(default)]
    cred_helpers: Option<HashMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// What is wrong with docker's config.json.
#[derive(Debug, thiserror::Error)]
pub enum CredentialFileProblem {
    /// It can't be read.
    #[error("it can't be read")]
    Unreadable(#[source] std::io::Error),
    /// It is far larger than any such file.
    #[error("it is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// It is not the JSON it should be.
    #[error("it is not valid at line {line}, column {column}")]
    NotValid {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An entry's `auth` is not base64 of `user:password`.
    #[error("its entry for `{registry}` is not base64 of `user:password`")]
    NotBasic {
        /// The key of the entry.
        registry: String,
    },
    /// A credential helper's name with characters that no helper's has.
    #[error("it names a credential helper that can't be one")]
    HelperName,
}

impl DockerConfig {
    /// Reads the file; none if there is no such file.
    pub(super) async fn read(path: &Path, layout: Layout) -> Result<Option<Self>, RegistryError> {
        let fail = |problem| RegistryError::CredentialFile { path: path.to_owned(), problem };
        let mut bytes = Vec::new();
        let read = async {
            tokio::fs::File::open(path).await?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).await
        };
        match read.await {
            Ok(_) if bytes.len() as u64 <= MAX_FILE_BYTES => {}
            Ok(_) => return Err(fail(CredentialFileProblem::TooLarge { limit_bytes: MAX_FILE_BYTES })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(fail(CredentialFileProblem::Unreadable(error))),
        }
        let file: File = serde_json::from_slice(&bytes).map_err(|error| {
            fail(CredentialFileProblem::NotValid { line: error.line(), column: error.column() })
        })?;
        let mut names = file.cred_helpers.iter().flat_map(HashMap::values).chain(&file.creds_store);
        if names.any(|name| !name.is_empty() && !is_helper_name(name)) {
            return Err(fail(CredentialFileProblem::HelperName));
        }
        Ok(Some(Self { path: path.to_owned(), layout, file }))
    }

    /// The helpers to ask for `scope`, its own first, each with what the registry is called towards it.
    pub(super) fn helpers<'a>(&'a self, scope: Scope<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
        let own = self.file.cred_helpers.as_ref().and_then(|helpers| self.lookup(helpers, scope));
        let own = own.map(|(_, helper)| helper);
        let server = match self.layout {
            Layout::Docker => key_of(scope.registry),
            Layout::Containers => scope.registry.as_str(),
        };
        let names = own.into_iter().chain(&self.file.creds_store).map(String::as_str);
        names.filter(|name| !name.is_empty()).map(move |name| (name, server))
    }

    /// The helper that credentials of `registry` are stored with: its own, or else the store for all.
    pub(super) fn store_of<'a>(&'a self, registry: &'a Registry) -> Option<&'a str> {
        self.helpers(Scope { registry, path: "" }).next().map(|(helper, _)| helper)
    }

    /// The credentials that stand in the file itself.
    pub(super) fn stored(&self, scope: Scope<'_>) -> Result<Option<Credential>, RegistryError> {
        let Some((key, Some(entry))) = self.file.auths.as_ref().and_then(|auths| self.lookup(auths, scope))
        else {
            return Ok(None);
        };
        let filled = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if let Some(token) = filled(&entry.identitytoken) {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(auth) = filled(&entry.auth) {
            return match decode_basic(&auth) {
                Some((username, _)) if username.is_empty() => Ok(None),
                Some((username, password)) => Ok(Some(Credential::Password { username, password })),
                None => Err(RegistryError::CredentialFile {
                    path: self.path.clone(),
                    problem: CredentialFileProblem::NotBasic { registry: shown(key) },
                }),
            };
        }
        let pair = filled(&entry.username).zip(filled(&entry.password));
        Ok(pair
            .map(|(username, password)| Credential::Password { username, password: Secret::new(password) }))
    }

    /// The entry for `scope`: the narrowest that there is, under its own key or one that names the same host otherwise.
    fn lookup<'a, T>(&self, entries: &'a HashMap<String, T>, scope: Scope<'_>) -> Option<(&'a str, &'a T)> {
        let registry = scope.registry;
        let exact = match self.layout {
            Layout::Docker => entries.get_key_value(key_of(registry)),
            Layout::Containers => scope.names().find_map(|name| entries.get_key_value(&name)),
        };
        let found = exact.or_else(|| {
            // A bare path is a namespace there; behind a scheme it is docker's habit.
            let is_host =
                |key: &str| self.layout == Layout::Docker || key.contains("://") || !key.contains('/');
            // The first in order, so that the same file gives the same answer every time.
            let keys = entries.iter().filter(|(key, _)| is_host(key) && is_key_of(key, registry));
            keys.min_by_key(|(key, _)| key.as_str())
        })?;
        Some((found.0.as_str(), found.1))
    }
}

/// The name a registry has as a key of docker's and towards helpers.
pub(super) fn key_of(registry: &Registry) -> &str {
    if registry.is_docker_hub() { DOCKER_HUB_KEY } else { registry.as_str() }
}

/// True if docker's file means `registry` by `key`, by whatever name.
pub(super) fn is_key_of(key: &str, registry: &Registry) -> bool {
    let host = host_of(key).to_ascii_lowercase();
    registry.as_str().eq_ignore_ascii_case(&host)
        || (registry.is_docker_hub() && DOCKER_HUB_HOSTS.contains(&host.as_str()))
}

/// docker/cli's `ConvertToHostname`: the key without scheme and path.
fn host_of(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    bare.split('/').next().unwrap_or(bare)
}

/// The part after `docker-credential-`: no path, no option.
fn is_helper_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.starts_with(['-', '.']) && name.len() <= 100 && name.bytes().all(is_word)
}

fn decode_basic(auth: &str) -> Option<(String, Secret)> {
    let decoded = String::from_utf8(BASE64.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some((username.to_owned(), Secret::new(password.trim_matches('\0'))))
}

#[cfg(test)]
mod tests;
