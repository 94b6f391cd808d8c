//! A mirror's `meta.db`, written anew: its images and their content, no snapshots, no leases, no containers.
//!
//! Entries are copied as they stand. But for what garbage collection goes by: that a manifest leads to its layers is
//! a label of the manifest's blob (`containerd.io/gc.ref.content.…`), and what no label leads to is deleted. So these are
//! written for exactly what the mirror has, as containerd's own client writes them, and other labels of garbage collection
//! (snapshots that aren't here, times to expire) are left out.

use std::collections::{BTreeMap, HashSet};

use super::MirroredImage;
use crate::bolt::{BoltError, Bucket, Entry, NewBucket};
use crate::containerd_store::{Root, StoreError, written_varint};
use crate::image::manifest::Parsed;
use crate::image::{Descriptor, Digest, Document};

/// What labels of garbage collection begin with.
const COLLECTION: &[u8] = b"containerd.io/gc.";
/// Labels by which one blob keeps another.
const KEEPS: &str = "containerd.io/gc.ref.content";
/// How deep the buckets of an image go: its labels, its target and that one's annotations.
const IMAGE_DEPTH: usize = 2;

/// The bytes of a database of this version of containerd's schema with these images. Of what several have, the last's
/// counts.
pub(super) fn of(version: Option<&[u8]>, images: &[(&Root, &MirroredImage)]) -> Result<Vec<u8>, StoreError> {
    let mut database = NewBucket::default();
    let all = database.bucket("v1");
    if let Some(version) = version {
        all.put("version", version);
    }
    for (root, MirroredImage { namespace: name, image, .. }) in images {
        let damaged = damaged_in(root);
        let Some(from) = root.namespace(name)? else { continue };
        let namespace = all.bucket(name.as_str());
        if let Some(labels) = from.bucket(b"labels").map_err(&damaged)? {
            *namespace.bucket("labels") = copied(labels, 0).map_err(&damaged)?;
        }
        let found = from.bucket(b"images").and_then(|images| match images {
            Some(images) => images.bucket(image.name.as_bytes()),
            None => Ok(None),
        });
        if let Some(found) = found.map_err(&damaged)? {
            *namespace.bucket("images").bucket(image.name.as_str()) =
                copied(found, IMAGE_DEPTH).map_err(&damaged)?;
        }
    }
    for (namespace, contents) in contents(images) {
        for (digest, content) in contents {
            let (key, damaged) = (digest.to_string(), damaged_in(content.root));
            let from = content_of(content.root, namespace).map_err(&damaged)?;
            let known = from.map(|from| from.bucket(key.as_bytes())).transpose().map_err(&damaged)?.flatten();
            let entry = content.entry(known).map_err(&damaged)?;
            *all.bucket(namespace).bucket("content").bucket("blob").bucket(key) = entry;
        }
    }
    Ok(database.to_database())
}

/// For `map_err`: a page of the root's metadata is not what it should be.
fn damaged_in(root: &Root) -> impl Fn(BoltError) -> StoreError {
    move |source| StoreError::Damaged { path: root.meta_db(), source }
}

/// A blob of a namespace.
struct Content<'a> {
    /// Where it was last found.
    root: &'a Root,
    size_bytes: u64,
    /// The labels that keep what it names and the mirror has.
    keeps: Vec<(String, Digest)>,
}

impl Content<'_> {
    /// Its entry, after the one it has where it comes from.
    fn entry(&self, known: Option<Bucket<'_>>) -> Result<NewBucket, BoltError> {
        let mut entry = NewBucket::default();
        let mut labels = NewBucket::default();
        if let Some(known) = known {
            entry = copied(known, 0)?;
            for label in
                known.bucket(b"labels")?.map(|labels| labels.entries()).transpose()?.into_iter().flatten()
            {
                if let (key, Entry::Value(value)) = label?
                    && !key.starts_with(COLLECTION)
                {
                    labels.put(key, value);
                }
            }
        }
        entry.put("size", written_varint(i64::try_from(self.size_bytes).unwrap_or(i64::MAX)));
        for (key, digest) in &self.keeps {
            labels.put(key.as_str(), digest.to_string());
        }
        if !labels.is_empty() {
            *entry.bucket("labels") = labels;
        }
        Ok(entry)
    }
}

/// What the images of each namespace are made of, each blob once.
fn contents<'a>(
    images: &[(&'a Root, &'a MirroredImage)],
) -> BTreeMap<&'a str, BTreeMap<Digest, Content<'a>>> {
    let mut namespaces: BTreeMap<&str, BTreeMap<Digest, Content<'_>>> = BTreeMap::new();
    for (root, image) in images {
        let contents = namespaces.entry(&image.namespace).or_default();
        let has: HashSet<Digest> = image.parts().map(|part| part.digest).collect();
        for Descriptor { digest, size_bytes, .. } in image.parts() {
            contents.entry(digest).or_insert(Content { root, size_bytes, keeps: Vec::new() }).root = root;
        }
        for document in image.documents() {
            // Another name may bring other platforms of an index.
            if let Some(content) = contents.get_mut(document.digest()) {
                content.keeps.extend(keeps(document, &has));
            }
        }
    }
    namespaces
}

/// The labels for what a document names, as containerd's client calls them.
fn keeps(document: &Document, has: &HashSet<Digest>) -> Vec<(String, Digest)> {
    let label = |kind: &str, digest: Digest| (format!("{KEEPS}.{kind}"), digest);
    let labels: Vec<_> = match document.parse() {
        Ok(Parsed::Index(index)) => index
            .manifests
            .into_iter()
            .map(|entry| entry.digest)
            .enumerate()
            .map(|(index, digest)| label(&format!("m.{index}"), digest))
            .collect(),
        Ok(Parsed::Manifest(manifest)) => std::iter::once(label("config", manifest.config.digest))
            .chain(
                manifest
                    .layers
                    .into_iter()
                    .enumerate()
                    .map(|(index, layer)| label(&format!("l.{index}"), layer.digest)),
            )
            .collect(),
        Err(_) => Vec::new(),
    };
    labels.into_iter().filter(|(_, digest)| has.contains(digest)).collect()
}

/// The bucket of a namespace's blobs.
fn content_of<'a>(root: &'a Root, namespace: &str) -> Result<Option<Bucket<'a>>, BoltError> {
    let Ok(Some(namespace)) = root.namespace(namespace) else { return Ok(None) };
    match namespace.bucket(b"content")? {
        Some(content) => content.bucket(b"blob"),
        None => Ok(None),
    }
}

/// A bucket's values, and its buckets so deep.
fn copied(bucket: Bucket<'_>, depth: usize) -> Result<NewBucket, BoltError> {
    let mut copy = NewBucket::default();
    for entry in bucket.entries()? {
        match entry? {
            (key, Entry::Value(value)) => copy.put(key, value),
            (key, Entry::Bucket(inner)) if depth > 0 => *copy.bucket(key) = copied(inner, depth - 1)?,
            (_, Entry::Bucket(_)) => {}
        }
    }
    Ok(copy)
}
