//! An image as a namespace's metadata names it.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::StoreError;
use super::go::{Timestamp, varint};
use super::meta_db::damaged;
use crate::bolt::{Bucket, Entry};
use crate::image::{Descriptor, MediaType};

/// An image of a namespace: a name, and the index or manifest it stands for.
#[derive(Clone, Debug)]
pub struct StoredImage {
    /// The name, as containerd has it: most often `docker.io/library/nginx:latest`, but it may be any text.
    pub name: String,
    /// What it stands for.
    pub target: Descriptor,
    /// When the name was made.
    pub created: Option<Timestamp>,
    /// When it was last changed.
    pub updated: Option<Timestamp>,
    /// Free text, by key.
    pub labels: BTreeMap<String, String>,
}

impl StoredImage {
    /// Reads `bucket`, which is that of the image `name` in the metadata at `path`.
    pub(super) fn of(name: &[u8], bucket: &Bucket<'_>, path: &Path) -> Result<Self, StoreError> {
        let name = text(name);
        let field = |field| StoreError::Field { path: path.to_owned(), image: name.clone(), field };
        let damaged = damaged(path);
        let target = bucket.bucket(b"target").map_err(&damaged)?.ok_or_else(|| field("target"))?;
        let value = |key: &[u8]| target.value(key).map_err(&damaged);
        let digest = value(b"digest")?.and_then(|digest| text(digest).parse().ok());
        let size_bytes = value(b"size")?.and_then(varint).and_then(|size| u64::try_from(size).ok());
        let descriptor = Descriptor::new(
            MediaType::of(&text(value(b"mediatype")?.unwrap_or_default())),
            digest.ok_or_else(|| field("digest"))?,
            size_bytes.ok_or_else(|| field("size"))?,
        );
        let annotations = texts(&target, b"annotations", path)?;
        let time = |key: &[u8]| {
            let value = bucket.value(key).map_err(&damaged)?;
            Ok::<_, StoreError>(value.and_then(Timestamp::of_binary))
        };
        Ok(Self {
            target: Descriptor { annotations, ..descriptor },
            created: time(b"createdat")?,
            updated: time(b"updatedat")?,
            labels: texts(bucket, b"labels", path)?,
            name,
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The texts of the bucket `key` of `bucket`, where there is one.
fn texts(bucket: &Bucket<'_>, key: &[u8], path: &Path) -> Result<BTreeMap<String, String>, StoreError> {
    let mut texts = BTreeMap::new();
    if let Some(bucket) = bucket.bucket(key).map_err(damaged(path))? {
        for entry in bucket.entries().map_err(damaged(path))? {
            if let (key, Entry::Value(value)) = entry.map_err(damaged(path))? {
                texts.insert(text(key), text(value));
            }
        }
    }
    Ok(texts)
}
