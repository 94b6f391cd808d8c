//! The archive to push: as a source, with the images it names.

use std::path::Path;

use sealift::archive::{ArchiveSource, ArchivedImage};
use sealift::push::SourceImage;
use sealift::source::{Selector, Source};

use crate::cli::report::Failure;

/// An archive, opened.
pub(super) struct Archive {
    pub(super) source: Box<dyn Source>,
    pub(super) images: Vec<SourceImage>,
}

pub(super) async fn open(path: &Path) -> Result<Archive, Failure> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || ArchiveSource::open(&path)).await;
    let (source, images) = opened.map_err(|error| Failure::Other(error.into()))??;
    let named = |ArchivedImage { name, digest, is_made }| SourceImage {
        name,
        target: Selector::Digest(digest),
        is_made,
    };
    Ok(Archive { source: Box::new(source), images: images.into_iter().map(named).collect() })
}
