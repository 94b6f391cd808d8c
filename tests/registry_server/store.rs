//! Stores: what stays in a directory, and one that only reads.

use std::ops::Range;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use reqwest::Method;
use sealift::image::{Digest, MediaType};
use sealift::registry::server::{
    Answer, BlobBytes, ManifestReference, RepositoryName, Storage, Store, StoredManifest, Tag, Upload,
};

use super::uploads::send_and_hang_up;
use super::{OCI_INDEX, Registry, expected, header, refusal};

#[tokio::test]
async fn a_directory_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    let store = Store::directory(folder.path()).unwrap();
    store.put_manifest("a/b", "x", MediaType::OciIndex, index).await.unwrap();
    drop(store);
    let registry = Registry::start(Store::directory(folder.path()).unwrap(), Some(folder)).await;
    let response = registry.fetch("/v2/a/b/manifests/x").send().await.unwrap();
    assert_eq!(header(&response, "content-type"), OCI_INDEX);
    assert_eq!(response.text().await.unwrap(), index);
}

const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// One manifest under every name, one blob; as an archive would be, it implements only what reads.
struct Shelf;

impl Storage for Shelf {
    fn blob_size_bytes<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<u64>> {
        async move { Ok((*digest == Digest::of(b"hello")).then_some(5)) }.boxed()
    }

    fn open_blob<'a>(&'a self, _: &'a Digest, range: Range<u64>) -> Answer<'a, BlobBytes> {
        let part = &b"hello"[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        async move { Ok(stream::iter([Ok(Bytes::from_static(part))]).boxed()) }.boxed()
    }

    fn manifest<'a>(
        &'a self,
        _: &'a RepositoryName,
        _: &'a ManifestReference,
    ) -> Answer<'a, Option<StoredManifest>> {
        let (digest, bytes) = (Digest::of(INDEX.as_bytes()), Bytes::from_static(INDEX.as_bytes()));
        async { Ok(Some(StoredManifest { digest, media_type: MediaType::OciIndex, bytes })) }.boxed()
    }

    fn tags<'a>(&'a self, _: &'a RepositoryName) -> Answer<'a, Option<Vec<Tag>>> {
        async { Ok(None) }.boxed()
    }

    fn repositories(&self) -> Answer<'_, Vec<RepositoryName>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

#[tokio::test]
async fn a_store_that_only_reads_refuses_writes() {
    let registry = Registry::start(Store::new(Shelf), None).await;
    let blob = format!("/v2/a/blobs/{}", Digest::of(b"hello"));
    assert_eq!(registry.fetch(&blob).send().await.unwrap().text().await.unwrap(), "hello");
    assert_eq!(registry.fetch("/v2/a/manifests/x").send().await.unwrap().text().await.unwrap(), INDEX);

    let read_only = expected(405, "UNSUPPORTED");
    let upload = registry.request(Method::POST, "/v2/a/blobs/uploads/").send().await.unwrap();
    assert_eq!(refusal(upload).await, read_only);
    let put = registry.put_manifest("/v2/a/manifests/x", OCI_INDEX, INDEX).await;
    assert_eq!(refusal(put).await, read_only);
    let delete = registry.request(Method::DELETE, "/v2/a/manifests/x").send().await.unwrap();
    assert_eq!(refusal(delete).await, read_only);
}

/// It takes uploads, and nobody may carry on with one that broke off.
struct Forgetful(Store);

impl Storage for Forgetful {
    fn blob_size_bytes<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<u64>> {
        self.0.storage().blob_size_bytes(digest)
    }

    fn open_blob<'a>(&'a self, digest: &'a Digest, range: Range<u64>) -> Answer<'a, BlobBytes> {
        self.0.storage().open_blob(digest, range)
    }

    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a ManifestReference,
    ) -> Answer<'a, Option<StoredManifest>> {
        self.0.storage().manifest(repository, reference)
    }

    fn tags<'a>(&'a self, repository: &'a RepositoryName) -> Answer<'a, Option<Vec<Tag>>> {
        self.0.storage().tags(repository)
    }

    fn repositories(&self) -> Answer<'_, Vec<RepositoryName>> {
        self.0.storage().repositories()
    }

    fn start_upload(&self) -> Answer<'_, Box<dyn Upload>> {
        self.0.storage().start_upload()
    }

    fn keeps_cut_uploads(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn of_an_upload_that_broke_off_a_store_may_keep_nothing() {
    let registry = Registry::start(Store::new(Forgetful(Store::memory())), None).await;
    let location = registry.begin_upload().await;
    send_and_hang_up(registry.server.address(), &format!("PATCH {location}"), b"hello").await;
    let status = registry.fetch(&location).send().await.unwrap();
    assert_eq!(refusal(status).await, expected(404, "BLOB_UPLOAD_UNKNOWN"));
    // What comes whole is taken.
    let location = registry.begin_upload().await;
    registry.chunk(&location, "", b"hello").await;
    let finish = format!("{location}?digest={}", Digest::of(b"hello"));
    let finished = registry.request(Method::PUT, &finish).send().await.unwrap();
    assert_eq!(finished.status().as_u16(), 201);
}
