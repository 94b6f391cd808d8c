//! A pull under way: how far it is, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::daemon::await_that;

/// It is killed when its value is dropped.
pub(crate) struct Running {
    process: Child,
    said: PathBuf,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What it said on standard error.
    pub(crate) said: String,
}

impl Ended {
    /// Fails unless it ended well; what it said.
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.said);
        self.said
    }
}

impl Running {
    /// Starts a pull, with its events in a file of that folder.
    pub(crate) fn start(folder: &Path, pull: &mut Command) -> Self {
        let said = folder.join("said");
        let log = fs::File::create(&said).unwrap();
        pull.args(["--progress", "json"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self { process: pull.spawn().unwrap(), said }
    }

    pub(crate) fn await_event(&mut self, name: &str) {
        self.await_that(name, |events| events.iter().any(|event| event["event"] == name));
    }

    /// Waits until so many bytes of layers came, more or less.
    pub(crate) fn await_bytes(&mut self, bytes: u64) {
        self.await_that("the bytes come", |events| fetched_bytes(events) >= bytes);
    }

    fn await_that(&mut self, what: &str, is_so: impl Fn(&[Value]) -> bool) {
        await_that(what, || {
            // Asked first: what it said before it ended is read then.
            let has_ended = self.process.try_wait().unwrap().is_some();
            let said = fs::read_to_string(&self.said).unwrap();
            let is_so = is_so(&events(&said));
            assert!(is_so || !has_ended, "it ended before {what}: {said}");
            is_so
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        crate::daemon::signal(&self.process, signal);
    }

    pub(crate) fn end(mut self) -> Ended {
        let status = self.process.wait().unwrap();
        Ended { code: status.code(), said: fs::read_to_string(&self.said).unwrap() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that was waited for is none to be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The events in what a pull said.
pub(crate) fn events(said: &str) -> Vec<Value> {
    said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn fetched_bytes(events: &[Value]) -> u64 {
    events
        .iter()
        .filter(|event| event["event"] == "blob_progressed")
        .filter_map(|event| event["bytes"].as_u64())
        .sum()
}
