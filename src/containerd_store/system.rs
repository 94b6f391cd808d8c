//! A system whose disk is mounted here: its links lead to places on that disk, not on this machine.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use crate::fsio::FileError;

/// As many links on one way as Linux follows.
const MAX_LINKS: usize = 40;

/// Where the root of a system's files is.
#[derive(Clone, Debug)]
pub(super) struct System(PathBuf);

impl System {
    /// The system whose files are below `root`.
    pub(super) fn at(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Where `path`, which is below the system's root, leads by its own links: to `/data` is to `data` below the root, and no
    /// `..` leads out. What comes back has no link in it, whether there is something or not.
    pub(super) fn resolved(&self, path: &Path) -> Result<PathBuf, FileError> {
        let below = path.strip_prefix(&self.0).unwrap_or(path);
        // What is still to go, the next last.
        let mut to_go = steps(below);
        let (mut reached, mut links) = (PathBuf::new(), 0);
        while let Some(step) = to_go.pop() {
            if step == ".." {
                reached.pop();
                continue;
            }
            let next = reached.join(&step);
            let place = self.0.join(&next);
            let link = match place.symlink_metadata() {
                Ok(found) if found.is_symlink() => {
                    place.read_link().map_err(FileError::io("read", &place))?
                }
                // Below what isn't there, or may not be looked at, is no link that somebody could follow.
                _ => {
                    reached = next;
                    continue;
                }
            };
            links += 1;
            if links > MAX_LINKS {
                let too_many = io::Error::new(ErrorKind::InvalidInput, "too many links lead on from there");
                return Err(FileError::io("read", &place)(too_many));
            }
            if link.has_root() {
                reached = PathBuf::new();
            }
            to_go.extend(steps(&link));
        }
        Ok(self.0.join(reached))
    }
}

/// The steps of a path, the first last.
fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.components().rev().filter_map(|step| match step {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    steps.collect()
}

#[cfg(all(test, unix))]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_to_places_on_their_own_disk() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("mnt");
        fs::create_dir_all(disk.join("data/inner")).unwrap();
        fs::create_dir_all(disk.join("var/lib")).unwrap();
        for (link, target) in [
            ("absolute", "/data"),
            ("relative", "data"),
            ("var/lib/up", "../../data"),
            ("var/lib/out", "../../../../../../../data"),
            ("chain", "/var/lib/up"),
            ("gone", "/no/where"),
            ("loop", "loop"),
        ] {
            symlink(target, disk.join(link)).unwrap();
        }
        symlink(folder.path(), disk.join("of-this-machine")).unwrap();
        let system = System::at(&disk);
        let resolved = |path: &str| system.resolved(&disk.join(path)).unwrap();
        for path in ["absolute", "relative", "var/lib/up", "var/lib/out", "chain", "data"] {
            assert_eq!(resolved(&format!("{path}/inner")), disk.join("data/inner"), "{path}");
        }
        assert_eq!(resolved("gone/further"), disk.join("no/where/further"));
        assert_eq!(resolved("none/../data"), disk.join("data"));
        let other = resolved("of-this-machine/mnt");
        assert!(other.starts_with(&disk) && !other.exists(), "{}", other.display());
        assert!(system.resolved(&disk.join("loop")).is_err());
    }
}
