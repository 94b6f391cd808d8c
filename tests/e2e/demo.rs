//! `sealift demo`: what it makes loads and runs like any other archive.

use std::path::Path;

use serde_json::Value;

use crate::command::output_of;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::loader::Loader;
use crate::podman::Podman;
use crate::pull::json_in;
use crate::sealift::sealift;
use crate::session::{Set, session};

fn loads_and_says_hello(loader: &dyn Loader, archive: &Path, name: &str) {
    loader.load(archive);
    assert_eq!(loader.run(name, &[]), "hello from the other side of the gap (linux/amd64)\n");
    loader.remove(name);
}

#[test]
fn the_demo_image_runs_in_every_loader() {
    let archive = session().work_folder("demo").join("demo.tar");
    let said = output_of(sealift(&["demo", "-o"]).arg(&archive));
    assert_eq!(Path::new(said.trim()), archive);
    let manifest: Value = json_in(&archive, "manifest.json");
    let name = manifest[0]["RepoTags"][0].as_str().unwrap();
    for set in [Set::Old, Set::Modern] {
        loads_and_says_hello(&Docker(set), &archive, name);
        loads_and_says_hello(&Podman(set), &archive, name);
        loads_and_says_hello(&Containerd(set), &archive, name);
    }
}
