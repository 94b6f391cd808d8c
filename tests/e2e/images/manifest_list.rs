//! A manifest list of two platforms in Docker's own media types, as `docker manifest push` makes them.

use serde_json::{Value, json, to_vec};

use super::by_hand::{DOCKER, config, push as push_image};
use super::{Image, TAG};
use crate::layer::{DOCKER_LAYER_GZIP, Layer, LayerBuilder};
use crate::registry::{DOCKER_LIST, push_manifest};

const REPOSITORY: &str = "e2e/manifest-list";

pub(super) fn push() -> Image {
    let manifests = ["arm64", "amd64"].map(push_platform);
    let list = json!({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": manifests});
    push_manifest(REPOSITORY, TAG, DOCKER_LIST, &to_vec(&list).unwrap());
    Image::new(REPOSITORY, "of a list, for amd64")
}

fn push_platform(architecture: &str) -> Value {
    let says = format!("of a list, for {architecture}");
    let layers = [
        LayerBuilder::busybox(REPOSITORY).gzip(),
        LayerBuilder::new().file("says", 0o644, says.as_bytes()).gzip(),
    ]
    .map(|layer| Layer { media_type: DOCKER_LAYER_GZIP, ..layer });
    let config = config(architecture, &layers, &["/bin/cat", "/says"]);
    let mut manifest = push_image(&DOCKER, REPOSITORY, None, &to_vec(&config).unwrap(), &layers);
    manifest["platform"] = json!({"os": "linux", "architecture": architecture});
    manifest
}
