//! Pulling from the real registry: every form of name, the same bytes each time, exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command::output_of;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::{
    BIG_LAYER, DEBIAN, Image, NO_LAYERS, PLATFORMS, REPEATED_LAYERS, SIXTY_LAYERS, TAG, push_platforms,
};
use crate::loader::Loader;
use crate::podman::Podman;
use crate::registry::manifest;
use crate::sealift::{pull, sealift};
use crate::session::{Set, session};

fn sha256_of(file: &Path) -> String {
    let line = output_of(Command::new("sha256sum").arg(file));
    line.split_whitespace().next().unwrap().into()
}

/// A file of the archive.
fn file_in(archive: &Path, path: &str) -> String {
    output_of(Command::new("tar").args(["--extract", "--to-stdout", "--file"]).arg(archive).arg(path))
}

/// A JSON file of the archive.
pub(crate) fn json_in(archive: &Path, path: &str) -> Value {
    serde_json::from_str(&file_in(archive, path)).unwrap()
}

/// The architecture of the one image in an archive.
fn architecture(archive: &Path) -> String {
    let manifest = json_in(archive, "manifest.json");
    let config = json_in(archive, manifest[0]["Config"].as_str().unwrap());
    config["architecture"].as_str().unwrap().into()
}

fn repository_name(image: &Image) -> String {
    format!("{}/{}", session().registry, image.repository)
}

#[test]
fn two_pulls_give_the_same_bytes() {
    for image in [&*DEBIAN, &PLATFORMS, &SIXTY_LAYERS, &REPEATED_LAYERS, &NO_LAYERS] {
        let again = session().work_folder(&format!("again-{}", image.file_stem())).join("again.tar");
        pull(&image.name(), &again);
        assert_eq!(sha256_of(image.archive()), sha256_of(&again), "{}", image.name());
        fs::remove_file(again).unwrap();
    }
}

#[test]
fn a_digest_pulls_what_the_tag_pulls_without_a_name() {
    let image = &*PLATFORMS;
    let archive = session().work_folder("by-digest").join("image.tar");
    let name = format!("{}@{}", repository_name(image), image.resolved().digest());
    pull(&name, &archive);
    assert_eq!(json_in(&archive, "manifest.json")[0]["RepoTags"], Value::Null);
    let loader = Containerd(Set::Modern);
    loader.load(&archive);
    assert_eq!(loader.name_digest(&name).as_deref(), Some(image.resolved().digest()));
    assert_eq!(loader.run(&name, &[]), image.prints);
    loader.remove(&name);
}

#[test]
fn a_digest_alone_loads_into_docker_20_by_its_id() {
    let image = &*SIXTY_LAYERS;
    let archive = session().work_folder("by-digest-docker").join("image.tar");
    pull(&format!("{}@{}", repository_name(image), image.resolved().digest()), &archive);
    let said = output_of(Docker(Set::Old).docker(&["load", "--input"]).arg(&archive));
    assert!(said.contains(image.resolved().config_digest()), "{said}");
}

#[test]
fn a_pin_by_the_digest_of_the_index_runs_on_docker_28() {
    let image = push_platforms("e2e/pinned");
    let docker = Docker(Set::Modern);
    docker.load(image.archive());
    let pin = format!("{}@{}", repository_name(&image), image.resolved().digest());
    assert_eq!(docker.run(&pin, &[]), image.prints);
    docker.remove(&image.name());
}

#[test]
fn a_tag_with_its_digest_pulls_what_the_tag_pulls() {
    let image = &*PLATFORMS;
    let archive = session().work_folder("by-tag-and-digest").join("image.tar");
    pull(&format!("{}@{}", image.name(), image.resolved().digest()), &archive);
    assert_eq!(sha256_of(&archive), sha256_of(image.archive()));
}

#[test]
fn a_tag_with_another_digest_is_not_found() {
    let archive = session().work_folder("by-tag-and-wrong-digest").join("image.tar");
    let wrong = format!("{}@sha256:{}", PLATFORMS.name(), "0".repeat(64));
    let output = sealift(&["pull", &wrong, "-o"]).arg(&archive).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(!archive.exists());
}

