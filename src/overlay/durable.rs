//! What it takes until the disk has a tree that was made.

use std::fs;

use rustix::fd::AsFd;
use rustix::fs::fsync;
use rustix::io::Errno;

/// From this Linux on `syncfs` says if something could not be written.
const SYNCFS_TELLS: (u32, u32) = (5, 8);

/// How one learns that the disk could not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// All of it at once, at the end (`syncfs`).
    AtEnd,
    /// Of each file and folder for itself (`fsync`).
    Each,
}

impl Durability {
    /// What there is on this machine. Where nothing tells, it is the slow way.
    pub(super) fn here() -> Self {
        Self::of(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default())
    }

    fn of(release: &str) -> Self {
        if kernel_version(release).is_some_and(|version| version >= SYNCFS_TELLS) {
            Self::AtEnd
        } else {
            Self::Each
        }
    }

    /// Something has all that it is to have.
    pub(super) fn finished(self, made: impl AsFd) -> Result<(), Errno> {
        match self {
            Self::AtEnd => Ok(()),
            Self::Each => fsync(made),
        }
    }
}

/// The first two numbers of `6.1.0-18-amd64`.
pub(crate) fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    numbers.next()?.parse().ok().zip(numbers.next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_syncfs_tells_nothing_each_file_is_synced() {
        for (release, durability) in [
            ("4.18.0-553.el8_10.x86_64", Durability::Each),
            ("5.4.0-216-generic", Durability::Each),
            ("5.7.19", Durability::Each),
            ("", Durability::Each),
            ("5.8.0", Durability::AtEnd),
            ("5.15.0-1-amd64", Durability::AtEnd),
            ("6.1.0-18-amd64\n", Durability::AtEnd),
        ] {
            assert_eq!(Durability::of(release), durability, "{release}");
        }
    }

    #[test]
    fn what_can_not_be_synced_is_an_error_where_each_file_is() {
        // A pipe has no disk.
        let (pipe, _end) = std::io::pipe().unwrap();
        assert_eq!(Durability::AtEnd.finished(&pipe), Ok(()));
        assert_eq!(Durability::Each.finished(&pipe), Err(Errno::INVAL));
    }
}
