//! A pull that is stopped in the middle: nothing under the final name, and the next run makes the file.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::process::Signal;

use crate::command::output_of;
use crate::daemon::signal;
use crate::images::BIG_LAYER;
use crate::sealift::{pull, sealift};
use crate::session::session;

/// Bytes on disk, not the length, which is the final one from the start.
fn bytes_written(file: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(file)?.blocks() * 512)
}

/// A pull of the big image, once it has begun to write.
fn begun(folder: &Path) -> (Child, PathBuf) {
    let archive = folder.join("image.tar");
    let mut command = sealift(&["pull", &BIG_LAYER.name(), "-o"]);
    let child = command.arg(&archive).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while !bytes_written(&folder.join("image.tar.partial")).is_ok_and(|bytes| bytes > 0) {
        assert!(begin.elapsed() < Duration::from_mins(1), "no partial file appears");
        sleep(Duration::from_millis(5));
    }
    (child, archive)
}

#[test]
fn a_killed_pull_leaves_no_archive_and_the_next_one_makes_it() {
    let folder = session().work_folder("killed");
    let (mut child, archive) = begun(&folder);
    signal(&child, Signal::KILL);
    assert!(!child.wait().unwrap().success(), "it was done before it could be killed");
    assert!(!archive.exists());
    pull(&BIG_LAYER.name(), &archive);
    let same = output_of(Command::new("cmp").arg(&archive).arg(BIG_LAYER.archive()));
    assert_eq!(same, "");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["image.tar"]);
    fs::remove_file(archive).unwrap();
}

#[test]
fn an_interrupted_pull_leaves_no_archive_and_says_130() {
    let folder = session().work_folder("interrupted");
    let (child, archive) = begun(&folder);
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(!archive.exists());
}
