//! The program under test, as a user runs it.

use std::path::Path;
use std::process::Command;

use crate::command::output_of;
use crate::session::session;

/// A command line of the release binary.
pub(crate) fn sealift(arguments: &[&str]) -> Command {
    let mut command = Command::new(&session().sealift);
    command.args(arguments);
    command
}

/// Pulls `name` into `file`.
pub(crate) fn pull(name: &str, file: &Path) {
    output_of(sealift(&["pull", name, "-o"]).arg(file));
}
