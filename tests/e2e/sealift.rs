//! The program under test, as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

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

/// What `sealift verify --json` says of an archive.
pub(crate) struct Verified {
    pub(crate) report: Value,
}

impl Verified {
    pub(crate) fn problem_kinds(&self) -> Vec<&str> {
        let problems = self.report["problems"].as_array().unwrap().iter();
        problems.map(|problem| problem["kind"].as_str().unwrap()).collect()
    }
}

/// Verifies an archive. The exit code is held against what is said.
pub(crate) fn verified(archive: &Path, options: &[&str]) -> Verified {
    let mut command = sealift(&["verify", "--json", "--progress", "none"]);
    let output = command.args(options).arg(archive).stdin(Stdio::null()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let code = if report["is_whole"] == true { 0 } else { 3 };
    assert_eq!(output.status.code(), Some(code), "{}: {output:?}", archive.display());
    Verified { report }
}

/// What `sealift inspect --json` says of an archive.
pub(crate) fn inspected(archive: &Path) -> Value {
    serde_json::from_str(&output_of(sealift(&["inspect", "--json"]).arg(archive))).unwrap()
}

/// Mends an archive into a file beside it, with a name where it has none.
pub(crate) fn mended(archive: &Path, name: Option<&str>) -> PathBuf {
    let mended = PathBuf::from(format!("{}.mended", archive.display()));
    if mended.exists() {
        fs::remove_file(&mended).unwrap();
    }
    let tag = name.map(|name| ["--tag", name]);
    let mut command = sealift(&["verify", "--quiet", "--fix"]);
    output_of(command.args(tag.iter().flatten()).arg("--output").arg(&mended).arg(archive));
    mended
}
