//! Images, and archives of them as each tool makes them.

use bytes::Bytes;
use sealift::archive::{Content, LayerMode, Plan};
use sealift::image::manifest::Parsed;
use sealift::image::{Algorithm, Digest, Document, ImageConfig, MediaType, ResolvedImage};
use serde_json::{Value, json};

use super::forged::Forged;
use super::image::descriptor;
use super::layer::Layer;

/// An image as its registry has it.
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    /// An index that names the manifest, if the name is one's.
    pub(crate) index: Option<Vec<u8>>,
    pub(crate) layers: Vec<Layer>,
}

impl Image {
    /// An image of these layers; `more` is added to its config.
    pub(crate) fn new(name: &str, layers: Vec<Layer>, more: &Value) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(&layer.inflated)).collect();
        let mut config = json!({
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-11-21T12:00:00Z",
            "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = config.to_string().into_bytes();
        let descriptors = layers.iter().map(|layer| descriptor(layer.media_type, &layer.blob));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciManifest,
            "config": descriptor(MediaType::OciConfig.as_str(), &config),
            "layers": descriptors.collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string().into_bytes();
        Self { name: name.to_owned(), config, manifest, index: None, layers }
    }

    /// Under an index, beside an image for arm64 that did not come along.
    pub(crate) fn under_index(mut self) -> Self {
        let mut own = descriptor(MediaType::OciManifest.as_str(), &self.manifest);
        own["platform"] = json!({"os": "linux", "architecture": "amd64"});
        let mut other = descriptor(MediaType::OciManifest.as_str(), b"elsewhere");
        other["platform"] = json!({"os": "linux", "architecture": "arm64"});
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciIndex,
            "manifests": [own, other],
        });
        self.index = Some(index.to_string().into_bytes());
        self
    }

    /// With another manifest, whatever that says.
    pub(crate) fn with_manifest(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        let mut manifest = serde_json::from_slice(&self.manifest).unwrap();
        edit(&mut manifest);
        self.manifest = manifest.to_string().into_bytes();
        self
    }

    /// With another config, which its manifest names.
    pub(crate) fn with_config(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        let mut config: Value = serde_json::from_slice(&self.config).unwrap();
        edit(&mut config);
        self.config = config.to_string().into_bytes();
        let own = descriptor(MediaType::OciConfig.as_str(), &self.config);
        self.with_manifest(|manifest| manifest["config"] = own)
    }

    /// With a manifest that names all by SHA-512.
    pub(crate) fn by_sha512(self) -> Self {
        let digest = |bytes: &[u8]| json!(Digest::by(Algorithm::Sha512, bytes));
        let config = digest(&self.config);
        let layers: Vec<_> = self.layers.iter().map(|layer| digest(&layer.blob)).collect();
        self.with_manifest(|manifest| {
            manifest["config"]["digest"] = config;
            for (index, layer) in layers.into_iter().enumerate() {
                manifest["layers"][index]["digest"] = layer;
            }
        })
    }

    pub(crate) fn config_hex(&self) -> String {
        Digest::of(&self.config).hex().to_owned()
    }

    pub(crate) fn config_path(&self) -> String {
        format!("{}.json", self.config_hex())
    }

    pub(crate) fn manifest_digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// What the name resolves to.
    pub(crate) fn target(&self) -> Digest {
        self.index.as_ref().map_or_else(|| self.manifest_digest(), |index| Digest::of(index))
    }

    /// The hex of a layer's blob.
    pub(crate) fn blob(&self, layer: usize) -> String {
        Digest::of(&self.layers[layer].blob).hex().to_owned()
    }

    /// The hex of a layer's diff ID.
    pub(crate) fn diff_id(&self, layer: usize) -> String {
        Digest::of(&self.layers[layer].inflated).hex().to_owned()
    }

    fn repository_and_tag(&self) -> (&str, &str) {
        self.name.rsplit_once(':').unwrap()
    }

    fn resolved(&self) -> ResolvedImage {
        let document = |bytes: &[u8], media_type| Document::of(Bytes::copy_from_slice(bytes), media_type);
        let manifest_document = document(&self.manifest, MediaType::OciManifest);
        let Parsed::Manifest(manifest) = manifest_document.parse().unwrap() else { panic!("a manifest") };
        let index = self.index.as_ref().map(|index| document(index, MediaType::OciIndex));
        let config = ImageConfig::parse(self.config.clone().into()).unwrap();
        ResolvedImage {
            reference: self.name.parse().unwrap(),
            target: match &index {
                Some(index) => index.descriptor(MediaType::OciIndex),
                None => manifest_document.descriptor(MediaType::OciManifest),
            },
            platform: config.platform(),
            asked_os_version: None,
            indexes: index.into_iter().collect(),
            manifest_document,
            manifest: *manifest,
            config,
        }
    }
}

