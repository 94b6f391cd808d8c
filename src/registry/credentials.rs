//! Where credentials come from: what was given for one registry, then docker's config.json and its helpers.
//!
//! Nothing is read before a registry asks. Later sources (podman's auth.json, netrc) join in [`Credentials::of`].

use std::fmt;
use std::path::PathBuf;

use crate::config::Environment;
use crate::image::Registry;
use crate::secret::Secret;

use super::credential_helper::{self, Answer};
use super::docker_config::DockerConfig;
use super::error::RegistryError;
use super::said::Denial;

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

/// The user name that stands for an identity token.
pub(super) const TOKEN_USER: &str = "<token>";

/// What looking for a registry's credentials found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) credential: Option<Credential>,
    /// A helper that should have been asked, and is not installed.
    missing_helper: Option<String>,
}

impl Found {
    /// Why whoever comes with this is denied access as a stranger; none if there are credentials.
    pub(super) fn stranger(&self) -> Option<Denial> {
        match (&self.credential, &self.missing_helper) {
            (Some(_), _) => None,
            (None, Some(helper)) => Some(Denial::NoHelper(helper.clone())),
            (None, None) => Some(Denial::NoCredentials),
        }
    }
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

    /// Looks up the credentials of `registry`. A helper that is not installed is remembered: public images are to be
    /// had without it.
    pub(super) async fn of(&self, registry: &Registry) -> Result<Found, RegistryError> {
        let mut found = Found::default();
        if let Some((_, credential)) = self.given.iter().find(|(given, _)| given == registry) {
            found.credential = Some(credential.clone());
            return Ok(found);
        }
        let Some(path) = &self.docker_config else { return Ok(found) };
        let Some(config) = DockerConfig::read(path).await? else { return Ok(found) };
        for helper in config.helpers(registry) {
            match credential_helper::ask(helper, registry, &self.environment).await? {
                Answer::Credential(credential) => {
                    found.credential = Some(credential);
                    return Ok(found);
                }
                Answer::Nothing => {}
                Answer::NotInstalled => {
                    found.missing_helper.get_or_insert_with(|| helper.to_owned());
                }
            }
        }
        found.credential = config.stored(registry)?;
        Ok(found)
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
