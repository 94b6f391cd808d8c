//! `sealift serve`, started by a test over a folder of its own.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::command::output_of_with_input;
use crate::daemon::{Daemon, await_port, free_address};
use crate::sealift::sealift;
use crate::session::session;

/// It ends with its value.
pub(crate) struct Served {
    /// Where archives go.
    pub(crate) folder: PathBuf,
    work: PathBuf,
    address: String,
    options: Vec<String>,
    daemon: Daemon,
}

impl Served {
    /// One that anybody of this machine may use.
    pub(crate) fn start(test: &str) -> Self {
        Self::start_so(test, &[])
    }

    /// The same, with these options.
    pub(crate) fn start_so(test: &str, options: &[&str]) -> Self {
        Self::start_with(session().work_folder(test), options.iter().map(ToString::to_string).collect())
    }

    /// One for a user alone.
    pub(crate) fn for_user(test: &str, name: &str, password: &str) -> Self {
        let work = session().work_folder(test);
        let file = work.join("users").to_str().unwrap().to_owned();
        let mut add = sealift(&["serve", "--add-user", name, "--user-file", &file]);
        output_of_with_input(&mut add, password.as_bytes());
        Self::start_with(work, vec!["--user-file".to_owned(), file])
    }

    fn start_with(work: PathBuf, options: Vec<String>) -> Self {
        let (folder, address) = (work.join("archives"), free_address());
        let daemon = run(&work, &folder, &address, &options);
        Self { folder, work, address, options, daemon }
    }

    /// Tells it to end, and waits for that.
    pub(crate) fn stop(&mut self) {
        self.daemon.end(Signal::TERM);
    }

    /// Starts it where it was.
    pub(crate) fn start_again(&mut self) {
        self.daemon = run(&self.work, &self.folder, &self.address, &self.options);
    }

    /// Where its page is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

fn run(work: &Path, folder: &Path, address: &str, options: &[String]) -> Daemon {
    let mut serve = sealift(&["serve", "--listen", address, "--dir"]);
    let daemon = Daemon::start(work, "serve", serve.arg(folder).args(options));
    await_port(address);
    daemon
}
