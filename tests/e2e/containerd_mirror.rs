//! Mirrors of containerd's roots: containerd runs on them and takes them in, and layers it threw away come out of its
//! snapshots.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use serde_json::Value;

use crate::command::{failure_of, output_of, said_by};
use crate::containerd::{Containerd, Content};
use crate::daemon::{Daemon, await_that};
use crate::docker::Docker;
use crate::images::{FILESYSTEM, Image, push_on, push_own, push_platforms};
use crate::layer::{LayerBuilder, OCI_LAYER};
use crate::load::ctr_on_path;
use crate::loader::Loader;
use crate::running::Running;
use crate::sealift::{at_home, sealift};
use crate::session::{Set, session};

/// The root of a containerd of the session.
fn root(set: Set) -> PathBuf {
    session().state.join(format!("{}-containerd", set.name()))
}

fn namespace() -> &'static str {
    &session().control_group
}

fn pull(set: Set, image: &Image) {
    output_of(&mut Containerd(set).ctr(&["images", "pull", "--plain-http", &image.name()]));
}

/// `sealift containerd-store export` from a containerd of the session.
fn export(set: Set, arguments: &[&str]) -> Command {
    let mut command = sealift(&["containerd-store", "export", "--namespace", namespace(), "--root"]);
    command.arg(root(set)).args(arguments);
    at_home(&mut command, &session().state);
    command
}

/// A containerd of a test's own, over a root that is there already.
struct Own {
    content: Content,
    folder: PathBuf,
    _daemon: Daemon,
}

impl Own {
    fn start(set: Set, root: &Path, test: &str) -> Self {
        let folder = session().work_folder(test);
        let run = session().run.join(test);
        let socket = run.with_extension("sock");
        let config = format!(
            "version = 2\nroot = '{}'\nstate = '{}'\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n\
             [grpc]\naddress = '{}'\n",
            root.display(),
            run.display(),
            socket.display()
        );
        fs::write(folder.join("config.toml"), config).unwrap();
        let mut containerd = set.command("/usr/bin/containerd");
        containerd.arg("--config").arg(folder.join("config.toml"));
        let daemon = Daemon::start(&folder, "containerd", &mut containerd);
        let content = Content { set, socket, namespace: namespace().to_owned() };
        await_that("containerd answers", || {
            content.ctr(&["version"]).output().is_ok_and(|output| output.status.success())
        });
        Self { content, folder, _daemon: daemon }
    }

    /// What a container of the image prints.
    fn run(&self, name: &str) -> String {
        let log = self.folder.join("printed");
        let uri = format!("file://{}", log.display());
        output_of(&mut self.content.ctr(&[
            "run",
            "--rm",
            "--allow-new-privs",
            "--log-uri",
            &uri,
            name,
            &own_container(),
        ]));
        let printed = fs::read_to_string(&log).unwrap();
        fs::remove_file(log).unwrap();
        printed
    }
}

