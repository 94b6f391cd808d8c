//! `sealift container-layer` beside real Dockers, 20.10 with overlay2 and 28 with containerd's store: what containers wrote comes
//! out and in again to the bit, and whatever ends an import, the container is as before or as after.

mod dockers;
mod kills;
mod tree;
mod writing;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use sealift::image::Digest;
use sealift::layer_file::{LayerFile, Verdict};
use serde_json::Value;

use crate::command::{failure_of, output_of, said_by};
use crate::daemon::{Daemon, await_that};
use crate::disk_full::Disk;
use crate::running::Running;
use crate::session::{Set, session};
use dockers::{Container, Dockers, Image};
use tree::{are_equal, walk, without_sockets};

/// What an image's programs write, and what they see of it in a container that got its layer by import.
struct Programs {
    script: &'static str,
    /// A folder of the image with `cat` in it.
    folder: &'static str,
    /// What is there is, and what was removed isn't.
    look: &'static str,
    looked: String,
}

const LOOK: &str = "cat /new/deep/file /new/another-name /says /folder/only; \
     test -e /other -o -e /etc/image -o -e /folder/old || echo gone";

impl Programs {
    fn of_busybox(test: &str) -> Self {
        let looked = format!("content\ncontent\ne2e/container-layer/{test}more\nonly\ngone\n");
        Self { script: writing::BY_BUSYBOX, folder: "/bin", look: LOOK, looked }
    }

    fn of_debian() -> Self {
        let look = "cat /etc/skel/only; ls -A /etc/skel; stat -c '%a %U %g' /srv/shared; \
                    test -e /usr/share/zoneinfo -o -e /usr/share/bug || echo gone";
        let looked = "new\nonly\n2775 deckhand 4321\ngone\n".to_owned();
        Self { script: writing::BY_DEBIAN, folder: "/usr/bin", look, looked }
    }
}

/// A stopped container in which every kind of thing was written.
fn written(dockers: &Dockers, image: &Image, of: &Programs, name: &str) -> Container {
    let container =
        dockers.run(image, name, &["/bin/sh", "-c", "while :; do /bin/busybox sleep 1 || sleep 1; done"]);
    container.exec(of.script);
    writing::write_the_rest(&container.root());
    container.kill();
    writing::rename_a_folder(&container.upper(), of.folder);
    container
}

