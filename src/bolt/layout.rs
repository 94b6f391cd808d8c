//! How bytes lie in a page: numbers are little-endian, as on all machines that containerd runs on but s390x.

/// A page's header: number (8), flags (2), elements (2), pages that belong to it (4).
pub(super) const HEADER_BYTES: usize = 16;
/// An element of a branch: where its key is (4), the key's size (4), the page it leads to (8). Of a leaf: flags (4),
/// where its key is (4), the key's size (4), the value's size (4).
pub(super) const ELEMENT_BYTES: usize = 16;
/// What a bucket's value begins with: its first page (8), its sequence (8).
pub(super) const BUCKET_BYTES: usize = 16;
pub(super) const BRANCH: u16 = 0x01;
pub(super) const LEAF: u16 = 0x02;
/// Of a leaf's element: its value is a bucket.
pub(super) const IS_BUCKET: u32 = 0x01;
/// The longest key there may be.
pub(super) const MAX_KEY_BYTES: usize = 32768;

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}
