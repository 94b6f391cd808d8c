//! The overlayfs snapshotter: where a root has its images' layers unpacked.
//!
//! ```text
//! diff IDs ──▶ chain ID ──meta.db──▶ the snapshotter's name ──metadata.db──▶ its number ──▶ snapshots/<number>/fs
//! container ────▶ its ID ──┘
//! ```

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::go::uvarint;
use super::meta_db::{self, damaged};
use super::root::Root;
use crate::bolt::{Bucket, Database};
use crate::image::Digest;

/// What containerd calls the snapshotter.
pub(super) const OVERLAYFS: &str = "overlayfs";
/// Where a root has what the snapshotter keeps.
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1.overlayfs";
/// What it knows of them.
const METADATA: &str = "io.containerd.snapshotter.v1.overlayfs/metadata.db";
/// A snapshot that somebody writes to.
const ACTIVE: &[u8] = &[2];
/// One that nobody writes to any more.
const COMMITTED: &[u8] = &[3];

/// The snapshots of a root, as they were at one moment.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
    metadata: PathBuf,
    database: Database,
}

impl Snapshots {
    /// Those of the overlayfs snapshotter; none where it was never used.
    pub fn open(root: &Root) -> Result<Option<Self>, StoreError> {
        let folder = root.place_of(SNAPSHOTTER)?;
        let metadata = root.place_of(METADATA)?;
        if !metadata.exists() {
            return Ok(None);
        }
        let database = meta_db::read(&metadata)?;
        Ok(Some(Self { folder, metadata, database }))
    }

    /// The upper directory of the committed snapshot that is the image's layers up to one of them, by its chain ID.
    pub fn layer(
        &self,
        root: &Root,
        namespace: &str,
        chain_id: &Digest,
    ) -> Result<Option<PathBuf>, StoreError> {
        self.find(root, namespace, &chain_id.to_string(), COMMITTED)
    }

    /// The upper directory of a container's own snapshot, by its key: Docker's is the container's ID.
    pub fn of_container(
        &self,
        root: &Root,
        namespace: &str,
        key: &str,
    ) -> Result<Option<PathBuf>, StoreError> {
        self.find(root, namespace, key, ACTIVE)
    }

    fn find(
        &self,
        root: &Root,
        namespace: &str,
        key: &str,
        kind: &[u8],
    ) -> Result<Option<PathBuf>, StoreError> {
        let Some(name) = name_of(root, namespace, key)? else { return Ok(None) };
        let damaged = damaged(&self.metadata);
        let all = [&b"v1"[..], b"snapshots", name];
        let Some(snapshot) = within(self.database.root(), &all).map_err(&damaged)? else { return Ok(None) };
        let is_of_kind = snapshot.value(b"kind").map_err(&damaged)? == Some(kind);
        let number = snapshot.value(b"id").map_err(&damaged)?.and_then(uvarint);
        Ok(number.filter(|_| is_of_kind).and_then(|number| self.upper(number)))
    }

    /// The upper directory of a number. The disk may be another machine's: its links don't lead to what is here.
    fn upper(&self, number: u64) -> Option<PathBuf> {
        let mut folder = self.folder.clone();
        for part in ["snapshots", &number.to_string(), "fs"] {
            folder.push(part);
            folder.symlink_metadata().ok().filter(Metadata::is_dir)?;
        }
        Some(folder)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What the snapshotter calls a namespace's snapshot.
fn name_of<'a>(root: &'a Root, namespace: &str, key: &str) -> Result<Option<&'a [u8]>, StoreError> {
    let meta_db = root.meta_db();
    let damaged = damaged(&meta_db);
    let Some(namespace) = root.namespace(namespace)? else { return Ok(None) };
    let names = [&b"snapshots"[..], OVERLAYFS.as_bytes(), key.as_bytes()];
    let Some(snapshot) = within(namespace, &names).map_err(&damaged)? else { return Ok(None) };
    snapshot.value(b"name").map_err(damaged)
}

/// The bucket that these names lead to.
fn within<'a>(bucket: Bucket<'a>, names: &[&[u8]]) -> Result<Option<Bucket<'a>>, crate::bolt::BoltError> {
    let mut found = Some(bucket);
    for name in names {
        found = match found {
            Some(bucket) => bucket.bucket(name)?,
            None => return Ok(None),
        };
    }
    Ok(found)
}
