//! The Docker daemons: 20.10 with its graph driver, 28 with the containerd image store.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::output_of;
use crate::containerd::Content;
use crate::loader::Loader;
use crate::session::{Set, session};

/// A Docker daemon of the session.
pub(crate) struct Docker(pub(crate) Set);

impl Docker {
    /// A command line of this daemon's own client.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command("/usr/bin/docker");
        command.arg(format!("--host={}", self.host()));
        command.args(arguments);
        command
    }

    /// Where the daemon is, as `DOCKER_HOST` has it.
    pub(crate) fn host(&self) -> String {
        let socket = session().run.join(format!("{}-docker.sock", self.0.name()));
        format!("unix://{}", socket.display())
    }

    fn inspect(&self, name: &str) -> Value {
        let text = output_of(&mut self.docker(&["image", "inspect", name]));
        serde_json::from_str::<Value>(&text).unwrap()[0].take()
    }

    /// The store of the containerd that this daemon started for itself.
    pub(crate) fn content(&self) -> Content {
        let folder = session().run.join(format!("{}-docker", self.0.name()));
        Content { set: self.0, socket: folder.join("containerd/containerd.sock"), namespace: "moby".into() }
    }
}

impl Loader for Docker {
    fn load_file(&self, archive: &Path) -> Command {
        let mut command = self.docker(&["load", "--input"]);
        command.arg(archive);
        command
    }

    fn load_stdin(&self) -> Command {
        self.docker(&["load"])
    }

    fn names(&self, name: &str) -> Vec<String> {
        let image = self.inspect(name);
        let tags = image["RepoTags"].as_array().expect("RepoTags");
        tags.iter().map(|tag| tag.as_str().unwrap().into()).collect()
    }

    fn config_digest(&self, name: &str) -> String {
        let id = self.inspect(name)["Id"].as_str().unwrap().to_owned();
        match self.0 {
            Set::Old => id,
            // The containerd store calls an image by what its name resolved to.
            Set::Modern => self.content().config_digest(&id),
        }
    }

    fn name_digest(&self, name: &str) -> Option<String> {
        match self.0 {
            Set::Old => None,
            Set::Modern => Some(self.inspect(name)["Id"].as_str().unwrap().into()),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.docker(&["image", "inspect", name]).output().unwrap().status.success()
    }

    fn run_command(&self, name: &str, command: &[&str]) -> Command {
        let mut run = self.docker(&["run", "--rm", "--network=none", name]);
        run.args(command);
        run
    }

    fn remove(&self, name: &str) {
        output_of(&mut self.docker(&["image", "rm", "--force", name]));
    }
}
