//! What an archive's contents are, found by their digests.

use std::collections::HashMap;

use super::open::Contents;
use crate::blob::{Hashes, Measured};
use crate::image::{Descriptor, DiffId, Digest};

/// Measured contents by what they are: as they stand, and by the tars in them.
pub struct Known<'a> {
    by_digest: HashMap<&'a Digest, &'a Measured>,
    by_tar: HashMap<&'a Digest, &'a Measured>,
}

impl<'a> Known<'a> {
    /// All of these.
    pub fn of(contents: &'a Contents) -> Self {
        let (mut by_digest, mut by_tar) = (HashMap::new(), HashMap::new());
        for measured in contents.values().filter_map(|found| found.as_ref().ok()) {
            by_digest.extend(measured.hashes.iter().map(|digest| (digest, measured)));
            let tar = measured.tar_hashes().into_iter().flat_map(Hashes::iter);
            by_tar.extend(tar.map(|digest| (digest, measured)));
        }
        Self { by_digest, by_tar }
    }

    /// A content that is this layer.
    pub fn layer(&self, diff_id: &DiffId) -> Option<&'a Measured> {
        self.by_tar.get(diff_id.digest()).copied()
    }

    /// True if there is this blob, and it is this layer.
    pub fn has(&self, blob: &Descriptor, diff_id: &DiffId) -> bool {
        self.by_digest.get(&blob.digest).is_some_and(|measured| {
            let is_layer = measured.tar_hashes().is_some_and(|tar| tar.are(diff_id.digest()));
            measured.size_bytes == blob.size_bytes && is_layer
        })
    }
}
