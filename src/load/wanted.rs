//! What a daemon is to have by one name: an image of the archive, or one of several for different platforms.

use super::expected::ExpectedImage;
use crate::daemon::{Daemon, Held};
use crate::image::{Digest, Platform, Reference};

/// A name and its images; or an image without a name.
pub(super) struct Wanted<'a> {
    pub(super) name: Option<&'a Reference>,
    /// True unless the same image was there before under another name.
    pub(super) is_first_name: bool,
    /// At least one.
    images: Vec<&'a ExpectedImage>,
}

/// What a daemon has of it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) held: Held,
    /// False if it was found by its digest.
    pub(super) is_named: bool,
}

impl<'a> Wanted<'a> {
    /// One for each name, in the archive's order, and one for each image without any.
    pub(super) fn of(images: &'a [ExpectedImage]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for image in images {
            if image.names.is_empty() {
                all.push(Self { name: None, is_first_name: true, images: vec![image] });
            }
            for (at, name) in image.names.iter().enumerate() {
                match all.iter_mut().find(|wanted| wanted.name == Some(name)) {
                    Some(wanted) => wanted.images.push(image),
                    None => all.push(Self { name: Some(name), is_first_name: at == 0, images: vec![image] }),
                }
            }
        }
        all
    }

    pub(super) fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.images.iter().map(|image| &image.platform)
    }

    /// What a daemon may call an image without a name.
    pub(super) fn ids(&self) -> &[Digest] {
        self.images.first().map_or(&[], |image| &image.ids)
    }

    /// The digest of its config.
    pub(super) fn config(&self) -> &Digest {
        &self.images[0].ids[0]
    }

    /// What it is called in messages.
    pub(super) fn shown(&self, daemon: &Daemon) -> String {
        self.name.map_or_else(|| self.config().to_string(), |name| daemon.shown_name(name))
    }

    /// True if the daemon has it, whole, beyond doubt: nothing need be sent.
    pub(super) fn is_surely_in(&self, found: Option<&Found>) -> bool {
        found.is_some_and(|found| self.is_surely(&found.held))
    }

    pub(super) fn is_in(&self, found: Option<&Found>) -> bool {
        found.is_some_and(|found| self.is(&found.held))
    }

    fn is_surely(&self, held: &Held) -> bool {
        held.is_whole
            && self.images.iter().any(|image| {
                let is_one = |digest| image.ids.contains(digest);
                match &held.diff_ids {
                    // An index may be there with the layers of another platform.
                    Some(diff_ids) => is_one(&held.id) && *diff_ids == image.diff_ids,
                    None => held.leads_to.iter().any(is_one),
                }
            })
    }

    /// True if what the daemon has after a load is it. Docker's containerd image store makes a manifest of its own where
    /// an archive has none, and does not tell of which config: then layers and platform have to do.
    pub(super) fn is(&self, held: &Held) -> bool {
        let has_layers = |image: &&ExpectedImage| {
            held.diff_ids.as_ref() == Some(&image.diff_ids) && held.platform == image.platform.normalised()
        };
        self.is_surely(held) || held.is_whole && self.images.iter().any(has_layers)
    }
}
