//! Running commands that must succeed, or must fail in one way.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What the command, which has to fail with this exit code, said on standard error.
pub(crate) fn failure_of(command: &mut Command, code: i32) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// What the command printed on standard output; a failing command is a failing test, with all it said.
pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8(checked(command, output)).unwrap()
}

/// The same, for a command that reads `input`.
pub(crate) fn output_of_with_input(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    checked(command, output)
}

/// What the command, which has to succeed, said on standard error.
pub(crate) fn said_by(command: &mut Command) -> String {
    failure_of(command, 0)
}

fn checked(command: &Command, output: Output) -> Vec<u8> {
    assert!(
        output.status.success(),
        "{command:?}: {}\nstdout: {}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
