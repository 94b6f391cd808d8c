//! Image configs, as registries send them.

use sealift::image::ImageConfig;

use crate::go::Go;
use crate::text::{check_error, check_message};

/// The fields that the archive repeats beside the config.
const REPEATED: [&str; 10] = [
    "architecture",
    "author",
    "config",
    "container",
    "container_config",
    "created",
    "docker_version",
    "os",
    "os.version",
    "variant",
];

/// The input is a config blob.
pub fn configs(input: &[u8]) {
    match ImageConfig::parse(input.to_vec().into()) {
        Ok(config) => check(&config, input),
        Err(error) => check_error(&error),
    }
}

/// What sealift reads is what Go's readers read, and every reading of the bytes is the same.
fn check(config: &ImageConfig, input: &[u8]) {
    assert_eq!(&config.bytes()[..], input);
    let platform = config.platform();
    assert_eq!(platform.normalised(), platform);
    assert!(!platform.os.is_empty() && !platform.architecture.is_empty());
    check_message(&platform);
    let raw = config.raw_fields();
    let Some(go) = Go::read(input) else { return };
    for name in REPEATED {
        assert_eq!(raw.contains_key(name), go.field(name).is_some(), "{name}");
    }
    let text = |name: &str| go.field(name).and_then(Go::text).filter(|text| !text.is_empty());
    if let Some(os) = text("os").filter(|os| !os.eq_ignore_ascii_case("macos")) {
        assert_eq!(platform.os, os.to_ascii_lowercase());
    }
    assert_eq!(platform.os_version.as_deref().filter(|version| !version.is_empty()), text("os.version"));
    let diff_ids = go.field("rootfs").and_then(|rootfs| rootfs.field("diff_ids")).map_or(&[][..], Go::items);
    let theirs: Vec<&str> = diff_ids.iter().filter_map(Go::text).collect();
    let ours: Vec<String> = config.diff_ids().iter().map(ToString::to_string).collect();
    assert_eq!(ours, theirs);
}
