//! The Docker Engine API, as far as it is needed here: Docker's own daemon and podman's service speak it.
//!
//! The version of the API is agreed upon first. What a daemon calls an image is the digest of its config (graph driver,
//! podman) or what its name resolved to (Docker's containerd image store).

use std::convert::Infallible;
use std::path::PathBuf;

use bytes::Bytes;
use futures::stream;
use reqwest::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, Response};
use serde::Deserialize;
use tokio::sync::mpsc::{self, Receiver};

use super::answer::Answer;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::error::DaemonError;
use super::freight::Freight;
use super::held::Held;
use crate::config::Environment;
use crate::event::Reporter;
use crate::foreign::shown;
use crate::image::{Platform, Reference};

/// The newest version of the API whose answers are known here: Docker 28's, with the manifests of an image.
const NEWEST_API: ApiVersion = ApiVersion { major: 1, minor: 48 };

/// Whose daemon it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Docker's.
    Docker,
    /// podman's service.
    Podman,
}

impl Maker {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Podman => "podman",
        }
    }

    /// Its own client.
    fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// A daemon that answers.
pub struct Engine {
    pub(super) connection: Connection,
    maker: Maker,
    version: String,
    pub(super) api: ApiVersion,
    platform: Platform,
    pub(super) is_local: bool,
}

