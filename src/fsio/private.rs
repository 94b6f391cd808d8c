//! Files of secrets: replaced whole, for their owner's eyes only.

use std::io::Write as _;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::FileError;
use super::target::{folder_of, followed};

/// Puts a file with `bytes` in the place of `path`, readable by its owner only (0600), with one rename; it was never
/// readable by others under any name. Where `path` is a link, what it leads to is replaced. Whose file it was, his it
/// stays, if root replaces it. A folder that is missing is made (0700).
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let target = followed(path)?;
    let folder = folder_of(&target);
    create_private_folder(folder)?;
    // tempfile makes files with mode 0600 and a name nobody can guess.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(FileError::io("write to", folder))?;
    file.write_all(bytes).map_err(FileError::io("write", &target))?;
    file.as_file().sync_all().map_err(FileError::io("write", &target))?;
    #[cfg(unix)]
    if let Ok(old) = std::fs::metadata(&target) {
        // Who is not root may not give files away, and then it is his own.
        let _ = std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid()));
    }
    file.persist(&target).map_err(|error| FileError::io("replace", &target)(error.error))?;
    Ok(())
}

fn create_private_folder(folder: &Path) -> Result<(), FileError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(FileError::io("create", folder))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_is_replaced_behind_its_link_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("new/config.json"), folder.path().join("link.json"));
        replace_private(&path, b"one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace_private(&link, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert!(link.is_symlink());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
    }
}
