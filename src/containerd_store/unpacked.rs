//! Images whose layers are there unpacked: containerd can be told to throw the compressed ones away
//! (`discard_unpacked_layers`), and what is left are its snapshots.

use super::inventory::{BlobState, HeldPlatform};
use super::store::Store;
use crate::bolt::Entry;
use crate::image::ImageConfig;
use crate::image::config::MAX_CONFIG_BYTES;

impl Store {
    /// The snapshotter that has an image unpacked whole, where one has. It is looked for by the chain ID of the image's
    /// layers, which is how containerd calls the snapshot of the last one.
    pub(super) fn unpacked_in(&self, image: &HeldPlatform) -> Option<String> {
        if image.state != BlobState::There {
            return None;
        }
        let config = image.config.as_ref()?;
        let bytes = self.root().content().small(&config.digest, MAX_CONFIG_BYTES).ok()?;
        let chain_id = ImageConfig::parse(bytes.into()).ok()?.chain_ids().pop()?.to_string();
        let snapshotters = self.root().namespace(self.namespace()).ok()??.bucket(b"snapshots").ok()??;
        for entry in snapshotters.entries().ok()? {
            if let (name, Entry::Bucket(snapshots)) = entry.ok()?
                && snapshots.bucket(chain_id.as_bytes()).ok().flatten().is_some()
            {
                return Some(String::from_utf8_lossy(name).into_owned());
            }
        }
        None
    }
}
