//! Layers of many gzip members, as estargz makes them: a member for each entry of the tar, so that one file can be
//! inflated without the others. Its table of contents is left out.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::to_vec;

use super::by_hand::{OCI, config, push};
use super::{Image, TAG};
use crate::layer::{Layer, LayerBuilder, OCI_LAYER_GZIP};

pub(super) fn push_members() -> Image {
    let repository = "e2e/gzip-members";
    let layers = [
        of_members(LayerBuilder::busybox(repository).plain(), &[]),
        of_members(LayerBuilder::new().folder("words/").file("words/one", 0o644, b"first").plain(), &[b""]),
        of_members(LayerBuilder::new().file("words/two", 0o644, &vec![b'2'; 70_000]).plain(), &[b"", b""]),
        // Nothing but the zero blocks.
        of_members(LayerBuilder::new().plain(), &[b""]),
    ];
    let config = config("amd64", &layers, &["/bin/cat", "/words/one"]);
    push(&OCI, repository, Some(TAG), &to_vec(&config).unwrap(), &layers);
    Image::new(repository, "first").with_layers(&["gzip"; 4])
}

/// The layer with a gzip member for each entry, one for the zero blocks at the end, and `more` members after that.
fn of_members(layer: Layer, more: &[&[u8]]) -> Layer {
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut rest = layer.blob.as_slice();
    while rest.first().is_some_and(|byte| *byte != 0) {
        let size = std::str::from_utf8(&rest[124..135]).unwrap();
        let size = usize::from_str_radix(size, 8).unwrap();
        let (entry, after) = rest.split_at(512 + size.next_multiple_of(512));
        parts.push(entry);
        rest = after;
    }
    parts.push(rest);
    parts.extend(more);
    let blob = parts.into_iter().flat_map(member).collect();
    Layer { media_type: OCI_LAYER_GZIP, blob, diff_id: layer.diff_id }
}

fn member(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
