//! Containers of a Docker, and where their layers are, told without sealift.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;

use super::tree::{Tree, walk, without_sockets, without_times_of};
use crate::command::output_of;
use crate::docker::Docker;
use crate::images::{push_debian, push_own};
use crate::sealift::at_home;
use crate::session::{Set, session};

/// A command that waits to be killed, in an image of busybox.
pub(super) const IDLE: &[&str] = &["/bin/busybox", "sleep", "100000"];

/// An image in the session's registry.
pub(super) struct Image(String);

impl Image {
    /// One of a test's own, of busybox, with the files `/says`, `/other` and `/folder/old`.
    pub(super) fn busybox(test: &str) -> Self {
        Self(push_own(format!("e2e/container-layer/{test}").leak()).name())
    }

    /// A Debian that all tests here share.
    pub(super) fn debian() -> Self {
        static DEBIAN: LazyLock<crate::images::Image> = LazyLock::new(push_debian);
        Self(DEBIAN.name())
    }
}

/// A Docker.
#[derive(Clone)]
pub(super) struct Dockers {
    set: Set,
    host: String,
}

impl Dockers {
    /// The session's.
    pub(super) fn of(set: Set) -> Self {
        Self { set, host: Docker(set).host() }
    }

    /// Another one, by its address.
    pub(super) fn at(set: Set, host: &str) -> Self {
        Self { set, host: host.to_owned() }
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = self.set.command("/usr/bin/docker");
        command.arg(format!("--host={}", self.host)).args(arguments);
        command
    }

    /// A command line of `sealift container-layer`.
    pub(super) fn layer(&self, arguments: &[&str]) -> Command {
        self.layer_by(Command::new(&session().sealift), arguments)
    }

    /// The same, by a program that runs sealift.
    pub(super) fn layer_by(&self, mut command: Command, arguments: &[&str]) -> Command {
        at_home(&mut command, &session().state);
        let (action, rest) = arguments.split_first().unwrap();
        command.args(["container-layer", action]).args(["--host", &self.host]).args(rest);
        command
    }

    /// A container that runs.
    pub(super) fn run(&self, image: &Image, name: &str, command: &[&str]) -> Container {
        let container = self.create(image, name, command);
        container.start();
        container
    }

    /// A container that was never started.
    pub(super) fn create(&self, image: &Image, name: &str, command: &[&str]) -> Container {
        self.create_with(image, name, &[], command)
    }

    pub(super) fn create_with(
        &self,
        image: &Image,
        name: &str,
        options: &[&str],
        command: &[&str],
    ) -> Container {
        output_of(&mut self.docker(&["pull", "--quiet", &image.0]));
        let name = format!("layer-{}", name.replace(['=', '/'], "-"));
        let mut create = self.docker(&["create", "--network=none", "--name", &name]);
        output_of(create.args(options).arg(&image.0).args(command));
        Container { dockers: self.clone(), name, directories: OnceLock::new() }
    }
}

/// A container; it is removed when its value is dropped.
pub(super) struct Container {
    dockers: Dockers,
    pub(super) name: String,
    /// They stay where they are for as long as it is there.
    directories: OnceLock<(PathBuf, String)>,
}

impl Container {
    pub(super) fn dockers(&self) -> &Dockers {
        &self.dockers
    }

    /// What docker's own client prints when it does this to the container.
    pub(super) fn docker(&self, arguments: &[&str]) -> String {
        output_of(self.dockers.docker(arguments).arg(&self.name))
    }

    pub(super) fn start(&self) {
        self.docker(&["start"]);
    }

    /// Starts it, waits until it ended well, and gives what it printed.
    pub(super) fn start_and_end(&self) -> String {
        self.docker(&["start", "--attach"])
    }

    pub(super) fn kill(&self) {
        self.docker(&["kill"]);
        self.docker(&["wait"]);
    }

    /// Runs a script in it.
    pub(super) fn exec(&self, script: &str) -> String {
        output_of(self.dockers.docker(&["exec", &self.name, "/bin/sh", "-c"]).arg(script))
    }

    fn inspect(&self) -> Value {
        let text = self.docker(&["container", "inspect"]);
        serde_json::from_str::<Value>(&text).unwrap()[0].take()
    }

    pub(super) fn status(&self) -> String {
        self.inspect()["State"]["Status"].as_str().unwrap().to_owned()
    }

    pub(super) fn image_id(&self) -> String {
        self.inspect()["Image"].as_str().unwrap().to_owned()
    }

    /// Its root, while it runs, as its processes see it.
    pub(super) fn root(&self) -> PathBuf {
        let process = self.inspect()["State"]["Pid"].as_u64().unwrap();
        format!("/proc/{process}/root").into()
    }

    /// Its upper directory.
    pub(super) fn upper(&self) -> PathBuf {
        self.directories().0.clone()
    }

    /// Its upper directory, and those below it, the highest first.
    fn directories(&self) -> &(PathBuf, String) {
        self.directories.get_or_init(|| self.find_directories())
    }

    fn find_directories(&self) -> (PathBuf, String) {
        let inspected = self.inspect();
        if let Some(upper) = inspected["GraphDriver"]["Data"]["UpperDir"].as_str() {
            return (upper.into(), inspected["GraphDriver"]["Data"]["LowerDir"].as_str().unwrap().to_owned());
        }
        let id = inspected["Id"].as_str().unwrap();
        let content = Docker(self.dockers.set).content();
        let mounts = output_of(&mut content.ctr(&["snapshots", "mounts", "/nowhere", id]));
        let option = |name: &str| {
            let found = mounts.split([',', ' ', '\n']).find_map(|option| option.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{name} in {mounts}")).to_owned()
        };
        (option("upperdir=").into(), option("lowerdir="))
    }

    /// All its files as they are one above the other. When it was made, Docker put places to mount things at right above the
    /// image, each container's at its own time: that is left out.
    pub(super) fn merged(&self) -> Tree {
        let (upper, lower) = self.directories();
        let place = session().work_folder(&format!("merged-{}", self.name));
        let options = format!("lowerdir={}:{lower}", upper.display());
        output_of(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&place));
        let seen = walk(&place);
        output_of(Command::new("umount").arg(&place));
        fs::remove_dir(&place).unwrap();
        let places_to_mount_at = walk(Path::new(lower.split(':').next().unwrap()));
        without_sockets(without_times_of(seen, &places_to_mount_at, &walk(upper)))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A test that fails may have left it in any state.
        let _ = self.dockers.docker(&["rm", "--force", "--volumes", &self.name]).output();
    }
}
