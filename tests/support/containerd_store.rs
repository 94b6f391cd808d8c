//! A containerd root as containerd lays it out: blobs by their digests, and a meta.db of names.

use std::fs;
use std::path::{Path, PathBuf};

use sealift::bolt::NewBucket;
use sealift::containerd_store::{BLOBS, META_DB};
use sealift::image::{Digest, MediaType};

use super::makers::Image;

/// 2026-11-21T12:34:56.789Z, as Go writes it.
const CREATED: [u8; 15] = [1, 0, 0, 0, 14, 226, 147, 134, 240, 47, 7, 47, 64, 255, 255];

/// A root that is being made.
pub(crate) struct TestStore {
    pub(crate) root: PathBuf,
    metadata: NewBucket,
}

impl TestStore {
    /// An empty one at `root`.
    pub(crate) fn new(root: &Path) -> Self {
        fs::create_dir_all(root.join(META_DB).parent().unwrap()).unwrap();
        fs::create_dir_all(root.join(BLOBS).join("sha256")).unwrap();
        let mut metadata = NewBucket::default();
        metadata.bucket("v1").put("version", [6]);
        Self { root: root.to_owned(), metadata }
    }

    /// Gives an image a name in a namespace, with all its blobs.
    pub(crate) fn add(&mut self, namespace: &str, name: &str, image: &Image) {
        let layers = image.layers.iter().map(|layer| &layer.blob);
        for blob in layers.chain([&image.config, &image.manifest]).chain(&image.index) {
            self.blob(blob);
        }
        let (media_type, document) = match &image.index {
            Some(index) => (MediaType::OciIndex, index),
            None => (MediaType::OciManifest, &image.manifest),
        };
        self.name(namespace, name, media_type.as_str(), &Digest::of(document).to_string(), document.len());
    }

    /// Gives whatever has this digest a name.
    pub(crate) fn name(&mut self, namespace: &str, name: &str, kind: &str, digest: &str, size_bytes: usize) {
        let image = self.image(namespace, name);
        image.put("createdat", CREATED);
        image.put("updatedat", CREATED);
        let target = image.bucket("target");
        target.put("digest", digest);
        target.put("mediatype", kind);
        target.put("size", varint(size_bytes));
    }

    /// An image's own bucket.
    pub(crate) fn image(&mut self, namespace: &str, name: &str) -> &mut NewBucket {
        self.namespace(namespace).bucket("images").bucket(name)
    }

    pub(crate) fn namespace(&mut self, name: &str) -> &mut NewBucket {
        self.metadata.bucket("v1").bucket(name)
    }

    pub(crate) fn blob(&self, bytes: &[u8]) {
        fs::write(self.path(&Digest::of(bytes)), bytes).unwrap();
    }

    /// Where a blob is.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(BLOBS).join("sha256").join(digest.hex())
    }

    pub(crate) fn meta_db(&self) -> PathBuf {
        self.root.join(META_DB)
    }

    /// Writes the metadata.
    pub(crate) fn write(&self) {
        fs::write(self.meta_db(), self.metadata.to_database()).unwrap();
    }
}

/// A number of no sign as Go's `binary.PutVarint` writes it.
fn varint(number: usize) -> Vec<u8> {
    let mut rest = number << 1;
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}
