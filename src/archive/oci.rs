//! The OCI image layout half of the archive (OCI image-spec "Image Layout"): `oci-layout`, `index.json`, `blobs/`.

use std::collections::HashSet;

use bytes::Bytes;
use serde::Serialize;

use crate::image::{Descriptor, Digest, MediaType, ResolvedImage};

/// Which image a loader gives which name: containerd and Docker's containerd store read this one.
pub const IMAGE_NAME: &str = "io.containerd.image.name";
/// The tag, as skopeo and podman read it.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The entry that is a blob.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// `oci-layout`.
pub(super) fn layout() -> Bytes {
    Bytes::from_static(br#"{"imageLayoutVersion":"1.0.0"}"#)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexJson {
    schema_version: u8,
    media_type: MediaType,
    manifests: Vec<Descriptor>,
}

/// `index.json`: for each image what its name resolved to, so that loaders keep the registry's digest.
pub(super) fn index_json(images: &[ResolvedImage]) -> Bytes {
    let manifests = one_a_name(images).map(named_target).collect();
    to_json(&IndexJson { schema_version: 2, media_type: MediaType::OciIndex, manifests })
}

/// The first image of each name. Several are there where several platforms of one name were asked for: the index
/// names them all, the Docker half has room for one.
pub(super) fn one_a_name(images: &[ResolvedImage]) -> impl Iterator<Item = &ResolvedImage> {
    let mut names = HashSet::new();
    images.iter().filter(move |image| names.insert(&image.reference))
}

fn named_target(image: &ResolvedImage) -> Descriptor {
    let reference = &image.reference;
    let name = reference.name_in_archives();
    let mut target = image.target.clone();
    target.annotations = [(IMAGE_NAME.to_owned(), name)].into();
    if let Some(tag) = reference.tag() {
        target.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
    }
    target
}

/// JSON of sealift's own making. Our types have string keys and no failing serializers, so this can't fail.
pub(super) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
