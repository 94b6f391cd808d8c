//! What can be mended of an archive, written anew: the images whose every byte is there, as sealift writes them.
//!
//! Layers are found by what they are, not by what they are called: links, invented names, another order and missing
//! documents don't matter, as long as a config says which layers make the image. What was never there can't be mended.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::Report;
use crate::archive::{LayerMode, Plan, PlanError};
use crate::archived::{
    Archive, ArchiveSource, ArchivedImage, ArchivedLayer, Contents, Known, OpenError, Unresolved,
};
use crate::image::{Digest, Reference, ResolvedImage};
use crate::pull::PlannedArchive;

/// An archive can't be mended.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// There is nothing to write.
    #[error("{} holds no image that could be written anew", .0.display())]
    NoImages(std::path::PathBuf),
    /// An image's bytes are not all there.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// It holds several images, and one name was given.
    #[error("the archive holds {0} images: a name can be given only where there is one")]
    SeveralImages(usize),
    /// One file can give a name to one image only.
    #[error("two images have the name `{0}`: one file can give it to one of them only")]
    SameName(Reference),
    /// Its images don't go into one archive.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It can't be read again.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It came through a pipe.
    #[error("what came from standard input can't be read again: save it to a file first")]
    Pipe,
}

/// How an archive is to be mended.
#[derive(Clone, Copy, Debug)]
pub struct Repair<'a> {
    /// The name for an image that has none, or another one than it has.
    pub name: Option<&'a Reference>,
}

/// An archive that can be written anew.
pub struct Repaired {
    /// Where its bytes come from.
    pub source: ArchiveSource,
    /// What is to be written.
    pub planned: PlannedArchive,
    /// True where a manifest had to be made, whose digest is new.
    pub has_new_digests: bool,
    /// Images whose bytes are not all there.
    pub left_out: Vec<Unresolved>,
}

impl Repair<'_> {
    /// Plans what is to be written to `path`. Blocks.
    pub fn plan(self, report: Report, path: &Path) -> Result<Repaired, RepairError> {
        let Report { archive, contents, .. } = report;
        if archive.images().is_empty() {
            return Err(RepairError::NoImages(archive.path().to_owned()));
        }
        if self.name.is_some() && archive.images().len() > 1 {
            return Err(RepairError::SeveralImages(archive.images().len()));
        }
        let known = Known::of(&contents);
        let mut images = Vec::new();
        let mut has_new_digests = false;
        let mut left_out = Vec::new();
        for image in archive.images() {
            let kept = image.manifest.as_ref().filter(|_| is_whole(image, &known));
            let resolved = |reference: Reference| match kept.and_then(|_| image.resolved(reference.clone())) {
                Some(kept) => Ok(kept),
                None => archive.resolved_anew(image, reference, &contents, &known),
            };
            let names = self.references(image);
            match names.and_then(|names| names.into_iter().map(resolved).collect::<Result<Vec<_>, _>>()) {
                Ok(resolved) => {
                    has_new_digests |= kept.is_none();
                    images.extend(resolved);
                }
                Err(why) => left_out.push(why),
            }
        }
        if images.is_empty() {
            return Err(left_out.swap_remove(0).into());
        }
        let mut targets = HashMap::new();
        for image in &images {
            let target = targets.entry(&image.reference).or_insert(&image.target.digest);
            if **target != image.target.digest {
                return Err(RepairError::SameName(image.reference.clone()));
            }
        }
        let plan = Plan::of(&images, LayerMode::Keep)?;
        let source = plain_source(archive, &images, &contents)?;
        Ok(Repaired {
            source,
            planned: PlannedArchive { images, plan, path: path.to_owned() },
            has_new_digests,
            left_out,
        })
    }

    fn references(self, image: &ArchivedImage) -> Result<Vec<Reference>, Unresolved> {
        if let Some(name) = self.name {
            return Ok(vec![name.clone()]);
        }
        let mut references: Vec<Reference> = Vec::new();
        for name in image.names.iter().filter_map(|name| name.reference.as_ref()) {
            if !references.contains(name) {
                references.push(name.clone());
            }
        }
        if references.is_empty() { Err(Unresolved::NoName { image: image.label() }) } else { Ok(references) }
    }
}

/// Packed archives are read at any place once they are unpacked.
fn plain_source(
    archive: Arc<Archive>,
    images: &[ResolvedImage],
    contents: &Contents,
) -> Result<ArchiveSource, RepairError> {
    let archive = match Arc::try_unwrap(archive) {
        Ok(archive) => match archive.into_plain()? {
            (archive, true) => Arc::new(archive),
            (_, false) => return Err(RepairError::Pipe),
        },
        Err(shared) => shared,
    };
    Ok(ArchiveSource::new(archive, images, contents))
}

/// True if all that the image's manifest names is there.
fn is_whole(image: &ArchivedImage, known: &Known<'_>) -> bool {
    let names_config =
        image.manifest.as_ref().zip(image.config.as_ref()).is_some_and(|((_, manifest), stored)| {
            let named = &manifest.config.digest;
            Digest::by(named.algorithm(), stored.config.bytes()) == *named
        });
    let has_layer = |layer: &ArchivedLayer| match (&layer.blob, &layer.diff_id) {
        (Some((blob, _)), Some(diff_id)) => known.has(blob, diff_id),
        _ => false,
    };
    names_config && image.layers.iter().all(has_layer)
}