/// What `sealift pull` writes, by its own plan.
pub(crate) fn sealift(images: &[&Image]) -> Forged {
    let resolved: Vec<_> = images.iter().map(|image| image.resolved()).collect();
    let blobs = || images.iter().flat_map(|image| image.layers.iter().map(|layer| &layer.blob));
    let mut forged = Forged::default();
    for entry in Plan::of(&resolved, LayerMode::Keep).unwrap().entries() {
        forged = match &entry.content {
            Content::Nothing if entry.path.ends_with('/') => forged.directory(&entry.path),
            Content::Nothing => {
                let mut header = tar::Archive::new(&entry.header[..]);
                let link = header.entries().unwrap().next().unwrap().unwrap();
                let link = link.link_name().unwrap().unwrap().into_owned();
                forged.symlink(&entry.path, link.to_str().unwrap())
            }
            Content::Literal(bytes) => forged.file(&entry.path, &bytes[..]),
            Content::Blob(blob) => {
                let digest = &blob.descriptor.digest;
                let found = blobs().find(|bytes| Digest::by(digest.algorithm(), bytes) == *digest);
                forged.file(&entry.path, &found.unwrap()[..])
            }
            Content::Inflated(_) => panic!("layers are kept"),
        };
    }
    forged
}

/// What `docker save` before 25 wrote: layers in folders of invented IDs, and no manifest.
pub(crate) fn docker_save(images: &[&Image]) -> Forged {
    let mut forged = layer_folders(images);
    let mut items = Vec::new();
    for image in images {
        let ids = (0..image.layers.len()).map(|layer| format!("{}/layer.tar", id(image, layer)));
        items.push(json!({
            "Config": image.config_path(),
            "RepoTags": [image.name],
            "Layers": ids.collect::<Vec<_>>(),
        }));
        forged = forged.file(&image.config_path(), &image.config[..]);
    }
    forged.json("manifest.json", &items.into()).json("repositories", &repositories(images, id))
}

/// What Docker before 1.10 saved, and what dlgrab's folders are: layers, their metadata, and `repositories`.
pub(crate) fn layers_alone(images: &[&Image]) -> Forged {
    let mut forged = layer_folders(images);
    for image in images {
        let last = format!("{}/json", id(image, image.layers.len() - 1));
        forged = forged.edited_json(&last, |json| {
            let config: Value = serde_json::from_slice(&image.config).unwrap();
            for field in ["architecture", "os", "created", "config"] {
                json[field] = config[field].clone();
            }
        });
    }
    forged.json("repositories", &repositories(images, id))
}

/// What skopeo and podman write: layers by their diff IDs, and links to them from invented ones.
pub(crate) fn skopeo_docker_archive(images: &[&Image]) -> Forged {
    let mut forged = Forged::default();
    let mut items = Vec::new();
    for image in images {
        for (index, layer) in image.layers.iter().enumerate() {
            let (diff_id, id) = (image.diff_id(index), id(image, index));
            forged = forged
                .file(&format!("{diff_id}.tar"), &layer.inflated[..])
                .symlink(&format!("{id}/layer.tar"), &format!("../{diff_id}.tar"))
                .file(&format!("{id}/VERSION"), "1.0")
                .json(&format!("{id}/json"), &metadata(image, index));
        }
        forged = forged.file(&image.config_path(), &image.config[..]);
        let layers = (0..image.layers.len()).map(|layer| format!("{}.tar", image.diff_id(layer)));
        items.push(json!({
            "Config": image.config_path(),
            "RepoTags": [image.name],
            "Layers": layers.collect::<Vec<_>>(),
        }));
    }
    forged.json("manifest.json", &items.into()).json("repositories", &repositories(images, id))
}

