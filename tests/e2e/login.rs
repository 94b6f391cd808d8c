//! `sealift login` and `logout`, and the files that they share with docker and podman.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::Command;

use crate::command::{failure_of, output_of, output_of_with_input};
use crate::docker::Docker;
use crate::guarded::{BASIC, BY_TOKEN, Guarded};
use crate::loader::Loader;
use crate::podman::Podman;
use crate::sealift::{at_home, sealift};
use crate::session::{Set, session};

fn pull(name: &str) -> Command {
    sealift(&["pull", name, "-o", "image.tar"])
}

/// Runs a command that takes the registry's password from its standard input.
fn with_password(registry: &Guarded, command: &mut Command) {
    output_of_with_input(command, registry.password.as_bytes());
}

/// `docker pull` with the credentials at home, by daemons that keep none themselves; the image runs.
fn docker_pulls(home: &Path, name: &str, prints: &str) {
    for docker in [Docker(Set::Old), Docker(Set::Modern)] {
        output_of(at_home(&mut docker.docker(&["pull", name]), home));
        assert_eq!(docker.run(name, &[]), prints);
        docker.remove(name);
    }
}

fn login_serves_docker_too(test: &str, registry: &Guarded) {
    let home = session().work_folder(test);
    let (name, prints) = registry.push(test);
    failure_of(at_home(&mut pull(&name), &home), 5);

    let mut login = sealift(&["login", &registry.address, "-u", registry.user, "--password-stdin"]);
    with_password(registry, at_home(&mut login, &home));
    output_of(at_home(&mut pull(&name), &home));
    docker_pulls(&home, &name, &prints);

    output_of(at_home(&mut sealift(&["logout", &registry.address]), &home));
    fs::remove_file(home.join("image.tar")).unwrap();
    failure_of(at_home(&mut pull(&name), &home), 5);
    let docker = Docker(Set::Old);
    let refused = at_home(&mut docker.docker(&["pull", &name]), &home).output().unwrap();
    assert!(!refused.status.success(), "docker, too, has no password any more: {refused:?}");
}

#[test]
fn login_with_a_password_serves_docker_too_until_logout() {
    login_serves_docker_too("login", &BASIC);
}

#[test]
fn login_for_tokens_serves_docker_too_until_logout() {
    login_serves_docker_too("login-by-token", &BY_TOKEN);
}

/// By `sudo` with HOME kept, as docker does it.
#[test]
fn a_login_by_root_leaves_a_users_file_the_users() {
    const USER: u32 = 1000;
    let home = session().work_folder("login-by-root");
    let file = home.join(".docker/config.json");
    fs::create_dir(home.join(".docker")).unwrap();
    fs::write(&file, r#"{"auths": {"other.site.test": {}}}"#).unwrap();
    chown(&file, Some(USER), Some(USER)).unwrap();
    let mut login = sealift(&["login", &BASIC.address, "-u", BASIC.user, "--password-stdin"]);
    with_password(&BASIC, at_home(&mut login, &home));
    assert!(fs::read_to_string(&file).unwrap().contains(&BASIC.address));
    let file = fs::metadata(file).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (USER, USER, 0o600));
}

#[test]
fn a_wrong_password_is_not_stored() {
    for (test, registry) in [("login-wrong", &*BASIC), ("login-wrong-by-token", &BY_TOKEN)] {
        let home = session().work_folder(test);
        let mut login = sealift(&["login", &registry.address, "-u", registry.user]);
        let said = failure_of(at_home(&mut login, &home).env("SEALIFT_PASSWORD", "barnacles"), 5);
        assert!(said.contains(&registry.address) && said.contains("hint: "), "{said}");
        assert!(!said.contains("barnacles"), "a password is never shown");
        assert_eq!(fs::read_dir(home).unwrap().count(), 0);
    }
}

fn docker_login_serves_sealift(test: &str, registry: &Guarded, docker: &Docker) {
    let home = session().work_folder(test);
    // Into a file that has nothing yet docker 20 writes the helper of `pass`, where that is installed.
    fs::create_dir(home.join(".docker")).unwrap();
    fs::write(home.join(".docker/config.json"), r#"{"auths": {"other.site.test": {}}}"#).unwrap();
    let (name, _) = registry.push(test);
    let mut login = docker.docker(&["login", "-u", registry.user, "--password-stdin", &registry.address]);
    with_password(registry, at_home(&mut login, &home));
    output_of(at_home(&mut pull(&name), &home));

    output_of(at_home(&mut docker.docker(&["logout", &registry.address]), &home));
    fs::remove_file(home.join("image.tar")).unwrap();
    failure_of(at_home(&mut pull(&name), &home), 5);
}

#[test]
fn what_docker_login_20_wrote_is_taken_until_docker_logout() {
    docker_login_serves_sealift("docker-20-login", &BASIC, &Docker(Set::Old));
    docker_login_serves_sealift("docker-20-login-by-token", &BY_TOKEN, &Docker(Set::Old));
}

#[test]
fn what_docker_login_28_wrote_is_taken_until_docker_logout() {
    docker_login_serves_sealift("docker-28-login", &BASIC, &Docker(Set::Modern));
    docker_login_serves_sealift("docker-28-login-by-token", &BY_TOKEN, &Docker(Set::Modern));
}

#[test]
fn what_podman_login_wrote_for_a_repository_is_for_that_alone() {
    for (test, podman) in [("podman-4-login", Podman(Set::Old)), ("podman-5-login", Podman(Set::Modern))] {
        let home = session().work_folder(test);
        let (name, _) = BASIC.push(test);
        let (other, _) = BASIC.push(&format!("{test}-other"));
        let auth_file = home.join("auth.json");
        let mut login = podman.podman(&["login", "--tls-verify=false", "-u", BASIC.user, "--password-stdin"]);
        login.arg("--authfile").arg(&auth_file).arg(name.strip_suffix(":v1").unwrap());
        with_password(&BASIC, at_home(&mut login, &home));
        output_of(at_home(&mut pull(&name), &home).env("REGISTRY_AUTH_FILE", &auth_file));
        failure_of(at_home(&mut pull(&other), &home).env("REGISTRY_AUTH_FILE", &auth_file), 5);
    }
}
