//! What to do about a containerd store.

use std::io::ErrorKind;

use sealift::Error;
use sealift::containerd_store::{RebuildError, StoreError};
use sealift::foreign::shown;
use sealift::fsio::FileError;
#[cfg(target_os = "linux")]
use sealift::overlay::OverlayError;
use sealift::source::SourceError;

use crate::cli::ui;

pub(super) const DAMAGED: &str =
    "the store's copy is damaged: pull the image again on its node, or export it on another one";

pub(super) fn hint(error: &StoreError) -> Option<String> {
    let hint = match error {
        StoreError::File(FileError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            "containerd's folder is root's: run the same command with `sudo`".into()
        }
        StoreError::NotARoot { .. } => {
            "most often it is /var/lib/containerd, Docker's /var/lib/docker/containerd/daemon; of a mounted disk the same \
             below it. Where that is a link to another disk of its machine, give the folder on that one"
                .into()
        }
        StoreError::NotAMirror { .. } => "choose a folder that is new, or a mirror, with `-o`".into(),
        StoreError::NoRoot => "name it: `--root /mnt/disk/var/lib/containerd`".into(),
        StoreError::SeveralRoots { roots } => {
            let first = roots.first()?;
            format!("choose one: `--root {}`", ui::shell_word(first))
        }
        StoreError::Damaged { .. } => "if there is a copy of that folder elsewhere, `--root` reads that, too".into(),
        StoreError::NotContainerds { .. } => "give containerd's own folder with `--root`".into(),
        StoreError::Restless { .. } => "run the same command again when fewer images come and go".into(),
        StoreError::NoSuchImage { near, .. } if !near.is_empty() => format!("did you mean {}?", quoted(near)),
        StoreError::NoSuchImage { .. } => LIST.into(),
        StoreError::Ambiguous { .. } => {
            "give a name in full, or more digits; `--namespace` chooses one of several".into()
        }
        StoreError::NoSuchNamespace { known, .. } if !known.is_empty() => format!("there is {}", quoted(known)),
        StoreError::NoSuchPlatform { there, .. } => {
            format!("choose one that is there, e.g. `--platform {}`", there.first()?)
        }
        StoreError::NoReference { .. } => "export it by another of its names; `sealift containerd-store list` shows them".into(),
        StoreError::Missing { .. } => {
            "it was never pulled whole, or containerd threw it away (`discard_unpacked_layers`); `sealift containerd-store \
             list` shows all that is missing, `--from-snapshots` makes layers that are unpacked anew"
                .into()
        }
        StoreError::WrongBytes { .. } | StoreError::WrongSize { .. } => DAMAGED.into(),
        _ => return None,
    };
    Some(hint)
}

/// A mirror has layers as they are packed.
pub(super) fn of_mirror(error: &Error) -> Option<String> {
    let Error::Source(SourceError::Store(error)) = error else { return None };
    let hint = match error {
        StoreError::Missing { .. } => {
            "it was never pulled whole, or containerd threw it away (`discard_unpacked_layers`); `sealift containerd-store \
             list` shows all that is missing. Layers that are unpacked come out into an archive only: `export \
             --from-snapshots -o FILE.tar`, without `--mirror`"
        }
        StoreError::UnreadMirror { .. } => {
            "choose another folder with `-o`, or remove its io.containerd.metadata.v1.bolt/meta.db: the blobs stay, what \
             they were called is lost"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What is imported comes from a folder that was named.
pub(super) fn of_import(error: &Error) -> Option<String> {
    let Error::Source(SourceError::Store(error)) = error else { return None };
    let hint = match error {
        StoreError::Missing { .. } => {
            "that folder has not all of it; `sealift containerd-store list --root DIR` shows what is missing: export the \
             image once more where it is whole"
        }
        StoreError::NoReference { .. } => {
            "containerd takes images by names like `registry.example/app:1`: give it one on its node (`ctr images tag`), \
             and export it once more"
        }
        StoreError::Ambiguous { .. } => {
            "both would get that name there: give one another name on its node (`ctr images tag`), and export it once more"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

pub(super) fn rebuild(error: &RebuildError) -> Option<String> {
    let hint = match error {
        RebuildError::NotRoot => "run the same command with `sudo`",
        RebuildError::NoSnapshot { .. } => {
            "the layer is gone from this root: pull the image again on its node, or export it on another one"
        }
        #[cfg(target_os = "linux")]
        RebuildError::Overlay(OverlayError::Changed(_)) => {
            "run the same command again when nobody writes there"
        }
        #[cfg(target_os = "linux")]
        RebuildError::Overlay(OverlayError::Output(_)) => "free some space, or give more with TMPDIR=/path",
        _ => return None,
    };
    Some(hint.to_owned())
}

const LIST: &str = "`sealift containerd-store list` shows what there is";

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", ")
}
