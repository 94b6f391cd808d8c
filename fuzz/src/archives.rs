//! Archives: any images that can be planned give a tar that reads back, the same every time.

use std::collections::HashSet;
use std::io::Read;

use sealift::archive::{Content, Entry, LayerMode, Plan};
use sealift::image::manifest::Parsed;
use sealift::image::{Digest, Document, ImageConfig, MediaType, Reference, ResolvedImage};
use serde_json::Value;

use crate::text::check_error;

/// Archives up to this size are made and read back as a whole.
const MAX_MADE_BYTES: u64 = 64 << 10;
const BLOCK_BYTES: u64 = 512;

/// The input has a line for each thing: a reference, the indexes it leads through, a manifest, a config, and again.
/// In JSON `@a` stands for the SHA-256 digest of 64 times `a`, `@A` for SHA-512's.
pub fn archives(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let images = images(text);
    for mode in [LayerMode::Auto, LayerMode::Keep, LayerMode::Plain] {
        match Plan::of(&images, mode) {
            Ok(plan) => {
                check(&plan, &images, mode);
                check_sizes(&plan);
            }
            Err(error) => check_error(&error),
        }
    }
}

fn images(text: &str) -> Vec<ResolvedImage> {
    let mut lines = text.lines();
    let mut images = Vec::new();
    'images: while let Some(line) = lines.next() {
        let Ok(reference) = line.parse::<Reference>() else { continue };
        let mut indexes = Vec::new();
        let (manifest_document, manifest) = loop {
            let Some(json) = lines.next() else { break 'images };
            let document = Document::of(digests(json).into(), MediaType::OciManifest);
            match document.parse() {
                Ok(Parsed::Manifest(manifest)) => break (document, manifest),
                Ok(Parsed::Index(_)) => indexes.push(document),
                Err(_) => continue 'images,
            }
        };
        let Some(Ok(config)) = lines.next().map(|json| ImageConfig::parse(digests(json).into())) else {
            continue;
        };
        let target = indexes.first().unwrap_or(&manifest_document);
        let target =
            target.descriptor(if indexes.is_empty() { MediaType::OciManifest } else { MediaType::OciIndex });
        let platform = config.platform();
        images.push(ResolvedImage {
            reference,
            target,
            platform,
            asked_os_version: None,
            indexes,
            manifest_document,
            manifest: *manifest,
            config,
        });
    }
    images
}

fn digests(json: &str) -> String {
    let mut parts = json.split('@');
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.chars().next() {
            Some(digit @ ('0'..='9' | 'a'..='f')) => {
                written += "sha256:";
                written.extend(std::iter::repeat_n(digit, 64));
                written += &part[1..];
            }
            Some(digit @ 'A'..='F') => {
                written += "sha512:";
                written.extend(std::iter::repeat_n(digit.to_ascii_lowercase(), 128));
                written += &part[1..];
            }
            _ => written += part,
        }
    }
    written
}

/// When the sizes of inflated layers are known, all is as it was but what stands behind them.
fn check_sizes(plan: &Plan) {
    let size_of = |digest: &Digest| Some(u64::from(digest.hex().as_bytes()[0]) * 7);
    let Ok(sized) = plan.with_sizes(size_of) else { return };
    assert!(!sized.is_estimate());
    assert_eq!(plan.entries().len(), sized.entries().len());
    for (layer, placed) in plan.inflated().zip(sized.inflated()) {
        let digest = &layer.descriptor.digest;
        assert_eq!(plan.offset_of(digest, size_of), Some(placed.offset_bytes));
        assert_eq!(placed.known_size_bytes, size_of(digest));
    }
    if sized.size_bytes() <= MAX_MADE_BYTES {
        check_made(&sized);
    }
}

