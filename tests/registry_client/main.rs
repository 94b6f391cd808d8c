//! The registry client against a scripted server: what it sends, what it refuses, what its errors say and hide.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::format_push_string, reason = "a test")]

#[path = "../support/scripted.rs"]
mod scripted;

mod access;
mod credentials;
mod fetching;
mod layer_urls;
mod mirrors;
mod network;
mod registries;
mod stores;
mod tags;
mod tls;
mod uploads;

use std::error::Error as _;
use std::net::SocketAddr;

use futures::TryStreamExt as _;
use sealift::image::{Descriptor, Digest, Document, MediaType, Reference, Registry, Repository};
use sealift::registry::{Client, ClientOptions, RegistryError};
use sealift::source::{Selector, Source, SourceError};

pub(crate) const MANIFEST: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
pub(crate) const BLOB: &[u8] = b"twenty bytes of blob";

/// The registry at `address`, as references name it.
pub(crate) fn registry(address: SocketAddr) -> Registry {
    repository(address).registry().clone()
}

pub(crate) fn repository(address: SocketAddr) -> Repository {
    named(&format!("{address}/org/app"))
}

pub(crate) fn named(name: &str) -> Repository {
    name.parse::<Reference>().unwrap().repository().clone()
}

pub(crate) fn client() -> Client {
    Client::new(ClientOptions::default()).unwrap()
}

pub(crate) fn tag() -> Selector {
    Selector::Tag("1".to_owned())
}

pub(crate) fn blob_of(bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: MediaType::Other("application/octet-stream".into()),
        digest: Digest::of(bytes),
        size_bytes: bytes.len() as u64,
        platform: None,
        artifact_type: None,
        urls: vec![],
        annotations: std::collections::BTreeMap::default(),
    }
}

pub(crate) async fn fetch_tag(
    source: &dyn Source,
    repository: &Repository,
) -> Result<Document, RegistryError> {
    source.fetch_manifest(repository, &tag()).await.map_err(only_registry)
}

/// The whole of [`BLOB`] from `from_bytes` on.
pub(crate) async fn fetch_blob(
    source: &dyn Source,
    repository: &Repository,
    from_bytes: u64,
) -> Result<Vec<u8>, RegistryError> {
    let blob = blob_of(BLOB);
    let stream =
        source.open_blob(repository, &blob, from_bytes..blob.size_bytes).await.map_err(only_registry)?;
    let chunks = stream.try_collect::<Vec<_>>().await.map_err(only_registry)?;
    Ok(chunks.concat())
}

pub(crate) fn only_registry(error: SourceError) -> RegistryError {
    match error {
        SourceError::Registry(error) => error,
        other => panic!("{other}"),
    }
}

/// An error with its causes and its `Debug` text: whatever a person could get to see of it.
pub(crate) fn everything(error: &RegistryError) -> String {
    let mut text = format!("{error}\n{error:?}\n{error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!("\n{cause}\n{cause:?}");
        source = cause.source();
    }
    text
}
