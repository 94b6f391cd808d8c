//! A containerd root: its metadata as it was at one moment, and its blobs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{BLOBS, Content};
use super::error::StoreError;
use super::meta_db::{self, damaged};
use super::store::Store;
use super::system::System;
use crate::bolt::{Bucket, Database, Entry};

/// Where a root has its metadata.
pub const META_DB: &str = "io.containerd.metadata.v1.bolt/meta.db";

/// A containerd root. What it tells is of the moment it was opened.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    /// The system it is of, where that isn't this one.
    system: Option<System>,
    meta_db: PathBuf,
    database: Arc<Database>,
    content: Content,
}

impl Root {
    /// Opens the containerd root at `path`: a folder that has [`META_DB`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, path.join(META_DB), Content::of(path), None)
    }

    /// The same of another system, whose disk is mounted here: links in it lead to places on that disk.
    pub(super) fn open_of(system: &System, path: &Path) -> Result<Self, StoreError> {
        let (meta_db, content) = (system.resolved(&path.join(META_DB))?, Content::within(system, path)?);
        Self::open_with(path, meta_db, content, Some(system.clone()))
    }

    fn open_with(
        path: &Path,
        meta_db: PathBuf,
        content: Content,
        system: Option<System>,
    ) -> Result<Self, StoreError> {
        if !meta_db.try_exists().map_err(crate::fsio::FileError::io("read", &meta_db))? {
            return Err(StoreError::NotARoot { path: path.to_owned() });
        }
        let database = Arc::new(meta_db::read(&meta_db)?);
        let root = Self { path: path.to_owned(), system, meta_db, database, content };
        // A new one has no images, but it says that it is containerd's.
        root.version_one()?.ok_or_else(|| StoreError::NotContainerds { path: root.meta_db() })?;
        Ok(root)
    }

    /// True if there is a containerd root at `path` that has more than images: a mirror has none of that until a containerd
    /// ran on it. What can't be looked at is taken for one.
    pub fn is_more_than_images(path: &Path) -> bool {
        let Ok(entries) = path.read_dir() else { return path.exists() };
        let is_more = |name: &str| {
            let is_images = [BLOBS, META_DB].iter().any(|images| images.split('/').next() == Some(name));
            name.starts_with("io.containerd.") && !is_images
        };
        entries.map_while(Result::ok).any(|entry| entry.file_name().to_str().is_some_and(is_more))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its metadata's file.
    pub fn meta_db(&self) -> PathBuf {
        self.meta_db.clone()
    }

    /// Where a file or folder of it is, by its path in it.
    pub(super) fn place_of(&self, path: &str) -> Result<PathBuf, StoreError> {
        let path = self.path.join(path);
        Ok(match &self.system {
            Some(system) => system.resolved(&path)?,
            None => path,
        })
    }

    /// The metadata, as it was when the root was opened.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Its blobs, as they are now.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The names of all namespaces, in the order of their bytes.
    pub fn namespaces(&self) -> Result<Vec<String>, StoreError> {
        let meta_db = self.meta_db();
        let damaged = damaged(&meta_db);
        let mut names = Vec::new();
        if let Some(all) = self.version_one()? {
            for entry in all.entries().map_err(&damaged)? {
                if let (name, Entry::Bucket(_)) = entry.map_err(&damaged)? {
                    names.push(String::from_utf8_lossy(name).into_owned());
                }
            }
        }
        Ok(names)
    }

    /// The images of a namespace; of one that there isn't, none.
    pub fn store(&self, namespace: &str) -> Store {
        Store::of(self.clone(), namespace)
    }

    /// The bucket of a namespace: `images`, `content`, `snapshots` and more.
    pub fn namespace(&self, name: &str) -> Result<Option<Bucket<'_>>, StoreError> {
        let Some(all) = self.version_one()? else { return Ok(None) };
        all.bucket(name.as_bytes()).map_err(damaged(&self.meta_db()))
    }

    /// The version of the metadata's schema, as it stands there.
    pub fn schema_version(&self) -> Result<Option<&[u8]>, StoreError> {
        let Some(all) = self.version_one()? else { return Ok(None) };
        all.value(b"version").map_err(damaged(&self.meta_db()))
    }

    fn version_one(&self) -> Result<Option<Bucket<'_>>, StoreError> {
        self.database.root().bucket(b"v1").map_err(damaged(&self.meta_db()))
    }
}
