//! What an export is asked for by: the body of `POST /api/exports`, read strictly, and the registries it is to reach.
//!
//! Threats: names, proxies and credentials are foreign. A password goes to the one registry it is for; it is kept in memory
//! and never told. What means nothing here is said so in the export's log, and what is not known is refused.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer};

use super::answer::{Object, Refusal};
use super::clock::Time;
use super::export::{Export, Form, MAX_IMAGES, State};
use super::log::Asker;
use crate::archive::LayerMode;
use crate::attempts::Retries;
use crate::config::Registries;
use crate::event::SharedReporter;
use crate::image::reference::ReferenceError;
use crate::image::{Platform, Reference, Registry};
use crate::registry::{Client, ClientOptions, Credential, Mirrored, RegistryError};
use crate::secret::Secret;

/// No name is longer.
const MAX_NAME_BYTES: usize = 1024;

/// The body of a request for an export.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportRequest {
    images: Vec<String>,
    platform: Option<String>,
    layers: Option<LayerMode>,
    archive: Option<Form>,
    name: Option<String>,
    source_auth: Option<Object<SourceAuth>>,
    proxy_config: Option<Object<ProxyConfig>>,
    target_registry: Option<String>,
    replace_level: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceAuth {
    username: String,
    password: String,
    registry: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxyConfig {
    http_proxy: Option<String>,
    https_proxy: Option<String>,
}

/// The body of a request to carry on. What is null is to be none, which is more than not to be there.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryRequest {
    #[serde(default, deserialize_with = "even_null")]
    source_auth: Option<OrNull<SourceAuth>>,
    #[serde(default, deserialize_with = "even_null")]
    proxy_config: Option<OrNull<ProxyConfig>>,
}

/// It is there, be it as null.
struct OrNull<T>(Option<Object<T>>);

fn even_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<OrNull<T>>, D::Error> {
    Option::deserialize(deserializer).map(|given| Some(OrNull(given)))
}

/// What a retry goes on with.
pub(super) enum Renewed {
    /// What is in memory.
    Kept,
    /// These, or none.
    Given(Option<Secrets>),
}

/// What an export has in memory only.
#[derive(Clone)]
pub(super) struct Secrets {
    credential: Option<(Registry, Credential)>,
    http_proxy: Option<Secret>,
    https_proxy: Option<Secret>,
}

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct Sources {
    /// For all of them.
    pub client: ClientOptions,
    /// Mirrors and limits.
    pub registries: Registries,
    /// Connections of one pull.
    pub connections: usize,
    /// What is done about failures that may pass.
    pub retries: Retries,
    /// The platform where none is asked for.
    pub platform: Option<Platform>,
    /// How layers are stored where nothing is asked for.
    pub layers: LayerMode,
}

impl Sources {
    /// Where the images of `registries` come from.
    pub(super) fn source(
        &self,
        registries: &[Registry],
        secrets: Option<&Secrets>,
        reporter: &SharedReporter,
    ) -> Result<Mirrored, RegistryError> {
        let mut options = self.client.clone();
        options.reporter = reporter.clone();
        if let Some(secrets) = secrets {
            if let Some((registry, credential)) = secrets.credential.as_ref()
                && registries.contains(registry)
            {
                options.credentials = options.credentials.first(registry.clone(), credential.clone());
            }
            let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
            let (http, https) = (text(&secrets.http_proxy), text(&secrets.https_proxy));
            options.proxies =
                options.proxies.with_each("`proxy_config`", http.as_deref(), https.as_deref())?;
        }
        Mirrored::new(Client::new(options)?, &self.registries, reporter)
    }
}

