//! Layers that are not in the registry but at URLs of their own (OCI image-spec "Descriptors", `urls`; Docker's foreign
//! layers): Microsoft's licences kept the base layers of Windows out of other registries.
//!
//! Threats: the URLs are foreign words, and containerd once sent the registry's credentials there (CVE-2020-15157). They
//! are asked as by a stranger: no credentials, not even those within the URL;
//! where they may lead is [`super::hop`]'s rule, as if the registry redirected there, and their own redirects are judged
//! again. The bytes are hashed here too, so that an error names who sent them.

use std::error::Error;
use std::fmt;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::blob::Verifier;
use crate::image::{Descriptor, MediaType};
use crate::secret::SafeUrl;
use crate::source::{BlobStream, SourceError};

use super::auth::Permit;
use super::blob::{self, Wanted};
use super::client::Client;
use super::error::RegistryError;
use super::kind::Kind;
use super::object::Object;
use super::redirect::{self, RedirectProblem};
use super::refusal::{self, Asked};

/// True for layers that a registry need not hold.
///
/// Any layer that has URLs: OCI allows them for all and has deprecated the foreign types (image-spec 1.1); Docker on
/// Windows, containerd and containers/image go by the URLs alone. And those of foreign types without a URL, to say
/// what they are. Configs are always in the registry.
pub(super) fn may_be_elsewhere(blob: &Descriptor) -> bool {
    matches!(blob.media_type, MediaType::Layer(layer) if layer.foreign || !blob.urls.is_empty())
}

/// Opens a layer that its registry doesn't hold at the first of its URLs that does.
pub(super) async fn open(
    client: &Client,
    object: &Object,
    layer: &Descriptor,
    wanted: &Wanted,
    headers: &HeaderMap,
) -> Result<BlobStream, RegistryError> {
    let mut problems = Vec::new();
    for url in &layer.urls {
        match open_at(client, object, url, wanted, headers).await {
            Ok(stream) if wanted.is_whole() => return Ok(verified(stream, layer, url)),
            Ok(stream) => return Ok(stream),
            Err(problem) => problems.push(problem),
        }
    }
    Err(RegistryError::LayerNowhere {
        digest: Box::new(layer.digest.clone()),
        repository: Box::new(object.repository().clone()),
        is_foreign: matches!(layer.media_type, MediaType::Layer(kind) if kind.foreign),
        problems: UrlProblems(problems),
    })
}

async fn open_at(
    client: &Client,
    object: &Object,
    url: &SafeUrl,
    wanted: &Wanted,
    headers: &HeaderMap,
) -> Result<BlobStream, UrlProblem> {
    let mut bare = url.reveal().clone();
    redirect::strip(&mut bare);
    let mut answer = client.fetch_named(object.repository().registry(), &bare, headers).await?;
    match answer.response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(UrlProblem::Missing(url.clone())),
        status if status.is_success() => Ok(blob::body(object.clone(), answer, wanted)?),
        _ => {
            // What it refuses is not the registry's refusal.
            answer.from_elsewhere = true;
            let asked = Asked { stranger: None, permit: Permit::default() };
            Err(refusal::of(answer, object, asked).await.into())
        }
    }
}

/// The stream, which ends with an error that names `url` if its bytes are not the layer's. Whoever writes them verifies
/// them as ever, but can't know where they are from.
fn verified(stream: BlobStream, layer: &Descriptor, url: &SafeUrl) -> BlobStream {
    let url = url.clone();
    let wrong =
        move |source| SourceError::from(RegistryError::WrongLayer { url: Box::new(url.clone()), source });
    let start = (stream, Verifier::new(layer), wrong);
    stream::try_unfold(start, |(mut stream, mut verifier, wrong)| async {
        let Some(chunk) = stream.try_next().await? else {
            verifier.finish().map_err(wrong)?;
            return Ok(None);
        };
        verifier.update(&chunk).map_err(&wrong)?;
        Ok(Some((chunk, (stream, verifier, wrong))))
    })
    .boxed()
}

/// Why a layer can't be had from one of its URLs.
#[derive(Debug)]
pub enum UrlProblem {
    /// It leads where a registry may not lead.
    NotAsked(RedirectProblem),
    /// There is nothing (404, 410).
    Missing(SafeUrl),
    /// It could not be asked, or gave another answer.
    Failed(RegistryError),
}

impl From<RegistryError> for UrlProblem {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for UrlProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked(RedirectProblem::PlainHttp(url)) => {
                write!(formatter, "{url} is not asked: it is plain HTTP")
            }
            Self::NotAsked(RedirectProblem::ThisMachine(url)) => {
                write!(formatter, "{url} is not asked: it is on this machine, the registry is not")
            }
            Self::NotAsked(RedirectProblem::Scheme(scheme)) => {
                write!(formatter, "a `{scheme}:` URL is not asked")
            }
            Self::NotAsked(RedirectProblem::NoLocation) => formatter.write_str("what is no URL is not asked"),
            Self::Missing(url) => write!(formatter, "{url} does not have it"),
            Self::Failed(error) => error.fmt(formatter),
        }
    }
}

/// What each of a layer's URLs said, as the cause of an error.
#[derive(Debug)]
pub struct UrlProblems(Vec<UrlProblem>);

impl UrlProblems {
    /// What each URL said.
    #[cfg(test)]
    pub(super) fn new(problems: Vec<UrlProblem>) -> Self {
        Self(problems)
    }

    /// In the order of the URLs; none where there is no URL.
    pub fn problems(&self) -> &[UrlProblem] {
        &self.0
    }

    /// A failure of the line may pass and goes first; then bytes that are not the layer's. What can't be asked is as
    /// good as not there.
    pub(super) fn kind(&self) -> Kind {
        let has = |kind| {
            let of = |problem: &UrlProblem| match problem {
                UrlProblem::Failed(error) => error.kind(),
                UrlProblem::NotAsked(_) | UrlProblem::Missing(_) => Kind::NotFound,
            };
            self.0.iter().any(|problem| of(problem) == kind)
        };
        [Kind::Network, Kind::Integrity].into_iter().find(|kind| has(*kind)).unwrap_or(Kind::NotFound)
    }
}

impl fmt::Display for UrlProblems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("its manifest names no URL for it");
        }
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        formatter.write_str(&texts.join("; "))
    }
}

impl Error for UrlProblems {
    /// That of the only problem: of several it would not be clear whose it is.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.0.as_slice() {
            [UrlProblem::Failed(error)] => error.source(),
            _ => None,
        }
    }
}
