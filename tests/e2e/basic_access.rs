//! A docker-registry that wants a user and password (Basic): given on the command line, by the environment, or left by
//! a real `docker login`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::sync::LazyLock;

use crate::command::{output_of, output_of_with_input};
use crate::docker::Docker;
use crate::hub::{await_port, start};
use crate::images::push_small;
use crate::sealift::sealift;
use crate::session::{Set, session};

const REGISTRY: &str = "127.0.0.1:5002";
const USER: &str = "sailor";
const PASSWORD: &str = "pass:word with blanks";

/// The open registry's storage behind a list of users; it ends with the session.
static RUNNING: LazyLock<Child> = LazyLock::new(|| {
    let folder = session().work_folder("basic-registry");
    let line = output_of(Command::new("htpasswd").args(["-nbB", USER, PASSWORD]));
    fs::write(folder.join("users"), line).unwrap();
    let config = format!(
        "version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {storage}}}}}
http: {{addr: '{REGISTRY}'}}
auth: {{htpasswd: {{realm: sealift tests, path: {users}}}}}
",
        storage = session().state.join("registry").display(),
        users = folder.join("users").display(),
    );
    fs::write(folder.join("registry.yml"), config).unwrap();
    let child = start(&folder, "registry", Command::new("docker-registry").args(["serve", "registry.yml"]));
    await_port(REGISTRY);
    child
});

/// A pull of an image that is there, into an empty folder.
fn pull(folder: &Path, arguments: &[&str]) -> Command {
    LazyLock::force(&RUNNING);
    push_small("e2e/basic", "v1");
    let mut command = sealift(&["pull", &format!("{REGISTRY}/e2e/basic:v1")]);
    command.args(arguments).current_dir(folder);
    command
}

fn is_refused(folder: &Path, output: &Output) {
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains(PASSWORD), "a password is never shown");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn a_user_and_a_password_from_standard_input_are_taken() {
    let folder = session().work_folder("basic-stdin");
    output_of_with_input(&mut pull(&folder, &["-u", USER, "--password-stdin"]), PASSWORD.as_bytes());
    assert!(folder.join("127.0.0.1_5002_e2e_basic_v1_amd64.tar").exists());
}

#[test]
fn a_user_and_a_password_from_the_environment_are_taken() {
    let folder = session().work_folder("basic-environment");
    let mut command = pull(&folder, &["-o", "image.tar"]);
    output_of(command.env("SEALIFT_USERNAME", USER).env("SEALIFT_PASSWORD", PASSWORD));
    assert!(folder.join("image.tar").exists());
}

#[test]
fn what_docker_login_wrote_is_taken() {
    let folder = session().work_folder("basic-login");
    let config = session().work_folder("basic-login-config");
    let mut command = pull(&folder, &["-o", "image.tar"]);
    let mut login = Docker(Set::Old).docker(&["login", "-u", USER, "--password-stdin", REGISTRY]);
    output_of_with_input(login.env("DOCKER_CONFIG", &config), PASSWORD.as_bytes());
    output_of(command.env("DOCKER_CONFIG", &config));
    assert!(folder.join("image.tar").exists());
}

#[test]
fn nobody_is_refused() {
    let folder = session().work_folder("basic-nobody");
    is_refused(&folder, &pull(&folder, &[]).output().unwrap());
}

#[test]
fn a_wrong_password_is_refused() {
    let folder = session().work_folder("basic-wrong");
    let mut command = pull(&folder, &[]);
    command.env("SEALIFT_USERNAME", USER).env("SEALIFT_PASSWORD", format!("not {PASSWORD}"));
    is_refused(&folder, &command.output().unwrap());
}
