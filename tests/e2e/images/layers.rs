//! Images with unusual lists of layers, and one whose config is written unusually.

use serde_json::to_vec;

use super::by_hand::{OCI, config, push};
use super::{Image, TAG};
use crate::layer::{Layer, LayerBuilder};

/// So many layers, each of which writes its number over the one before.
pub(crate) fn push_many_layers(count: u32) -> Image {
    let repository: &'static str = format!("e2e/layers-{count}").leak();
    let numbered =
        (1..count).map(|n| LayerBuilder::new().file("number", 0o644, n.to_string().as_bytes()).gzip());
    let layers: Vec<Layer> =
        std::iter::once(LayerBuilder::busybox(repository).gzip()).chain(numbered).collect();
    let config = config("amd64", &layers, &["/bin/cat", "/number"]);
    push(&OCI, repository, Some(TAG), &to_vec(&config).unwrap(), &layers);
    Image::new(repository, (count - 1).to_string())
}

/// The same layer twice, apart from and next to itself, and empty layers, gzip'd and plain.
pub(crate) fn push_repeated(repository: &'static str) -> Image {
    let base = LayerBuilder::busybox(repository).gzip();
    let first = LayerBuilder::new().file("word", 0o644, b"first").gzip();
    let second = LayerBuilder::new().file("word", 0o644, b"second").gzip();
    let empty = LayerBuilder::new().gzip();
    let empty_plain = LayerBuilder::new().plain();
    let layers = [
        base,
        empty.clone(),
        first.clone(),
        second.clone(),
        empty_plain,
        first,
        second.clone(),
        second,
        empty.clone(),
        empty,
    ];
    let config = config("amd64", &layers, &["/bin/cat", "/word"]);
    push(&OCI, repository, Some(TAG), &to_vec(&config).unwrap(), &layers);
    Image::new(repository, "second")
}

/// No layers at all: nothing can be run in it.
pub(super) fn push_none() -> Image {
    let repository = "e2e/no-layers";
    let config = config("amd64", &[], &["/nothing"]);
    push(&OCI, repository, Some(TAG), &to_vec(&config).unwrap(), &[]);
    Image { command: None, ..Image::new(repository, "") }
}

/// A config in the style of no encoder: escapes that need none, letters beyond ASCII, blanks, a field of its own.
pub(super) fn push_config_bytes() -> Image {
    let repository = "e2e/config-bytes";
    let layers = [LayerBuilder::busybox(repository).gzip()];
    let config = format!(
        r#"{{ "os" : "linux", "architecture" : "amd64",
  "author": "Zoë \u003czoe@example.org\u003e",
  "x-own-field": {{"b": 1, "a": 1.50}},
  "config": {{"Env": ["PATH=/bin", "GREETING=Grüße \u003c\u0026\u003e 世界"], "Cmd": ["/bin/sh", "-c", "echo \"$GREETING\""]}},
  "rootfs": {{"type": "layers", "diff_ids": ["{}"]}}}}
"#,
        layers[0].diff_id
    );
    push(&OCI, repository, Some(TAG), config.as_bytes(), &layers);
    Image::new(repository, "Grüße <&> 世界\n")
}

/// Layers that no other image has, one of them twice: loaders may take images in and away at the same time.
pub(crate) fn push_own(repository: &'static str) -> Image {
    let says = LayerBuilder::new().file("says", 0o644, repository.as_bytes()).gzip();
    let other = LayerBuilder::new().file("other", 0o644, repository.as_bytes());
    let other = other.folder("folder/").file("folder/old", 0o644, repository.as_bytes()).gzip();
    let layers = [LayerBuilder::busybox(repository).gzip(), says.clone(), other, says];
    let config = config("amd64", &layers, &["/bin/cat", "/says"]);
    push(&OCI, repository, Some(TAG), &to_vec(&config).unwrap(), &layers);
    Image::new(repository, repository)
}

/// A few layers in any repository under any tag; what its container prints. No repository shares layers with another: one
/// test's removal would let a daemon forget what another's load relies on.
pub(crate) fn push_small(repository: &str, tag: &str) -> String {
    let says = format!("{repository}:{tag}");
    let layers = [
        LayerBuilder::busybox(repository).gzip(),
        LayerBuilder::new().file("one", 0o644, format!("1 of {repository}").as_bytes()).gzip(),
        LayerBuilder::new().file("two", 0o644, format!("2 of {repository}").as_bytes()).gzip(),
        LayerBuilder::new().file("says", 0o644, says.as_bytes()).gzip(),
    ];
    let config = config("amd64", &layers, &["/bin/cat", "/says"]);
    push(&OCI, repository, Some(tag), &to_vec(&config).unwrap(), &layers);
    says
}

/// A layer of the test's own on a busybox.
pub(crate) fn push_on(repository: &'static str, layer: Layer) -> Image {
    let layers = [LayerBuilder::busybox(repository).gzip(), layer];
    let config = config("amd64", &layers, &["/bin/cat", "/etc/image"]);
    push(&OCI, repository, Some(TAG), &to_vec(&config).unwrap(), &layers);
    Image::new(repository, repository)
}