#[test]
fn a_platform_is_pulled_when_it_is_asked_for() {
    let folder = session().work_folder("platforms");
    for (option, value, expected) in [
        ("--platform", "linux/arm64", "arm64"),
        ("--platform", "linux/arm64/v8", "arm64"),
        ("--platform", "linux/arm/v7", "arm"),
        ("--arch", "arm64", "arm64"),
        ("--arch", "amd64", "amd64"),
    ] {
        let archive = folder.join("image.tar");
        output_of(sealift(&["pull", &PLATFORMS.name(), option, value, "-o"]).arg(&archive));
        assert_eq!(architecture(&archive), expected, "{option} {value}");
        fs::remove_file(archive).unwrap();
    }
}

#[test]
fn the_manifest_of_a_platform_is_pulled_by_its_own_digest() {
    let entries = manifest(PLATFORMS.repository, TAG).json["manifests"].take();
    let arm64 = entries
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["platform"]["architecture"] == "arm64")
        .unwrap();
    let name = format!("{}@{}", repository_name(&PLATFORMS), arm64["digest"].as_str().unwrap());
    let archive = session().work_folder("by-platform-digest").join("image.tar");
    output_of(sealift(&["pull", &name, "--platform", "linux/arm64", "-o"]).arg(&archive));
    assert_eq!(architecture(&archive), "arm64");
}

#[test]
fn a_missing_platform_is_told_with_those_that_are_there() {
    let archive = session().work_folder("missing-platform").join("image.tar");
    let arguments = ["pull", &PLATFORMS.name(), "--platform", "linux/s390x", "-o"];
    let output = sealift(&arguments).arg(&archive).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("linux/arm64") && said.contains("linux/amd64"), "{said}");
    assert!(!said.contains("unknown"), "attestations are no platforms: {said}");
    assert!(!archive.exists());
}

#[test]
fn a_tag_that_is_not_there_is_not_found() {
    let folder = session().work_folder("missing-tag");
    for name in
        [format!("{}:none", repository_name(&SIXTY_LAYERS)), format!("{}/no/such", session().registry)]
    {
        SIXTY_LAYERS.resolved();
        let output = sealift(&["pull", &name]).current_dir(&folder).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{output:?}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "nothing is left");
}

#[test]
fn the_default_file_name_has_registry_repository_tag_and_architecture() {
    let folder = session().work_folder("default-name");
    let said = output_of(sealift(&["pull", &PLATFORMS.name(), "-q"]).current_dir(&folder));
    let port = session().registry.replace(':', "_");
    let file = format!("{port}_e2e_platforms_{TAG}_amd64.tar");
    assert_eq!(Path::new(said.trim()).file_name().unwrap().to_str(), Some(file.as_str()));
    assert_eq!(sha256_of(&folder.join(file)), sha256_of(PLATFORMS.archive()));
}

#[test]
fn an_archive_of_several_platforms_loads_everywhere_with_the_digest_of_the_index() {
    let image = push_platforms("e2e/both-platforms");
    let archive = session().work_folder("both-platforms").join("image.tar");
    let arguments = ["pull", &image.name(), "--platform", "linux/amd64", "--platform", "linux/arm64", "-o"];
    output_of(sealift(&arguments).arg(&archive));
    for set in [Set::Old, Set::Modern] {
        for loader in [&Docker(set) as &dyn Loader, &Podman(set), &Containerd(set)] {
            loader.load(&archive);
            assert!(
                loader.name_digest(&image.name()).is_none_or(|digest| digest == image.resolved().digest())
            );
            assert_eq!(loader.run(&image.name(), &[]), image.prints);
            loader.remove(&image.name());
        }
    }
}

#[test]
fn several_images_become_a_file_each() {
    let folder = session().work_folder("several");
    let names = [PLATFORMS.name(), SIXTY_LAYERS.name(), NO_LAYERS.name()];
    let mut command = sealift(&["pull", "--json"]);
    command.args(&names).arg("-o").arg(format!("{}/", folder.display()));
    let said = output_of(&mut command);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut told: Vec<PathBuf> = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["path"].as_str().unwrap().into())
        .collect();
    told.sort();
    assert_eq!(told, files);
    assert_eq!(files.len(), 3);
}

/// Pulled always, loaded only by `tests/run --long`.
#[test]
fn a_layer_of_2_gib_is_pulled_and_proves_itself() {
    let image = &*BIG_LAYER;
    let layers = image.resolved().manifest.json["layers"].take();
    for layer in layers.as_array().unwrap() {
        let hex = layer["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let check = "tar --extract --to-stdout --file \"$0\" \"$1/layer.tar\" | sha256sum";
        let sum = output_of(Command::new("sh").args(["-euc", check]).arg(image.archive()).arg(hex));
        assert_eq!(sum.split_whitespace().next(), Some(hex));
    }
}
