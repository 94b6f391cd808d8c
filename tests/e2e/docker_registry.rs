//! docker-registry, started by a test: over the session's images or a storage of its own, behind whatever is to be before it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::{Daemon, await_port, free_address};
use crate::session::session;

pub(crate) struct DockerRegistry {
    pub(crate) address: String,
    pub(crate) storage: PathBuf,
    _daemon: Daemon,
}

impl DockerRegistry {
    /// One with all images of the session. `settings` go on where the section `http` of its configuration ends.
    pub(crate) fn of_the_session(folder: &Path, settings: &str) -> Self {
        Self::start(folder, &session().state.join("registry"), free_address(), settings)
    }

    /// One with a storage of its own.
    pub(crate) fn of_its_own(folder: &Path, settings: &str) -> Self {
        Self::start(folder, &folder.join("storage"), free_address(), settings)
    }

    /// One at an address of the test's choice.
    pub(crate) fn start(folder: &Path, storage: &Path, address: String, settings: &str) -> Self {
        let config = format!(
            "version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {storage}}}}}
http:
  addr: '{address}'
{settings}",
            storage = storage.display(),
        );
        fs::write(folder.join("registry.yml"), config).unwrap();
        let mut serve = Command::new("docker-registry");
        let daemon = Daemon::start(folder, "registry", serve.args(["serve", "registry.yml"]));
        await_port(&address);
        Self { address, storage: storage.to_owned(), _daemon: daemon }
    }
}
