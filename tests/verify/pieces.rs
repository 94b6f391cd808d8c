//! The images of the corpus, and ways to break them.

use std::io::Write;

use lzma_rust2::{XzOptions, XzWriter};
use sealift::image::{Digest, MediaType};
use serde_json::{Value, json};
use tar::Header;

use crate::support::forged::Forged;
use crate::support::image::descriptor;
use crate::support::layer::Layer;
use crate::support::makers::{self, Image};

/// The image most archives are of: three layers.
pub(crate) fn app() -> Image {
    let layers = vec![Layer::tar(1, 3000), Layer::tar(2, 2000), Layer::tar(3, 1000)];
    Image::new("app:1", layers, &json!({}))
}

/// Another one, on the same base.
pub(crate) fn other() -> Image {
    let more = json!({"config": {"Cmd": ["/bin/other"]}});
    Image::new("other:2", vec![Layer::tar(1, 3000), Layer::tar(4, 1000)], &more)
}

pub(crate) fn zstd() -> Image {
    Image::new("app:1", vec![Layer::zstd(Layer::tar(1, 3000).inflated)], &json!({}))
}

pub(crate) fn many_layers() -> Image {
    let layer = |seed| Layer::plain(Layer::tar(seed, 10).inflated);
    Image::new("app:1", (0..140).map(layer).collect(), &json!({}))
}

pub(crate) fn sealift() -> Forged {
    makers::sealift(&[&app()])
}

pub(crate) fn docker_save() -> Forged {
    makers::docker_save(&[&app()])
}

pub(crate) fn oci() -> Forged {
    makers::oci_archive(&[&app()])
}

pub(crate) fn layers_alone() -> Forged {
    makers::layers_alone(&[&app()])
}

/// `docker save` before 25 with layers packed with gzip, the second one broken by `damage`.
pub(crate) fn packed_layers(damage: impl FnOnce(&mut Vec<u8>)) -> Forged {
    let packed = |layer: usize| app().layers[layer].blob.clone();
    let mut archive = docker_save();
    for layer in 0..3 {
        archive = archive.edited(&layer_path(layer), |bytes| *bytes = packed(layer));
    }
    archive.edited(&layer_path(1), damage)
}

/// Where `docker save` before 25 has a layer of [`app`].
pub(crate) fn layer_path(layer: usize) -> String {
    format!("{}/layer.tar", makers::id(&app(), layer))
}

/// And its metadata.
pub(crate) fn metadata_path(layer: usize) -> String {
    format!("{}/json", makers::id(&app(), layer))
}

pub(crate) fn blob_path(hex: &str) -> String {
    format!("blobs/sha256/{hex}")
}

pub(crate) fn cut(archive: &[u8], bytes: usize) -> Vec<u8> {
    archive[..archive.len() - bytes].to_vec()
}

pub(crate) fn set_size(header: &mut Header, size: &[u8; 12]) {
    header.as_mut_bytes()[124..136].copy_from_slice(size);
}

/// The names as some tools on Windows write them.
pub(crate) fn backslashed(archive: &Forged) -> Forged {
    let paths = archive.paths().into_iter().filter(|path| !path.ends_with('/'));
    paths.fold(archive.clone(), |archive, path| archive.renamed(&path, &path.replace('/', "\\")))
}

pub(crate) fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    *bytes = String::from_utf8_lossy(bytes).replace(from, to).into_bytes();
}

pub(crate) fn reverse(list: &mut Value) {
    list.as_array_mut().unwrap().reverse();
}

pub(crate) fn drop_last(list: &mut Value) {
    list.as_array_mut().unwrap().pop().unwrap();
}

/// A number, and one.
pub(crate) fn more(number: &mut Value) {
    *number = json!(number.as_u64().unwrap() + 1);
}

/// What sealift writes, with another manifest in the manifest's place.
pub(crate) fn with_manifest(edit: impl FnOnce(&mut Value)) -> Forged {
    let old = app();
    let new = app().with_manifest(edit);
    let path = blob_path(Digest::of(&new.manifest).hex());
    let root = descriptor(MediaType::OciManifest.as_str(), &new.manifest);
    let archive = sealift().renamed(&blob_path(old.manifest_digest().hex()), &path);
    archive.edited(&path, |bytes| *bytes = new.manifest).edited_json("index.json", |json| {
        let annotations = json["manifests"][0]["annotations"].take();
        json["manifests"][0] = root;
        json["manifests"][0]["annotations"] = annotations;
    })
}

/// `stem` layers in a chain, and so many `teeth` on top of it: each is an image of all of the stem.
pub(crate) fn comb(stem: usize, teeth: usize) -> Forged {
    let id = |number: usize| format!("{number:064x}");
    let layers = (0..stem + teeth).map(|number| {
        let parent = number.min(stem).checked_sub(1);
        (id(number), parent.map(id))
    });
    layers.fold(Forged::default(), |archive, (id, parent)| {
        let metadata = json!({"id": id, "parent": parent});
        archive.file(&format!("{id}/layer.tar"), "").json(&format!("{id}/json"), &metadata)
    })
}

/// Packed as a whole, as `gzip` does it.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    Layer::gzip(bytes.to_vec()).blob
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}
