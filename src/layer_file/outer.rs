//! The tar that a layer file is: three entries, each with the one header it can have.

use crate::image::Digest;
use crate::overlay::{BLOCK_BYTES, Header, Kind};

pub(super) const LAYER: &str = "layer.tar";
pub(super) const METADATA: &str = "metadata.json";
pub(super) const METADATA_DIGEST: &str = "metadata.json.sha256";
/// Two zero blocks.
pub(super) const END_BYTES: usize = 2 * BLOCK_BYTES;
/// More than any container's labels and mounts.
pub(super) const MAX_METADATA_BYTES: u64 = 16 << 20;

/// The header of an entry.
pub(super) fn header(name: &str, size_bytes: u64) -> Vec<u8> {
    Header { size_bytes, ..Header::new(name, Kind::File, 0o644) }.to_blocks()
}

/// How much stands behind an entry of this size.
pub(super) fn padding_bytes(size_bytes: u64) -> usize {
    let block = BLOCK_BYTES as u64;
    usize::try_from((block - size_bytes % block) % block).unwrap_or(0)
}

/// What `metadata.json.sha256` says: a line for `sha256sum -c`.
pub(super) fn digest_line(metadata: &[u8]) -> Vec<u8> {
    format!("{}  {METADATA}\n", Digest::of(metadata).hex()).into_bytes()
}
