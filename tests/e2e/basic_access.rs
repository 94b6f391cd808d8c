//! A docker-registry that wants a user and password (Basic): given on the command line or by the environment.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{failure_of, output_of, output_of_with_input};
use crate::guarded::BASIC;
use crate::sealift::sealift;
use crate::session::session;

/// A pull of an image that is there, into an empty folder.
fn pull(folder: &Path, arguments: &[&str]) -> Command {
    let (name, _) = BASIC.push("basic");
    let mut command = sealift(&["pull", &name, "-o", "image.tar"]);
    command.args(arguments).current_dir(folder);
    command
}

fn is_refused(folder: &Path, pull: &mut Command) {
    assert!(!failure_of(pull, 5).contains(BASIC.password), "a password is never shown");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn a_user_and_a_password_from_standard_input_are_taken() {
    let folder = session().work_folder("basic-stdin");
    let mut command = pull(&folder, &["-u", BASIC.user, "--password-stdin"]);
    output_of_with_input(&mut command, BASIC.password.as_bytes());
    assert!(folder.join("image.tar").exists());
}

#[test]
fn a_user_and_a_password_from_the_environment_are_taken() {
    let folder = session().work_folder("basic-environment");
    let mut command = pull(&folder, &[]);
    output_of(command.env("SEALIFT_USERNAME", BASIC.user).env("SEALIFT_PASSWORD", BASIC.password));
    assert!(folder.join("image.tar").exists());
}

#[test]
fn nobody_is_refused() {
    let folder = session().work_folder("basic-nobody");
    is_refused(&folder, &mut pull(&folder, &[]));
}

#[test]
fn a_wrong_password_is_refused() {
    let folder = session().work_folder("basic-wrong");
    let mut command = pull(&folder, &[]);
    let wrong = format!("not {}", BASIC.password);
    is_refused(&folder, command.env("SEALIFT_USERNAME", BASIC.user).env("SEALIFT_PASSWORD", wrong));
}
