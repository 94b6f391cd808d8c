//! skopeo, which copies between archives, folders and registries.

use std::fs;
use std::process::Command;

use serde_json::Value;

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
        self.try_copy_to_folder(source, name).unwrap_or_else(|said| panic!("{source}: {said}"))
    }

    /// The same, or what skopeo said.
    pub(crate) fn try_copy_to_folder(&self, source: &str, name: &str) -> Result<String, String> {
        let folder = session().work_folder(&format!("{name}-{}", self.0.name()));
        let target = format!("dir:{}", folder.display());
        let output = self.skopeo(&["copy", source, &target]).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let manifest = fs::read(folder.join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        Ok(manifest["config"]["digest"].as_str().unwrap().into())
    }
}
