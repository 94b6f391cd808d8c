//! What to do next where a container's layer did not come out, or in.

use sealift::container_layer::ContainerLayerError;
use sealift::layer_file::LayerFileError;
use sealift::overlay::OverlayError;

use crate::cli::ui;

pub(super) const COPY_ANEW: &str =
    "nothing was changed; the file came here damaged or cut: copy it anew, or export it anew";
pub(super) const UNFIT: &str =
    "what fails is told above; `--skip-image`, `--skip-storage`, `--skip-os` and `--skip-arch` leave it out";
pub(super) const UNCHECKED: &str = "`--host` names a Docker; with `--skip-image --skip-storage --skip-os --skip-arch` the file alone is checked";

pub(super) fn hint(error: &ContainerLayerError) -> Option<String> {
    let hint = match error {
        ContainerLayerError::NotRoot => {
            "run the same command with `sudo`; in a container it takes `--privileged`"
        }
        ContainerLayerError::NoSuchContainer { .. } => "`docker ps -a` lists the containers there are",
        ContainerLayerError::NotStopped { name, status, .. } if matches!(&**status, "dead" | "removing") => {
            return Some(format!(
                "Docker has begun to remove it: `docker rm -f {}` ends that",
                ui::shell_word(name.as_ref())
            ));
        }
        ContainerLayerError::NotStopped { name, may_be_frozen, .. } => {
            let name = ui::shell_word(name.as_ref());
            let frozen =
                if *may_be_frozen { "; an export can take it paused: `--allow-running`" } else { "" };
            return Some(format!("stop it first: `docker stop {name}`{frozen}"));
        }
        ContainerLayerError::Started { .. } => "nothing was changed; stop it and run the same command again",
        ContainerLayerError::Mounted { .. } => {
            "something uses it (`docker cp`, a program that keeps the container's root mounted): wait for that, or unmount it"
        }
        ContainerLayerError::Remote { .. } => {
            "run it on the machine that Docker is on, with its socket: `--host unix:///var/run/docker.sock`"
        }
        ContainerLayerError::Podman { .. } => {
            "`podman container checkpoint` and `podman commit` are podman's ways"
        }
        ContainerLayerError::Driver { .. } => {
            "only overlay2 and overlayfs keep what a container wrote in a directory of its own; `docker commit` works with all"
        }
        ContainerLayerError::NotHere { .. } => {
            "Docker is in a virtual machine or a container of its own (Docker Desktop is): run sealift there"
        }
        ContainerLayerError::NoSnapshot { .. } => {
            "its containerd keeps its root elsewhere; of a container that runs, `--allow-running` finds the layer by its mounts"
        }
        ContainerLayerError::OtherImage { .. } => {
            "make the container of the layer's image; `--force-image` puts it above another, where what it leads to may be missing"
        }
        ContainerLayerError::OtherDriver { .. } => "import it where overlay2 or overlayfs is the driver",
        ContainerLayerError::OtherUsers { .. } => {
            "import it where Docker's users are the same (`userns-remap` in daemon.json, rootless or not)"
        }
        ContainerLayerError::Broken { .. } => COPY_ANEW,
        ContainerLayerError::Locked { .. } => "wait until that one is done",
        ContainerLayerError::Unclear { .. } => {
            "the folder was copied, or changed by something else: look whether the container is right, then remove that file"
        }
        ContainerLayerError::Note { .. } => {
            "look whether the container is right, then remove that file: only backups' dates stand in it"
        }
        ContainerLayerError::NoSuchBackup { name, .. } => {
            return Some(format!(
                "`sealift container-layer backups {}` lists them",
                ui::shell_word(name.as_ref())
            ));
        }
        ContainerLayerError::StillPaused { name, .. } => {
            return Some(format!("`docker unpause {}` lets it go on", ui::shell_word(name.as_ref())));
        }
        ContainerLayerError::LayerFile(LayerFileError::Overlay(OverlayError::Device(_))) => {
            "nothing was changed; if you trust the file, leave `--no-devices` out"
        }
        ContainerLayerError::Overlay(OverlayError::Changed(_))
        | ContainerLayerError::LayerFile(LayerFileError::Overlay(OverlayError::Changed(_))) => {
            "something writes there: find out what, and run the same command again"
        }
        ContainerLayerError::LayerFile(LayerFileError::Overlay(OverlayError::NotTheSame { .. })) => {
            "nothing was changed; this file system can't hold what is in the layer, or the disk fails"
        }
        ContainerLayerError::LayerFile(LayerFileError::Overlay(OverlayError::Attribute { .. })) => {
            "nothing was changed; this file system does not take such attributes"
        }
        ContainerLayerError::LayerFile(LayerFileError::TooLarge { .. }) => {
            "nothing was changed; make room on the disk of Docker's data, e.g. with `docker system prune`"
        }
        ContainerLayerError::LayerFile(LayerFileError::Changed(_)) => {
            "nothing was changed; run the same command again"
        }
        _ => return None,
    };
    Some(hint.into())
}
