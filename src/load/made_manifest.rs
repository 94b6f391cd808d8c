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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Compression;
    use crate::image::media_type::LayerType;

    /// As containerd 1.6.20 and 2.1 and Docker 28.5 called an image of one plain layer.
    #[test]
    fn the_manifest_is_the_one_that_containerd_makes() {
        let part = |media_type, hex: &str, size_bytes| {
            Descriptor::new(media_type, format!("sha256:{hex}").parse().unwrap(), size_bytes)
        };
        let config = "7af11ca2ba695c7ae0ea36fa7d2ad7dbc763aabecebe144af77c045c6e132aec";
        let layer = "8a5af593a66a1547b63b45ba51660ad1e2f1f1a249f3bddd66e5db1a4aa25709";
        let plain =
            MediaType::Layer(LayerType { compression: Compression::Plain, foreign: false, oci: false });
        let made = digest(&part(MediaType::DockerConfig, config, 920), &[part(plain, layer, 1_986_560)]);
        assert_eq!(made.hex(), "1827feb2c9c7eede24842d59baaa2e24830602416a0ac5d94a71ca8481d8c6df");
    }
}
