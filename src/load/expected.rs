//! What is in an archive, as far as loading has to know it: names, IDs, platforms.
//!
//! To be replaced by the reader of archives: this one looks at `manifest.json` and `index.json` of plain tars, and at the
//! configs and manifests these name. Digests of what is this small are made, not believed; layers are not looked at.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;

use super::error::{LoadError, UnreadableArchive};
use super::made_manifest;
use crate::archive::reader::{MemberKind, Members, ReadError};
use crate::daemon::Freight;
use crate::fsio::{FileError, Links, open_regular};
use crate::image::manifest::{MAX_MANIFEST_BYTES, Parsed};
use crate::image::media_type::LayerType;
use crate::image::{
    Compression, Descriptor, Digest, Document, ImageConfig, Index, MediaType, Platform, Reference,
};

/// An image that an archive holds.
#[derive(Clone, Debug)]
pub struct ExpectedImage {
    /// Its names.
    pub names: Vec<Reference>,
    /// What loaders may call it: the digests of its config, which is the first, of its manifest, of the index its name
    /// resolved to and of the manifest that containerd makes.
    pub ids: Vec<Digest>,
    /// The digests of its inflated layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// What it is for.
    pub platform: Platform,
}

/// Reads what is in the archive at `path`, and leaves it open to be sent.
pub fn open(path: &Path) -> crate::Result<(Freight, Vec<ExpectedImage>)> {
    let file = open_regular(path, Links::Follow)?;
    let mut archive = Archive::read(file).map_err(|source| no_images(path, source))?;
    let images = archive.images().map_err(|source| no_images(path, source))?;
    let size_bytes = archive.file.seek(SeekFrom::End(0)).map_err(FileError::io("read", path))?;
    archive.file.rewind().map_err(FileError::io("read", path))?;
    Ok((Freight { reader: Box::new(archive.file), path: path.to_owned(), size_bytes }, images))
}

fn no_images(path: &Path, source: UnreadableArchive) -> LoadError {
    LoadError::NotImages { path: path.to_owned(), source }
}

