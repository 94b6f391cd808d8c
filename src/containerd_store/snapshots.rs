//! The overlayfs snapshotter: where a root has its images' layers unpacked.
//!
//! ```text
//! diff IDs ──▶ chain ID ──meta.db──▶ the snapshotter's name ──metadata.db──▶ its number ──▶ snapshots/<number>/fs
//! container ────▶ its ID ──┘
//! ```

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

/// More than overlayfs takes one above the other. What is damaged may be a ring.
const MAX_LAYERS: usize = 512;

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
        let snapshot = self.find(root, namespace, &chain_id.to_string(), COMMITTED)?;
        snapshot.map_or(Ok(None), |snapshot| self.upper(snapshot))
    }

    /// The upper directory of a container's own snapshot, by its key (Docker's is the container's ID), and those of the
    /// snapshots below it, the highest first.
    pub fn of_container(
        &self,
        root: &Root,
        namespace: &str,
        key: &str,
    ) -> Result<Option<(PathBuf, Vec<PathBuf>)>, StoreError> {
        let Some(mut snapshot) = self.find(root, namespace, key, ACTIVE)? else { return Ok(None) };
        let Some(own) = self.upper(snapshot)? else { return Ok(None) };
        let mut below = Vec::new();
        for _ in 0..MAX_LAYERS {
            let Some(parent) = self.parent(snapshot)? else { break };
            below.extend(self.upper(parent)?);
            snapshot = parent;
        }
        Ok(Some((own, below)))
    }

    fn find(
        &self,
        root: &Root,
        namespace: &str,
        key: &str,
        kind: &[u8],
    ) -> Result<Option<Bucket<'_>>, StoreError> {
        let Some(name) = name_of(root, namespace, key)? else { return Ok(None) };
        let Some(snapshot) = self.named(name)? else { return Ok(None) };
        let is_of_kind = self.value(snapshot, b"kind")? == Some(kind);
        Ok(is_of_kind.then_some(snapshot))
    }

    fn named(&self, name: &[u8]) -> Result<Option<Bucket<'_>>, StoreError> {
        within(self.database.root(), &[b"v1", b"snapshots", name]).map_err(damaged(&self.metadata))
    }

    fn value<'a>(&self, snapshot: Bucket<'a>, name: &[u8]) -> Result<Option<&'a [u8]>, StoreError> {
        snapshot.value(name).map_err(damaged(&self.metadata))
    }

    /// The snapshot that one is above.
    fn parent(&self, snapshot: Bucket<'_>) -> Result<Option<Bucket<'_>>, StoreError> {
        match self.value(snapshot, b"parent")? {
            Some(name) if !name.is_empty() => self.named(name),
            _ => Ok(None),
        }
    }

    /// The upper directory of a snapshot. The disk may be another machine's: its links don't lead to what is here.
    fn upper(&self, snapshot: Bucket<'_>) -> Result<Option<PathBuf>, StoreError> {
        let Some(number) = self.value(snapshot, b"id")?.and_then(uvarint) else { return Ok(None) };
        let mut folder = self.folder.clone();
        for part in ["snapshots", &number.to_string(), "fs"] {
            folder.push(part);
            if !folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                return Ok(None);
            }
        }
        Ok(Some(folder))
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