/// A container's name that no other has: both sets share the control groups.
fn own_container() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("mirrored-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What `ctr images list` says of an image.
fn listed(content: &Content, name: &str) -> String {
    let table = output_of(&mut content.ctr(&["images", "list"]));
    let row = table.lines().find(|row| row.split_whitespace().next() == Some(name));
    row.unwrap_or_else(|| panic!("no {name}: {table}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn rows(command: &mut Command) -> Vec<Value> {
    output_of(command).lines().map(|row| serde_json::from_str(row).unwrap()).collect()
}

#[test]
fn containerd_1_6_runs_on_a_mirror() {
    runs_on_a_mirror(Set::Old);
}

#[test]
fn containerd_2_runs_on_a_mirror() {
    runs_on_a_mirror(Set::Modern);
}

fn runs_on_a_mirror(set: Set) {
    let test = format!("mirror-{}", set.name());
    let several = push_platforms(format!("e2e/{test}/several").leak());
    let own = push_own(format!("e2e/{test}/own").leak());
    let images = [&several, &own, &FILESYSTEM];
    for image in images {
        pull(set, image);
    }
    let folder = session().work_folder(&format!("{test}-mirror"));
    let names: Vec<String> = images.iter().map(|image| image.name()).collect();
    let of_images = || {
        let mut command = export(set, &["--mirror", "--json", "-o", folder.to_str().unwrap()]);
        command.args(&names);
        command
    };
    assert_eq!(rows(&mut of_images())[0]["kept"], 0);
    let again = &rows(&mut of_images())[0];
    assert_eq!(again["kept"], again["blobs"]);

    let before: Vec<_> = names.iter().map(|name| listed(&Containerd(set).content(), name)).collect();
    // What sealift lists of both is the same, too. Of the index containerd 2 has more: the manifests and configs of all
    // platforms, and the layers of one.
    let store = |root: &Path| {
        let mut list = sealift(&["containerd-store", "list", "--json", "-n", namespace(), "--root"]);
        let rows = rows(list.arg(root));
        rows.into_iter().filter(|row| names[1..].iter().any(|name| row["name"] == *name)).collect::<Vec<_>>()
    };
    assert_eq!(store(&folder), store(&root(set)));

    let daemon = Own::start(set, &folder, &test);
    for (image, before) in images.iter().zip(before) {
        let after = listed(&daemon.content, &image.name());
        let columns = if image.name() == several.name() { 3 } else { before.len() };
        assert!(after.split(' ').take(columns).eq(before.split(' ').take(columns)), "{before}\n{after}");
        assert_eq!(daemon.content.config_digest(image.resolved().digest()), image.resolved().config_digest());
    }
    // All of it outlives a garbage collection, which the removal of another image brings about.
    let other = push_own(format!("e2e/{test}/other").leak());
    output_of(&mut daemon.content.ctr(&["images", "pull", "--plain-http", &other.name()]));
    output_of(&mut daemon.content.ctr(&["images", "remove", "--sync", &other.name()]));
    let check = output_of(&mut daemon.content.ctr(&["images", "check"]));
    assert_eq!(check.matches(" complete ").count(), images.len(), "{check}");
    for image in images {
        assert_eq!(daemon.run(&image.name()), image.prints, "{}", image.name());
    }
    // With the root's own metadata it names the same, and more than it has.
    let verbatim = session().work_folder(&format!("{test}-verbatim"));
    output_of(export(set, &["--mirror", "--metadata", "verbatim", "-q", "-o"]).arg(&verbatim).args(&names));
    let before = listed(&Containerd(set).content(), &own.name());
    let own_daemon = Own::start(set, &verbatim, &format!("{test}-as-it-was"));
    assert_eq!(listed(&own_daemon.content, &own.name()), before);

    // The running containerd's root is exported again, as the mirror of a mirror.
    let copy = session().work_folder(&format!("{test}-copy"));
    let mut export = sealift(&["containerd-store", "export", "--mirror", "--quiet", "--root"]);
    output_of(export.arg(&folder).arg("-o").arg(&copy).args(&names));
    assert_eq!(store(&copy), store(&folder));
}

#[test]
fn a_mirror_is_imported_into_containerd_1_6() {
    is_imported(Set::Old);
}

#[test]
fn a_mirror_is_imported_into_containerd_2() {
    is_imported(Set::Modern);
}

fn is_imported(set: Set) {
    let test = format!("import-{}", set.name());
    let several = push_platforms(format!("e2e/{test}/several").leak());
    let own = push_own(format!("e2e/{test}/own").leak());
    let names = [several.name(), own.name()];
    for image in [&several, &own] {
        pull(set, image);
    }
    // Of one image another platform than the others'.
    output_of(&mut Containerd(set).ctr(&[
        "content",
        "fetch",
        "--plain-http",
        "--all-platforms",
        &several.name(),
    ]));
    let folder = session().work_folder(&format!("{test}-mirror"));
    output_of(export(set, &["--mirror", "-q", "--all-platforms", "-o"]).arg(&folder).args(&names));
    let into = format!("{}-imported", namespace());
    let content = Content { namespace: into.clone(), ..Containerd(set).content() };
    let import = || {
        let mut command =
            sealift(&["containerd-store", "import", "--json", "--namespace", &into, "--address"]);
        command.arg(&content.socket).arg(&folder);
        at_home(&mut command, &session().state);
        ctr_on_path(&mut command, set, &session().work_folder(&format!("{test}-path")));
        command
    };
    let done =
        |rows: &[Value]| rows.iter().map(|row| row["done"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(done(&rows(&mut import())), ["loaded"; 2]);
    for image in [&several, &own] {
        let row = listed(&content, &image.name());
        assert!(row.contains(image.resolved().digest()), "{row}");
        let run = ["run", "--rm", "--allow-new-privs", &image.name(), &own_container()];
        assert_eq!(output_of(&mut content.ctr(&run)), image.prints);
    }
    assert_eq!(done(&rows(&mut import())), ["already_there"; 2]);
    output_of(&mut content.ctr(&["images", "remove", "--sync", &own.name()]));
    let mut again = done(&rows(&mut import()));
    again.sort();
    assert_eq!(again, ["already_there", "loaded"]);
    for image in [&several, &own] {
        output_of(&mut content.ctr(&["images", "remove", "--sync", &image.name()]));
    }
}

#[test]
fn layers_that_containerd_1_6_threw_away_are_made_anew() {
    are_made_anew(Set::Old);
}

#[test]
fn layers_that_containerd_2_threw_away_are_made_anew() {
    are_made_anew(Set::Modern);
}

/// Unpacked images whose packed layers are gone, as `discard_unpacked_layers` leaves them.
fn are_made_anew(set: Set) {
    let test = format!("discarded-{}", set.name());
    let exact = push_exact(format!("e2e/{test}/exact").leak());
    let other = push_own(format!("e2e/{test}/other").leak());
    for (image, keeps_its_id) in [(&exact, true), (&other, false)] {
        pull(set, image);
        let manifest = &image.resolved().manifest.json;
        let layers: Vec<_> = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["digest"].as_str().unwrap())
            .collect();
        let discarded = if keeps_its_id { &layers[1..] } else { &layers[..] };
        for layer in discarded {
            // One stands twice.
            let _ = Containerd(set).ctr(&["content", "rm", layer]).output().unwrap();
        }
        collect_garbage(set, image);
        let mut list = sealift(&["containerd-store", "list", "--json", "-n", namespace(), "--root"]);
        let rows = rows(list.arg(root(set)));
        let row = rows.iter().find(|row| row["name"] == image.name()).unwrap();
        assert_eq!(row["is_whole"], false);
        assert!(
            row["platforms"].as_array().unwrap().iter().any(|one| one["unpacked_in"] == "overlayfs"),
            "{row}"
        );

        let folder = session().work_folder(&format!("{test}-{keeps_its_id}"));
        let file = folder.join("image.tar");
        let said = failure_of(&mut export(set, &[&image.name(), "-o", file.to_str().unwrap()]), 3);
        let is_named = discarded.iter().any(|layer| said.contains(&layer["sha256:".len()..]));
        assert!(is_named && said.contains("--from-snapshots"), "{said}");
        let mut anew = export(set, &[&image.name(), "--from-snapshots", "-o", file.to_str().unwrap()]);
        let said = said_by(&mut anew);
        assert_eq!(said.contains("keeps its ID"), keeps_its_id, "{said}");
        assert_eq!(said.contains("gets another ID"), !keeps_its_id, "{said}");
        for docker in [Docker(Set::Old), Docker(Set::Modern)] {
            docker.load(&file);
            assert_eq!(docker.run(&image.name(), &[]), image.prints);
            let is_same = docker.config_digest(&image.name()) == image.resolved().config_digest();
            assert_eq!(is_same, keeps_its_id);
            docker.remove(&image.name());
        }
        output_of(sealift(&["verify", "-q"]).arg(&file));
        // Neither packed nor unpacked: nothing can be made of it.
        let mirror = folder.join("mirror");
        let said =
            failure_of(&mut export(set, &[&image.name(), "--mirror", "-o", mirror.to_str().unwrap()]), 3);
        assert!(said.contains("is missing"), "{said}");
        assert!(!mirror.join("io.containerd.metadata.v1.bolt").exists());
    }
}

/// Content that is removed loses its file only now; the removal of a name, waited for, brings it about.
fn collect_garbage(set: Set, image: &Image) {
    let name = format!("{}-garbage", image.name());
    output_of(&mut Containerd(set).ctr(&["images", "tag", &image.name(), &name]));
    output_of(&mut Containerd(set).ctr(&["images", "remove", "--sync", &name]));
}

/// A base and a layer that stands as containerd's differ would write it.
fn push_exact(repository: &'static str) -> Image {
    let layer = LayerBuilder::new().folder("words/").file("words/one", 0o644, b"first").plain();
    // The tests' own headers are GNU's; those of the differ are USTAR's.
    let mut tar = layer.blob;
    for block in [0, 512] {
        let header = tar::Header::from_byte_slice(&tar[block..block + 512]).clone();
        let mut ustar = tar::Header::new_ustar();
        ustar.set_path(header.path().unwrap()).unwrap();
        ustar.set_entry_type(header.entry_type());
        ustar.set_mode(header.mode().unwrap());
        ustar.set_size(header.size().unwrap());
        ustar.set_mtime(1_700_000_000);
        ustar.set_uid(0);
        ustar.set_gid(0);
        ustar.set_device_major(0).unwrap();
        ustar.set_device_minor(0).unwrap();
        // Six digits, as Go writes it; the crate writes seven.
        ustar.as_mut_bytes()[148..156].fill(b' ');
        let sum: u32 = ustar.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
        ustar.as_mut_bytes()[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar[block..block + 512].copy_from_slice(ustar.as_bytes());
    }
    let diff_id = crate::registry::digest_of(&tar);
    push_on(repository, crate::layer::Layer { media_type: OCI_LAYER, blob: tar, diff_id })
}

/// While images come and go, those that stay are exported whole, and of those that go nothing half is left.
#[test]
fn mirrors_are_whole_while_images_come_and_go() {
    let set = Set::Modern;
    let stays = push_own("e2e/mirror-race/stays");
    let goes = push_platforms("e2e/mirror-race/goes");
    pull(set, &stays);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                pull(set, &goes);
                output_of(&mut Containerd(set).ctr(&["images", "remove", "--sync", &goes.name()]));
            }
        });
        let whole = std::panic::catch_unwind(|| are_whole(set, &stays, &goes));
        is_over.store(true, Ordering::Relaxed);
        whole.unwrap();
    });
}

