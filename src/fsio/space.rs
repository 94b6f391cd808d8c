//! Room: what a file system has left, and which files fit there.

use std::path::Path;

use super::error::FileError;
use super::partial::partial_path;
use super::target::folder_of;

/// The largest file FAT32 holds.
pub const FAT32_MAX_FILE_BYTES: u64 = (4 << 30) - 1;

/// What stays free for others where a disk is theirs too.
pub const RESERVED_BYTES: u64 = 64 << 20;
/// The same of files and folders.
const RESERVED_FILES: u64 = 1024;

/// What a file system says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes a user's file can still take.
    pub free_bytes: u64,
    /// How many files and folders more there can be, where the file system has a number of them.
    pub free_files: Option<u64>,
    /// True for FAT12, FAT16 and FAT32; exFAT has no such limits.
    pub is_fat: bool,
}

/// The space where `folder` is; none where the system can't tell.
pub fn space(folder: &Path) -> Option<Space> {
    #[cfg(target_os = "linux")]
    {
        const MSDOS_SUPER_MAGIC: u64 = 0x4d44;
        // File systems that aren't on a disk, and some on a network, say that they have no blocks at all.
        let room = rustix::fs::statvfs(folder).ok().filter(|room| room.f_blocks > 0)?;
        let kind = rustix::fs::statfs(folder).ok()?.f_type;
        let is_fat = u64::try_from(kind).is_ok_and(|kind| kind == MSDOS_SUPER_MAGIC);
        let free_files = (room.f_files > 0).then_some(room.f_favail);
        Some(Space { free_bytes: room.f_bavail.saturating_mul(room.f_frsize), free_files, is_fat })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}

/// Will these files, of these sizes, fit where the first of them goes? What a file system can't tell is no objection.
pub fn check_room(files: &[(&Path, u64)]) -> Result<(), FileError> {
    let Some((first, _)) = files.first() else { return Ok(()) };
    let Some(space) = space(folder_of(first)) else { return Ok(()) };
    // What dead runs left will go.
    let left_over_bytes: u64 = files.iter().map(|(path, _)| disk_bytes(&partial_path(path))).sum();
    let space = Space { free_bytes: space.free_bytes.saturating_add(left_over_bytes), ..space };
    let sizes: Vec<u64> = files.iter().map(|(_, size_bytes)| *size_bytes).collect();
    fit(space, first, &sizes)
}

/// Will a tree that takes so much fit beside what is in `folder`, and leave some for others? What a file system can't tell is
/// no objection.
pub fn check_room_for_tree(folder: &Path, bytes: u64, files: u64) -> Result<(), FileError> {
    space(folder).map_or(Ok(()), |space| fit_tree(space, folder, bytes, files))
}

fn fit_tree(space: Space, folder: &Path, bytes: u64, files: u64) -> Result<(), FileError> {
    let path = folder.to_owned();
    let needed_bytes = bytes.saturating_add(RESERVED_BYTES);
    if needed_bytes > space.free_bytes {
        return Err(FileError::NoSpace { path, needed_bytes, free_bytes: space.free_bytes });
    }
    let needed_files = files.saturating_add(RESERVED_FILES);
    match space.free_files.filter(|free_files| needed_files > *free_files) {
        Some(free_files) => Err(FileError::NoFiles { path, needed_files, free_files }),
        None => Ok(()),
    }
}

/// Does the file system hold files of this size?
pub(super) fn check_size(path: &Path, size_bytes: u64) -> Result<(), FileError> {
    let Some(space) = space(folder_of(path)) else { return Ok(()) };
    fit(Space { free_bytes: u64::MAX, ..space }, path, &[size_bytes])
}

/// How much of the disk a file takes.
fn disk_bytes(path: &Path) -> u64 {
    let Ok(found) = std::fs::symlink_metadata(path) else { return 0 };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // The unit of st_blocks, whatever the file system's is.
        found.blocks() * 512
    }
    #[cfg(not(unix))]
    found.len()
}

fn fit(space: Space, path: &Path, sizes_bytes: &[u64]) -> Result<(), FileError> {
    let path = path.to_owned();
    if let Some(&needed_bytes) = sizes_bytes.iter().find(|&&size| space.is_fat && size > FAT32_MAX_FILE_BYTES)
    {
        return Err(FileError::TooLargeForFat32 { path, needed_bytes });
    }
    let needed_bytes = sizes_bytes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
    if needed_bytes > space.free_bytes {
        return Err(FileError::NoSpace { path, needed_bytes, free_bytes: space.free_bytes });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::*;

    const SPACE: Space = Space { free_bytes: 20 << 30, free_files: Some(10_000), is_fat: false };

    #[test]
    fn a_tree_leaves_room_for_others() {
        let fit = |space, bytes, files| fit_tree(space, Path::new("x"), bytes, files);
        assert!(fit(SPACE, 19 << 30, 8000).is_ok());
        assert!(matches!(fit(SPACE, 20 << 30, 1), Err(FileError::NoSpace { .. })));
        assert!(matches!(fit(SPACE, 1, 9900), Err(FileError::NoFiles { free_files: 10_000, .. })));
        assert!(fit(Space { free_files: None, ..SPACE }, 1, u64::MAX).is_ok(), "as btrfs has it");
    }

    #[test]
    fn room_is_counted_for_all_files_and_fat32_by_file() {
        let (fat, other) = (Space { is_fat: true, ..SPACE }, SPACE);
        let fit = |space, sizes: &[u64]| fit(space, Path::new("x.tar"), sizes);
        assert!(fit(other, &[5 << 30, 15 << 30]).is_ok());
        assert!(
            matches!(fit(other, &[5 << 30, 16 << 30]), Err(FileError::NoSpace { needed_bytes, .. }) if needed_bytes == 21 << 30)
        );
        assert!(matches!(fit(other, &[u64::MAX, 1]), Err(FileError::NoSpace { .. })));
        assert!(fit(fat, &[FAT32_MAX_FILE_BYTES, 1 << 30]).is_ok());
        assert!(
            matches!(fit(fat, &[1, 4 << 30]), Err(FileError::TooLargeForFat32 { needed_bytes, .. }) if needed_bytes == 4 << 30)
        );
    }

    #[test]
    fn what_a_dead_run_left_counts_as_room() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        assert_eq!(disk_bytes(&partial_path(&target)), 0);
        std::fs::write(partial_path(&target), vec![1; 1 << 20]).unwrap();
        assert!(disk_bytes(&partial_path(&target)) >= 1 << 20);
    }
}
