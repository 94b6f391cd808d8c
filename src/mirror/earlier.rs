//! What a mirror has already, of earlier runs: a mirror is added to.

use std::collections::HashSet;
use std::path::Path;

use super::image::MirroredImage;
use crate::containerd_store::{LayersFrom, META_DB, Root, StoreError};
use crate::error::Result;
use crate::event::Silent;
use crate::image::{Descriptor, Digest};

/// The images of earlier runs that stay.
pub(super) struct Earlier {
    pub(super) root: Root,
    pub(super) images: Vec<MirroredImage>,
    /// How many can't stay: not all of them is there.
    pub(super) forgotten: usize,
}

impl Earlier {
    /// What the mirror at `folder` has besides `images`: those of other names, and other platforms of the same. A name that
    /// stands for something else now is no loss.
    pub(super) async fn of(folder: &Path, images: &[MirroredImage]) -> Result<Option<Self>> {
        let Some(root) = opened(folder)? else { return Ok(None) };
        let mut earlier = Self { root, images: Vec::new(), forgotten: 0 };
        for namespace in earlier.root.namespaces()? {
            let store = earlier.root.store(&namespace);
            let mut stored = Vec::new();
            for image in store.images()? {
                match image {
                    Ok(image) => stored.push(image),
                    Err(_) => earlier.forgotten += 1,
                }
            }
            let is_replaced = |image: &MirroredImage, name: &str, target: &Digest| {
                image.is_named(&namespace, name) && image.image.target.digest != *target
            };
            stored
                .retain(|one| !images.iter().any(|image| is_replaced(image, &one.name, &one.target.digest)));
            for image in &stored {
                let platforms = store.inventory(image).whole(LayersFrom::Content);
                match MirroredImage::of(&store, image, &platforms, &Silent).await {
                    Ok(image) if !platforms.is_empty() => earlier.images.push(image),
                    _ => earlier.forgotten += 1,
                }
            }
        }
        Ok(Some(earlier))
    }

    /// What they are made of, each once.
    pub(super) fn parts(&self) -> impl Iterator<Item = Descriptor> {
        let mut known = HashSet::new();
        self.images
            .iter()
            .flat_map(MirroredImage::parts)
            .filter(move |part| known.insert(part.digest.clone()))
    }

    /// Images can't stay without these blobs.
    pub(super) fn forget(&mut self, lost: &HashSet<Digest>) {
        let before = self.images.len();
        self.images.retain(|image| !image.needs_any(lost));
        self.forgotten += before - self.images.len();
    }
}

/// The mirror that is there. Through a link its metadata is nobody's.
fn opened(folder: &Path) -> Result<Option<Root>, StoreError> {
    if folder.join(META_DB).is_symlink() {
        return Ok(None);
    }
    match Root::open(folder) {
        Ok(root) => Ok(Some(root)),
        Err(StoreError::NotARoot { .. }) => Ok(None),
        Err(error @ StoreError::File(_)) => Err(error),
        Err(error) => Err(StoreError::UnreadMirror { path: folder.to_owned(), source: Box::new(error) }),
    }
}

/// How many images the mirror at `folder` names that `root` doesn't.
pub(super) fn count_unknown_to(root: &Root, folder: &Path) -> Result<usize> {
    let Some(mirror) = opened(folder)? else { return Ok(0) };
    let mut unknown = 0;
    for namespace in mirror.namespaces()? {
        for image in mirror.store(&namespace).images()?.into_iter().flatten() {
            unknown += usize::from(root.store(&namespace).named(&image.name)?.is_none());
        }
    }
    Ok(unknown)
}
