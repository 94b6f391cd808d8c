//! What holds for any bytes that sealift is given.
//!
//! One function a target, which panics where a property does not hold. The fuzzer calls it with what it makes up
//! (`fuzz_targets/`), the replay on stable with what was found or collected before (`corpus/`, `tests/corpus.rs`).

use std::ffi::OsString;

mod archived;
mod archives;
mod bolt;
mod configs;
mod docker_documents;
mod go;
mod layer_file;
mod layers;
mod lists;
mod manifests;
mod references;
mod tar;
mod tar_index;
mod text;

pub use archived::archived;
pub use archives::archives;
pub use bolt::bolt;
pub use configs::configs;
pub use docker_documents::{manifest_json, repositories};
pub use layer_file::layer_file;
pub use layers::layers;
pub use lists::lists;
pub use manifests::manifests;
pub use references::references;
pub use tar_index::tar_index;

/// A target: any bytes go in, a panic is a finding.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also that of its binary and of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("archived", archived),
    ("archives", archives),
    ("bolt", bolt),
    ("configs", configs),
    ("layer_file", layer_file),
    ("layers", layers),
    ("lists", lists),
    ("manifest_json", manifest_json),
    ("manifests", manifests),
    ("references", references),
    ("repositories", repositories),
    ("tar_index", tar_index),
];

/// Runs `target` on each file.
pub fn replay(target: Target, files: impl Iterator<Item = OsString>) -> std::io::Result<()> {
    for file in files {
        target(&std::fs::read(file)?);
    }
    Ok(())
}
