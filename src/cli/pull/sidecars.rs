//! `--checksum` and `--load-script`: what stands beside a file, and how it is named to people and programs.

use std::path::Path;

use clap::Args;
use sealift::sidecar::Sidecar;
use serde::Serialize;

use crate::cli::ui;

#[derive(Args)]
pub(super) struct SidecarArguments {
    /// Write FILE.sha256 beside each file, for `sha256sum -c`; the file is read back for that
    #[arg(long)]
    checksum: bool,
    /// Write FILE.load.sh beside each file: a script for sites that allow no new program, which checks, loads and
    /// verifies the file with their docker, podman, nerdctl or ctr. The file is read back for that
    #[arg(long)]
    load_script: bool,
}

impl SidecarArguments {
    pub(super) fn sidecars(&self) -> Vec<Sidecar> {
        let asked = [(self.checksum, Sidecar::Checksum), (self.load_script, Sidecar::LoadScript)];
        asked.into_iter().filter_map(|(is_asked, sidecar)| is_asked.then_some(sidecar)).collect()
    }
}

/// The paths of what stands beside a file, for programs.
#[derive(Serialize)]
pub(super) struct Beside {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) load_script: Option<String>,
}

impl Beside {
    pub(super) fn of(archive: &Path, sidecars: &[Sidecar]) -> Self {
        let path = |sidecar: Sidecar| {
            sidecars.contains(&sidecar).then(|| sidecar.path(archive).display().to_string())
        };
        Self { checksum: path(Sidecar::Checksum), load_script: path(Sidecar::LoadScript) }
    }
}

/// Says what stands beside the file, and what to do with it there.
pub(super) fn tell(archive: &Path, sidecars: &[Sidecar]) {
    for sidecar in sidecars {
        let path = sidecar.path(archive);
        let word = ui::shell_word(path.file_name().unwrap_or_default().as_ref());
        let what = match sidecar {
            Sidecar::Checksum => format!("to check it, in its folder: sha256sum -c {word}"),
            Sidecar::LoadScript => format!("to check, load and verify it without sealift: sh {word}"),
        };
        ui::talk(&format!("{}; {what}", path.display()));
    }
}
