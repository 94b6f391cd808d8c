//! Which file holds what, and the small files: manifests, their links, tags.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::StoredManifest;
use super::temporary::Temporary;
use crate::image::manifest::MAX_MANIFEST_BYTES;
use crate::image::{Digest, MediaType};
use crate::registry::server::name::{ManifestReference, RepositoryName, Tag};

/// The paths below a store's root. Every part of one is fixed or parsed by the grammar of `name`.
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the folders.
    pub(super) fn create(root: PathBuf) -> io::Result<Self> {
        for folder in ["blobs/sha256", "blobs/sha512", "repositories", "uploads"] {
            fs::create_dir_all(root.join(folder))?;
        }
        Ok(Self { root })
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    fn repository(&self, name: &RepositoryName) -> PathBuf {
        self.root.join("repositories").join(name.as_str())
    }

    fn manifest_link(&self, repository: &RepositoryName, digest: &Digest) -> PathBuf {
        self.repository(repository).join("_manifests").join(digest.algorithm().name()).join(digest.hex())
    }

    pub(super) fn tag(&self, repository: &RepositoryName, tag: &Tag) -> PathBuf {
        self.repository(repository).join("_tags").join(tag.as_str())
    }

    /// Writes a small file and puts it in place of what is there.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = Temporary::create(&self.uploads())?;
        io::Write::write_all(&mut file.file(), bytes)?;
        file.rename(path)
    }

    pub(super) fn put_manifest(
        &self,
        repository: &RepositoryName,
        tag: Option<&Tag>,
        manifest: &StoredManifest,
    ) -> io::Result<()> {
        self.replace(&self.blob(&manifest.digest), &manifest.bytes)?;
        let link = self.manifest_link(repository, &manifest.digest);
        self.replace(&link, manifest.media_type.as_str().as_bytes())?;
        let Some(tag) = tag else { return Ok(()) };
        self.replace(&self.tag(repository, tag), manifest.digest.to_string().as_bytes())
    }

    pub(super) fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &ManifestReference,
    ) -> io::Result<Option<StoredManifest>> {
        let digest = match reference {
            ManifestReference::Digest(digest) => digest.clone(),
            ManifestReference::Tag(tag) => match self.tagged(repository, tag)? {
                Some(digest) => digest,
                None => return Ok(None),
            },
        };
        let Some(media_type) = read_small(&self.manifest_link(repository, &digest))? else { return Ok(None) };
        let Some(bytes) = read_small(&self.blob(&digest))? else { return Ok(None) };
        let media_type = MediaType::of(&String::from_utf8_lossy(&media_type));
        Ok(Some(StoredManifest { digest, media_type, bytes: bytes.into() }))
    }

    fn tagged(&self, repository: &RepositoryName, tag: &Tag) -> io::Result<Option<Digest>> {
        let Some(text) = read_small(&self.tag(repository, tag))? else { return Ok(None) };
        String::from_utf8_lossy(&text).parse().map(Some).map_err(io::Error::other)
    }

    pub(super) fn tags(&self, repository: &RepositoryName) -> io::Result<Option<Vec<Tag>>> {
        let folder = self.repository(repository);
        if !folder.join("_manifests").try_exists()? {
            return Ok(None);
        }
        let names = names_in(&folder.join("_tags"))?;
        Ok(Some(names.iter().filter_map(|name| name.parse().ok()).collect()))
    }

    /// Removes a manifest and its tags. The blob stays: another repository may have it too.
    pub(super) fn remove_manifest(&self, repository: &RepositoryName, digest: &Digest) -> io::Result<bool> {
        for tag in self.tags(repository)?.unwrap_or_default() {
            if self.tagged(repository, &tag)?.as_ref() == Some(digest) {
                present(fs::remove_file(self.tag(repository, &tag)))?;
            }
        }
        Ok(present(fs::remove_file(self.manifest_link(repository, digest)))?.is_some())
    }

    pub(super) fn repositories(&self) -> io::Result<Vec<RepositoryName>> {
        let (mut found, mut unread) = (Vec::new(), names_in(&self.root.join("repositories"))?);
        while let Some(path) = unread.pop() {
            // Folders of the store's own begin with `_` and are no names.
            let Ok(name) = path.parse::<RepositoryName>() else { continue };
            let below = names_in(&self.repository(&name))?;
            unread.extend(below.iter().map(|component| format!("{path}/{component}")));
            if below.iter().any(|component| component == "_manifests") {
                found.push(name);
            }
        }
        Ok(found)
    }
}

/// The names in a folder that are UTF-8; none if there is no such folder.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in present(fs::read_dir(folder))?.into_iter().flatten() {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

/// A file of at most a manifest's size; `None` if it is not there.
fn read_small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = present(File::open(path))? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// What is not there is no error.
pub(super) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
