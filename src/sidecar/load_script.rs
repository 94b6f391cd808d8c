//! The script that loads an archive: a few values of this one archive, and a body that is the same in all.
//!
//! Threats: names of files and of platforms are foreign, and the script is run as root. A value stands in single quotes,
//! which take anything but a single quote, and that is written apart; nothing foreign stands outside of them, in comments
//! neither.

use super::Checksum;
use crate::image::{Digest, Platform, ResolvedImage};

const BODY: &str = include_str!("load_script.sh");

/// The script for the archive of this file name.
pub(super) fn of(name: &[u8], checksum: &Checksum, images: &[ResolvedImage]) -> Vec<u8> {
    let head = format!(
        "#!/bin/sh\n# Made by sealift {} for the archive named below: `sh THIS_SCRIPT --help` tells what it does.\n",
        env!("CARGO_PKG_VERSION")
    );
    let sha256 = format!("sha256={}\nsize_bytes={}\n", checksum.digest.hex(), checksum.size_bytes);
    [
        head.as_bytes(),
        b"archive=",
        &quoted(name),
        b"\n",
        sha256.as_bytes(),
        b"images=",
        &quoted(lines(images).as_bytes()),
        b"\n\n",
        BODY.as_bytes(),
    ]
    .concat()
}

/// Bytes as a shell takes them for one word, whatever they are.
fn quoted(bytes: &[u8]) -> Vec<u8> {
    let escaped = bytes.iter().flat_map(|byte| match byte {
        b'\'' => br"'\''",
        _ => std::slice::from_ref(byte),
    });
    [b"'", &*escaped.copied().collect::<Vec<u8>>(), b"'"].concat()
}

/// A line for each name. Images of several platforms of one name are one line.
fn lines(images: &[ResolvedImage]) -> String {
    let mut names: Vec<Vec<&ResolvedImage>> = Vec::new();
    for image in images {
        match names.iter_mut().find(|same| same[0].reference == image.reference) {
            Some(same) => same.push(image),
            None => names.push(vec![image]),
        }
    }
    names.iter().map(|same| line(same)).collect::<Vec<_>>().join("\n")
}

/// The name, the platforms, and the digests a loader may know it by.
fn line(same: &[&ResolvedImage]) -> String {
    let platforms: Vec<_> = same.iter().map(|image| platform(&image.platform)).collect();
    let digests: Vec<_> = same.iter().flat_map(|image| digests(image)).collect();
    format!("{} {} {}", name(same[0]), platforms.join(","), digests.join(" "))
}

/// The name the image is to have. One that was asked for by digest alone gets a tag of it, as its file does: a loader
/// would call it `<none>`.
fn name(image: &ResolvedImage) -> String {
    let of_digest = || format!("{}:{}", image.reference.repository(), image.target.digest.short());
    image.reference.tagged_name().unwrap_or_else(of_digest)
}

/// Operating system and architecture, as one word.
fn platform(platform: &Platform) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let word = |text: &str| text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect::<String>();
    format!("{}/{}", word(&platform.os), word(&platform.architecture))
}

/// Docker's graph driver and podman know an image by its config, containerd by the manifest, or the index that the name
/// led to. An archive with inflated layers has no manifest, and containerd makes one; then there are the layers, of which
/// this is the digest of their diff IDs, a line each.
fn digests(image: &ResolvedImage) -> Vec<String> {
    let (manifest, target) = (image.manifest_document.digest(), &image.target.digest);
    let diff_ids = image.config.diff_ids().iter();
    let diff_ids = diff_ids.fold(String::new(), |lines, diff_id| lines + &diff_id.to_string() + "\n");
    let mut digests = vec![
        format!("config={}", image.manifest.config.digest),
        format!("manifest={manifest}"),
        format!("layers={}", Digest::of(diff_ids.as_bytes()).hex()),
    ];
    if target != manifest {
        digests.push(format!("index={target}"));
    }
    digests
}
