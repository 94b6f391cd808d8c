//! Extended attributes: those an entry carries along, and those by which overlayfs tells what an entry is.

use std::collections::BTreeMap;

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{fgetxattr, flistxattr, getxattr, listxattr};
use rustix::io::Errno;

/// Where overlayfs keeps its own, as root and within a user namespace.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
/// A label is this machine's policy's, which another's has no use for.
const LABEL: &[u8] = b"security.selinux";
/// The largest value that Linux keeps, and the longest list of names.
const MAX_BYTES: usize = 64 << 10;

/// The attributes of something.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Those that are its own.
    pub(super) own: BTreeMap<Vec<u8>, Vec<u8>>,
    overlay: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Attributes {
    /// Those of an open file or folder.
    pub(super) fn of_open(file: impl AsFd) -> Result<Self, Errno> {
        Self::read(|buffer| flistxattr(&file, buffer), |name, buffer| fgetxattr(&file, name, buffer))
    }

    /// Those of what is not opened, only held on to (`O_PATH`).
    pub(super) fn of_held(held: impl AsFd) -> Result<Self, Errno> {
        // This leads to what is held, be it a symlink, and never further.
        let path = format!("/proc/self/fd/{}", held.as_fd().as_raw_fd());
        Self::read(|buffer| listxattr(&path, buffer), |name, buffer| getxattr(&path, name, buffer))
    }

    fn read(
        list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
        value: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
    ) -> Result<Self, Errno> {
        let mut names = vec![0; MAX_BYTES];
        let length = match list(&mut names) {
            Err(Errno::NOTSUP) => return Ok(Self::default()),
            length => length?,
        };
        names.truncate(length);
        let mut attributes = Self::default();
        let mut buffer = vec![0; if names.is_empty() { 0 } else { MAX_BYTES }];
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty() && *name != LABEL) {
            let length = match value(name, &mut buffer) {
                Err(Errno::NODATA) => continue,
                length => length?,
            };
            let value = buffer[..length].to_vec();
            match OVERLAY.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
                Some(word) => attributes.overlay.insert(word.to_vec(), value),
                None => attributes.own.insert(name.to_vec(), value),
            };
        }
        Ok(attributes)
    }

    /// True for a directory that hides what stands below it.
    pub(super) fn are_opaque(&self) -> bool {
        self.overlay.get(&b"opaque"[..]).is_some_and(|value| value == b"y")
    }

    /// True for a file that stands for the absence of one, where devices could not (Linux 6.7).
    pub(super) fn are_whiteout(&self) -> bool {
        self.overlay.contains_key(&b"whiteout"[..])
    }

    /// True where the contents of this stand elsewhere, in a layer below.
    pub(super) fn lead_below(&self) -> bool {
        [&b"redirect"[..], b"metacopy"].iter().any(|word| self.overlay.contains_key(*word))
    }
}
