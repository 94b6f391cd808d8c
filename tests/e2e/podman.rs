//! podman, which has no daemon: each set has a storage folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::command::output_of;
use crate::loader::Loader;
use crate::session::{Set, session};

/// The podman of a set.
pub(crate) struct Podman(pub(crate) Set);

impl Podman {
    pub(crate) fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command("/usr/bin/podman");
        let [root, run_root] = self.folders();
        command.arg("--root").arg(root).arg("--runroot").arg(run_root);
        // crun refuses a machine with control groups of both versions; without systemd there is no journal, no scopes.
        command.args(["--storage-driver=overlay", "--runtime=/usr/sbin/runc"]);
        command.args(["--cgroup-manager=cgroupfs", "--events-backend=file"]);
        command.args(arguments);
        command
    }

    /// Where images are, and where containers run.
    fn folders(&self) -> [PathBuf; 2] {
        let folder = format!("{}-podman", self.0.name());
        [session().state.join(&folder), session().run.join(&folder)]
    }

    /// A file for `CONTAINERS_STORAGE_CONF`, which tells a podman without options of the same storage.
    pub(crate) fn storage_conf(&self) -> PathBuf {
        static WRITTEN: [OnceLock<PathBuf>; 2] = [const { OnceLock::new() }; 2];
        let file = WRITTEN[usize::from(self.0 == Set::Modern)].get_or_init(|| {
            let [root, run_root] = self.folders();
            let file = root.with_extension("storage.conf");
            let (root, run_root) = (root.display(), run_root.display());
            let text = format!(
                "[storage]\ndriver = \"overlay\"\ngraphroot = \"{root}\"\nrunroot = \"{run_root}\"\n"
            );
            fs::write(&file, text).unwrap();
            file
        });
        file.clone()
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
