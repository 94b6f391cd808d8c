use std::io::Read;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::image::ImageConfig;
use crate::image::manifest::Parsed;

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A resolved image whose layers have these names (a name stands for its content) and sizes.
fn image(reference: &str, layers: &[(&str, u64)]) -> ResolvedImage {
    image_of(reference, layers, GZIP, layers.len())
}

fn image_of(reference: &str, layers: &[(&str, u64)], media_type: &str, diff_ids: usize) -> ResolvedImage {
    let config = json!({
        "architecture": "amd64", "os": "linux", "author": "<é>", "config": {"Cmd": ["sh"]}, "history": [],
        "rootfs": {"type": "layers", "diff_ids": vec![Digest::of(b"inflated"); diff_ids]},
    });
    let config = ImageConfig::parse(config.to_string().into()).unwrap();
    let descriptor = |media_type: &str, bytes: &[u8], size: u64| json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": size});
    let layers: Vec<Value> =
        layers.iter().map(|(name, size)| descriptor(media_type, name.as_bytes(), *size)).collect();
    let config_type = "application/vnd.oci.image.config.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "config": descriptor(config_type, config.bytes(), config.bytes().len() as u64),
        "layers": layers,
    });
    let manifest_document = Document::of(manifest.to_string().into(), MediaType::OciManifest);
    let Parsed::Manifest(manifest) = manifest_document.parse().unwrap() else { panic!("not a manifest") };
    ResolvedImage {
        reference: reference.parse().unwrap(),
        target: manifest_document.descriptor(MediaType::OciManifest),
        platform: config.platform(),
        asked_os_version: None,
        indexes: vec![],
        manifest_document,
        manifest: *manifest,
        config,
    }
}

fn plan_of(images: &[ResolvedImage]) -> Result<Plan, PlanError> {
    Plan::of(images, LayerMode::Auto)
}

/// The archive of `plan`, its blobs filled with `x`.
fn bytes_of(plan: &Plan) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(plan.size_bytes()).unwrap()];
    for entry in plan.entries() {
        let mut put = |offset: u64, content: &[u8]| {
            let offset = usize::try_from(offset).unwrap();
            bytes[offset..offset + content.len()].copy_from_slice(content);
        };
        put(entry.offset_bytes, &entry.header);
        match &entry.content {
            Content::Nothing => {}
            Content::Literal(literal) => put(entry.content_offset_bytes(), literal),
            Content::Blob(blob) => {
                put(blob.offset_bytes, &vec![b'x'; usize::try_from(blob.descriptor.size_bytes).unwrap()]);
            }
            Content::Inflated(layer) => {
                put(layer.offset_bytes, &vec![b'x'; usize::try_from(layer.size_bytes()).unwrap()]);
            }
        }
    }
    bytes
}

/// Path, size and link target of each entry, as a tar reader sees them.
fn read_back(bytes: &[u8]) -> Vec<(String, u64, Option<String>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let target = entry.link_name().unwrap().map(|target| target.to_str().unwrap().to_owned());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, content.len() as u64, target)
    });
    entries.collect()
}

