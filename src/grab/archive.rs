//! Grabbed layers as an archive that every loader takes: an image of just these layers, with a config, a manifest and a name.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::shim::Form;
use super::{Found, Grab, GrabError, Grabbed};
use crate::archive::{LayerMode, Plan};
use crate::error::Result;
use crate::fsio::{FileHandle, nameless_beside};
use crate::image::media_type::LayerType;
use crate::image::{
    Descriptor, DiffId, Digest, Document, ImageConfig, Manifest, MediaType, Reference, Repository,
    ResolvedImage,
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
    /// Grabs the layers, the lowest first, into an archive of one image of them. Without a name it is called by its last
    /// layer.
    pub async fn write_archive(
        &self,
        found: &[Found],
        path: &Path,
        name: Option<&Reference>,
    ) -> Result<Archived> {
        let mut source = GrabbedSource { path: path.to_owned(), blobs: HashMap::new() };
        let mut layers = Vec::new();
        for found in found {
            let file = nameless_beside(path)?;
            let kept = file.try_clone().map_err(crate::fsio::FileError::io("write", path))?;
            let grabbed = self.fetch(found, kept, path, Form::AsPushed).await?;
            source.blobs.insert(grabbed.digest.clone(), FileHandle::of_nameless(file, path));
            layers.push(grabbed);
        }
        let steps = self.steps_of(found).await?;
        let image = image(found, &layers, &steps, name)?;
        let name = image.reference.clone();
        let images = vec![image];
        let pull = Pull::of_files(&source, self.reporter);
        let plan = Plan::of(&images, LayerMode::Auto)?;
        let planned = PlannedArchive { images, plan, path: path.to_owned() };
        pull.check(std::slice::from_ref(&planned))?;
        let path = pull.write(&planned).await?.archive().path.clone();
        Ok(Archived { path, name, layers })
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

/// An image of the layers, which runs as the image of the last of them does.
fn image(
    found: &[Found],
    layers: &[Grabbed],
    steps: &[String],
    name: Option<&Reference>,
) -> Result<ResolvedImage> {
    let last = found.last().ok_or(GrabError::NoLayers { image: "an archive".to_owned() })?;
    let config = config(last, layers, steps);
    let descriptor = |layer: &Grabbed| {
        let media_type = match &layer.media_type {
            MediaType::Layer(kind) => MediaType::Layer(LayerType { oci: true, ..*kind }),
            other => other.clone(),
        };
        Descriptor::new(media_type, layer.digest.clone(), layer.size_bytes)
    };
    let manifest = Manifest {
        media_type: MediaType::OciManifest,
        config: Descriptor::new(
            MediaType::OciConfig,
            Digest::of(config.bytes()),
            config.bytes().len() as u64,
        ),
        layers: layers.iter().map(descriptor).collect(),
    };
    let document = Document::manifest_of(&manifest.config, &manifest.layers);
    let made = || format!("{REPOSITORY}:{}", last.diff_id().digest().short()).parse();
    let reference = match name {
        Some(name) => name.clone(),
        None => made().unwrap_or_else(|_| unreachable!("a word and digits are a name")),
    };
    Ok(ResolvedImage {
        reference,
        target: document.descriptor(MediaType::OciManifest),
        platform: config.platform(),
        asked_os_version: None,
        indexes: Vec::new(),
        manifest_document: document,
        manifest,
        config,
    })
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
