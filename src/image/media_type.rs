//! Media types of manifests, configs and layers (OCI image-spec "Media Types"; Docker "Image Manifest V2").

use std::fmt;

use oci_distribution::manifest as known;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::foreign::shown;

/// A media type as sealift tells them apart. Parameters (`; charset=utf-8`) are dropped on reading.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerManifestList,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.v1+json`, signed (`+prettyjws`) or not.
    DockerSchema1,
    /// `application/vnd.docker.container.image.v1+json`
    DockerConfig,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.config.v1+json`
    OciConfig,
    /// A filesystem layer.
    Layer(LayerType),
    /// Anything else: artifacts, attestations, what registries make up.
    Other(Box<str>),
}

/// How a layer is packed and where it may be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerType {
    /// What the tar is packed with.
    pub compression: Compression,
    /// True for foreign (nondistributable) layers, which registries need not hold.
    pub foreign: bool,
    /// True for OCI's names, false for Docker's.
    pub oci: bool,
}

/// What a layer's tar is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// A bare tar.
    Plain,
    /// gzip, possibly of several members.
    Gzip,
    /// Zstandard.
    Zstd,
}

const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
const DOCKER_FOREIGN_GZIP: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const OCI_FOREIGN_ZSTD: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";

const LAYERS: [(&str, LayerType); 11] = {
    use Compression::{Gzip, Plain, Zstd};
    const fn layer(compression: Compression, foreign: bool, oci: bool) -> LayerType {
        LayerType { compression, foreign, oci }
    }
    [
        (known::IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE, layer(Gzip, false, false)),
        (known::IMAGE_DOCKER_LAYER_TAR_MEDIA_TYPE, layer(Plain, false, false)),
        (DOCKER_LAYER_ZSTD, layer(Zstd, false, false)),
        (DOCKER_FOREIGN_GZIP, layer(Gzip, true, false)),
        (DOCKER_FOREIGN, layer(Plain, true, false)),
        (known::IMAGE_LAYER_GZIP_MEDIA_TYPE, layer(Gzip, false, true)),
        (known::IMAGE_LAYER_MEDIA_TYPE, layer(Plain, false, true)),
        (OCI_LAYER_ZSTD, layer(Zstd, false, true)),
        (known::IMAGE_LAYER_NONDISTRIBUTABLE_GZIP_MEDIA_TYPE, layer(Gzip, true, true)),
        (known::IMAGE_LAYER_NONDISTRIBUTABLE_MEDIA_TYPE, layer(Plain, true, true)),
        (OCI_FOREIGN_ZSTD, layer(Zstd, true, true)),
    ]
};

impl MediaType {
    /// The `Accept` header of a manifest request: every kind sealift takes, and schema 1, so that it can be
    /// refused by name.
    pub const ACCEPT_MANIFESTS: &[&str] = &[
        known::OCI_IMAGE_INDEX_MEDIA_TYPE,
        known::OCI_IMAGE_MEDIA_TYPE,
        known::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
        known::IMAGE_MANIFEST_MEDIA_TYPE,
        DOCKER_SCHEMA1_SIGNED,
        DOCKER_SCHEMA1,
    ];

    /// Reads a media type or `Content-Type` header.
    pub fn of(text: &str) -> Self {
        let bare = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if let Some((_, layer)) = LAYERS.iter().find(|(name, _)| *name == bare) {
            return Self::Layer(*layer);
        }
        match bare.as_str() {
            known::IMAGE_MANIFEST_LIST_MEDIA_TYPE => Self::DockerManifestList,
            known::IMAGE_MANIFEST_MEDIA_TYPE => Self::DockerManifest,
            DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED => Self::DockerSchema1,
            known::IMAGE_DOCKER_CONFIG_MEDIA_TYPE => Self::DockerConfig,
            known::OCI_IMAGE_INDEX_MEDIA_TYPE => Self::OciIndex,
            known::OCI_IMAGE_MEDIA_TYPE => Self::OciManifest,
            known::IMAGE_CONFIG_MEDIA_TYPE => Self::OciConfig,
            _ => Self::Other(bare.into()),
        }
    }

    /// The name as it stands in manifests and headers.
    pub fn as_str(&self) -> &str {
        match self {
            Self::DockerManifestList => known::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
            Self::DockerManifest => known::IMAGE_MANIFEST_MEDIA_TYPE,
            Self::DockerSchema1 => DOCKER_SCHEMA1,
            Self::DockerConfig => known::IMAGE_DOCKER_CONFIG_MEDIA_TYPE,
            Self::OciIndex => known::OCI_IMAGE_INDEX_MEDIA_TYPE,
            Self::OciManifest => known::OCI_IMAGE_MEDIA_TYPE,
            Self::OciConfig => known::IMAGE_CONFIG_MEDIA_TYPE,
            Self::Layer(layer) => LAYERS
                .iter()
                .find(|(_, kind)| kind == layer)
                .map_or("application/octet-stream", |(name, _)| name),
            Self::Other(name) => name,
        }
    }

    /// True for an OCI index or a Docker manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerManifestList)
    }

    /// True for an image manifest of either kind.
    pub fn is_manifest(&self) -> bool {
        matches!(self, Self::OciManifest | Self::DockerManifest)
    }

    /// True for the config of a container image; artifacts (Helm charts, attestations) have others.
    pub fn is_image_config(&self) -> bool {
        matches!(self, Self::OciConfig | Self::DockerConfig)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&shown(self.as_str()))
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_reads_back_as_itself() {
        let manifests = MediaType::ACCEPT_MANIFESTS.iter().filter(|name| **name != DOCKER_SCHEMA1_SIGNED);
        for name in manifests.chain(LAYERS.iter().map(|(name, _)| name)) {
            let read = MediaType::of(name);
            assert!(!matches!(read, MediaType::Other(_)), "{name}");
            assert_eq!(read.as_str(), *name);
        }
    }

    #[test]
    fn parameters_and_case_do_not_matter() {
        let read = MediaType::of("Application/vnd.oci.image.index.v1+JSON; charset=utf-8");
        assert_eq!(read, MediaType::OciIndex);
    }
}
