//! A store in a directory:
//!
//! ```text
//! blobs/<algorithm>/<hex>                                blobs and manifests, as they came
//! repositories/<name>/_manifests/<algorithm>/<hex>       the manifest's media type
//! repositories/<name>/_tags/<tag>                        the manifest's digest
//! uploads/<random>                                       blobs on their way in, each locked by its process
//! ```
//!
//! Files appear by rename, so a reader never sees half of one. Nothing is synced to the disk: what a power cut leaves
//! is not promised. No part of a name begins with `_`, so `a` and `a/_tags` cannot meet.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Answer, BlobBytes, Storage, StoredManifest, Upload};
use crate::fsio::{self, FileHandle, stream_range};
use crate::image::Digest;
use crate::registry::server::ServerError;
use crate::registry::server::name::{ManifestReference, RepositoryName, Tag};

mod blob_file;
mod layout;
mod temporary;

use layout::{Layout, present};
use temporary::Temporary;

pub(super) struct Directory(Arc<Layout>);

impl Directory {
    /// Makes the folders and removes what dead processes left in `uploads`.
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        let layout = Layout::create(root)?;
        temporary::remove_abandoned(&layout.uploads())?;
        Ok(Self(Arc::new(layout)))
    }

    /// Runs file work where it may block.
    fn run<'a, T, F>(&self, work: F) -> Answer<'a, T>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Layout>) -> io::Result<T> + Send + 'static,
    {
        let layout = Arc::clone(&self.0);
        Box::pin(blocking(move || work(&layout)))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ServerError> {
    Ok(fsio::blocking(work).await?)
}

impl Storage for Directory {
    fn blob_size_bytes<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<u64>> {
        let digest = digest.clone();
        self.run(move |layout| Ok(present(fs::metadata(layout.blob(&digest)))?.map(|found| found.len())))
    }

    fn open_blob<'a>(&'a self, digest: &'a Digest, range: Range<u64>) -> Answer<'a, BlobBytes> {
        let digest = digest.clone();
        self.run(move |layout| {
            let path = layout.blob(&digest);
            Ok(stream_range(FileHandle::of_foreign(File::open(&path)?, &path), range))
        })
    }

    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a ManifestReference,
    ) -> Answer<'a, Option<StoredManifest>> {
        let (repository, reference) = (repository.clone(), reference.clone());
        self.run(move |layout| layout.manifest(&repository, &reference))
    }

    fn tags<'a>(&'a self, repository: &'a RepositoryName) -> Answer<'a, Option<Vec<Tag>>> {
        let repository = repository.clone();
        self.run(move |layout| layout.tags(&repository))
    }

    fn repositories(&self) -> Answer<'_, Vec<RepositoryName>> {
        self.run(|layout| layout.repositories())
    }

    fn start_upload(&self) -> Answer<'_, Box<dyn Upload>> {
        self.run(|layout| {
            let file = Temporary::create(&layout.uploads())?;
            Ok(Box::new(blob_file::FileUpload::new(file, Arc::clone(layout))) as Box<dyn Upload>)
        })
    }

    fn put_manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        tag: Option<&'a Tag>,
        manifest: StoredManifest,
    ) -> Answer<'a, ()> {
        let (repository, tag) = (repository.clone(), tag.cloned());
        self.run(move |layout| layout.put_manifest(&repository, tag.as_ref(), &manifest))
    }

    fn remove_manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a ManifestReference,
    ) -> Answer<'a, bool> {
        let (repository, reference) = (repository.clone(), reference.clone());
        self.run(move |layout| match &reference {
            ManifestReference::Tag(tag) => {
                Ok(present(fs::remove_file(layout.tag(&repository, tag)))?.is_some())
            }
            ManifestReference::Digest(digest) => layout.remove_manifest(&repository, digest),
        })
    }
}
