//! What to do next where a container's layer did not come out, or in.

use std::io::ErrorKind;

use sealift::container_layer::ContainerLayerError;
use sealift::fsio::FileError;
use sealift::layer_file::LayerFileError;
use sealift::overlay::OverlayError;

use crate::cli::report::NotPassed;
use crate::cli::ui;

const COPY_ANEW: &str =
    "nothing was changed; the file came here damaged or cut: copy it anew, or export it anew";
const UNFIT: &str =
    "what fails is told above; `--skip-image`, `--skip-storage`, `--skip-os` and `--skip-arch` leave it out";
const UNCHECKED: &str = "`--host` names a Docker; with `--skip-image --skip-storage --skip-os --skip-arch` the file alone is checked";

/// `prune` of all, or of containers, would take the container that is to get the layer.
const ROOM: &str = "but not by `docker system prune` or `docker container prune`: they remove stopped containers, this \
     one too; `docker image prune` and `docker builder prune` don't";

pub(super) fn of_check(not_passed: &NotPassed) -> &'static str {
    match not_passed {
        NotPassed::Damaged(_) => COPY_ANEW,
        NotPassed::Unfit(_) => UNFIT,
        NotPassed::Unchecked(_) => UNCHECKED,
    }
}

pub(super) fn hint(error: &ContainerLayerError) -> Option<String> {
    if let Some(file) = error.file() {
        return super::named_file(file, "", "");
    }
    let hint = match error {
        ContainerLayerError::NotRoot => {
            "run the same command with `sudo`; in a container it takes `--privileged`"
        }
        ContainerLayerError::NoSuchContainer { .. } => "`docker ps -a` lists the containers there are",
        ContainerLayerError::NotStopped { name, status, .. } if matches!(&**status, "dead" | "removing") => {
            return Some(format!(
                "Docker has begun to remove it, and nothing starts it again: import into a new container; what is left of \
                 this one's layer is where `docker inspect {}` says `UpperDir`: copy that while it is there",
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
        ContainerLayerError::Unclear { journal, .. } | ContainerLayerError::Journal { path: journal, .. } => {
            return Some(format!(
                "a folder `sealift-import-…` in {} may be the container's old layer: rename it to `sealift-backup-saved` \
                 first, then look whether the container is right, then remove that file",
                ui::shell_word(journal.parent().unwrap_or(journal))
            ));
        }
        ContainerLayerError::Unfinished { .. } => {
            "the next `sealift container-layer` command on the container ends it: `backups` will do"
        }
        ContainerLayerError::TakenUp { .. } => {
            "stop it and look which of the two has what it wrote; `sealift container-layer restore` goes back"
        }
        ContainerLayerError::NotUnpacked { source, .. } => return Some(not_unpacked(source)),
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
            return Some(format!("nothing was changed; make room on the disk of Docker's data, {ROOM}"));
        }
        ContainerLayerError::LayerFile(LayerFileError::Changed(_)) => {
            "nothing was changed; run the same command again"
        }
        _ => return None,
    };
    Some(hint.into())
}

fn not_unpacked(source: &ContainerLayerError) -> String {
    match source.file() {
        Some(FileError::NoSpace { needed_bytes, free_bytes, .. }) => {
            let missing = ui::size(needed_bytes.saturating_sub(*free_bytes));
            format!("nothing was changed; free {missing} there, {ROOM}")
        }
        Some(FileError::NoFiles { .. }) => format!("nothing was changed; make room for files there, {ROOM}"),
        Some(FileError::Io { source, .. })
            if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            format!("nothing was changed; make room there, {ROOM}")
        }
        _ => "nothing was changed; run the same command again once that is mended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::path::Path;

    use sealift::container_layer::ContainerLayerError;
    use sealift::fsio::FileError;
    use sealift::layer_file::LayerFileError;

    use super::hint;
    use crate::cli::report::Failure;

    fn full(path: &Path) -> ContainerLayerError {
        FileError::io("write", path)(ErrorKind::StorageFull.into()).into()
    }

    /// What removes stopped containers removes the one that is to get the layer, with its backups.
    #[test]
    fn a_full_disk_is_not_made_empty_by_what_removes_the_container() {
        let folder = Path::new("/docker/overlay2/ab");
        let needed_bytes = 3 << 30;
        let room = FileError::NoSpace { path: folder.to_owned(), needed_bytes, free_bytes: 1 << 30 };
        for source in [full(&folder.join("data")), room.into()] {
            let error =
                ContainerLayerError::NotUnpacked { folder: folder.to_owned(), source: Box::new(source) };
            let told = hint(&error).unwrap();
            assert!(told.contains("nothing was changed"), "{told}");
            assert!(told.contains("not by `docker system prune`") && !told.contains("-o"), "{told}");
        }
    }

    /// An import keeps nothing in `$TMPDIR`.
    #[test]
    fn what_has_no_place_beside_the_layer_is_not_sent_elsewhere() {
        let refused = |folder| {
            let error = FileError::io("create a file in", folder);
            ContainerLayerError::from(LayerFileError::Scratch(error(ErrorKind::ReadOnlyFilesystem.into())))
        };
        let folder = Path::new("/docker/overlay2/ab");
        let source = Box::new(refused(folder));
        let import = ContainerLayerError::NotUnpacked { folder: folder.to_owned(), source };
        insta::assert_snapshot!(Failure::from(import).text(), @r"
        error: cannot unpack the layer in /docker/overlay2/ab
          caused by: cannot create a file in /docker/overlay2/ab
          caused by: read-only filesystem or storage medium
        hint: nothing was changed; run the same command again once that is mended
        ");
        // A check does.
        assert!(hint(&refused(Path::new("/tmp"))).unwrap().contains("TMPDIR"));
    }

    #[test]
    fn no_option_is_named_that_there_is_not() {
        let told = hint(&full(Path::new("db.layer"))).unwrap();
        assert_eq!(told, "make room on that disk and run the same command again");
    }

    #[test]
    fn a_container_that_is_half_removed_is_not_removed_whole() {
        for status in ["dead", "removing"] {
            let error = ContainerLayerError::NotStopped {
                name: "db".to_owned(),
                status: status.to_owned(),
                may_be_frozen: false,
            };
            let told = hint(&error).unwrap();
            assert!(told.contains("copy that") && !told.contains("rm -f"), "{told}");
        }
    }

    /// Without its journal, what was staged is taken for rubbish: it may be the one copy of the old layer.
    #[test]
    fn who_removes_a_journal_saves_the_old_layer_first() {
        let journal = Path::new("/docker/overlay2/ab/sealift-import.json").to_owned();
        let source = serde_json::from_str::<u8>("{").unwrap_err();
        let layer = Path::new("/docker/overlay2/ab/diff").to_owned();
        for error in [
            ContainerLayerError::Journal { path: journal.clone(), source },
            ContainerLayerError::Unclear { journal, layer },
        ] {
            let told = hint(&error).unwrap();
            let (saved, removed) = (told.find("sealift-backup-saved").unwrap(), told.find("remove").unwrap());
            assert!(saved < removed && told.contains("/docker/overlay2/ab"), "{told}");
        }
    }
}
