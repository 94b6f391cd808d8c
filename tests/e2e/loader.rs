//! What every loader of archives can be asked.

use std::path::Path;
use std::process::Command;

use crate::command::output_of;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::podman::Podman;
use crate::session::Set;

/// A daemon or tool that takes an archive and runs what was in it.
pub(crate) trait Loader: Sync {
    /// Loads an archive.
    fn load(&self, archive: &Path) {
        output_of(&mut self.load_file(archive));
    }

    /// The command that loads an archive.
    fn load_file(&self, archive: &Path) -> Command;

    /// The command that loads what comes on its standard input.
    fn load_stdin(&self) -> Command;

    /// The names of the image that `name` stands for, as this loader writes them.
    fn names(&self, name: &str) -> Vec<String>;

    /// The digest of the image's config, as this loader holds it.
    fn config_digest(&self, name: &str) -> String;

    /// The digest that the loader keeps for the name, if it keeps what the registry had.
    fn name_digest(&self, name: &str) -> Option<String>;

    /// Whether there is such an image, by its name or ID.
    fn has(&self, name: &str) -> bool;

    /// The command that runs a container of the image.
    fn run_command(&self, name: &str, command: &[&str]) -> Command;

    /// What a container of the image prints.
    fn run(&self, name: &str, command: &[&str]) -> String {
        output_of(&mut self.run_command(name, command))
    }

    /// Takes the image away again, so that disks do not fill.
    fn remove(&self, name: &str);
}

/// Those of both sets.
pub(crate) fn all_loaders() -> [Box<dyn Loader>; 6] {
    let [old, modern] = [Set::Old, Set::Modern];
    [
        Box::new(Docker(old)),
        Box::new(Docker(modern)),
        Box::new(Containerd(old)),
        Box::new(Containerd(modern)),
        Box::new(Podman(old)),
        Box::new(Podman(modern)),
    ]
}
