//! Grabbed layers as an archive that every loader takes: an image of just these layers, with a config, a manifest and a name.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::shim::Form;
use super::{Found, Grab, GrabError, Grabbed};
use crate::archive::{LayerMode, LeftOut, Plan};
use crate::error::Result;
use crate::event::{Event, Warning};
use crate::fsio::{Existing, FileHandle, check_target, nameless_beside};
use crate::image::media_type::LayerType;
use crate::image::{
    Compression, Descriptor, DiffId, Digest, Document, ImageConfig, Manifest, MediaType, Reference,
    Repository, ResolvedImage,
};
use crate::pull::{PlannedArchive, Pull};
use crate::source::{BlobStream, Selector, Source, SourceError, in_chunks};

/// The repository of images that were given no name.
const REPOSITORY: &str = "sealift-grab";

/// An archive of grabbed layers.
#[derive(Debug)]
pub struct Archived {
    /// Its file.
    pub path: PathBuf,
    /// The name of its image.
    pub name: Reference,
    /// The layers in it, lowest first.
    pub layers: Vec<Grabbed>,
}

impl Grab<'_> {
    /// Grabs the layers, the lowest first, into an archive of one image. Without a name an image of just these layers is
    /// called by the last of them.
    pub async fn write_archive(
        &self,
        found: &[Found],
        path: &Path,
        name: Option<&Reference>,
        base: Base,
    ) -> Result<Archived> {
        check_target(path, Existing::Refuse)?;
        let one = &last(found)?.image.platform;
        if let Some(other) = found.iter().map(|found| &found.image.platform).find(|other| *other != one) {
            let (one, other) = (Box::new(one.clone()), Box::new(other.clone()));
            return Err(GrabError::SeveralPlatforms { one, other }.into());
        }
        let mut source = GrabbedSource { path: path.to_owned(), blobs: HashMap::new() };
        let mut layers = Vec::new();
        for found in found {
            let file = nameless_beside(path)?;
            let kept = file.try_clone().map_err(crate::fsio::FileError::io("write", path))?;
            let grabbed = self.fetch(found, kept, path, Form::AsPushed).await?;
            source.blobs.insert(grabbed.digest.clone(), FileHandle::of_nameless(file, path));
            layers.push(grabbed);
        }
        let (image, left_out) = match base {
            Base::None => {
                let steps = self.steps_of(found).await?;
                (image(found, &layers, &steps, name)?, LeftOut::default())
            }
            Base::LeftOut => self.upper_part(found, &layers, name).await?,
        };
        let name = image.reference.clone();
        let images = vec![image];
        let pull = Pull::of_files(&source, self.reporter);
        let plan = Plan::without(&images, LayerMode::Auto, &left_out)?;
        let planned = PlannedArchive { images, plan, path: path.to_owned() };
        pull.check(std::slice::from_ref(&planned))?;
        let path = pull.write(&planned).await?.archive().path.clone();
        if left_out.has_made_manifest {
            self.reporter.report(Event::Warning(&Warning::ForGraphDrivers { path: path.clone() }));
        }
        Ok(Archived { path, name, layers })
    }

    /// The image that the layers are the upper ones of, as it is, and the layers below.
    async fn upper_part(
        &self,
        found: &[Found],
        layers: &[Grabbed],
        name: Option<&Reference>,
    ) -> Result<(ResolvedImage, LeftOut)> {
        let last = last(found)?;
        let (image, base) = (&last.image, last.image.diff_ids.len() - layers.len());
        let documents = self.documents_of(last).await?;
        let has_made_manifest = documents.manifest.is_none();
        let config_digest = documents.config_digest;
        let (document, manifest) = documents.manifest.unwrap_or_else(|| {
            let plain = LayerType { compression: Compression::Plain, foreign: false, oci: true };
            // Nobody reads what is said here of the layers below.
            let below = image.diff_ids[..base]
                .iter()
                .map(|diff_id| Descriptor::new(MediaType::Layer(plain), diff_id.digest().clone(), 0));
            let layers = below.chain(layers.iter().map(descriptor)).collect();
            made_manifest(&documents.config, config_digest, layers)
        });
        let left_out =
            manifest.layers[..base.min(manifest.layers.len())].iter().map(|layer| layer.digest.clone());
        let left_out = LeftOut { layers: left_out.collect(), has_made_manifest };
        let own_name = image.names.iter().find_map(|name| name.parse().ok());
        let reference = name.cloned().or(own_name).unwrap_or_else(|| made_name(last));
        let config = documents.config;
        Ok((resolved(reference, document, manifest, config), left_out))
    }

    /// What made each layer, as far as that is known.
    async fn steps_of(&self, found: &[Found]) -> Result<Vec<String>> {
        let mut steps = Vec::new();
        for found in found {
            let rows = self.layers(&found.image).await?;
            let step = rows.into_iter().nth(found.position).and_then(|row| row.created_by);
            steps.push(step.unwrap_or_else(|| format!("sealift grab {}", found.diff_id())));
        }
        Ok(steps)
    }
}