impl ExportRequest {
    /// The export that is asked for, and its secrets.
    pub(super) fn export(
        self,
        id: String,
        asker: &Asker,
        sources: &Sources,
    ) -> Result<(Export, Option<Secrets>), Refusal> {
        let images = self.references()?;
        let platforms = match self.platform.as_deref().filter(|text| !text.trim().is_empty()) {
            Some(text) => platforms(text)?,
            None => sources.platform.iter().cloned().collect(),
        };
        let form = self.archive.unwrap_or_default();
        if self.name.is_some() && form == Form::Each {
            let what = "`name` is for one archive of all: ask for `\"archive\": \"one\"`, too";
            return Err(bad("name_of_several", what));
        }
        if self.name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES || name.trim().is_empty()) {
            return Err(bad("bad_name", "`name` is empty or too long"));
        }
        let registries: Vec<_> = images.iter().map(|image| image.registry().clone()).collect();
        let secrets = secrets(self.source_auth, self.proxy_config, &registries)?;
        check_secrets(sources, &registries, secrets.as_ref())?;
        let mut export = Export {
            id,
            state: State::Queued,
            created: Time::now(),
            started: None,
            ended: None,
            by: asker.who.clone(),
            from: asker.from.clone(),
            platforms: platforms.iter().map(ToString::to_string).collect(),
            layers: self.layers.unwrap_or(sources.layers),
            archive: form,
            name: self.name,
            had_secrets: secrets.is_some(),
            archives: Export::archives_of(&images, &platforms, form),
            log: Vec::new(),
            lines: 0,
        };
        if export.archives.len() > MAX_IMAGES {
            let what = format!("an export writes at most {MAX_IMAGES} archives: ask for several exports");
            return Err(bad("too_many_images", &what));
        }
        export.say(format!("asked for by {} from {}", asker.who, asker.from));
        for (name, is_there) in [
            ("target_registry", self.target_registry.is_some()),
            ("replace_level", self.replace_level.is_some()),
        ] {
            if is_there {
                export.say(format!("`{name}` means nothing for an export into files, and is passed over"));
            }
        }
        Ok((export, secrets))
    }

    /// Each image once.
    fn references(&self) -> Result<Vec<Reference>, Refusal> {
        if self.images.is_empty() {
            return Err(bad("no_images", "`images` names no image"));
        }
        if self.images.len() > MAX_IMAGES {
            let what = format!("an export has at most {MAX_IMAGES} images: ask for several exports");
            return Err(bad("too_many_images", &what));
        }
        let mut known = HashSet::new();
        let mut images = Vec::new();
        for text in &self.images {
            if text.len() > MAX_NAME_BYTES {
                return Err(bad("bad_image", &format!("a name has at most {MAX_NAME_BYTES} bytes")));
            }
            let reference: Reference = text
                .trim()
                .parse()
                // It has the name in it, without a user and a password.
                .map_err(|error: ReferenceError| bad("bad_image", &error.to_string()))?;
            if known.insert(reference.clone()) {
                images.push(reference);
            }
        }
        Ok(images)
    }
}

impl RetryRequest {
    /// The secrets that are given again; one of them counts for both.
    pub(super) fn secrets(self, export: &Export, sources: &Sources) -> Result<Renewed, Refusal> {
        if self.source_auth.is_none() && self.proxy_config.is_none() {
            return Ok(Renewed::Kept);
        }
        let images = export.archives.iter().flat_map(|archive| &archive.images);
        let registries: Vec<_> = images
            .filter_map(|image| image.parse::<Reference>().ok())
            .map(|reference| reference.registry().clone())
            .collect();
        let auth = self.source_auth.and_then(|OrNull(auth)| auth);
        let proxies = self.proxy_config.and_then(|OrNull(proxies)| proxies);
        let secrets = secrets(auth, proxies, &registries)?;
        check_secrets(sources, &registries, secrets.as_ref())?;
        Ok(Renewed::Given(secrets))
    }
}

fn bad(code: &'static str, what: &str) -> Refusal {
    Refusal::BadRequest(code, what.to_owned())
}

/// Platforms with commas between them.
fn platforms(text: &str) -> Result<Vec<Platform>, Refusal> {
    let mut platforms = Vec::new();
    for one in text.split(',').map(str::trim) {
        let platform =
            Platform::of_architecture(one).map_err(|error| bad("bad_platform", &error.to_string()))?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

fn secrets(
    auth: Option<Object<SourceAuth>>,
    proxies: Option<Object<ProxyConfig>>,
    registries: &[Registry],
) -> Result<Option<Secrets>, Refusal> {
    let credential = auth.map(|Object(auth)| credential(auth, registries)).transpose()?;
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).map(Secret::new);
    let ProxyConfig { http_proxy, https_proxy } = proxies.map(|Object(proxies)| proxies).unwrap_or_default();
    let secrets = Secrets { credential, http_proxy: given(http_proxy), https_proxy: given(https_proxy) };
    let has_any =
        secrets.credential.is_some() || secrets.http_proxy.is_some() || secrets.https_proxy.is_some();
    Ok(has_any.then_some(secrets))
}

fn credential(auth: SourceAuth, registries: &[Registry]) -> Result<(Registry, Credential), Refusal> {
    let SourceAuth { username, password, registry } = auth;
    let registry = match (registry, registries) {
        (Some(text), _) => {
            let registry: Registry = text.parse().map_err(|_| {
                let what = format!("`source_auth.registry`: `{}` is no registry", text.escape_debug());
                bad("bad_registry", &what)
            })?;
            if !registries.contains(&registry) {
                let what = format!("no image is of `{registry}`, whose credentials were given");
                return Err(bad("other_registry", &what));
            }
            registry
        }
        (None, [first, rest @ ..]) if rest.iter().all(|other| other == first) => first.clone(),
        _ => {
            let what = "the images are of several registries: say whose credentials these are, in `source_auth.registry`";
            return Err(bad("several_registries", what));
        }
    };
    Ok((registry, Credential::Password { username, password: Secret::new(password) }))
}

/// Told at once, not by each image.
fn check_secrets(
    sources: &Sources,
    registries: &[Registry],
    secrets: Option<&Secrets>,
) -> Result<(), Refusal> {
    let made = sources.source(registries, secrets, &SharedReporter::default());
    made.map(drop).map_err(|error| bad("bad_proxy", &super::progress::with_causes(&error)))
}