/// Out by every packing, into fresh containers, and all is the same.
fn round_trip(set: Set, image: &Image, of: &Programs, test: &str) {
    let dockers = Dockers::of(set);
    let folder = session().work_folder(&format!("layer-{test}"));
    let source = written(&dockers, image, of, &format!("{test}-source"));
    let upper = without_sockets(walk(&source.upper()));
    let merged = source.merged();
    assert!(merged.contains_key(Path::new("renamed/cat")), "the kernel follows redirects");
    assert!(upper.len() > 350, "{} entries", upper.len());
    for packing in ["", "--compress", "--compress=zstd"] {
        let file = folder.join(format!("layer{packing}.tar"));
        let options: Vec<_> = Some(packing).into_iter().filter(|option| !option.is_empty()).collect();
        let mut export = dockers.layer(&["export", &source.name]);
        let said = said_by(export.arg(&file).args(&options));
        let left_out = "1 socket is left out; the program that listens there makes it anew: `rest/socket`";
        assert!(said.contains(left_out), "{said}");
        output_of(dockers.layer(&["check"]).arg(&file));
        // GNU tar asks gzip and zstd, which pass over the seal.
        let listed = output_of(
            Command::new("tar")
                .arg("--list")
                .args(match packing {
                    "" => &[][..],
                    "--compress" => &["--gzip"],
                    _ => &["--zstd"],
                })
                .arg("--file")
                .arg(&file),
        );
        assert_eq!(listed, "layer.tar\nmetadata.json\nmetadata.json.sha256\n");

        let target = dockers.create(image, &format!("{test}-target{packing}"), &["/bin/sh", "-c", of.look]);
        let backup = output_of(dockers.layer(&["import"]).arg(&file).arg(&target.name));
        assert!(backup.starts_with("sealift-backup-"), "{backup}");
        are_equal(&upper, &walk(&target.upper()), &format!("{test}{packing}: upper directories"));
        are_equal(&merged, &target.merged(), &format!("{test}{packing}: merged views"));
        assert_eq!(target.start_and_end(), of.looked);
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn all_that_a_container_of_docker_20_wrote_comes_out_and_in() {
    round_trip(Set::Old, &Image::busybox("old"), &Programs::of_busybox("old"), "old-busybox");
}

#[test]
fn all_that_a_container_of_docker_28_wrote_comes_out_and_in() {
    round_trip(Set::Modern, &Image::busybox("modern"), &Programs::of_busybox("modern"), "modern-busybox");
}

#[test]
fn all_that_a_debian_of_docker_20_wrote_comes_out_and_in() {
    round_trip(Set::Old, &Image::debian(), &Programs::of_debian(), "old-debian");
}

#[test]
fn all_that_a_debian_of_docker_28_wrote_comes_out_and_in() {
    round_trip(Set::Modern, &Image::debian(), &Programs::of_debian(), "modern-debian");
}

/// Both keep the same thing on overlayfs, and the image is the same by its layers.
#[test]
fn a_container_moves_from_docker_20_to_docker_28_and_back() {
    let image = Image::busybox("moves");
    let folder = session().work_folder("layer-moves");
    let (old, modern) = (Dockers::of(Set::Old), Dockers::of(Set::Modern));
    let first = written(&old, &image, &Programs::of_busybox("moves"), "moves-first");
    let mut before = without_sockets(walk(&first.upper()));
    let mut from = first;
    for (number, dockers) in [(2, &modern), (3, &old)] {
        let file = folder.join("layer.tar");
        output_of(from.dockers().layer(&["export", &from.name]).arg(&file));
        let to = dockers.create(&image, &format!("moves-{number}"), &["/bin/sh", "-c", LOOK]);
        output_of(dockers.layer(&["import"]).arg(&file).arg(&to.name));
        let after = walk(&to.upper());
        are_equal(&before, &after, "moved");
        assert_eq!(to.start_and_end(), Programs::of_busybox("moves").looked);
        output_of(dockers.layer(&["restore", &to.name]).arg("--no-backup"));
        output_of(dockers.layer(&["import"]).arg(&file).arg(&to.name));
        before = walk(&to.upper());
        from = to;
    }
}

#[test]
fn a_container_goes_back_to_what_it_was() {
    for set in [Set::Old, Set::Modern] {
        let (dockers, image) = (Dockers::of(set), Image::busybox(&format!("back-{}", set.name())));
        let folder = session().work_folder(&format!("layer-back-{}", set.name()));
        let file = folder.join("layer.tar");
        let container = dockers.run(&image, &format!("back-{}", set.name()), dockers::IDLE);
        container.exec("echo one >/word");
        container.kill();
        let one = walk(&container.upper());
        output_of(dockers.layer(&["export", &container.name]).arg(&file));
        container.start();
        container.exec("echo two >/word; echo more >/other");
        container.kill();
        let two = walk(&container.upper());
        let backups = || output_of(&mut dockers.layer(&["backups", "--json", &container.name]));
        assert_eq!(backups(), "");
        let said = said_by(dockers.layer(&["import"]).arg(&file).arg(&container.name));
        assert!(
            said.contains(&format!("to go back: sealift container-layer restore {}", container.name)),
            "{said}"
        );
        are_equal(&one, &walk(&container.upper()), "imported");
        let listed: Value = serde_json::from_str(&backups()).unwrap();
        assert_eq!(listed["before"], format!("import of {}", file.display()));
        are_equal(&two, &walk(Path::new(listed["path"].as_str().unwrap())), "the backup");

        output_of(&mut dockers.layer(&["restore", &container.name]));
        are_equal(&two, &walk(&container.upper()), "restored");
        let listed: Value = serde_json::from_str(&backups()).unwrap();
        let name = listed["name"].as_str().unwrap();
        are_equal(&one, &walk(Path::new(listed["path"].as_str().unwrap())), "the backup of that");
        let nobody = failure_of(&mut dockers.layer(&["restore", &container.name, "--backup", "../diff"]), 4);
        assert!(nobody.contains("has no backup"), "{nobody}");
        let mut last = dockers.layer(&["restore", &container.name, "--no-backup", "--backup", name]);
        assert_eq!(output_of(&mut last), "");
        are_equal(&one, &walk(&container.upper()), "restored again");
        assert_eq!(backups(), "");
        container.start();
        assert_eq!(container.exec("/bin/cat /word"), "one\n");
    }
}

/// Frozen, read, and on it goes; one that was frozen by somebody else stays so.
#[test]
fn a_container_that_runs_is_frozen_for_as_long_as_it_takes() {
    for set in [Set::Old, Set::Modern] {
        let (dockers, image) = (Dockers::of(set), Image::busybox(&format!("runs-{}", set.name())));
        let folder = session().work_folder(&format!("layer-runs-{}", set.name()));
        let file = folder.join("layer.tar");
        let container = dockers.run(&image, &format!("runs-{}", set.name()), dockers::IDLE);
        container
            .exec("echo word >/word; /bin/busybox dd if=/dev/zero of=/large bs=1M count=200 2>/dev/null");
        let refused = failure_of(dockers.layer(&["export", &container.name]).arg(&file), 1);
        assert!(refused.contains("is running") && !file.exists(), "{refused}");
        let export = || {
            let mut export = dockers.layer(&["export", &container.name, "--allow-running"]);
            export.arg(&file);
            export
        };
        let said = said_by(&mut export());
        assert!(said.contains("is paused until its layer is read"), "{said}");
        assert_eq!(container.status(), "running");
        output_of(dockers.layer(&["check"]).arg(&file));
        let upper = walk(&container.upper());

        fs::remove_file(&file).unwrap();
        for (signal, code) in [(Signal::INT, 130), (Signal::HUP, 129)] {
            let mut running = Running::start(&folder, &mut export());
            running.await_event("layer_started");
            running.signal(signal);
            let ended = running.end();
            assert_eq!(ended.code, Some(code), "{}", ended.said);
            assert_eq!(container.status(), "running", "{signal:?}");
            assert_eq!(names(&folder), ["said"], "{signal:?} leaves nothing");
        }

        container.docker(&["pause"]);
        output_of(&mut export());
        assert_eq!(container.status(), "paused");
        container.docker(&["unpause"]);
        container.kill();
        let target = dockers.create(&image, &format!("runs-target-{}", set.name()), dockers::IDLE);
        output_of(dockers.layer(&["import"]).arg(&file).arg(&target.name));
        are_equal(&upper, &walk(&target.upper()), "of the frozen container");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn volumes_and_bind_mounts_are_told() {
    let (dockers, image) = (Dockers::of(Set::Old), Image::busybox("volumes"));
    let folder = session().work_folder("layer-volumes");
    let bind = format!("{}:/bound", folder.display());
    let container =
        dockers.create_with(&image, "volumes", &["-v", "data-of-volumes:/data", "-v", &bind], dockers::IDLE);
    let said = said_by(dockers.layer(&["export", &container.name]).arg(folder.join("layer.tar")));
    let volume =
        "the volume `data-of-volumes` at `/data` is not in the container's layer: back it up by itself";
    assert!(said.contains(volume), "{said}");
    assert!(said.contains(&format!("the bind `{}` at `/bound` is not", folder.display())), "{said}");
}

/// Of what a real container's file is, no byte may be another.
#[test]
fn every_flipped_byte_is_noticed() {
    let (dockers, image) = (Dockers::of(Set::Old), Image::busybox("flips"));
    let folder = session().work_folder("layer-flips");
    let container = dockers.run(&image, "flips", dockers::IDLE);
    container.exec("/bin/busybox mkdir /new; echo word >/new/word; /bin/busybox rm /says; /bin/busybox ln -s /etc /new/etc");
    container.kill();
    let mut random = kills::Random::new(7);
    for packing in ["", "--compress=gzip", "--compress=zstd"] {
        let file = folder.join(format!("layer{packing}"));
        let options: Vec<_> = Some(packing).into_iter().filter(|option| !option.is_empty()).collect();
        output_of(dockers.layer(&["export", &container.name]).arg(&file).args(&options));
        let whole = fs::read(&file).unwrap();
        for _ in 0..100 {
            let mut bytes = whole.clone();
            let (at, bit) = (random.below(whole.len() as u64), random.below(8));
            bytes[usize::try_from(at).unwrap()] ^= 1 << bit;
            fs::write(&file, &bytes).unwrap();
            let verdict = LayerFile::open(&file).and_then(|opened| opened.verify(u64::MAX, &|_| true));
            let is_caught = !matches!(verdict, Ok(Verdict::Whole(_)));
            assert!(is_caught, "bit {bit} of byte {at} of {}", file.display());
        }
    }
}

#[test]
fn a_damaged_file_changes_nothing() {
    for set in [Set::Old, Set::Modern] {
        let (dockers, image) = (Dockers::of(set), Image::busybox(&format!("damaged-{}", set.name())));
        let folder = session().work_folder(&format!("layer-damaged-{}", set.name()));
        let file = folder.join("layer.tar");
        let container = dockers.run(&image, &format!("damaged-{}", set.name()), dockers::IDLE);
        container.exec("echo word >/word");
        container.kill();
        output_of(dockers.layer(&["export", &container.name]).arg(&file));
        let before = (walk(&container.upper()), names(container.upper().parent().unwrap()));
        let whole = fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        let word = whole.windows(5).position(|window| window == b"word\n").unwrap();
        flipped[word] ^= 1;
        for bytes in [&flipped[..], &whole[..whole.len() - 512], &whole[..700], b""] {
            fs::write(&file, bytes).unwrap();
            let said = failure_of(dockers.layer(&["import"]).arg(&file).arg(&container.name), 3);
            assert!(said.contains("is damaged"), "{said}");
            assert_eq!(before.1, names(container.upper().parent().unwrap()));
            are_equal(&before.0, &walk(&container.upper()), "after a damaged file");
        }
    }
}

#[test]
fn a_layer_goes_into_its_own_image_alone_unless_it_is_forced() {
    for set in [Set::Old, Set::Modern] {
        let dockers = Dockers::of(set);
        let (image, other) = (
            Image::busybox(&format!("own-{}", set.name())),
            Image::busybox(&format!("other-{}", set.name())),
        );
        let file = session().work_folder(&format!("layer-own-{}", set.name())).join("layer.tar");
        let container = dockers.run(&image, &format!("own-{}", set.name()), dockers::IDLE);
        container.exec("echo word >/word; /bin/busybox mknod /null c 1 3");
        container.kill();
        output_of(dockers.layer(&["export", &container.name]).arg(&file));
        let target = dockers.create(&other, &format!("other-{}", set.name()), dockers::IDLE);
        let before = walk(&target.upper());
        let import = |options: &[&str]| {
            let mut import = dockers.layer(&["import"]);
            import.arg(&file).arg(&target.name).args(options);
            import
        };
        let said = failure_of(&mut import(&[]), 4);
        assert!(said.contains("the layer is of the image") && said.contains("--force-image"), "{said}");
        let said = failure_of(&mut import(&["--force-image", "--no-devices"]), 1);
        assert!(said.contains("it has a device: `null`"), "{said}");
        are_equal(&before, &walk(&target.upper()), "refused");
        output_of(&mut import(&["--force-image"]));
        are_equal(&walk(&container.upper()), &walk(&target.upper()), "forced");
        let told = output_of(dockers.layer(&["check"]).arg(&file));
        assert!(told.contains("is there") && !told.contains("not checked"), "{told}");
        let nowhere = Dockers::at(set, "unix:///nowhere/docker.sock");
        let said = failure_of(nowhere.layer(&["check"]).arg(&file), 7);
        assert!(said.contains("is whole, but was not held against a Docker"), "{said}");
    }
}

#[test]
fn who_is_not_root_is_told() {
    let (dockers, image) = (Dockers::of(Set::Old), Image::busybox("root"));
    let container = dockers.create(&image, "root", dockers::IDLE);
    let file = session().work_folder("layer-root").join("layer.tar");
    // Root of a user namespace may open the socket, but sees no attribute of overlayfs.
    let mut export = Command::new("unshare");
    export.args(["--user", "--map-root-user", "--"]).arg(&session().sealift);
    let said = failure_of(dockers.layer_by(export, &["export", &container.name]).arg(&file), 7);
    assert!(said.contains("is for root only"), "{said}");
    let mut export = Command::new("setpriv");
    export.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&session().sealift);
    let said = failure_of(dockers.layer_by(export, &["export", &container.name]).arg(&file), 7);
    assert!(said.contains("the socket is not for this user"), "{said}");
    assert!(!file.exists());
}

#[test]
fn what_is_not_there_or_runs_is_told() {
    for set in [Set::Old, Set::Modern] {
        let (dockers, image) = (Dockers::of(set), Image::busybox(&format!("told-{}", set.name())));
        let file = session().work_folder(&format!("layer-told-{}", set.name())).join("layer.tar");
        let said = failure_of(dockers.layer(&["export", "nobody-at-all"]).arg(&file), 4);
        assert!(said.contains("has no container `nobody-at-all`"), "{said}");
        let container = dockers.create(&image, &format!("told-{}", set.name()), dockers::IDLE);
        output_of(dockers.layer(&["export", &container.name]).arg(&file));
        container.start();
        for action in
            [&["import", file.to_str().unwrap(), &container.name][..], &["restore", &container.name]]
        {
            let said = failure_of(&mut dockers.layer(action), 1);
            assert!(said.contains("is running") && said.contains("docker stop"), "{said}");
        }
    }
}

/// A dockerd of the test's own.
fn own_docker(set: Set, test: &str, data: &Path, options: &[&str]) -> (Daemon, Dockers) {
    let folder = session().work_folder(&format!("layer-dockerd-{test}"));
    let socket = session().run.join(format!("{test}.sock"));
    let host = format!("unix://{}", socket.display());
    let mut command = set.command("/usr/sbin/dockerd");
    command.arg("--data-root").arg(data).arg("--exec-root").arg(session().run.join(format!("{test}-exec")));
    command.arg("--pidfile").arg(session().run.join(format!("{test}.pid"))).args(["--host", &host]);
    command.args(["--bridge=none", "--iptables=false", "--ip-forward=false"]);
    command.args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", &session().control_group]);
    let daemon = Daemon::start(&folder, "dockerd", command.args(options));
    await_that("dockerd answers", || {
        Command::new("docker").args(["--host", &host, "version"]).output().unwrap().status.success()
    });
    (daemon, Dockers::at(set, &host))
}

#[test]
fn a_storage_driver_without_upper_directories_is_told() {
    let data = session().work_folder("layer-vfs");
    let (_daemon, dockers) = own_docker(Set::Old, "vfs", &data, &["--storage-driver", "vfs"]);
    let image = Image::busybox("vfs");
    let container = dockers.create(&image, "vfs", dockers::IDLE);
    let said = failure_of(dockers.layer(&["export", &container.name]).arg(data.join("layer.tar")), 1);
    assert!(said.contains("is kept by the storage driver `vfs`"), "{said}");
}

#[test]
fn a_full_disk_is_told_before_and_meanwhile() {
    let folder = session().work_folder("layer-full");
    let disk = Disk::mount(&folder, "150M", "ext4");
    let (mut daemon, dockers) = own_docker(Set::Old, "full", &disk.path().join("docker"), &[]);
    let image = Image::busybox("full");
    let container = dockers.run(&image, "full", dockers::IDLE);
    container.exec("/bin/busybox dd if=/dev/urandom of=/large bs=1M count=30 2>/dev/null");
    container.kill();
    let file = folder.join("layer.tar");
    output_of(dockers.layer(&["export", &container.name]).arg(&file));
    let (before, beside) = (walk(&container.upper()), names(container.upper().parent().unwrap()));
    disk.fill(20 << 20);
    let import = || {
        let mut import = dockers.layer(&["import"]);
        import.arg(&file).arg(&container.name);
        import
    };
    let said = failure_of(&mut import(), 7);
    assert!(said.contains("there is room for") && said.contains("make room on the disk"), "{said}");
    let said = failure_of(dockers.layer(&["export", &container.name]).arg(disk.path().join("layer.tar")), 7);
    assert!(said.contains("free"), "{said}");
    assert!(!disk.path().join("layer.tar").exists());
    // How much is packed nobody knows before, so this disk gets full meanwhile.
    let mut export = dockers.layer(&["export", "--compress", &container.name]);
    let said = failure_of(export.arg(disk.path().join("layer.tar")), 7);
    assert!(said.contains("No space left on device") && said.contains("make room on that disk"), "{said}");
    assert_eq!(names(disk.path()), ["docker", "filler", "lost+found"], "nothing is left of it");
    are_equal(&before, &walk(&container.upper()), "on a full disk");
    assert_eq!(beside, names(container.upper().parent().unwrap()));

    // Small files take more of a disk than of a tar: here there is no room for so many.
    disk.make_room();
    let many = dockers.run(&image, "full-many", dockers::IDLE);
    many.exec("/bin/busybox mkdir /many; i=0; while [ $i -lt 4000 ]; do echo $i >/many/$i; i=$((i+1)); done");
    many.kill();
    output_of(dockers.layer(&["export", &many.name]).arg(&file));
    let taken = disk.path().join("taken");
    fs::create_dir(&taken).unwrap();
    let is_refused = |number: &u32| fs::File::create(taken.join(number.to_string())).is_err();
    let last = (0..1_000_000).find(is_refused).unwrap();
    (last - 500..last).for_each(|number| fs::remove_file(taken.join(number.to_string())).unwrap());
    let said = failure_of(&mut import(), 7);
    assert!(
        said.contains("cannot unpack the layer in") && said.contains("files and folders are needed"),
        "{said}"
    );
    assert!(said.contains("nothing was changed") && said.contains("not by `docker system prune`"), "{said}");
    are_equal(&before, &walk(&container.upper()), "on a disk without room for more files");
    assert_eq!(beside, names(container.upper().parent().unwrap()));
    drop((container, many));
    daemon.end(Signal::TERM);
}

/// This file system takes much more for each file than others do, so what was room enough at first is full halfway.
#[test]
fn a_disk_that_gets_full_while_a_layer_is_unpacked_leaves_all_as_it_was() {
    let folder = session().work_folder("layer-gets-full");
    let (image, file) = (Image::busybox("gets-full"), folder.join("layer.tar"));
    let sessions = Dockers::of(Set::Old);
    let source = sessions.run(&image, "gets-full-source", dockers::IDLE);
    source
        .exec("/bin/busybox mkdir /many; i=0; while [ $i -lt 2000 ]; do echo $i >/many/$i; i=$((i+1)); done");
    source.kill();
    output_of(sessions.layer(&["export", &source.name]).arg(&file));
    let clusters = ["-O", "bigalloc", "-C", "262144", "-N", "8000"];
    let disk = Disk::mount_with(&folder, "200M", "ext4", &clusters);
    let (mut daemon, dockers) = own_docker(Set::Old, "gets-full", &disk.path().join("docker"), &[]);
    let target = dockers.run(&image, "gets-full", dockers::IDLE);
    target.exec("echo word >/word; /bin/busybox rm /other");
    target.kill();
    let (before, beside) = (walk(&target.upper()), names(target.upper().parent().unwrap()));
    let said = failure_of(dockers.layer(&["import"]).arg(&file).arg(&target.name), 7);
    for words in
        ["cannot unpack the layer in", "No space left on device", "nothing was changed; make room there"]
    {
        assert!(said.contains(words), "{said}");
    }
    are_equal(&before, &walk(&target.upper()), "on a disk that got full");
    assert_eq!(beside, names(target.upper().parent().unwrap()));
    target.start();
    assert_eq!(target.exec("/bin/cat /word; test -e /other || echo gone"), "word\ngone\n");
    drop(target);
    daemon.end(Signal::TERM);
}

/// What a dead import left may be in use: it takes room, and hinders nobody.
#[test]
fn a_leftover_that_will_not_go_away_is_told_and_all_goes_on() {
    let (dockers, image) = (Dockers::of(Set::Old), Image::busybox("stays"));
    let file = session().work_folder("layer-stays").join("layer.tar");
    let container = dockers.run(&image, "stays", dockers::IDLE);
    container.exec("echo word >/word");
    container.kill();
    let left = container.upper().with_file_name("sealift-import-0123456789abcdef");
    fs::create_dir_all(left.join("mounted")).unwrap();
    output_of(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(left.join("mounted")));
    let before = walk(&container.upper());
    let path = file.to_str().unwrap();
    for command in [
        &["export", &container.name, path][..],
        &["import", path, &container.name],
        &["restore", &container.name, "--no-backup"],
        &["backups", &container.name],
    ] {
        let said = said_by(&mut dockers.layer(command));
        let stays = format!("left what can't be removed: cannot remove {}/mounted: ", left.display());
        assert!(said.contains(&stays), "{said}");
        are_equal(&before, &walk(&container.upper()), command[0]);
    }
    output_of(Command::new("umount").arg(left.join("mounted")));
    let said = said_by(&mut dockers.layer(&["backups", &container.name]));
    assert!(said.contains("what it had unpacked is removed") && !left.exists(), "{said}");
    container.start();
    assert_eq!(container.exec("/bin/cat /word"), "word\n");
}

/// A socket is in no file; what of the image it took the place of stays away all the same.
#[test]
fn what_a_socket_took_the_place_of_stays_away() {
    for set in [Set::Old, Set::Modern] {
        let name = format!("sockets-{}", set.name());
        let (dockers, image) = (Dockers::of(set), Image::busybox(&name));
        let file = session().work_folder(&format!("layer-{name}")).join("layer.tar");
        let source = dockers.run(&image, &format!("{name}-source"), dockers::IDLE);
        source.exec("/bin/busybox rm /other; /bin/busybox rm -r /folder; /bin/busybox mkdir /folder /new");
        for path in ["other", "folder/old", "new/socket"] {
            drop(UnixListener::bind(source.root().join(path)).unwrap());
        }
        let said = said_by(dockers.layer(&["export", "--allow-running", &source.name]).arg(&file));
        assert!(said.contains("3 sockets are left out"), "{said}");
        let of_running = fs::read(&file).unwrap();
        source.kill();
        output_of(dockers.layer(&["export", &source.name]).arg(&file));
        for bytes in [&of_running, &fs::read(&file).unwrap()] {
            fs::write(&file, bytes).unwrap();
            let look = "test -e /other || echo gone; /bin/busybox ls -A /folder /new";
            let target = dockers.create(&image, &format!("{name}-target"), &["/bin/sh", "-c", look]);
            output_of(dockers.layer(&["import"]).arg(&file).arg(&target.name));
            are_equal(&source.merged(), &target.merged(), &name);
            assert_eq!(target.start_and_end(), "gone\n/folder:\n\n/new:\n");
        }
    }
}

/// Docker tells nowhere where the root of a containerd that is not its own is; a container that lives has it mounted.
#[test]
fn a_containerd_that_is_elsewhere_is_found_by_the_mounts_of_what_runs() {
    let data = session().work_folder("layer-elsewhere");
    let containerd = session().run.join("modern-containerd.sock").display().to_string();
    let options = ["--feature", "containerd-snapshotter=true", "--containerd", &containerd];
    let (mut daemon, dockers) = own_docker(Set::Modern, "elsewhere", &data, &options);
    let (file, image) = (data.join("layer.tar"), Image::busybox("elsewhere"));
    let container = dockers.run(&image, "elsewhere", dockers::IDLE);
    container.exec("echo word >/word; /bin/busybox rm /other");
    drop(UnixListener::bind(container.root().join("other")).unwrap());
    output_of(dockers.layer(&["export", &container.name, "--allow-running"]).arg(&file));
    let extract = ["--extract", "--to-stdout", "--file"];
    assert!(output_of(Command::new("tar").args(extract).arg(&file).arg("layer.tar")).contains("word"));
    let metadata = output_of(Command::new("tar").args(extract).arg(&file).arg("metadata.json"));
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["tree"]["whiteouts"], 1, "of the image below the socket its mount tells, too");
    container.kill();
    let said = failure_of(dockers.layer(&["export", &container.name]).arg(&file), 7);
    assert!(said.contains("no containerd root has a snapshot") && said.contains("--allow-running"), "{said}");
    drop(container);
    daemon.end(Signal::TERM);
}

/// A file of layer-tool 1.0, of a container of this image; `summed` is what paths and contents are, one after the other.
fn of_version_one(folder: &Path, layer: &Path, summed: &[u8], image_id: &str) -> PathBuf {
    let file = folder.join("one.tar");
    fs::rename(layer, folder.join("layer.tar")).unwrap();
    let metadata = serde_json::json!({
        "version": "1.0", "created": "2026-11-21T12:00:00Z",
        "container_metadata": {"id": "ab".repeat(32), "name": "one", "image": "one", "image_id": image_id,
            "image_sha256": image_id.trim_start_matches("sha256:"), "created": "2026-11-21T11:00:00Z",
            "state": "exited", "status": "Exited (0)", "labels": {}, "mounts": []},
        "docker_info": {"driver": "overlay2", "os_type": "linux", "architecture": "x86_64"},
        "layer_checksum": Digest::of(summed).hex(), "compressed": false
    });
    fs::write(folder.join("metadata.json"), serde_json::to_vec_pretty(&metadata).unwrap()).unwrap();
    tar(
        &["--create", "--file"],
        &[&file, Path::new("--directory"), folder, Path::new("metadata.json"), Path::new("layer.tar")],
    );
    file
}

fn tar(options: &[&str], paths: &[&Path]) {
    output_of(Command::new("tar").args(options).args(paths));
}

#[test]
fn files_of_layer_tool_are_checked_and_imported_and_what_they_lost_is_told() {
    let (dockers, image) = (Dockers::of(Set::Old), Image::busybox("one"));
    let folder = session().work_folder("layer-one");
    let target = dockers.create(&image, "one", &["/bin/cat", "/new/word"]);
    let layer = folder.join("layer");
    fs::create_dir_all(layer.join("new")).unwrap();
    fs::write(layer.join("new/word"), "of version 1.0\n").unwrap();
    let packed = folder.join("packed.tar");
    tar(&["--create", "--file"], &[&packed, Path::new("--directory"), &layer, Path::new("new")]);
    let file = of_version_one(&folder, &packed, b"newnew/wordof version 1.0\n", &target.image_id());
    output_of(dockers.layer(&["check"]).arg(&file));
    let said = said_by(dockers.layer(&["import"]).arg(&file).arg(&target.name));
    assert!(said.contains("warning:") && said.contains("1.0"), "{said}");
    assert_eq!(target.start_and_end(), "of version 1.0\n");
}

/// Names and links that would lead out of the layer, in files whose checksum is right.
#[test]
fn hostile_files_change_nothing_outside() {
    let (dockers, image) = (Dockers::of(Set::Old), Image::busybox("hostile"));
    let folder = session().work_folder("layer-hostile");
    let target = dockers.create(&image, "hostile", dockers::IDLE);
    // Names of tars are short.
    let outside = session().run.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("canary"), "alive").unwrap();
    let (before, beside) = (walk(&target.upper()), names(target.upper().parent().unwrap()));
    let canary = walk(&outside);
    let absolute = outside.join("evil").display().to_string();
    let up = format!("{}{}/evil", "../".repeat(20), outside.display());
    let linked = outside.join("canary").display().to_string();
    let link = |target: &str| (tar::EntryType::Symlink, "link".to_owned(), target.to_owned());
    let file = |name: &str| (tar::EntryType::Regular, name.to_owned(), String::new());
    let hard = |target: &str| (tar::EntryType::Link, "hard".to_owned(), target.to_owned());
    for (number, entries) in [
        vec![file(&absolute)],
        vec![file(&up)],
        vec![file("deep/../../evil")],
        vec![link(&outside.display().to_string()), file("link/evil")],
        vec![link(&up), file("link")],
        vec![hard(&linked)],
        vec![hard(&up)],
        vec![file("twice"), file("twice")],
    ]
    .into_iter()
    .enumerate()
    {
        let (mut builder, mut summed) = (tar::Builder::new(Vec::new()), Vec::new());
        for (kind, name, to) in entries {
            let mut header = crate::layer::header(kind, 0o644, 0);
            // As the crate would not write them.
            let set = |field: &mut [u8], text: &str| field[..text.len()].copy_from_slice(text.as_bytes());
            set(&mut header.as_old_mut().name, &name);
            set(&mut header.as_old_mut().linkname, &to);
            header.set_cksum();
            builder.append(&header, &b""[..]).unwrap();
            summed.extend_from_slice(name.as_bytes());
        }
        let packed = folder.join("packed.tar");
        fs::write(&packed, builder.into_inner().unwrap()).unwrap();
        let hostile = of_version_one(&folder, &packed, &summed, &target.image_id());
        let said = failure_of(dockers.layer(&["import"]).arg(&hostile).arg(&target.name), 3);
        assert!(!said.contains("hash to"), "{number}: refused for what it is: {said}");
        are_equal(&canary, &walk(&outside), "outside");
        are_equal(&before, &walk(&target.upper()), "the layer");
        assert_eq!(beside, names(target.upper().parent().unwrap()));
    }
}

/// As many files as a small application has, beside GNU tar: which unpacks the same tree, and how long both take.
#[test]
fn five_thousand_files_are_out_and_in_about_as_fast_as_with_tar() {
    let (dockers, image) = (Dockers::of(Set::Old), Image::busybox("many"));
    let folder = session().work_folder("layer-many");
    let source = dockers.create(&image, "many", dockers::IDLE);
    let mut random = kills::Random::new(5000);
    for number in 0..5000 {
        let place = source.upper().join(format!("data/{}", number / 100));
        fs::create_dir_all(&place).unwrap();
        let size = if number % 1000 == 999 { 16 << 20 } else { 1024 + random.below(7000) };
        let bytes = random.bytes(usize::try_from(size).unwrap());
        fs::write(place.join(format!("file-{number}")), bytes).unwrap();
    }
    let upper = walk(&source.upper());
    let (file, by_tar) = (folder.join("layer.tar"), folder.join("by-tar.tar"));
    let exported = time(|| drop(output_of(dockers.layer(&["export", &source.name]).arg(&file))));
    let options = ["--xattrs", "--xattrs-include=*", "--sparse", "--format=posix"];
    let packed = time(|| {
        tar(
            &[&["--create"], &options[..], &["--file"]].concat(),
            &[&by_tar, Path::new("--directory"), &source.upper(), Path::new(".")],
        );
        output_of(Command::new("sync").arg("-f").arg(&folder));
    });
    let target = dockers.create(&image, "many-target", dockers::IDLE);
    let imported = time(|| drop(output_of(dockers.layer(&["import"]).arg(&file).arg(&target.name))));
    are_equal(&upper, &walk(&target.upper()), "imported");

    let tree = folder.join("tree");
    fs::create_dir(&tree).unwrap();
    let inner = fs::File::create(folder.join("layer.tar.inner")).unwrap();
    let status = Command::new("tar")
        .args(["--extract", "--to-stdout", "--file"])
        .arg(&file)
        .arg("layer.tar")
        .stdout(inner)
        .status();
    assert!(status.unwrap().success());
    let unpacked = time(|| {
        let options = ["--extract", "--same-permissions", "--xattrs", "--xattrs-include=*", "--file"];
        tar(&options, &[&folder.join("layer.tar.inner"), Path::new("--directory"), &tree]);
        output_of(Command::new("sync").arg("-f").arg(&folder));
    });
    are_equal(&upper, &walk(&tree), "unpacked by GNU tar");
    println!("export {exported:.2} s, tar {packed:.2} s; import {imported:.2} s, tar {unpacked:.2} s");
    // Other tests run beside it: this finds what is slower by an order of magnitude only.
    assert!(exported < 5.0 + 10.0 * packed && imported < 5.0 + 10.0 * unpacked);
}

fn time(work: impl FnOnce()) -> f64 {
    let started = std::time::Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

#[test]
fn an_import_that_is_interrupted_leaves_all_as_it_was() {
    let (dockers, image) = (Dockers::of(Set::Modern), Image::busybox("interrupted"));
    let folder = session().work_folder("layer-interrupted");
    let source = dockers.run(&image, "interrupted-source", dockers::IDLE);
    source.exec("/bin/busybox dd if=/dev/urandom of=/large bs=1M count=300 2>/dev/null");
    source.kill();
    let file = folder.join("layer.tar");
    output_of(dockers.layer(&["export", &source.name]).arg(&file));
    let target = dockers.create(&image, "interrupted", dockers::IDLE);
    let (before, beside) = (walk(&target.upper()), names(target.upper().parent().unwrap()));
    for (event, signal, code) in [
        ("check_progressed", Signal::INT, 130),
        ("layer_started", Signal::TERM, 143),
        ("layer_progressed", Signal::INT, 130),
    ] {
        let mut import = dockers.layer(&["import"]);
        let mut running = Running::start(&folder, import.arg(&file).arg(&target.name));
        running.await_event(event);
        running.signal(signal);
        let ended = running.end();
        assert_eq!(ended.code, Some(code), "{}", ended.said);
        are_equal(&before, &walk(&target.upper()), event);
        assert_eq!(beside, names(target.upper().parent().unwrap()), "{event}");
    }
}

/// A Docker by script, whose container neither stays frozen nor goes on again when it is told to.
#[test]
fn a_container_that_stays_paused_is_told_when_the_export_fails_too() {
    let folder = session().work_folder("layer-stays-paused");
    let root = folder.join("docker");
    let (book, upper) =
        (root.join("image/overlay2/layerdb/mounts").join("4f".repeat(32)), root.join("overlay2/ab/diff"));
    fs::create_dir_all(&book).unwrap();
    fs::write(book.join("mount-id"), "ab").unwrap();
    fs::create_dir_all(&upper).unwrap();
    let mut script = crate::support::engine::Script::default();
    script.info["DockerRootDir"] = root.display().to_string().into();
    script.info["Driver"] = "overlay2".into();
    script.containers.insert(
        "4f".repeat(32),
        serde_json::json!({
            "Id": "4f".repeat(32), "Name": "/db", "Image": "sha256:1", "Config": {"Image": "x"}, "Mounts": [],
            "State": {"Status": "running", "Running": true, "Pid": 0, "StartedAt": "2026-11-21T12:00:01Z"},
            "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": upper}}
        }),
    );
    script.orders.insert("unpause".to_owned(), (500, serde_json::json!({"message": "no"})));
    let sockets = session().run.join("stays-paused");
    fs::create_dir(&sockets).unwrap();
    let engine = crate::support::engine::TestEngine::start(&sockets, script);
    let dockers = Dockers::at(Set::Old, &engine.host());
    let file = folder.join("layer.tar");
    let mut export = dockers.layer(&["export", "--allow-running", &"4f".repeat(32)]);
    let said = failure_of(export.arg(&file), 1);
    assert!(said.contains("was started meanwhile"), "{said}");
    assert!(said.contains("the container `db` is still paused: `docker unpause` lets it go on"), "{said}");
    assert!(!file.exists());
    let orders: Vec<_> =
        engine.requests().into_iter().filter(|request| request.starts_with("POST")).collect();
    assert!(orders[0].ends_with("/pause") && orders[1].ends_with("/unpause"), "{orders:?}");
}