fn literal(plan: &Plan, path: &str) -> Value {
    let entry = plan.entries().iter().find(|entry| entry.path == path).unwrap();
    let Content::Literal(bytes) = &entry.content else { panic!("{path} is no small file") };
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn entries_stand_in_the_documented_order() {
    let image = image("busybox", &[("a", 3), ("b", 512)]);
    let plan = plan_of(std::slice::from_ref(&image)).unwrap();
    let (config, manifest) = (image.manifest.config.digest.hex(), image.manifest_document.digest().hex());
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let (a, b) = (a.hex(), b.hex());
    let paths: Vec<String> = plan.entries().iter().map(|entry| entry.path.clone()).collect();
    assert_eq!(
        paths,
        [
            "manifest.json".to_owned(),
            "repositories".into(),
            "oci-layout".into(),
            "index.json".into(),
            format!("blobs/sha256/{manifest}"),
            format!("{config}.json"),
            format!("blobs/sha256/{config}"),
            format!("{a}/"),
            format!("{a}/VERSION"),
            format!("{a}/json"),
            format!("{a}/layer.tar"),
            format!("blobs/sha256/{a}"),
            format!("{b}/"),
            format!("{b}/VERSION"),
            format!("{b}/json"),
            format!("{b}/layer.tar"),
            format!("blobs/sha256/{b}"),
        ]
    );
}

#[test]
fn the_docker_part_names_config_layers_and_the_last_layer() {
    let image = image("bitnami/redis:7", &[("a", 3), ("b", 4), ("a", 3)]);
    let plan = plan_of(std::slice::from_ref(&image)).unwrap();
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let layer = |digest: &Digest| format!("{}/layer.tar", digest.hex());
    let config = format!("{}.json", image.manifest.config.digest.hex());
    assert_eq!(
        literal(&plan, "manifest.json"),
        json!([{"Config": config, "RepoTags": ["bitnami/redis:7"], "Layers": [layer(&a), layer(&b), layer(&a)]}])
    );
    assert_eq!(literal(&plan, "repositories"), json!({"bitnami/redis": {"7": a.hex()}}));
    let last = json!({"id": a.hex(), "architecture": "amd64", "os": "linux", "author": "<é>", "config": {"Cmd": ["sh"]}});
    assert_eq!(literal(&plan, &format!("{}/json", a.hex())), last);
    assert_eq!(literal(&plan, &format!("{}/json", b.hex())), json!({"id": b.hex(), "parent": a.hex()}));
    assert_eq!(plan.blobs().count(), 2, "a repeated layer is stored once");
}

#[test]
fn the_oci_part_names_what_the_reference_resolved_to() {
    let digest = Digest::of(b"");
    let by_tag = image("quay.io/o/n:1", &[("a", 3)]);
    let by_digest = image(&format!("n@{digest}"), &[]);
    let plan = plan_of(&[by_tag.clone(), by_digest.clone()]).unwrap();
    let index = literal(&plan, "index.json");
    assert_eq!(index["manifests"][0]["digest"], by_tag.target.digest.to_string());
    assert_eq!(
        index["manifests"][0]["annotations"],
        json!({"io.containerd.image.name": "quay.io/o/n:1", "org.opencontainers.image.ref.name": "1"})
    );
    assert_eq!(
        index["manifests"][1]["annotations"],
        json!({"io.containerd.image.name": format!("docker.io/library/n@{digest}")})
    );
    assert_eq!(literal(&plan, "manifest.json")[1]["RepoTags"], Value::Null);
    assert_eq!(literal(&plan, "manifest.json")[1]["Layers"], json!([]));
    assert_eq!(literal(&plan, "repositories"), json!({"quay.io/o/n": {"1": Digest::of(b"a").hex()}}));
}

#[test]
fn names_are_full_where_there_are_several_images() {
    let images = [image("busybox", &[("a", 3)]), image("bitnami/redis:7", &[("a", 3), ("b", 4)])];
    let docker = literal(&plan_of(&images).unwrap(), "manifest.json");
    assert_eq!(docker[0]["RepoTags"], json!(["docker.io/library/busybox:latest"]));
    assert_eq!(docker[1]["RepoTags"], json!(["docker.io/bitnami/redis:7"]));
}

#[test]
fn a_name_that_changed_between_two_platforms_is_refused() {
    let images = [image("n", &[("a", 3)]), image("n", &[("b", 3)])];
    assert!(matches!(plan_of(&images), Err(PlanError::TwoTargets { .. })));
}

#[test]
fn an_index_comes_along_byte_for_byte() {
    let mut image = image("n", &[]);
    let index = Document::of(Bytes::from_static(b"{\"manifests\" : [ ]}"), MediaType::OciIndex);
    image.target = index.descriptor(MediaType::OciIndex);
    image.indexes = vec![index.clone()];
    let plan = plan_of(&[image]).unwrap();
    let path = format!("blobs/sha256/{}", index.digest().hex());
    let position = plan.entries().iter().position(|entry| entry.path == path);
    assert_eq!(position, Some(4));
    assert!(matches!(&plan.entries()[4].content, Content::Literal(bytes) if bytes == index.bytes()));
}

#[test]
fn files_of_any_size_have_their_place() {
    let plan = plan_of(&[image("n", &[("huge", 20 << 30), ("next", 1)])]).unwrap();
    let offsets: Vec<u64> = plan.blobs().map(|blob| blob.offset_bytes).collect();
    assert_eq!(offsets[1] - offsets[0], (20 << 30) + 7 * 512);
    assert_eq!(plan.size_bytes(), offsets[1] + 512 + 512 + 1024);
    let absurd = [("a", i64::MAX as u64), ("b", i64::MAX as u64)];
    for layers in [&absurd[..1], &absurd] {
        assert!(matches!(plan_of(&[image("n", layers)]), Err(PlanError::TooLarge)));
    }
}

#[test]
fn contradictions_are_refused() {
    let refused = |image: ResolvedImage| plan_of(&[image]).unwrap_err();
    assert!(matches!(refused(image("n", &[("a", 3), ("a", 4)])), PlanError::TwoSizes { .. }));
    assert!(matches!(refused(image_of("n", &[("a", 3)], GZIP, 2)), PlanError::LayerCount { .. }));
    assert!(matches!(refused(image_of("n", &[("a", 3)], "text/plain", 1)), PlanError::NotALayer { .. }));
    let mut config_as_layer = image("n", &[("a", 3)]);
    config_as_layer.manifest.layers[0].digest = config_as_layer.manifest.config.digest.clone();
    assert!(matches!(refused(config_as_layer), PlanError::TwoRoles(_)));
}

const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

#[test]
fn zstd_layers_are_inflated_unless_all_are_kept() {
    let image = image_of("n", &[("a", 3)], ZSTD, 1);
    let inflated = |mode| Plan::of(std::slice::from_ref(&image), mode).unwrap().inflated().count();
    assert_eq!([LayerMode::Auto, LayerMode::Keep, LayerMode::Plain].map(inflated), [1, 0, 1]);
    let has_oci_part = |mode| {
        let plan = Plan::of(std::slice::from_ref(&image), mode).unwrap();
        plan.entries().iter().any(|entry| entry.path == "index.json" || entry.path.starts_with("blobs/"))
    };
    assert_eq!([LayerMode::Auto, LayerMode::Keep].map(has_oci_part), [false, true]);
}

#[test]
fn a_layer_that_is_its_own_diff_id_is_plain_already() {
    let mut image = image("n", &[("a", 3), ("inflated", 8)]);
    image.manifest.layers[1].media_type = MediaType::of("application/vnd.oci.image.layer.v1.tar");
    let plan = Plan::of(&[image], LayerMode::Plain).unwrap();
    assert_eq!(plan.blobs().next().unwrap().descriptor.digest, Digest::of(b"inflated"));
    assert_eq!(plan.inflated().next().unwrap().descriptor.digest, Digest::of(b"a"));
}

#[test]
fn inflated_layers_stand_last_and_get_their_places_when_their_sizes_are_known() {
    let mut image = image("n", &[("a", 3), ("b", 4), ("c", 5)]);
    for zstd in [0, 2] {
        image.manifest.layers[zstd].media_type = MediaType::of(ZSTD);
    }
    let plan = plan_of(&[image]).unwrap();
    let (a, c) = (Digest::of(b"a"), Digest::of(b"c"));
    let order: Vec<_> = plan.inflated().map(|layer| layer.descriptor.digest.clone()).collect();
    assert_eq!(order, [a.clone(), c.clone()]);
    assert!(plan.blobs().next().unwrap().offset_bytes < plan.inflated().next().unwrap().offset_bytes);
    assert!(plan.is_estimate());
    let size_of = |digest: &Digest| Some(if *digest == a { 5000 } else { 700 });
    let sized = plan.with_sizes(size_of).unwrap();
    assert!(!sized.is_estimate());
    assert_eq!(bytes_of(&sized).len() as u64, sized.size_bytes());
    let offsets: Vec<_> = sized.inflated().map(|layer| layer.offset_bytes).collect();
    assert_eq!(offsets[1] - offsets[0], 5120 + 6 * 512);
    assert_eq!([&a, &c].map(|digest| plan.offset_of(digest, size_of)), [Some(offsets[0]), Some(offsets[1])]);
    assert_eq!(plan.offset_of(&a, |_| None), Some(offsets[0]), "its own size does not matter");
    assert_eq!(plan.offset_of(&c, |_| None), None);
    assert!(plan.least_size_bytes() <= sized.size_bytes());
    let paths = |plan: &Plan| plan.entries().iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&plan), paths(&sized));
}

