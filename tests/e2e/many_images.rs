//! Twenty images that share their bases, in one archive: what they share is in it once, and every loader takes them all.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::command::output_of;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::{FLEET, Image, TAG};
use crate::loader::Loader;
use crate::podman::Podman;
use crate::registry::{Resolved, blob};
use crate::sealift::sealift;
use crate::session::{Set, session};
use crate::skopeo::Skopeo;

static ARCHIVE: LazyLock<PathBuf> = LazyLock::new(|| {
    let archive = session().work_folder("fleet").join("all.tar");
    let names = FLEET.iter().map(Image::name);
    output_of(sealift(&["pull", "-q"]).args(names).arg("-o").arg(&archive));
    archive
});

/// A tar entry of a file: its header, and its content in whole blocks.
fn entry(size_bytes: u64) -> u64 {
    512 + size_bytes.next_multiple_of(512)
}

fn json_entry(document: &Value) -> u64 {
    entry(document.to_string().len() as u64)
}

fn hex_of(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap()
}

/// What the archive of these images takes by `docs/formats.md`, from nothing but what the registry has.
fn expected_size(images: &[(String, &str, Resolved)]) -> u64 {
    const SYMLINK: u64 = 512;
    const FOLDER: u64 = 512;
    const END: u64 = 1024;
    let (mut items, mut names, mut targets) = (vec![], serde_json::Map::new(), vec![]);
    let mut size = entry(30) + END;
    let mut seen = HashSet::new();
    for (name, repository, resolved) in images {
        let manifest = &resolved.manifest;
        let layers = manifest.json["layers"].as_array().unwrap();
        let paths: Vec<String> = layers.iter().map(|layer| format!("{}/layer.tar", hex_of(layer))).collect();
        let config_hex = hex_of(&manifest.json["config"]);
        items.push(json!({"Config": format!("{config_hex}.json"), "RepoTags": [name], "Layers": paths}));
        let last = hex_of(layers.last().unwrap());
        names.insert(name.strip_suffix(&format!(":{TAG}")).unwrap().into(), json!({TAG: last}));
        targets.push(json!({
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
            "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": TAG},
        }));

        size += entry(manifest.bytes.len() as u64);
        let config: Value = serde_json::from_slice(&blob(repository, resolved.config_digest())).unwrap();
        size += entry(manifest.json["config"]["size"].as_u64().unwrap()) + SYMLINK;
        let mut parent = None;
        for layer in layers {
            let hex = hex_of(layer);
            if seen.insert(hex.to_owned()) {
                let mut legacy = json!({"id": hex});
                if let Some(parent) = parent {
                    legacy["parent"] = json!(parent);
                }
                if hex == last {
                    for field in ["architecture", "config", "created", "os"] {
                        legacy[field] = config[field].clone();
                    }
                }
                size += FOLDER + entry(3) + json_entry(&legacy);
                size += entry(layer["size"].as_u64().unwrap()) + SYMLINK;
            }
            parent = Some(hex);
        }
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": targets,
    });
    assert_eq!(seen.len(), 3 + 4 + images.len(), "bases, common layers, own ones");
    size + json_entry(&json!(items)) + json_entry(&json!(names)) + json_entry(&index)
}

#[test]
fn twenty_images_take_their_unique_blobs_and_the_headers_to_the_byte() {
    let images: Vec<_> =
        FLEET.iter().map(|image| (image.name(), image.repository, image.resolved())).collect();
    assert_eq!(fs::metadata(&*ARCHIVE).unwrap().len(), expected_size(&images));
}

#[test]
fn twenty_images_give_the_same_bytes_again() {
    let again = session().work_folder("fleet-again").join("all.tar");
    let names = FLEET.iter().map(Image::name);
    output_of(sealift(&["pull", "-q"]).args(names).arg("-o").arg(&again));
    output_of(Command::new("cmp").arg(&*ARCHIVE).arg(&again));
}

fn loads_all(loader: &dyn Loader) {
    loader.load(&ARCHIVE);
    for image in FLEET.iter() {
        let (name, resolved) = (image.name(), image.resolved());
        assert_eq!(loader.names(&name), std::slice::from_ref(&name));
        assert_eq!(loader.config_digest(&name), resolved.config_digest(), "{name}");
        assert!(loader.name_digest(&name).is_none_or(|digest| digest == resolved.digest()), "{name}");
    }
    // One of each base and of each common layer.
    for image in FLEET.iter().step_by(5) {
        assert_eq!(loader.run(&image.name(), &[]), image.prints);
    }
    for image in FLEET.iter() {
        loader.remove(&image.name());
    }
}

#[test]
fn twenty_images_load_into_docker_20() {
    loads_all(&Docker(Set::Old));
}

#[test]
fn twenty_images_load_into_docker_28_with_containerd_image_store() {
    loads_all(&Docker(Set::Modern));
}

#[test]
fn twenty_images_load_into_containerd_1_6() {
    loads_all(&Containerd(Set::Old));
}

#[test]
fn twenty_images_load_into_containerd_2() {
    loads_all(&Containerd(Set::Modern));
}

#[test]
fn twenty_images_load_into_podman_4() {
    loads_all(&Podman(Set::Old));
}

#[test]
fn twenty_images_load_into_podman_5() {
    loads_all(&Podman(Set::Modern));
}

#[test]
fn twenty_images_are_copied_by_skopeo_by_their_names() {
    for skopeo in [Skopeo(Set::Old), Skopeo(Set::Modern)] {
        for image in FLEET.iter() {
            let source = format!("docker-archive:{}:{}", ARCHIVE.display(), image.name());
            let folder = format!("fleet-{}-{}", skopeo.0.name(), image.file_stem());
            let config_digest = skopeo.copy_to_folder(&source, &folder);
            assert_eq!(config_digest, image.resolved().config_digest(), "{source}");
        }
    }
}
