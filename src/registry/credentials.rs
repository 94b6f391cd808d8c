//! Where credentials come from: what was given for one registry, then docker's config.json and its helpers.
//!
//! Nothing is read before a registry asks. Later sources (podman's auth.json, netrc) join in [`Credentials::of`].

use std::fmt;
use std::path::PathBuf;

use crate::config::Environment;
use crate::image::Registry;
use crate::secret::Secret;

use super::credential_helper;
use super::docker_config::DockerConfig;
use super::error::RegistryError;

/// What a registry or its token server is convinced with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// User name and password (or access token in a password's place).
    Password {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, traded for access tokens (docker's `identitytoken`).
    IdentityToken(Secret),
}

/// The sources of credentials, in order. The default has none.
#[derive(Clone, Default)]
pub struct Credentials {
    given: Vec<(Registry, Credential)>,
    docker_config: Option<PathBuf>,
    environment: Environment,
}

impl Credentials {
    /// Docker's own: `$DOCKER_CONFIG/config.json`, or else `~/.docker/config.json`. A missing file is no error.
    pub fn of_docker(environment: &Environment) -> Self {
        let folder = environment
            .path("DOCKER_CONFIG")
            .or_else(|| environment.path("HOME").map(|home| home.join(".docker")));
        Self {
            given: Vec::new(),
            docker_config: folder.map(|folder| folder.join("config.json")),
            environment: environment.clone(),
        }
    }

    /// Adds credentials for one registry, which go before all others.
    #[must_use]
    pub fn with(mut self, registry: Registry, credential: Credential) -> Self {
        self.given.push((registry, credential));
        self
    }

    /// Looks up the credentials of `registry`.
    pub(super) async fn of(&self, registry: &Registry) -> Result<Option<Credential>, RegistryError> {
        if let Some((_, credential)) = self.given.iter().find(|(given, _)| given == registry) {
            return Ok(Some(credential.clone()));
        }
        let Some(path) = &self.docker_config else { return Ok(None) };
        let Some(config) = DockerConfig::read(path).await? else { return Ok(None) };
        for helper in config.helpers(registry) {
            if let Some(credential) = credential_helper::ask(helper, registry, &self.environment).await? {
                return Ok(Some(credential));
            }
        }
        config.stored(registry)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("given", &self.given)
            .field("docker_config", &self.docker_config)
            .finish_non_exhaustive()
    }
}
