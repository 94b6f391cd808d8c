//! Layers made by hand: small tars, gzip'd or not.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::registry::digest_of;

pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

pub(crate) const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// A finished layer.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) media_type: &'static str,
    pub(crate) blob: Vec<u8>,
    pub(crate) diff_id: String,
}

/// A layer being made.
pub(crate) struct LayerBuilder(Builder<Vec<u8>>);

impl LayerBuilder {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// busybox under the names that containers of the tests call, and the image's own name: no two images share this
    /// layer, so no loader can fill a hole in one archive with what it kept from another.
    pub(crate) fn busybox(image: &str) -> Self {
        Self::new()
            .folder("bin/")
            .file("bin/busybox", 0o755, &fs::read("/bin/busybox").unwrap())
            .link("bin/cat", "busybox")
            .link("bin/sh", "busybox")
            .folder("etc/")
            .file("etc/image", 0o644, image.as_bytes())
    }

    pub(crate) fn folder(mut self, path: &str) -> Self {
        self.append(EntryType::Directory, path, 0o755, &[]);
        self
    }

    pub(crate) fn file(mut self, path: &str, mode: u32, bytes: &[u8]) -> Self {
        self.append(EntryType::Regular, path, mode, bytes);
        self
    }

    pub(crate) fn link(mut self, path: &str, target: &str) -> Self {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        self.0.append_link(&mut header, path, target).unwrap();
        self
    }

    fn append(&mut self, kind: EntryType, path: &str, mode: u32, bytes: &[u8]) {
        let mut header = header(kind, mode, bytes.len() as u64);
        self.0.append_data(&mut header, path, bytes).unwrap();
    }

    pub(crate) fn plain(self) -> Layer {
        let blob = self.0.into_inner().unwrap();
        Layer { media_type: OCI_LAYER, diff_id: digest_of(&blob), blob }
    }

    pub(crate) fn gzip(self) -> Layer {
        let plain = self.plain();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain.blob).unwrap();
        Layer { media_type: OCI_LAYER_GZIP, blob: encoder.finish().unwrap(), diff_id: plain.diff_id }
    }
}

/// A header of a file made at no time by nobody.
pub(crate) fn header(kind: EntryType, mode: u32, size_bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size_bytes);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
