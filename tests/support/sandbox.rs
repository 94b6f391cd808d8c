//! A clean place to run the binary in: its own home, its own folder, nothing of this machine's environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) struct Sandbox {
    folder: TempDir,
    variables: Vec<(String, String)>,
    redactions: Vec<(String, String)>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "out"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let redactions = vec![(folder.path().to_str().unwrap().to_owned(), "[SANDBOX]".to_owned())];
        Self { folder, variables: vec![], redactions }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where commands run.
    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Shows `text` as `name` in what [`Self::run`] returns.
    pub(crate) fn redact(mut self, text: impl Into<String>, name: &str) -> Self {
        self.redactions.insert(0, (text.into(), name.to_owned()));
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
        command
            .args(arguments)
            .current_dir(self.out())
            .env_clear()
            .env("HOME", self.home())
            .env("TMPDIR", self.folder.path())
            // A fault is told at once; tests of tries say how often.
            .env("SEALIFT_RETRY_TIMES", "0")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs the binary and shows exit code, stdout and stderr together, for a snapshot.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.shown(&self.output(arguments))
    }

    /// What [`Self::run`] shows of how a run went.
    pub(crate) fn shown(&self, output: &Output) -> String {
        let text = format!(
            "exit code: {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string()),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        self.redacted(&text)
    }

    /// A text as it is shown.
    pub(crate) fn redacted(&self, text: &str) -> String {
        self.redactions.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// The names in the folder commands run in.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.out()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Sends signals to the binary, and gives how it ended. That it does not is a failure, too.
#[cfg(unix)]
pub(crate) fn signalled(child: Child, signals: &[Signal]) -> Output {
    let pid = Pid::from_child(&child);
    for signal in signals {
        kill_process(pid, *signal).unwrap();
    }
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let output = ended.recv_timeout(Duration::from_mins(1)).unwrap_or_else(|_| {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("{signals:?} did not end it")
    });
    output.unwrap()
}
