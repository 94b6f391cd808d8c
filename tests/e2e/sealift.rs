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

/// The command as one whose home this is would run it: nothing of anybody's settings, and no failure is tried again.
pub(crate) fn at_home<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", home);
    command.env("SEALIFT_RETRY_TIMES", "0").current_dir(home)
}

/// How the layers are to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layers {
    /// As no option asks for.
    Auto,
    Keep,
    Plain,
}

impl Layers {
    /// The option that asks for it.
    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            Layers::Auto => &[],
            Layers::Keep => &["--layers", "keep"],
            Layers::Plain => &["--layers", "plain"],
        }
    }
}

/// Pulls `name` into `file`.
pub(crate) fn pull(name: &str, file: &Path) {
    pull_with(Layers::Auto, name, file);
}

/// Pulls `name` into `file` with its layers so.
pub(crate) fn pull_with(layers: Layers, name: &str, file: &Path) {
    output_of(sealift(&["pull", name]).args(layers.options()).arg("-o").arg(file));
}
