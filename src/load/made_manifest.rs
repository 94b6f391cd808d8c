//! The manifest that containerd makes of an image that an archive names in `manifest.json` alone (containerd 1.6 to 2.1,
//! Docker's containerd image store): it calls the image by that, so that is how it is known again.

use serde::Serialize;

use crate::image::{Descriptor, Digest, MediaType};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    schema_version: u8,
    media_type: MediaType,
    config: Part<'a>,
    layers: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    media_type: &'a MediaType,
    digest: &'a Digest,
    size: u64,
}

impl<'a> Part<'a> {
    fn of(descriptor: &'a Descriptor) -> Self {
        let Descriptor { media_type, digest, size_bytes, .. } = descriptor;
        Self { media_type, digest, size: *size_bytes }
    }
}

/// Its digest, for this config and these layers as they stand in the archive.
pub(super) fn digest(config: &Descriptor, layers: &[Descriptor]) -> Digest {
    let made = Made {
        schema_version: 2,
        media_type: MediaType::DockerManifest,
        config: Part::of(config),
        layers: layers.iter().map(Part::of).collect(),
    };
    // Our types have string keys and no failing serializers.
    Digest::of(&serde_json::to_vec(&made).unwrap_or_default())
}