#[test]
fn contradictions_about_inflated_layers_are_refused() {
    let of = |images: &[ResolvedImage]| Plan::of(images, LayerMode::Plain).unwrap_err();
    let mut other = image("other", &[("a", 3)]);
    let config = json!({"rootfs": {"diff_ids": [Digest::of(b"something else")]}});
    other.config = ImageConfig::parse(config.to_string().into()).unwrap();
    assert!(matches!(of(&[image("n", &[("a", 3)]), other]), PlanError::TwoDiffIds { .. }));
    let platforms = [image("n", &[("a", 3)]), image("n", &[("a", 3)])];
    assert!(matches!(of(&platforms), PlanError::PlatformsOfInflated { .. }));
    assert!(plan_of(&platforms).is_ok());
}

proptest! {
    /// What a plan says is what a tar reader finds, whatever the layers; and the same images give the same plan.
    #[test]
    fn a_plan_is_the_archive_to_the_byte(
        images in prop::collection::vec(prop::collection::vec(("[a-f]", Just(0u64)), 0..6), 1..4),
        sizes in prop::collection::vec(0u64..2000, 6),
        inflated_sizes in prop::collection::vec(0u64..2000, 6),
        mode in prop::sample::select(vec![LayerMode::Auto, LayerMode::Plain]),
    ) {
        let images: Vec<ResolvedImage> = images
            .iter()
            .enumerate()
            .map(|(number, layers)| {
                let layers: Vec<(&str, u64)> = layers
                    .iter()
                    .map(|(name, _)| (name.as_str(), sizes[usize::from(name.as_bytes()[0] - b'a')]))
                    .collect();
                image(&format!("image{number}"), &layers)
            })
            .collect();
        let plan_again = || {
            let size_of = |digest: &Digest| {
                let name = (b'a'..=b'f').position(|name| Digest::of(&[name]) == *digest)?;
                Some(inflated_sizes[name])
            };
            Plan::of(&images, mode).and_then(|plan| plan.with_sizes(size_of)).unwrap()
        };
        let plan = plan_again();
        let bytes = bytes_of(&plan);
        prop_assert_eq!(bytes.len() as u64, plan.size_bytes());
        let found = read_back(&bytes);
        let planned: Vec<(String, u64)> =
            plan.entries().iter().map(|entry| (entry.path.clone(), entry.content_size_bytes())).collect();
        prop_assert_eq!(found.iter().map(|(path, size, _)| (path.clone(), *size)).collect::<Vec<_>>(), planned);
        let paths: HashSet<&String> = found.iter().map(|(path, _, _)| path).collect();
        prop_assert_eq!(paths.len(), found.len(), "no path stands twice");
        for (path, _, target) in &found {
            if let Some(target) = target {
                let led_to = target.strip_prefix("../../").unwrap().to_owned();
                prop_assert!(paths.contains(&led_to), "{} leads to {}", path, target);
            }
        }
        prop_assert_eq!(bytes_of(&plan_again()), bytes);
    }
}
