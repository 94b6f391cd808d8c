//! sealift's own registry server, used by the tools that people have: docker, podman and skopeo of both sets push to it
//! and pull from it.

use std::net::SocketAddr;
use std::process::Command;

use sealift::registry::server::{Server, Store, router};

use crate::command::output_of;
use crate::docker::Docker;
use crate::images::{PLATFORMS, push_small};
use crate::loader::Loader;
use crate::podman::Podman;
use crate::registry::{block_on, digest_of};
use crate::sealift::pull;
use crate::session::{Set, session};
use crate::skopeo::Skopeo;

/// A server of a test's own, over files and over memory in turn.
fn servers(test: &str) -> [Server; 2] {
    let folder = session().work_folder(&format!("server-{test}"));
    [Store::directory(folder).unwrap(), Store::memory()].map(|store| {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        block_on(Server::start(router(store), any_port)).unwrap()
    })
}

/// Takes an image from the session's registry, pushes it to the server, and pulls it from there again.
fn round_trip(test: &str, set: Set, loader: &dyn Loader, command: impl Fn(&[&str]) -> Command) {
    let repository = format!("e2e/server-{test}-{}", set.name());
    let prints = push_small(&repository, "v1");
    let name = format!("{}/{repository}:v1", session().registry);
    for server in servers(&repository.replace('/', "-")) {
        let target = format!("{}/{repository}:v1", server.address());
        output_of(&mut command(&["pull", &name]));
        output_of(&mut command(&["tag", &name, &target]));
        output_of(&mut command(&["push", &target]));
        loader.remove(&name);
        loader.remove(&target);
        output_of(&mut command(&["pull", &target]));
        assert_eq!(loader.run(&target, &[]), prints);
        loader.remove(&target);
        block_on(server.shutdown());
    }
}

#[test]
fn docker_20_pushes_and_pulls() {
    let docker = Docker(Set::Old);
    round_trip("docker", Set::Old, &docker, |arguments| docker.docker(arguments));
}

#[test]
fn docker_28_pushes_and_pulls() {
    let docker = Docker(Set::Modern);
    round_trip("docker", Set::Modern, &docker, |arguments| docker.docker(arguments));
}

#[test]
fn podman_4_pushes_and_pulls() {
    podman(Set::Old);
}

#[test]
fn podman_5_pushes_and_pulls() {
    podman(Set::Modern);
}

fn podman(set: Set) {
    let podman = Podman(set);
    round_trip("podman", set, &podman, |arguments| {
        let mut command = podman.podman(&arguments[..1]);
        if arguments[0] != "tag" {
            command.arg("--tls-verify=false");
        }
        command.args(&arguments[1..]);
        command
    });
}

#[test]
fn skopeo_1_9_copies_an_index_there_and_back() {
    skopeo(Set::Old);
}

#[test]
fn skopeo_1_22_copies_an_index_there_and_back() {
    skopeo(Set::Modern);
}

/// All of an index, attestations too: what comes back has the digest that went in.
fn skopeo(set: Set) {
    let skopeo = Skopeo(set);
    let copy = |from: &str, to: &str| {
        let options = ["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", from, to];
        output_of(&mut skopeo.skopeo(&options));
    };
    for server in servers(&format!("skopeo-{}", set.name())) {
        let there = format!("docker://{}/some/where:v1", server.address());
        let again = format!("docker://{}/else/where:v2", server.address());
        copy(&format!("docker://{}", PLATFORMS.name()), &there);
        copy(&there, &again);
        let raw = output_of(&mut skopeo.skopeo(&["inspect", "--raw", "--tls-verify=false", &again]));
        assert_eq!(digest_of(raw.as_bytes()), PLATFORMS.resolved().digest());
        let tags =
            output_of(&mut skopeo.skopeo(&["list-tags", "--tls-verify=false", &again[..again.len() - 3]]));
        assert!(tags.contains("v2"), "{tags}");
        block_on(server.shutdown());
    }
}

#[test]
fn sealift_pulls_from_it_what_it_pulls_from_docker_registry() {
    for server in servers("sealift") {
        let name = format!("{}/{}:v1", server.address(), PLATFORMS.repository);
        let target = format!("docker://{name}");
        let options = ["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"];
        let source = format!("docker://{}", PLATFORMS.name());
        output_of(Skopeo(Set::Old).skopeo(&options).args([&source, &target]));
        let archive = session().work_folder("server-sealift-archive").join("image.tar");
        pull(&name, &archive);
        let docker = Docker(Set::Modern);
        docker.load(&archive);
        assert_eq!(docker.name_digest(&name).as_deref(), Some(PLATFORMS.resolved().digest()));
        docker.remove(&name);
        block_on(server.shutdown());
    }
}