/// Where a daemon keeps images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The folder on this machine; none if it is on another.
    pub folder: Option<PathBuf>,
    /// True if an archive is unpacked there as a whole before its layers are looked at: Docker's graph driver does.
    pub unpacks_archives: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiVersion {
    pub(super) major: u32,
    pub(super) minor: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersionAnswer {
    #[serde(default)]
    version: String,
    api_version: String,
    #[serde(default, rename = "MinAPIVersion")]
    min_api_version: String,
    os: String,
    arch: String,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InfoAnswer {
    #[serde(default)]
    docker_root_dir: String,
    #[serde(default)]
    driver_status: Option<Vec<Vec<String>>>,
}

impl ApiVersion {
    fn of(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl Engine {
    /// Reaches a daemon, and learns who it is. `expected` is whose it should be; podman's service may stand in for docker.
    pub async fn connect(
        endpoint: &Endpoint,
        expected: Maker,
        environment: &Environment,
    ) -> Result<Self, DaemonError> {
        let connection = Connection::new(endpoint, expected.name(), expected.program(), environment)?;
        let asked = connection.request(Method::GET, "version", &[]);
        let answer = connection.json("tell its version", asked).await?;
        let answer: VersionAnswer = answer.ok_or_else(|| connection.stranger())?;
        let newest = ApiVersion::of(&answer.api_version).ok_or_else(|| connection.stranger())?;
        let oldest = ApiVersion::of(&answer.min_api_version);
        let is_podman = answer.components.iter().any(|component| component.name.contains("Podman"));
        let platform = Platform { os: answer.os, architecture: answer.arch, variant: None, os_version: None };
        Ok(Self {
            connection,
            maker: if is_podman { Maker::Podman } else { Maker::Docker },
            version: shown(&answer.version),
            api: newest.min(NEWEST_API).max(oldest.unwrap_or(NEWEST_API).min(newest)),
            platform: platform.normalised(),
            is_local: endpoint.is_local(),
        })
    }

    /// Whose it is.
    pub fn maker(&self) -> Maker {
        self.maker
    }

    /// Who it is and where.
    pub fn description(&self) -> String {
        format!("{} {} at {}", self.maker.name(), self.version, self.connection.address())
    }

    /// What it runs.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Where it keeps images.
    pub async fn storage(&self) -> Result<Storage, DaemonError> {
        let asked = self.request(Method::GET, "info", &[]);
        let answer: Option<InfoAnswer> = self.connection.json("tell where it keeps images", asked).await?;
        let answer = answer.ok_or_else(|| self.connection.stranger())?;
        let folder = PathBuf::from(answer.docker_root_dir);
        let is_containerd =
            |status: &Vec<String>| status.iter().any(|word| word.starts_with("io.containerd"));
        let has_graph_driver = !answer.driver_status.unwrap_or_default().iter().any(is_containerd);
        Ok(Storage {
            // A socket may lead into a virtual machine.
            folder: Some(folder).filter(|folder| self.is_local && folder.is_absolute() && folder.is_dir()),
            unpacks_archives: self.maker == Maker::Docker && has_graph_driver,
        })
    }

    /// The image that has this name or ID; none if there is none.
    pub async fn find(&self, name: &str) -> Result<Option<Held>, DaemonError> {
        let asked = self.request(Method::GET, &format!("images/{name}/json"), &[("manifests", "1")]);
        self.connection.json(&format!("tell about {name}"), asked).await
    }

    /// Gives the image `source`, a name or an ID, the name `name`.
    pub async fn tag(&self, source: &str, name: &Reference) -> Result<(), DaemonError> {
        let (repository, tag) = (name.repository().to_string(), name.tag().unwrap_or("latest"));
        let query = [("repo", repository.as_str()), ("tag", tag)];
        let asked = self.request(Method::POST, &format!("images/{source}/tag"), &query);
        let action = format!("name {source} {name}");
        self.connection.ask(&action, asked).await?.ok_or_else(|| self.gone(action)).map(drop)
    }

    /// Takes a name away from an image that has others.
    pub async fn untag(&self, name: &str) -> Result<(), DaemonError> {
        let asked = self.request(Method::DELETE, &format!("images/{name}"), &[("noprune", "1")]);
        let action = format!("take the name {name} away");
        self.connection.ask(&action, asked).await.map(drop)
    }

    /// Loads an archive. The daemon's word that it went well is no proof.
    pub async fn load(&self, freight: Freight, reporter: &dyn Reporter) -> Result<(), DaemonError> {
        let size_bytes = freight.size_bytes;
        let mut progress = freight.progress(reporter);
        let mut chunks = freight.chunks();
        let (sender, receiver) = mpsc::channel(1);
        let body = stream::unfold(receiver, |mut receiver: Receiver<Bytes>| async move {
            receiver.recv().await.map(|chunk| (Ok::<_, Infallible>(chunk), receiver))
        });
        let sending = async {
            while let Some(chunk) = chunks.recv().await {
                // With an error the body ends too early for its length, so the daemon gets no whole archive.
                let chunk = chunk?;
                let bytes = chunk.len() as u64;
                if sender.send(chunk).await.is_err() {
                    // It wants no more, and will say why.
                    return Ok(());
                }
                progress.sent(bytes);
            }
            drop(sender);
            Ok::<_, DaemonError>(())
        };
        let asked = self
            .request(Method::POST, "images/load", &[("quiet", "0")])
            .header(CONTENT_TYPE, "application/x-tar")
            .header(CONTENT_LENGTH, size_bytes)
            // What comes next is not to meet a daemon that just then closes it.
            .header(CONNECTION, "close")
            .body(Body::wrap_stream(body));
        let answering = self.answer(asked);
        tokio::pin!(answering);
        tokio::select! {
            biased;
            answered = &mut answering => answered,
            sent = sending => {
                sent?;
                answering.await
            }
        }
    }

    async fn answer(&self, asked: reqwest::RequestBuilder) -> Result<(), DaemonError> {
        const ACTION: &str = "load the archive";
        let response = asked.send().await.map_err(|error| self.connection.interrupted(error))?;
        let response = self.connection.checked(ACTION, response).await?;
        let response = response.ok_or_else(|| self.gone(ACTION.to_owned()))?;
        match self.heard_out(response).await? {
            None => Ok(()),
            Some(said) => Err(DaemonError::Refused { daemon: self.maker.name(), said }),
        }
    }

    /// Reads an answer to its end; what went wrong, by the daemon's word.
    pub(super) async fn heard_out(&self, mut response: Response) -> Result<Option<String>, DaemonError> {
        let mut answer = Answer::default();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => answer.take(&chunk),
                Ok(None) => return Ok(answer.failure()),
                // It has said why it goes away.
                Err(_) if answer.has_failed() => return Ok(answer.failure()),
                Err(error) => return Err(self.connection.interrupted(error)),
            }
        }
    }

    pub(super) fn gone(&self, action: String) -> DaemonError {
        DaemonError::Answered { daemon: self.maker.name(), action, status: 404, source: None }
    }

    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let ApiVersion { major, minor } = self.api;
        self.connection.request(method, &format!("v{major}.{minor}/{path}"), query)
    }
}
