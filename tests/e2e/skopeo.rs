//! skopeo, which copies between archives, folders and registries.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::command::output_of;
use crate::session::{Set, session};

/// The skopeo of a set.
pub(crate) struct Skopeo(pub(crate) Set);

impl Skopeo {
    pub(crate) fn skopeo(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command("/usr/bin/skopeo");
        command.args(arguments);
        command
    }

    /// Copies an image into a folder, which makes skopeo read and check every blob; the config's digest there.
    pub(crate) fn copy_to_folder(&self, source: &str, name: &str) -> String {
        let folder = session().work_folder(name);
        let target = format!("dir:{}", folder.display());
        output_of(&mut self.skopeo(&["copy", source, &target]));
        let manifest = fs::read(folder.join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        manifest["config"]["digest"].as_str().unwrap().into()
    }
}