/// The image that comes and goes has to be caught while it is there, and while it isn't.
fn are_whole(set: Set, stays: &Image, goes: &Image) {
    let (mut wholes, mut lacking) = (0, 0);
    for round in 0.. {
        if round >= 20 && wholes >= 3 && lacking >= 3 {
            break;
        }
        assert!(round < 200, "{wholes} mirrors had both images, {lacking} had not");
        let folder = session().work_folder(&format!("mirror-race-{round}"));
        output_of(export(set, &["--mirror", "-q", &stays.name(), "-o"]).arg(&folder));
        let mut both = export(set, &["--mirror", "-q", &stays.name(), &goes.name(), "-o"]);
        let output = both.arg(&folder).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        match output.status.code() {
            Some(0) => wholes += 1,
            // Its name is gone, or its bytes are.
            Some(3 | 4) => {
                assert!(said.contains("missing") || said.contains("no image"), "{said}");
                lacking += 1;
            }
            _ => panic!("{:?}: {said}", output.status),
        }
        let mut list = sealift(&["containerd-store", "list", "--json", "--root"]);
        let rows = rows(list.arg(&folder));
        assert!(rows.iter().all(|row| row["is_whole"] == true), "{rows:?}");
        let has = |image: &Image| rows.iter().any(|row| row["name"] == image.name());
        assert!(has(stays));
        assert_eq!(has(goes), output.status.success(), "what failed adds nothing");
        fs::remove_dir_all(folder).unwrap();
    }
}