/// What is below the layers that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing: they are an image of their own.
    None,
    /// Layers that are where the archive is loaded.
    LeftOut,
}

/// An image of the layers, which runs as the image of the last of them does.
fn image(
    found: &[Found],
    layers: &[Grabbed],
    steps: &[String],
    name: Option<&Reference>,
) -> Result<ResolvedImage> {
    let last = last(found)?;
    let config = config(last, layers, steps);
    let digest = Digest::of(config.bytes());
    let (document, manifest) = made_manifest(&config, digest, layers.iter().map(descriptor).collect());
    let reference = name.cloned().unwrap_or_else(|| made_name(last));
    Ok(resolved(reference, document, manifest, config))
}

fn last(found: &[Found]) -> Result<&Found> {
    Ok(found.last().ok_or(GrabError::NoLayers { image: "an archive".to_owned() })?)
}

fn made_name(last: &Found) -> Reference {
    let name = format!("{REPOSITORY}:{}", last.diff_id().digest().short());
    name.parse().unwrap_or_else(|_| unreachable!("a word and digits are a name"))
}

fn descriptor(layer: &Grabbed) -> Descriptor {
    let media_type = match &layer.media_type {
        MediaType::Layer(kind) => MediaType::Layer(LayerType { oci: true, ..*kind }),
        other => other.clone(),
    };
    Descriptor::new(media_type, layer.digest.clone(), layer.size_bytes)
}

fn made_manifest(config: &ImageConfig, digest: Digest, layers: Vec<Descriptor>) -> (Document, Manifest) {
    let config = Descriptor::new(MediaType::OciConfig, digest, config.bytes().len() as u64);
    let document = Document::manifest_of(&config, &layers);
    (document, Manifest { media_type: MediaType::OciManifest, config, layers })
}

fn resolved(
    reference: Reference,
    document: Document,
    manifest: Manifest,
    config: ImageConfig,
) -> ResolvedImage {
    ResolvedImage {
        reference,
        target: document.descriptor(manifest.media_type.clone()),
        platform: config.platform(),
        asked_os_version: None,
        indexes: Vec::new(),
        manifest_document: document,
        manifest,
        config,
    }
}

fn config(last: &Found, layers: &[Grabbed], steps: &[String]) -> ImageConfig {
    let platform = &last.image.platform;
    let told = ["created", "author", "config"];
    let mut fields: BTreeMap<&str, Value> = told
        .iter()
        .filter_map(|field| Some((*field, last.image.config_fields.get(*field)?.clone())))
        .collect();
    fields.insert("os", json!(platform.os));
    fields.insert("architecture", json!(platform.architecture));
    if let Some(variant) = &platform.variant {
        fields.insert("variant", json!(variant));
    }
    let diff_ids: Vec<&DiffId> = layers.iter().map(|layer| &layer.diff_id).collect();
    fields.insert("rootfs", json!({"type": "layers", "diff_ids": diff_ids}));
    let history = steps.iter().map(|step| json!({"created_by": step}));
    fields.insert("history", history.collect());
    let bytes = serde_json::to_vec(&fields).unwrap_or_default();
    ImageConfig::parse(bytes.into()).unwrap_or_else(|_| unreachable!("its keys are ours"))
}

/// The layers that were grabbed.
struct GrabbedSource {
    path: PathBuf,
    blobs: HashMap<Digest, FileHandle>,
}

impl GrabbedSource {
    fn missing(&self, what: String) -> SourceError {
        SourceError::NotInArchive { what, path: self.path.clone() }
    }
}

impl Source for GrabbedSource {
    fn fetch_manifest<'a>(
        &'a self,
        repository: &'a Repository,
        _selector: &'a Selector,
    ) -> BoxFuture<'a, Result<Document, SourceError>> {
        async { Err(self.missing(repository.to_string())) }.boxed()
    }

    fn open_blob<'a>(
        &'a self,
        _repository: &'a Repository,
        blob: &'a Descriptor,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<BlobStream, SourceError>> {
        async move {
            let file = self.blobs.get(&blob.digest).ok_or_else(|| self.missing(blob.digest.to_string()))?;
            Ok(in_chunks(file.reader_of(range), self.path.clone()))
        }
        .boxed()
    }
}
