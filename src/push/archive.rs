//! An archive as what is to be pushed: its images with the manifests that came along, or else with ones made of its layers.

use std::path::Path;
use std::sync::Arc;

use super::SourceImage;
use crate::archived::{
    Archive, ArchiveSource, ArchivedImage, Contents, Known, Measuring, Problem, Unresolved, Unsound,
};
use crate::blob::Limits;
use crate::error::Result;
use crate::image::{Digest, Reference, ResolvedImage};
use crate::source::Selector;
use crate::verify::loader::breaks;

/// What an image without a name is called until it gets one: a name that no registry has.
const NAMELESS: &str = "nameless.invalid/image";

/// An archive that can be pushed.
pub struct PushableArchive {
    /// Where its bytes come from.
    pub source: ArchiveSource,
    /// Its images, one for each name.
    pub images: Vec<SourceImage>,
}

impl PushableArchive {
    /// Opens the archive at `path`; what is packed, or comes from standard input (`-`), is unpacked to a file without a
    /// name first. Layers are read only where manifests have to be made. Blocks.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(Archive::open_readable(path)?)
    }

    /// The same of an archive that is open already, and whose contents can be read by themselves. Blocks.
    pub fn of(mut archive: Archive) -> Result<Self> {
        let problems = archive.take_problems();
        let is_fatal =
            |problem: &Problem| matches!(problem, Problem::NoEnd { .. }) || breaks(&archive, problem);
        if archive.images().is_empty() || problems.iter().any(is_fatal) {
            return Err(Unsound::of(archive.path(), problems.into_iter().filter(is_fatal)).into());
        }
        let is_made = |image: &ArchivedImage| image.manifest.is_none();
        let measuring = Measuring { limits: Limits::default(), progress: &|_| {} };
        let contents =
            if archive.images().iter().any(is_made) { archive.measure(measuring)? } else { Contents::new() };
        let known = Known::of(&contents);
        let mut resolved: Vec<ResolvedImage> = Vec::new();
        let mut images: Vec<SourceImage> = Vec::new();
        for image in archive.images() {
            for name in names(image) {
                let reference = match &name {
                    Some(name) => name.clone(),
                    None => NAMELESS.parse().map_err(|_| Unresolved::NoName { image: image.label() })?,
                };
                let one = match image.resolved(reference.clone()) {
                    Some(kept) => kept,
                    None => archive.resolved_anew(image, reference, &contents, &known)?,
                };
                let target = Selector::Digest(target(image, &one).clone());
                let to_push = SourceImage { name, target, is_made: is_made(image) };
                // Several platforms of one name are one index.
                if !images.contains(&to_push) {
                    images.push(to_push);
                }
                resolved.push(one);
            }
        }
        drop(known);
        let source = ArchiveSource::new(Arc::new(archive), &resolved, &contents);
        Ok(Self { source, images })
    }
}

/// What the name leads to.
fn target<'a>(image: &'a ArchivedImage, resolved: &'a ResolvedImage) -> &'a Digest {
    image.root.as_ref().map_or(&resolved.target.digest, |root| &root.digest)
}

/// The names of an image, each once; none for one that has none.
fn names(image: &ArchivedImage) -> Vec<Option<Reference>> {
    let mut names: Vec<Option<Reference>> = Vec::new();
    for name in image.names.iter().filter_map(|name| name.reference.clone()) {
        if !names.contains(&Some(name.clone())) {
            names.push(Some(name));
        }
    }
    if names.is_empty() { vec![None] } else { names }
}