struct Archive {
    file: File,
    files: HashMap<String, (u64, u64)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestItem {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

type Result<T> = std::result::Result<T, UnreadableArchive>;

impl Archive {
    fn read(file: File) -> Result<Self> {
        let mut files = HashMap::new();
        for member in Members::new(&file)? {
            let member = member?;
            if member.kind == MemberKind::File {
                files.insert(member.path, (member.offset_bytes, member.size_bytes));
            }
        }
        Ok(Self { file, files })
    }

    fn images(&mut self) -> Result<Vec<ExpectedImage>> {
        let mut images = self.docker_images()?;
        for (target, name) in self.named_targets()? {
            self.add_target(&target, name.as_ref(), &mut images)?;
        }
        if images.is_empty() { Err(UnreadableArchive::NoImages) } else { Ok(images) }
    }

    /// Those of `manifest.json`.
    fn docker_images(&mut self) -> Result<Vec<ExpectedImage>> {
        let Some(manifest) = self.content("manifest.json")? else { return Ok(Vec::new()) };
        let items: Vec<ManifestItem> = parsed(&manifest, "manifest.json")?;
        let images = items.into_iter().map(|item| {
            let config = self.content(&item.config)?;
            let config = config.ok_or_else(|| UnreadableArchive::Lacks(item.config.clone()))?;
            let names = item.repo_tags.unwrap_or_default();
            let names =
                names.iter().map(|name| name.parse().map_err(|_| UnreadableArchive::Broken(name.clone())));
            let mut image = image(&config, names.collect::<Result<_>>()?)?;
            let made = self.made_manifest(&config, &image, &item.layers.unwrap_or_default())?;
            image.ids.extend(made);
            Ok(image)
        });
        images.collect()
    }

    /// What containerd calls the image if nothing else in the archive says what to call it.
    fn made_manifest(
        &mut self,
        config: &Bytes,
        image: &ExpectedImage,
        paths: &[String],
    ) -> Result<Option<Digest>> {
        let mut layers = Vec::new();
        for (path, diff_id) in paths.iter().zip(&image.diff_ids) {
            let Some(&(_, size_bytes)) = self.files.get(path) else { return Ok(None) };
            let hex = path.strip_suffix("/layer.tar").unwrap_or_default();
            let (compression, digest) = if self.is_gzip(path)? {
                let Ok(blob) = format!("sha256:{hex}").parse() else { return Ok(None) };
                (Compression::Gzip, blob)
            } else {
                (Compression::Plain, diff_id.clone())
            };
            let media_type = MediaType::Layer(LayerType { compression, foreign: false, oci: false });
            layers.push(Descriptor::new(media_type, digest, size_bytes));
        }
        let config = Descriptor::new(MediaType::DockerConfig, image.ids[0].clone(), config.len() as u64);
        Ok(Some(made_manifest::digest(&config, &layers)))
    }

    /// Those of `index.json`, with their full names.
    fn named_targets(&mut self) -> Result<Vec<(Descriptor, Option<Reference>)>> {
        let Some(index) = self.content("index.json")? else { return Ok(Vec::new()) };
        let index: Index = parsed(&index, "index.json")?;
        let named = index.manifests.into_iter().map(|target| {
            let name = target.annotations.get("io.containerd.image.name");
            let name = name.and_then(|name| name.parse().ok());
            (target, name)
        });
        Ok(named.collect())
    }

    /// Adds what `target` leads to: IDs of images that are known, or images.
    fn add_target(
        &mut self,
        target: &Descriptor,
        name: Option<&Reference>,
        images: &mut Vec<ExpectedImage>,
    ) -> Result<()> {
        let mut manifests = Vec::new();
        match self.document(target)? {
            Some(Parsed::Manifest(manifest)) => manifests.push((vec![target.digest.clone()], manifest)),
            Some(Parsed::Index(index)) => {
                for entry in index.manifests {
                    if let Some(Parsed::Manifest(manifest)) = self.document(&entry)? {
                        manifests.push((vec![entry.digest, target.digest.clone()], manifest));
                    }
                }
            }
            None => {}
        }
        for (ids, manifest) in manifests {
            let config = manifest.config.digest;
            let known = images.iter().position(|image| image.ids.first() == Some(&config));
            let at = if let Some(known) = known {
                known
            } else {
                let paths = [format!("{}.json", config.hex()), blob_path(&config)];
                let path = paths.iter().find(|path| self.files.contains_key(*path));
                // What an index names besides images has no such config.
                let Some(config) = path.map(|path| self.content(path)).transpose()?.flatten() else {
                    continue;
                };
                images.push(image(&config, Vec::new())?);
                images.len() - 1
            };
            let image = &mut images[at];
            image.ids.extend(ids);
            image.names.extend(name.filter(|name| !image.names.contains(name)).cloned());
        }
        Ok(())
    }

    fn document(&mut self, target: &Descriptor) -> Result<Option<Parsed>> {
        let path = blob_path(&target.digest);
        let Some(bytes) = self.content(&path)? else { return Ok(None) };
        let broken = || UnreadableArchive::Broken(path.clone());
        let document = Document::verified(bytes, target.media_type.clone(), &target.digest);
        Ok(document.map_err(|_| broken())?.parse().ok())
    }

    fn is_gzip(&mut self, path: &str) -> Result<bool> {
        let Some(&(offset_bytes, size_bytes)) = self.files.get(path) else { return Ok(false) };
        Ok(size_bytes >= 2 && *self.bytes(offset_bytes, 2)? == [0x1f, 0x8b])
    }

    /// A small file, in whole; none if it is not there.
    fn content(&mut self, path: &str) -> Result<Option<Bytes>> {
        let Some(&(offset_bytes, size_bytes)) = self.files.get(path) else { return Ok(None) };
        if size_bytes > 2 * MAX_MANIFEST_BYTES {
            return Err(UnreadableArchive::Broken(path.to_owned()));
        }
        self.bytes(offset_bytes, size_bytes).map(Some)
    }

    fn bytes(&mut self, offset_bytes: u64, size_bytes: u64) -> Result<Bytes> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(offset_bytes));
        let read = read.and_then(|_| (&self.file).take(size_bytes).read_to_end(&mut bytes));
        read.map_err(|source| ReadError::Io { at_bytes: offset_bytes, source })?;
        Ok(bytes.into())
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn image(config: &Bytes, names: Vec<Reference>) -> Result<ExpectedImage> {
    let id = Digest::of(config);
    let config = ImageConfig::parse(config.clone()).map_err(|_| UnreadableArchive::Broken(id.to_string()))?;
    let diff_ids = config.diff_ids().iter().map(|diff_id| diff_id.digest().clone()).collect();
    Ok(ExpectedImage { names, ids: vec![id], diff_ids, platform: config.platform() })
}

fn parsed<T: for<'de> Deserialize<'de>>(bytes: &[u8], path: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|_| UnreadableArchive::Broken(path.to_owned()))
}