/// What crane writes: digests for names, packed layers, `manifest.json` and nothing else.
pub(crate) fn crane(image: &Image) -> Forged {
    let config = format!("sha256:{}", image.config_hex());
    let mut forged = Forged::default().file(&config, &image.config[..]);
    let path = |layer| format!("{}.tar.gz", image.blob(layer));
    for (index, layer) in image.layers.iter().enumerate() {
        forged = forged.file(&path(index), &layer.blob[..]);
    }
    let layers: Vec<_> = (0..image.layers.len()).map(path).collect();
    forged.json("manifest.json", &json!([{"Config": config, "RepoTags": [image.name], "Layers": layers}]))
}

/// An OCI layout, as skopeo and buildah pack it.
pub(crate) fn oci_archive(images: &[&Image]) -> Forged {
    let mut forged = Forged::default();
    let mut blobs: Vec<&[u8]> = Vec::new();
    let mut manifests = Vec::new();
    for image in images {
        let (media_type, target) = match &image.index {
            Some(index) => (MediaType::OciIndex, index),
            None => (MediaType::OciManifest, &image.manifest),
        };
        let mut root = descriptor(media_type.as_str(), target);
        root["annotations"] = json!({"org.opencontainers.image.ref.name": image.name});
        manifests.push(root);
        blobs.extend(image.layers.iter().map(|layer| &layer.blob[..]));
        blobs.extend([&image.config[..], &image.manifest]);
        blobs.extend(image.index.as_deref());
    }
    blobs.sort_unstable();
    blobs.dedup();
    for blob in blobs {
        forged = forged.file(&format!("blobs/sha256/{}", Digest::of(blob).hex()), blob);
    }
    forged
        .json("index.json", &json!({"schemaVersion": 2, "manifests": manifests}))
        .json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))
}

/// What `docker save` writes since 25: an OCI layout of bare tars, and a `manifest.json` over its blobs.
pub(crate) fn docker_save_25(image: &Image) -> Forged {
    let plain = image.layers.iter().map(|layer| Layer::plain(layer.inflated.clone())).collect();
    let config: Value = serde_json::from_slice(&image.config).unwrap();
    let image = Image::new(&image.name, plain, &config);
    let blob = |hex: String| format!("blobs/sha256/{hex}");
    let layers: Vec<_> = (0..image.layers.len()).map(|layer| blob(image.diff_id(layer))).collect();
    let last = image.layers.len() - 1;
    let item = json!([{"Config": blob(image.config_hex()), "RepoTags": [image.name], "Layers": layers}]);
    oci_archive(&[&image])
        .edited_json("index.json", |index| {
            let (_, tag) = image.repository_and_tag();
            index["manifests"][0]["annotations"] = json!({
                "io.containerd.image.name": format!("docker.io/library/{}", image.name),
                "org.opencontainers.image.ref.name": tag,
            });
        })
        .json("manifest.json", &item)
        .json("repositories", &repositories(&[&image], |image, _| image.diff_id(last)))
}

fn layer_folders(images: &[&Image]) -> Forged {
    let mut forged = Forged::default();
    for image in images {
        for (index, layer) in image.layers.iter().enumerate() {
            let folder = id(image, index);
            if forged.paths().contains(&format!("{folder}/")) {
                continue;
            }
            forged = forged
                .directory(&format!("{folder}/"))
                .file(&format!("{folder}/VERSION"), "1.0")
                .json(&format!("{folder}/json"), &metadata(image, index))
                .file(&format!("{folder}/layer.tar"), &layer.inflated[..]);
        }
    }
    forged
}

/// The ID that Docker invents for a layer: by the layers below it too.
pub(crate) fn id(image: &Image, layer: usize) -> String {
    let chain: Vec<String> = (0..=layer).map(|layer| image.diff_id(layer)).collect();
    Digest::of(chain.join(" ").as_bytes()).hex().to_owned()
}

fn metadata(image: &Image, layer: usize) -> Value {
    let mut json = json!({"id": id(image, layer), "created": "1970-01-01T00:00:00Z"});
    if layer > 0 {
        json["parent"] = id(image, layer - 1).into();
    }
    json
}

fn repositories(images: &[&Image], id: impl Fn(&Image, usize) -> String) -> Value {
    let mut repositories = json!({});
    for image in images {
        let (repository, tag) = image.repository_and_tag();
        repositories[repository][tag] = id(image, image.layers.len() - 1).into();
    }
    repositories
}
