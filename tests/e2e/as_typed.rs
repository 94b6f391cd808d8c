//! `sealift pull busybox:latest` as a person types it, against a Docker Hub that demands tokens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::command::{output_of, output_of_with_input};
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::hub::HUB;
use crate::images::push_small;
use crate::loader::Loader;
use crate::podman::Podman;
use crate::registry::resolve;
use crate::session::{Set, session};
use crate::token_server::{PASSWORD, USER};

/// sealift in the hub's world and in an empty folder.
fn sealift(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = HUB.command(&session().sealift);
    command.args(arguments).arg("--ca").arg(&HUB.ca).current_dir(folder);
    command
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn loads_as(loader: &dyn Loader, archive: &Path, name: &str, prints: &str) {
    loader.load(archive);
    assert_eq!(loader.names(name), [name]);
    let resolved = resolve("library/busybox", "latest");
    assert_eq!(loader.config_digest(name), resolved.config_digest());
    assert_eq!(loader.run(name, &[]), prints);
    loader.remove(name);
}

#[test]
fn pull_busybox_makes_the_file_in_the_current_folder() {
    let prints = push_small("library/busybox", "latest");
    let folder = session().work_folder("as-typed");
    let said = output_of(&mut sealift(&folder, &["pull", "busybox:latest"]));
    let file = "docker.io_library_busybox_latest_amd64.tar";
    assert!(said.trim_end().ends_with(file), "{said}");
    assert_eq!(files(&folder), [file]);
    assert_eq!(HUB.tokens.tokens_for("repository:library/busybox:pull"), 1, "one token for all blobs");

    let archive: PathBuf = folder.join(file);
    for set in [Set::Old, Set::Modern] {
        loads_as(&Docker(set), &archive, "busybox:latest", &prints);
        loads_as(&Podman(set), &archive, "docker.io/library/busybox:latest", &prints);
        loads_as(&Containerd(set), &archive, "docker.io/library/busybox:latest", &prints);
    }
}

#[test]
fn an_unknown_certificate_authority_is_refused() {
    push_small("library/unknown-ca", "latest");
    let folder = session().work_folder("as-typed-without-ca");
    let mut command = HUB.command(&session().sealift);
    let output = command.args(["pull", "unknown-ca"]).current_dir(&folder).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("certificate"), "{said}");
    assert!(files(&folder).is_empty());
}

#[test]
fn a_private_repository_is_refused_without_credentials() {
    push_small("sailor/refused", "latest");
    let folder = session().work_folder("as-typed-private");
    let output = sealift(&folder, &["pull", "sailor/refused"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(files(&folder).is_empty());
}

#[test]
fn a_private_repository_is_pulled_with_a_password_from_standard_input() {
    push_small("sailor/private", "latest");
    let folder = session().work_folder("as-typed-password");
    let mut command = sealift(&folder, &["pull", "sailor/private", "-u", USER, "--password-stdin"]);
    output_of_with_input(&mut command, PASSWORD.as_bytes());
    assert_eq!(files(&folder), ["docker.io_sailor_private_latest_amd64.tar"]);
}

#[test]
fn a_wrong_password_is_refused() {
    push_small("sailor/guarded", "latest");
    let folder = session().work_folder("as-typed-wrong-password");
    let mut command = sealift(&folder, &["pull", "sailor/guarded", "-u", USER, "--password-stdin"]);
    let input = session().state.join("work/wrong-password");
    fs::write(&input, "guess\n").unwrap();
    let output = command.stdin(fs::File::open(input).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(files(&folder).is_empty());
}

#[test]
fn a_private_repository_is_pulled_with_what_docker_login_left() {
    push_small("sailor/logged-in", "latest");
    let folder = session().work_folder("as-typed-docker-login");
    let config = session().work_folder("as-typed-docker-config");
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let logins = json!({"auths": {"https://index.docker.io/v1/": {"auth": auth}}});
    fs::write(config.join("config.json"), logins.to_string()).unwrap();
    output_of(sealift(&folder, &["pull", "sailor/logged-in"]).env("DOCKER_CONFIG", config));
    assert_eq!(files(&folder), ["docker.io_sailor_logged-in_latest_amd64.tar"]);
}

#[test]
fn several_images_of_one_archive_keep_their_names_in_every_loader() {
    let images = [("library/alpha", "alpha:v1"), ("sailors/beta", "sailors/beta:v1")]
        .map(|(repository, familiar)| (repository, familiar, push_small(repository, "v1")));
    let folder = session().work_folder("as-typed-several");
    output_of(&mut sealift(&folder, &["pull", "alpha:v1", "sailors/beta:v1", "-o", "all.tar"]));
    assert_eq!(files(&folder), ["all.tar"]);
    let archive = folder.join("all.tar");
    let check = |loader: &dyn Loader, names: [String; 2], keeps_digests: bool| {
        loader.load(&archive);
        for ((repository, _, prints), name) in images.iter().zip(names) {
            let resolved = resolve(repository, "v1");
            assert_eq!(loader.names(&name), std::slice::from_ref(&name));
            assert_eq!(loader.config_digest(&name), resolved.config_digest(), "{name}");
            assert_eq!(loader.name_digest(&name).is_some(), keeps_digests, "{name}");
            assert!(loader.name_digest(&name).is_none_or(|digest| digest == resolved.digest()), "{name}");
            assert_eq!(loader.run(&name, &[]), *prints);
        }
    };
    let familiar = || images.each_ref().map(|(_, familiar, _)| (*familiar).to_owned());
    let full = || images.each_ref().map(|(repository, _, _)| format!("docker.io/{repository}:v1"));
    for set in [Set::Old, Set::Modern] {
        check(&Docker(set), familiar(), matches!(set, Set::Modern));
        check(&Podman(set), full(), false);
        check(&Containerd(set), full(), true);
    }
}
