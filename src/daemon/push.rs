//! Images on their way out of a daemon: pushed to a registry of ours, under a name that they have for so long.
//!
//! Whoever drops the future of a push ends it: the connection closes, and the daemon gives up.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use reqwest::header::{CONNECTION, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::engine::{ApiVersion, Engine, Maker};
use super::error::DaemonError;
use super::image::{DaemonImage, NOTHING};
use crate::image::{Platform, Reference};
use crate::secret::Secret;

/// The first version of the API that pushes one platform of several: Docker 27.3's.
const PLATFORM_API: ApiVersion = ApiVersion { major: 1, minor: 46 };
/// As whom daemons log in where a password is asked for.
pub const USER: &str = "sealift";

/// Where a daemon is to push an image.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The name there, with its tag.
    pub name: &'a Reference,
    /// What it is to show there; without one nothing.
    pub password: Option<&'a Secret>,
    /// Which platform of several; without one all there are.
    pub platform: Option<&'a Platform>,
}

impl Engine {
    /// Pushes an image. Docker pushes what has the destination's name, so the image has to have it.
    pub(super) async fn push(&self, image: &DaemonImage, to: Destination<'_>) -> Result<(), DaemonError> {
        let request = match self.maker() {
            Maker::Docker => self.push_by_name(to),
            Maker::Podman => {
                let name = to.name.to_string();
                let query = [("destination", name.as_str()), ("tlsVerify", "false")];
                self.connection.request(
                    Method::POST,
                    &format!("v4.0.0/libpod/images/{}/push", image.handle),
                    &query,
                )
            }
        };
        let login = match to.password {
            Some(password) => json!({"username": USER, "password": password.reveal()}),
            None => json!({}),
        };
        let request = request.header("X-Registry-Auth", URL_SAFE.encode(login.to_string()));
        // It ends with the push.
        let request = request.header(CONNECTION, "close");
        let action = format!("push {}", image.shown());
        let sent = request.send().await.map_err(|error| self.connection.interrupted(error))?;
        let answered = self.connection.checked(&action, sent).await?;
        let said = self.heard_out(answered.ok_or_else(|| self.gone(action))?).await?;
        match said {
            None => Ok(()),
            Some(said) => {
                Err(DaemonError::NotPushed { daemon: self.maker().name(), image: image.shown(), said })
            }
        }
    }

    fn push_by_name(&self, to: Destination<'_>) -> RequestBuilder {
        let repository = to.name.repository();
        let platform = to.platform.filter(|_| self.api >= PLATFORM_API).map(|platform| {
            let Platform { os, architecture, variant, .. } = platform;
            let mut words = json!({"os": os, "architecture": architecture});
            if let Some(variant) = variant {
                words["variant"] = variant.as_str().into();
            }
            words.to_string()
        });
        let mut query = vec![("tag", to.name.tag().unwrap_or("latest"))];
        query.extend(platform.as_deref().map(|platform| ("platform", platform)));
        self.request(Method::POST, &format!("images/{repository}/push"), &query)
    }

    /// Makes an image of nothing under `name`. One that has the name loses it, and stays as it is.
    pub(super) async fn import_nothing(&self, name: &Reference) -> Result<(), DaemonError> {
        let repository = name.repository().to_string();
        let tag = name.tag().unwrap_or("latest");
        let query = [("fromSrc", "-"), ("repo", repository.as_str()), ("tag", tag)];
        let asked = self.request(Method::POST, "images/create", &query);
        let action = format!("make an image {name}");
        let asked = asked.header(CONTENT_TYPE, "application/x-tar").body(NOTHING.to_vec());
        let response = self.connection.ask(&action, asked).await?.ok_or_else(|| self.gone(action.clone()))?;
        match self.heard_out(response).await? {
            None => Ok(()),
            Some(said) => Err(DaemonError::NotMade { daemon: self.maker().name(), action, said }),
        }
    }
}
