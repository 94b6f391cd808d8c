//! A grabbed layer as a folder of its own: as `docker save` has layers, or as a registry has them.
//!
//! | | |
//! |---|---|
//! | `<id>/json`, `VERSION`, `layer.tar` | the legacy layer of Docker's archives: its metadata, `1.0`, the inflated layer |
//! | `<id>/descriptor.json`, `blob` | media type, digest and size as a manifest has them, and the blob as it was pushed |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::shim::Form;
use super::{Found, Grab, GrabError, Grabbed};
use crate::blob::{Limits, TakenIn, take_in};
use crate::error::Result;
use crate::event::Event;
use crate::fsio::{FileError, Links, PartialFolder, blocking, check_folder, open_regular};
use crate::image::{Algorithm, Descriptor, DiffId, Digest, Hasher};

const JSON: &str = "json";
const VERSION: &str = "VERSION";
const LAYER: &str = "layer.tar";
const DESCRIPTOR: &str = "descriptor.json";
const BLOB: &str = "blob";

/// The one version of legacy layers there is.
const VERSION_BYTES: &[u8] = b"1.0";
/// No small file here is larger.
const MAX_SMALL_BYTES: u64 = 8 << 20;

/// A layer's folder that is there now.
#[derive(Debug)]
pub struct Written {
    /// Its files.
    pub files: Vec<PathBuf>,
    /// What was grabbed for it; none if the same was there already.
    pub grabbed: Option<Grabbed>,
}

impl Grab<'_> {
    /// Grabs the layer into a folder of its own below `folder`, which is there whole or not at all. If there is one, it has
    /// to hold the same.
    pub async fn write(&self, found: &Found, folder: &Path, form: Form) -> Result<Written> {
        check_folder(folder)?;
        let target = folder.join(found.id());
        let metadata = metadata(found);
        let names: &[&str] = match form {
            Form::Plain => &[JSON, VERSION, LAYER],
            Form::AsPushed => &[DESCRIPTOR, BLOB],
        };
        let files = names.iter().map(|name| target.join(name)).collect();
        if target.symlink_metadata().is_ok() {
            let (wanted, folder, metadata) = (found.diff_id().clone(), target.clone(), metadata.clone());
            let (blob, limits) = (found.blob.clone(), self.limits);
            let names = names.to_vec();
            let is_same = blocking(move || {
                has_only(&folder, &names)?;
                match form {
                    Form::Plain => is_layer(&folder, &metadata, &wanted),
                    Form::AsPushed => is_blob(&folder, &wanted, blob.as_ref(), limits),
                }
            });
            return match is_same.await {
                Ok(true) => Ok(Written { files, grabbed: None }),
                _ => Err(FileError::Exists(target).into()),
            };
        }
        let mut partial = PartialFolder::create(&target)?;
        let layer = match form {
            Form::Plain => LAYER,
            Form::AsPushed => BLOB,
        };
        let grabbed = self.fetch(found, partial.create_file(layer)?, &target.join(layer), form).await?;
        if let Some(asked) =
            found.blob.as_ref().filter(|asked| form == Form::AsPushed && **asked != grabbed.digest)
        {
            let (asked, got) = (Box::new(asked.clone()), Box::new(grabbed.digest));
            let (daemon, layer) = (self.daemon.name(), grabbed.diff_id);
            return Err(GrabError::PackedAnew { daemon, layer, asked, got }.into());
        }
        match form {
            Form::Plain => {
                write_small(&mut partial, &target, JSON, &metadata)?;
                write_small(&mut partial, &target, VERSION, VERSION_BYTES)?;
            }
            Form::AsPushed => {
                let Grabbed { media_type, digest, size_bytes, .. } = &grabbed;
                let descriptor = Descriptor::new(media_type.clone(), digest.clone(), *size_bytes);
                let bytes = serde_json::to_vec(&descriptor).unwrap_or_default();
                write_small(&mut partial, &target, DESCRIPTOR, &bytes)?;
            }
        }
        self.reporter.report(Event::CommitStarted { path: &target });
        let durable = blocking(move || partial.sync().map(|()| partial)).await?;
        // Nothing awaits from here on, so whoever is interrupted has no folder under the final name.
        let committed = durable.commit()?;
        let size_bytes = if form == Form::Plain { grabbed.plain_bytes } else { grabbed.size_bytes };
        self.reporter.report(Event::Committed { path: &committed, size_bytes });
        Ok(Written { files, grabbed: Some(grabbed) })
    }
}

fn write_small(
    partial: &mut PartialFolder,
    target: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<(), FileError> {
    partial.create_file(name)?.write_all(bytes).map_err(FileError::io("write", &target.join(name)))
}

/// The legacy metadata of a layer: what it is called and what is below, and, where it was asked for by an image's ID, what
/// that image's config says.
fn metadata(found: &Found) -> Vec<u8> {
    let image = &found.image;
    let mut fields: BTreeMap<&str, Value> = BTreeMap::new();
    if found.is_by_image_id {
        fields.extend(image.config_fields.iter().map(|(name, value)| (name.as_str(), value.clone())));
    }
    fields.insert("id", json!(found.id()));
    let by_image = found.is_by_image_id.then_some(image.parent.as_ref()).flatten();
    if let Some(parent) = by_image.or(found.below().map(DiffId::digest)) {
        fields.insert("parent", json!(parent.hex()));
    }
    fields.insert("os", json!(image.platform.os));
    fields.insert("architecture", json!(image.platform.architecture));
    if let Some(variant) = &image.platform.variant {
        fields.insert("variant", json!(variant));
    }
    // Our keys are strings.
    serde_json::to_vec(&fields).unwrap_or_default()
}

/// Fails if there is anything else in the folder.
fn has_only(folder: &Path, names: &[&str]) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !names.iter().any(|known| name == *known) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
    }
    Ok(())
}

fn is_layer(folder: &Path, metadata: &[u8], wanted: &DiffId) -> io::Result<bool> {
    if small(&folder.join(VERSION))? != VERSION_BYTES || small(&folder.join(JSON))? != metadata {
        return Ok(false);
    }
    let mut hashing = Hashing::new(wanted.digest().algorithm());
    io::copy(&mut open(&folder.join(LAYER))?, &mut hashing)?;
    Ok(hashing.0.finish() == *wanted.digest())
}

fn is_blob(folder: &Path, wanted: &DiffId, asked: Option<&Digest>, limits: Limits) -> io::Result<bool> {
    let descriptor: Descriptor = serde_json::from_slice(&small(&folder.join(DESCRIPTOR))?)?;
    let blob = open(&folder.join(BLOB))?;
    let size_bytes = blob.metadata()?.len();
    let mut hashing = Hashing::new(descriptor.digest.algorithm());
    let algorithm = wanted.digest().algorithm();
    let taken = take_in(blob, algorithm, limits, &mut hashing, &mut io::sink())?;
    Ok(size_bytes == descriptor.size_bytes
        && hashing.0.finish() == descriptor.digest
        && asked.is_none_or(|asked| *asked == descriptor.digest)
        && matches!(taken, TakenIn::Layer(layer) if layer.digest == *wanted.digest()))
}

fn open(path: &Path) -> io::Result<File> {
    open_regular(path, Links::Refuse).map_err(io::Error::other)
}

fn small(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(MAX_SMALL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is written to it is hashed.
struct Hashing(Hasher);

impl Hashing {
    fn new(algorithm: Algorithm) -> Self {
        Self(Hasher::new(algorithm))
    }
}

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
