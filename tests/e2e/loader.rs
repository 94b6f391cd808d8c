//! What every loader of archives can be asked.

use std::path::Path;
use std::process::Command;

/// A daemon or tool that takes an archive and runs what was in it.
pub(crate) trait Loader: Sync {
    /// Loads an archive.
    fn load(&self, archive: &Path);

    /// The command that loads what comes on its standard input.
    fn load_stdin(&self) -> Command;

    /// The names of the image that `name` stands for, as this loader writes them.
    fn names(&self, name: &str) -> Vec<String>;

    /// The digest of the image's config, as this loader holds it.
    fn config_digest(&self, name: &str) -> String;

    /// The digest that the loader keeps for the name, if it keeps what the registry had.
    fn name_digest(&self, name: &str) -> Option<String>;

    /// What a container of the image prints.
    fn run(&self, name: &str, command: &[&str]) -> String;

    /// Takes the image away again, so that disks do not fill.
    fn remove(&self, name: &str);
}
