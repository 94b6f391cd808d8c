//! Extended attributes: those an entry carries along, and those by which overlayfs tells what an entry is.

use std::collections::BTreeMap;

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr, getxattr, listxattr, setxattr};
use rustix::io::Errno;

use super::MountedBy;

/// Where overlayfs keeps its own, and where it does so within a user namespace.
const OF_ROOT: &[u8] = b"trusted.overlay.";
const OF_USER: &[u8] = b"user.overlay.";
/// Those of them that mean something on this disk only.
const HANDLES: [&[u8]; 4] = [b"origin", b"impure", b"uuid", b"nlink"];
/// A label is this machine's policy's, which another's has no use for.
const LABEL: &[u8] = b"security.selinux";
/// The largest value that Linux keeps, and the longest list of names.
pub(super) const MAX_BYTES: usize = 64 << 10;
/// What nearly all lists and values have room in.
const USUAL_BYTES: usize = 1 << 10;

/// Attributes by their names.
pub(super) type Named = BTreeMap<Vec<u8>, Vec<u8>>;

/// The attributes of something, labels left out.
#[derive(Debug, Default)]
pub(super) struct Attributes(Named);

impl Attributes {
    /// Those of an open file or folder.
    pub(super) fn of_open(file: impl AsFd) -> Result<Self, Errno> {
        Self::read(|buffer| flistxattr(&file, buffer), |name, buffer| fgetxattr(&file, name, buffer))
    }

    /// Those of what is not opened, only held on to (`O_PATH`).
    pub(super) fn of_held(held: impl AsFd) -> Result<Self, Errno> {
        let path = path_of_held(held);
        Self::read(|buffer| listxattr(&path, buffer), |name, buffer| getxattr(&path, name, buffer))
    }

    fn read(
        list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
        value: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
    ) -> Result<Self, Errno> {
        let names = match read_whole(list) {
            Err(Errno::NOTSUP) => return Ok(Self::default()),
            names => names?,
        };
        let mut attributes = Named::new();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty() && *name != LABEL) {
            match read_whole(|buffer| value(name, buffer)) {
                Err(Errno::NODATA) => {}
                value => drop(attributes.insert(name.to_vec(), value?)),
            }
        }
        Ok(Self(attributes))
    }

    /// Those that are the entry's own, and not overlayfs's.
    pub(super) fn into_own(mut self, mounted_by: MountedBy) -> Named {
        self.0.retain(|name, _| overlay_word(name, mounted_by).is_none());
        self.0
    }

    /// All that mean the same elsewhere.
    pub(super) fn into_kept(mut self, mounted_by: MountedBy) -> Named {
        self.0.retain(|name, _| is_kept(name, mounted_by));
        self.0
    }

    fn overlay(&self, word: &[u8], mounted_by: MountedBy) -> Option<&[u8]> {
        let (_, value) = self.0.iter().find(|(name, _)| overlay_word(name, mounted_by) == Some(word))?;
        Some(value)
    }

    /// True for a directory that hides what stands below it.
    pub(super) fn are_opaque(&self, mounted_by: MountedBy) -> bool {
        self.overlay(b"opaque", mounted_by) == Some(b"y")
    }

    /// True for a file that stands for the absence of one, where devices could not (Linux 6.7).
    pub(super) fn are_whiteout(&self, mounted_by: MountedBy) -> bool {
        self.overlay(b"whiteout", mounted_by).is_some()
    }

    /// What this is called in the layers below.
    pub(super) fn redirect(&self, mounted_by: MountedBy) -> Option<&[u8]> {
        self.overlay(b"redirect", mounted_by)
    }

    /// True where the contents of this stand elsewhere, in a layer below.
    pub(super) fn lead_below(&self, mounted_by: MountedBy) -> bool {
        self.redirect(mounted_by).is_some() || self.are_metacopy(mounted_by)
    }

    /// True for a file whose contents stand in a layer below.
    pub(super) fn are_metacopy(&self, mounted_by: MountedBy) -> bool {
        self.overlay(b"metacopy", mounted_by).is_some()
    }
}

/// What overlayfs calls an attribute of its own.
pub(super) fn overlay_word(name: &[u8], mounted_by: MountedBy) -> Option<&[u8]> {
    let of_user = || name.strip_prefix(OF_USER).filter(|_| mounted_by == MountedBy::User);
    name.strip_prefix(OF_ROOT).or_else(of_user)
}

/// True for what means the same on another disk and machine.
pub(super) fn is_kept(name: &[u8], mounted_by: MountedBy) -> bool {
    name != LABEL
        && overlay_word(name, mounted_by).is_none_or(|word| !HANDLES.contains(&word) && word != b"metacopy")
}

/// Gives attributes to an open file or folder. On errors, tells of which.
pub(super) fn set_open(file: impl AsFd, attributes: &Named) -> Result<(), (Vec<u8>, Errno)> {
    let set = |name: &[u8], value: &[u8]| fsetxattr(&file, name, value, XattrFlags::empty());
    each(attributes, set)
}

/// The same of what is only held on to.
pub(super) fn set_held(held: impl AsFd, attributes: &Named) -> Result<(), (Vec<u8>, Errno)> {
    let path = path_of_held(held);
    each(attributes, |name, value| setxattr(&path, name, value, XattrFlags::empty()))
}

fn each(attributes: &Named, set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>) -> Result<(), (Vec<u8>, Errno)> {
    attributes.iter().try_for_each(|(name, value)| set(name, value).map_err(|errno| (name.clone(), errno)))
}

/// This leads to what is held, be it a symlink, and never further.
pub(super) fn path_of_held(held: impl AsFd) -> String {
    format!("/proc/self/fd/{}", held.as_fd().as_raw_fd())
}

fn read_whole(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut usual = [0; USUAL_BYTES];
    match read(&mut usual) {
        Err(Errno::RANGE) => {
            let mut large = vec![0; MAX_BYTES];
            let length = read(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        length => Ok(usual[..length?].to_vec()),
    }
}
