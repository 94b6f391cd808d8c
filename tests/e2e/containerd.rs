//! The containerd daemons, spoken to by their own `ctr`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::command::output_of;
use crate::loader::Loader;
use crate::session::{Set, session};

/// A containerd's content store, which Docker's containerd image store is too.
pub(crate) struct Content {
    pub(crate) set: Set,
    pub(crate) socket: PathBuf,
    pub(crate) namespace: String,
}

impl Content {
    pub(crate) fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = self.set.command("/usr/bin/ctr");
        command.arg("--address").arg(&self.socket);
        command.arg("--namespace").arg(&self.namespace);
        command.args(arguments);
        command
    }

    fn document(&self, digest: &str) -> Value {
        let text = output_of(&mut self.ctr(&["content", "get", digest]));
        serde_json::from_str(&text).unwrap()
    }

    /// The config of the manifest with this digest, or of the index's manifest for this machine's kind.
    pub(crate) fn config_digest(&self, digest: &str) -> String {
        let mut document = self.document(digest);
        if let Some(manifests) = document["manifests"].as_array() {
            let manifest = manifests
                .iter()
                .find(|manifest| manifest["platform"]["architecture"] == "amd64")
                .expect("a manifest for amd64");
            document = self.document(manifest["digest"].as_str().unwrap());
        }
        document["config"]["digest"].as_str().unwrap().into()
    }
}

/// A containerd of the session.
pub(crate) struct Containerd(pub(crate) Set);

impl Containerd {
    pub(crate) fn content(&self) -> Content {
        let socket = format!("{}-containerd.sock", self.0.name());
        Content {
            set: self.0,
            socket: session().run.join(socket),
            // ctr puts containers into a control group of its namespace's name.
            namespace: session().control_group.clone(),
        }
    }

    /// A command line of this containerd's own client, in the session's namespace.
    pub(crate) fn ctr(&self, arguments: &[&str]) -> Command {
        self.content().ctr(arguments)
    }

    /// Names and digests of all images.
    fn images(&self) -> Vec<(String, String)> {
        let text = output_of(&mut self.content().ctr(&["images", "list"]));
        let rows = text.lines().skip(1).map(|line| {
            let mut words = line.split_whitespace();
            let (name, _media_type) = (words.next().unwrap(), words.next());
            (name.to_owned(), words.next().unwrap().to_owned())
        });
        rows.collect()
    }
}

impl Loader for Containerd {
    fn load_file(&self, archive: &Path) -> Command {
        let mut command = self.ctr(&["images", "import"]);
        command.arg(archive);
        command
    }

    fn load_stdin(&self) -> Command {
        self.content().ctr(&["images", "import", "-"])
    }

    fn names(&self, name: &str) -> Vec<String> {
        let digest = self.name_digest(name);
        let images = self.images().into_iter();
        let same = images.filter(|(_, image)| Some(image) == digest.as_ref());
        same.map(|(name, _)| name).collect()
    }

    fn config_digest(&self, name: &str) -> String {
        self.content().config_digest(&self.name_digest(name).unwrap())
    }

    fn name_digest(&self, name: &str) -> Option<String> {
        let mut images = self.images().into_iter();
        let found = images.find(|(image, _)| image == name);
        let (_, digest) = found.unwrap_or_else(|| panic!("no image {name}: {:?}", self.images()));
        Some(digest)
    }

    fn has(&self, name: &str) -> bool {
        self.images().iter().any(|(image, _)| image == name)
    }

    fn run_command(&self, name: &str, command: &[&str]) -> Command {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let container = format!("container-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        // What ctr copies by itself it may lose: where the machine is slow it ends before it has opened the pipe.
        let log = session().state.join("logs").join(format!("{}-{container}.log", self.0.name()));
        let uri = format!("file://{}", log.display());
        // Without new privileges, file capabilities would not count; the other loaders allow them by default.
        let run = self.ctr(&["run", "--rm", "--allow-new-privs", "--log-uri", &uri, name, &container]);
        let mut logged = Command::new("/bin/sh");
        logged
            .args(["-c", r#"log=$1; shift; "$@"; code=$?; cat "$log"; rm "$log"; exit $code"#, "sh"])
            .arg(log);
        logged.arg(run.get_program()).args(run.get_args()).args(command);
        logged
    }

    fn remove(&self, name: &str) {
        output_of(&mut self.content().ctr(&["images", "remove", "--sync", name]));
    }
}
