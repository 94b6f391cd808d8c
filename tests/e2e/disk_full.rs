//! A disk that gets full while a pull writes to it: the error says so, what came stays, and with room again the same command
//! fetches the rest and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{failure_of, output_of, said_by};
use crate::front::{Front, are_the_same};
use crate::images::{Image, LARGE, UNDERSTATED};
use crate::running::{Running, events};
use crate::sealift::Layers;

const HINT: &str = "hint: make room on that disk and run the same command again";

/// A small disk: a file system in a file, on a loop device. It is unmounted when its value is dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn mount(folder: &Path, size: &str, kind: &str) -> Self {
        Self::mount_with(folder, size, kind, &[])
    }

    /// One that is made with these options of `mkfs`.
    pub(crate) fn mount_with(folder: &Path, size: &str, kind: &str, options: &[&str]) -> Self {
        let (image, disk) = (folder.join("disk.img"), folder.join("disk"));
        fs::create_dir(&disk).unwrap();
        output_of(Command::new("truncate").args(["--size", size]).arg(&image));
        let mut make = Command::new(format!("/usr/sbin/mkfs.{kind}"));
        output_of(make.args(["-q", "-m", "0"]).args(options).arg(&image));
        output_of(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&disk));
        Self(disk)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all but `spare_bytes` of the room there is.
    pub(crate) fn fill(&self, spare_bytes: u64) {
        let room = rustix::fs::statvfs(&self.0).unwrap();
        let filler = fs::File::create(self.0.join("filler")).unwrap();
        let bytes = (room.f_bavail * room.f_frsize).saturating_sub(spare_bytes);
        let zeros = vec![0; 1 << 16];
        let write = || (0..bytes >> 16).try_for_each(|_| std::io::Write::write_all(&mut &filler, &zeros));
        match write() {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}"),
        }
        filler.sync_all().unwrap();
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    /// A pull whose archive goes there.
    fn pull(&self, front: &Front, image: &Image, how: Layers) -> Command {
        front.pull_to(&self.0.join("image.tar"), image, how.options())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        output_of(Command::new("umount").arg(&self.0));
    }
}

/// How it went when there was room again.
struct Carried {
    said: String,
    /// The layers.
    whole_bytes: u64,
    fetched_bytes: u64,
}

/// Nothing is set aside on this file system, so somebody else takes the room while the pull is under way.
fn carry_on(test: &str, how: Layers, size: &str) -> Carried {
    let mut front = Front::start(test);
    let right = front.right_archive(&LARGE, how);
    let disk = Disk::mount(&front.folder, size, "ext2");
    front.set("", "limit_rate 1m;");
    let mut pull = Running::start(&front.folder, &mut disk.pull(&front, &LARGE, how));
    pull.await_bytes(8 << 20);
    disk.fill(0);
    let ended = pull.end();
    assert_eq!(ended.code, Some(7), "{}", ended.said);
    assert!(ended.said.contains("No space left on device") && ended.said.contains(HINT), "{}", ended.said);
    assert!(!disk.0.join("image.tar").exists());

    disk.make_room();
    front.set("", "");
    front.nginx.requests();
    let said = said_by(disk.pull(&front, &LARGE, how).args(["--progress", "json"]));
    are_the_same(&right, &disk.0.join("image.tar"));
    let whole_bytes = events(&said).iter().find_map(|event| event["blob_bytes"].as_u64()).unwrap();
    Carried { said, whole_bytes, fetched_bytes: front.layer_bytes(&LARGE) }
}

#[test]
fn a_kept_archive_carries_on_when_there_is_room_again() {
    let carried = carry_on("disk-full-kept", Layers::Keep, "40M");
    let events = events(&carried.said);
    let resumed = events.iter().find(|event| event["event"] == "resumed").expect("it began anew");
    let there_bytes = resumed["bytes"].as_u64().unwrap();
    assert!(there_bytes >= 4 << 20, "only {there_bytes} bytes stayed");
    assert_eq!(there_bytes + carried.fetched_bytes, carried.whole_bytes);
}

#[test]
fn a_plain_archive_carries_on_when_there_is_room_again() {
    let Carried { whole_bytes, fetched_bytes, said } = carry_on("disk-full-plain", Layers::Plain, "64M");
    assert!(fetched_bytes < whole_bytes - (4 << 20), "{fetched_bytes} of {whole_bytes} bytes again: {said}");
}

/// Room is set aside for what a layer says that it inflates to; this one lies.
#[test]
fn a_layer_that_inflates_beyond_the_disk_is_not_fetched_again() {
    let mut front = Front::start("disk-full-inflated");
    let right = front.right_archive(&UNDERSTATED, Layers::Plain);
    let disk = Disk::mount(&front.folder, "80M", "ext4");
    disk.fill(24 << 20);
    let said = failure_of(&mut disk.pull(&front, &UNDERSTATED, Layers::Plain), 7);
    assert!(said.contains("No space left on device") && said.contains(HINT), "{said}");
    assert!(!disk.0.join("image.tar").exists());

    disk.make_room();
    front.nginx.requests();
    output_of(&mut disk.pull(&front, &UNDERSTATED, Layers::Plain));
    are_the_same(&right, &disk.0.join("image.tar"));
    assert_eq!(front.layer_bytes(&UNDERSTATED), 0);
}