/// A mirror that is killed while it is written has metadata only if it had all, and is carried on.
#[test]
fn a_mirror_that_was_killed_is_carried_on() {
    let set = Set::Old;
    let image = &crate::images::LARGE;
    pull(set, image);
    let folder = session().work_folder("mirror-killed");
    let name = image.name();
    let arguments = ["--mirror", &name, "-o", folder.to_str().unwrap()];
    for bytes in [0, 8 << 20, 16 << 20] {
        let mut running =
            Running::start(&session().work_folder("mirror-killed-log"), &mut export(set, &arguments));
        running.await_bytes(bytes);
        drop(running); // kills it
        let blobs = folder.join("io.containerd.content.v1.content/blobs/sha256");
        for entry in fs::read_dir(&blobs).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_none() {
                let digest = crate::registry::digest_of(&fs::read(&path).unwrap());
                assert_eq!(digest, format!("sha256:{}", path.file_name().unwrap().to_str().unwrap()));
            }
        }
    }
    output_of(&mut export(set, &arguments));
    let mut list = sealift(&["containerd-store", "list", "--json", "--root"]);
    let rows = rows(list.arg(&folder));
    assert_eq!((rows.len(), &rows[0]["is_whole"]), (1, &Value::Bool(true)));
    let left: Vec<_> = fs::read_dir(folder.join("io.containerd.content.v1.content/blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