fn check(plan: &Plan, images: &[ResolvedImage], mode: LayerMode) {
    let again = Plan::of(images, mode).expect("the same images are planned again");
    assert!(again.size_bytes() == plan.size_bytes() && again.entries().len() == plan.entries().len());
    assert!(
        again.entries().iter().zip(plan.entries()).all(|(one, other)| is_same(one, other)),
        "planned otherwise"
    );
    let mut end_bytes = 0;
    let mut paths = HashSet::new();
    for entry in plan.entries() {
        assert_eq!(entry.offset_bytes, end_bytes, "{}", entry.path);
        assert!(paths.insert(entry.path.as_str()), "{} is there twice", entry.path);
        assert!(
            entry.path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.-".contains(&byte)),
            "{}",
            entry.path
        );
        assert!(
            !entry.path.starts_with('/') && entry.path.split('/').all(|part| part != ".."),
            "{}",
            entry.path
        );
        end_bytes = (entry.content_offset_bytes() + entry.content_size_bytes()).next_multiple_of(BLOCK_BYTES);
        check_header(entry);
    }
    assert_eq!(plan.size_bytes(), end_bytes + 2 * BLOCK_BYTES);
    for blob in plan.blobs() {
        let path = format!("{}/layer.tar", blob.descriptor.digest.hex());
        let entry = plan.entries().iter().find(|entry| entry.path == path).expect("a blob has its entry");
        assert_eq!(entry.content_offset_bytes(), blob.offset_bytes);
        assert_eq!(entry.content_size_bytes(), blob.descriptor.size_bytes);
    }
    check_docker(plan, &paths);
    if plan.size_bytes() <= MAX_MADE_BYTES {
        check_made(plan);
    }
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    let content = match (&one.content, &other.content) {
        (Content::Nothing, Content::Nothing) => true,
        (Content::Literal(one), Content::Literal(other)) => one == other,
        (Content::Blob(one), Content::Blob(other)) => one == other,
        (Content::Inflated(one), Content::Inflated(other)) => one == other,
        _ => false,
    };
    content && one.path == other.path && one.offset_bytes == other.offset_bytes && one.header == other.header
}

/// A header reads back as the entry it is for.
fn check_header(entry: &Entry) {
    let mut archive = tar::Archive::new(entry.header.chain(std::io::repeat(0)));
    let read = archive.entries().expect("a tar").next().expect("an entry").expect("a header");
    assert_eq!(read.path().expect("a path").to_str(), Some(entry.path.as_str()));
    assert_eq!(read.header().size().expect("a size"), entry.content_size_bytes());
    if let Some(target) = read.link_name().expect("a target") {
        let target = target.to_str().expect("text");
        assert!(target.starts_with("../../") && !target[6..].contains(".."), "{target}");
    }
}

/// What `manifest.json` names is there, and every small JSON file is JSON.
fn check_docker(plan: &Plan, paths: &HashSet<&str>) {
    for entry in plan.entries() {
        let Content::Literal(bytes) = &entry.content else { continue };
        // Configs, documents and `oci-layout` are passed on as they are.
        let is_config = entry.path.len() > 64 && !entry.path.contains('/');
        if entry.path.ends_with("json") && !is_config {
            let items = serde_json::from_slice::<Value>(bytes).expect("JSON");
            if entry.path == "manifest.json" {
                for item in items.as_array().expect("items") {
                    let layers = item["Layers"].as_array().expect("layers");
                    for path in layers.iter().chain([&item["Config"]]) {
                        assert!(paths.contains(path.as_str().expect("a path")), "{path} is missing");
                    }
                }
            }
        }
    }
}

/// The archive, its blobs filled with `x`, is read to its end.
fn check_made(plan: &Plan) {
    let at = |offset: u64| usize::try_from(offset).expect("it is small");
    let mut made = vec![0; at(plan.size_bytes())];
    for entry in plan.entries() {
        made[at(entry.offset_bytes)..][..entry.header.len()].copy_from_slice(&entry.header);
        let content = &mut made[at(entry.content_offset_bytes())..][..at(entry.content_size_bytes())];
        match &entry.content {
            Content::Literal(bytes) => content.copy_from_slice(bytes),
            Content::Blob(_) | Content::Inflated(_) => content.fill(b'x'),
            Content::Nothing => {}
        }
    }
    let mut archive = tar::Archive::new(made.as_slice());
    let mut planned = plan.entries().iter();
    let mut bytes = Vec::new();
    for read in archive.entries().expect("a tar") {
        let (mut read, entry) = (read.expect("an entry"), planned.next().expect("no entry too many"));
        assert_eq!(read.path().expect("a path").to_str(), Some(entry.path.as_str()));
        bytes.clear();
        read.read_to_end(&mut bytes).expect("its content");
        assert_eq!(bytes.len() as u64, entry.content_size_bytes());
        if let Content::Literal(literal) = &entry.content {
            assert_eq!(bytes, literal[..]);
        }
    }
    assert!(planned.next().is_none(), "entries are missing");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_images() {
        let one = include_str!("../corpus/archives/one");
        assert_eq!(Plan::of(&images(one), LayerMode::Auto).expect("a plan").blobs().count(), 2);
        let indexes = include_str!("../corpus/archives/two-platforms");
        assert_eq!(images(indexes).len(), 2);
        assert_eq!(Plan::of(&images(indexes), LayerMode::Auto).expect("a plan").blobs().count(), 2);
    }
}
