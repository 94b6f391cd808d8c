//! podman, which has no daemon: each set has a storage folder of its own.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::output_of;
use crate::loader::Loader;
use crate::session::{Set, session};

/// The podman of a set.
pub(crate) struct Podman(pub(crate) Set);

impl Podman {
    pub(crate) fn podman(&self, arguments: &[&str]) -> Command {
        let session = session();
        let folder = format!("{}-podman", self.0.name());
        let mut command = self.0.command("/usr/bin/podman");
        command.arg("--root").arg(session.state.join(&folder));
        command.arg("--runroot").arg(session.run.join(&folder));
        // crun refuses a machine with control groups of both versions; without systemd there is no journal, no scopes.
        command.args(["--storage-driver=overlay", "--runtime=/usr/sbin/runc"]);
        command.args(["--cgroup-manager=cgroupfs", "--events-backend=file"]);
        command.args(arguments);
        command
    }

    fn inspect(&self, name: &str) -> Value {
        let text = output_of(&mut self.podman(&["image", "inspect", name]));
        serde_json::from_str::<Value>(&text).unwrap()[0].take()
    }
}

impl Loader for Podman {
    fn load_file(&self, archive: &Path) -> Command {
        let mut command = self.podman(&["load", "--input"]);
        command.arg(archive);
        command
    }

    fn load_stdin(&self) -> Command {
        self.podman(&["load"])
    }

    fn names(&self, name: &str) -> Vec<String> {
        let image = self.inspect(name);
        let tags = image["RepoTags"].as_array().expect("RepoTags");
        tags.iter().map(|tag| tag.as_str().unwrap().into()).collect()
    }

    fn config_digest(&self, name: &str) -> String {
        format!("sha256:{}", self.inspect(name)["Id"].as_str().unwrap())
    }

    fn name_digest(&self, _name: &str) -> Option<String> {
        None
    }

    fn has(&self, name: &str) -> bool {
        self.podman(&["image", "exists", name]).output().unwrap().status.success()
    }

    fn run_command(&self, name: &str, command: &[&str]) -> Command {
        let group = format!("--cgroup-parent=/{}", session().control_group);
        let mut run = self.podman(&["run", "--rm", "--network=none", &group, name]);
        run.args(command);
        run
    }

    fn remove(&self, name: &str) {
        output_of(&mut self.podman(&["image", "rm", "--force", name]));
    }
}
