//! Where credentials come from: what was given for one registry, then the files of podman and docker with the helpers
//! they name, then netrc.
//!
//! Nothing is read before a registry asks. The first source that has credentials for a registry, or the part of it that
//! is asked for, is the one; a helper is asked once for a registry, whatever the number of repositories.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::config::Environment;
use crate::image::Registry;
use crate::secret::Secret;

use super::credential_helper::{self, Answer};
use super::docker_config::{DockerConfig, Layout};
use super::error::RegistryError;
use super::netrc;
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

/// What credentials are looked for: a repository of a registry, or with an empty path the registry itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) registry: &'a Registry,
    pub(super) path: &'a str,
}

impl Scope<'_> {
    /// `host/a/b`, `host/a`, `host`.
    pub(super) fn names(self) -> impl Iterator<Item = String> {
        let host = self.registry.as_str();
        let full = if self.path.is_empty() { host.to_owned() } else { format!("{host}/{}", self.path) };
        std::iter::successors(Some(full), |name| Some(name.rsplit_once('/')?.0.to_owned()))
    }
}

/// Where credentials were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// They were given for this registry.
    Given,
    /// A file: docker's config.json, podman's auth.json, netrc.
    File(PathBuf),
    /// A credential helper that a file names.
    Helper {
        /// Its name, after `docker-credential-`.
        helper: String,
        /// The file.
        file: PathBuf,
    },
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => formatter.write_str("options or environment"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Helper { helper, file } => {
                write!(formatter, "`docker-credential-{helper}`, named in {}", file.display())
            }
        }
    }
}

/// What looking for credentials found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) credential: Option<Credential>,
    /// Where the credential is from.
    pub(super) source: Option<CredentialSource>,
    /// A helper that should have been asked, and is not installed.
    pub(super) missing_helper: Option<String>,
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

    fn with(mut self, credential: Credential, source: CredentialSource) -> Self {
        self.credential = Some(credential);
        self.source = Some(source);
        self
    }
}

/// Answers of helpers, by helper and server.
type Answers = Mutex<HashMap<(String, String), Arc<OnceCell<Answer>>>>;

/// The sources of credentials, in order. The default has none.
#[derive(Clone, Default)]
pub struct Credentials {
    given: Vec<(Registry, Credential)>,
    files: Vec<(PathBuf, Layout)>,
    netrc: Option<PathBuf>,
    environment: Environment,
    answers: Arc<Answers>,
}

impl Credentials {
    /// The files of other programs, as `environment` names them; a missing one is no error:
    ///
    /// 1. podman's: `$REGISTRY_AUTH_FILE`, or else `$XDG_RUNTIME_DIR/containers/auth.json` and
    ///    `containers/auth.json` in `$XDG_CONFIG_HOME` or `~/.config`,
    /// 2. docker's: [`docker_config_path`],
    /// 3. `$NETRC`, or else `~/.netrc`.
    pub fn of_environment(environment: &Environment) -> Self {
        let home = environment.path("HOME");
        let below_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let podman = if let Some(named) = environment.path("REGISTRY_AUTH_FILE") {
            vec![named]
        } else {
            let settings = environment.path("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
            let folders = [environment.path("XDG_RUNTIME_DIR"), settings];
            folders.into_iter().flatten().map(|folder| folder.join("containers/auth.json")).collect()
        };
        let podman = podman.into_iter().map(|path| (path, Layout::Containers));
        let docker = docker_config_path(environment).map(|path| (path, Layout::Docker));
        Self {
            files: podman.chain(docker).collect(),
            netrc: environment.path("NETRC").or_else(|| below_home(".netrc")),
            environment: environment.clone(),
            ..Self::default()
        }
    }

    /// Adds credentials for one registry, which go before all others.
    #[must_use]
    pub fn with(mut self, registry: Registry, credential: Credential) -> Self {
        self.given.push((registry, credential));
        self
    }

    /// The same, before those that were given already.
    #[must_use]
    pub fn first(mut self, registry: Registry, credential: Credential) -> Self {
        self.given.insert(0, (registry, credential));
        self
    }

    /// Looks up the credentials for `scope`. A helper that is not installed is remembered: public images are to be
    /// had without it.
    pub(super) async fn of(&self, scope: Scope<'_>) -> Result<Found, RegistryError> {
        let mut found = Found::default();
        if let Some((_, credential)) = self.given.iter().find(|(given, _)| given == scope.registry) {
            return Ok(found.with(credential.clone(), CredentialSource::Given));
        }
        for (path, layout) in &self.files {
            let Some(config) = DockerConfig::read(path, *layout).await? else { continue };
            for (helper, server) in config.helpers(scope) {
                match self.answer(helper, server, scope.registry).await? {
                    Answer::Credential(credential) => {
                        let source =
                            CredentialSource::Helper { helper: helper.to_owned(), file: path.clone() };
                        return Ok(found.with(credential, source));
                    }
                    Answer::Nothing => {}
                    Answer::NotInstalled => {
                        found.missing_helper.get_or_insert_with(|| helper.to_owned());
                    }
                }
            }
            if let Some(credential) = config.stored(scope)? {
                return Ok(found.with(credential, CredentialSource::File(path.clone())));
            }
        }
        let Some(path) = &self.netrc else { return Ok(found) };
        match netrc::find(path, scope.registry).await? {
            Some(credential) => Ok(found.with(credential, CredentialSource::File(path.clone()))),
            None => Ok(found),
        }
    }

    /// What the helper says of the server; it is asked once.
    async fn answer(&self, helper: &str, server: &str, registry: &Registry) -> Result<Answer, RegistryError> {
        let cell = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(answers.entry((helper.to_owned(), server.to_owned())).or_default())
        };
        let ask = || credential_helper::ask(helper, server, registry, &self.environment);
        cell.get_or_try_init(ask).await.cloned()
    }
}

/// Docker's own file: `$DOCKER_CONFIG/config.json`, or else `~/.docker/config.json`.
pub fn docker_config_path(environment: &Environment) -> Option<PathBuf> {
    let folder = environment
        .path("DOCKER_CONFIG")
        .or_else(|| environment.path("HOME").map(|home| home.join(Path::new(".docker"))))?;
    Some(folder.join("config.json"))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("given", &self.given)
            .field("files", &self.files)
            .field("netrc", &self.netrc)
            .finish_non_exhaustive()
    }
}
