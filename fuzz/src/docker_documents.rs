//! The documents by which Docker names images: what sealift reads in them is what Go's reader reads, and the images that
//! come of it are told in short messages.

use std::collections::BTreeMap;
use std::path::Path;

use sealift::archive::docker::{ManifestItem, read_manifest_json, read_repositories};
use sealift::archived::Archive;

use crate::go::Go;
use crate::tar::tar_of;
use crate::text::{check_error, check_message};

/// What an archive has besides its `manifest.json`.
const LAYERS: [(&str, &str); 3] = [
    ("c.json", r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#),
    ("a/layer.tar", ""),
    ("b/layer.tar", "x"),
];
/// And besides `repositories`: layers that stand on each other.
const LONE_LAYERS: [(&str, &str); 6] = [
    ("a/json", r#"{"id":"a"}"#),
    ("a/layer.tar", ""),
    ("b/json", r#"{"id":"b","parent":"a"}"#),
    ("b/layer.tar", ""),
    ("c/json", r#"{"id":"c","parent":"c"}"#),
    ("c/layer.tar", ""),
];

/// The input is a `manifest.json`.
pub fn manifest_json(input: &[u8]) {
    let images = opened("manifest.json", input, &LAYERS);
    let items = match read_manifest_json(input) {
        Ok(items) => items,
        Err(error) => return check_error(&error),
    };
    assert!(images <= items.len());
    let Some(go) = Go::read(input) else { return };
    let theirs: Vec<_> = go.items().iter().map(of_go).collect();
    let ours: Vec<_> = items.iter().map(of_item).collect();
    assert_eq!(ours, theirs);
}

/// The input is a `repositories`.
pub fn repositories(input: &[u8]) {
    opened("repositories", input, &LONE_LAYERS);
    let ours = match read_repositories(input) {
        Ok(ours) => ours,
        Err(error) => return check_error(&error),
    };
    let Some(Go::Object(theirs)) = Go::read(input) else { return };
    // Of a map Go takes the last of two, too.
    let theirs: BTreeMap<_, _> = theirs.into_iter().collect();
    assert!(ours.keys().eq(theirs.keys()));
    for (name, tags) in &ours {
        let Go::Object(of_theirs) = &theirs[name] else { panic!("{name:?} has tags here alone") };
        let of_theirs: BTreeMap<_, _> =
            of_theirs.iter().map(|(tag, id)| (tag.as_str(), id.text().unwrap_or_default())).collect();
        assert!(tags.iter().map(|(tag, id)| (tag.as_str(), id.as_str())).eq(of_theirs));
    }
}

/// How many images an archive of these entries has.
fn opened(name: &str, document: &[u8], others: &[(&str, &str)]) -> usize {
    let others = others.iter().map(|(name, content)| (name.as_bytes(), content.as_bytes()));
    let tar = tar_of(others.chain([(name.as_bytes(), document)]));
    let mut archive = Archive::read(Path::new("fuzzed"), &tar[..], None).expect("it is a tar");
    let images = archive.images().len();
    for image in archive.images() {
        check_message(&image.label());
    }
    for problem in archive.take_problems() {
        check_message(&problem);
    }
    images
}

/// A config's path, layers' paths and names.
type Item<'a> = (&'a str, Vec<&'a str>, Vec<&'a str>);

fn of_item(item: &ManifestItem) -> Item<'_> {
    let tags = item.repo_tags.iter().flatten().map(String::as_str).collect();
    (&item.config, item.layers.iter().map(String::as_str).collect(), tags)
}

fn of_go(item: &Go) -> Item<'_> {
    let texts = |name| -> Vec<&str> {
        let list = item.field(name).map_or(&[][..], Go::items);
        list.iter().map(|text| text.text().unwrap_or_default()).collect()
    };
    (item.field("Config").and_then(Go::text).unwrap_or_default(), texts("Layers"), texts("RepoTags"))
}
