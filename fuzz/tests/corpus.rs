//! Every input of the corpus, replayed: what was collected, and what fuzzing once found.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use sealift_fuzz::{TARGETS, Target};

/// Runs one target on its folder, and names each file on which it panics.
fn replay(name: &str, target: Target) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} has {} files", folder.display(), files.len());
    let fails = |file: &&PathBuf| {
        let input = fs::read(file).unwrap();
        catch_unwind(|| target(&input)).is_err()
    };
    let failing: Vec<&PathBuf> = files.iter().filter(fails).collect();
    assert!(failing.is_empty(), "{name} fails on {failing:#?}");
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), sealift_fuzz::$target);
        })*

        #[test]
        fn every_target_is_replayed_and_has_its_binary() {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($target)),*]);
            let mut binaries: Vec<String> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets"))
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            binaries.sort();
            assert_eq!(binaries, names);
        }
    };
}

replays! {
    archived archives bolt configs layer_file layers lists manifest_json manifests references repositories tar_index
}

#[test]
fn the_corpus_stays_small() {
    let sizes = TARGETS.iter().flat_map(|(name, _)| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len())
    });
    let sizes: Vec<u64> = sizes.collect();
    assert!(sizes.len() < 300, "{} files", sizes.len());
    assert!(sizes.iter().sum::<u64>() < 500 << 10, "{} bytes", sizes.iter().sum::<u64>());
}
