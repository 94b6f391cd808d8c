//! `sealift load` into every loader of both sets: what is then there is the image, the second time nothing is sent, and what
//! stands in the way is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::command::{failure_of, output_of, said_by};
use crate::containerd::{Containerd, Content};
use crate::daemon::{Daemon, await_port, await_that, free_address};
use crate::disk_full::Disk;
use crate::docker::Docker;
use crate::images::{LARGE, push_platforms, push_small};
use crate::loader::Loader;
use crate::podman::Podman;
use crate::running::events;
use crate::sealift::{Layers, at_home, sealift};
use crate::session::{Set, session};

/// A loader, and how `sealift load` is told to take it.
struct Target {
    loader: Box<dyn Loader>,
    options: Vec<String>,
    /// Where `ctr` is, for containerd.
    path: Option<PathBuf>,
    /// podman's service.
    _service: Option<Daemon>,
}

pub(crate) fn socket(set: Set, name: &str) -> PathBuf {
    session().run.join(format!("{}-{name}.sock", set.name()))
}

impl Target {
    fn docker(set: Set) -> Self {
        let host = format!("unix://{}", socket(set, "docker").display());
        Self {
            loader: Box::new(Docker(set)),
            options: vec!["--host".into(), host],
            path: None,
            _service: None,
        }
    }

    fn podman(set: Set, test: &str) -> Self {
        let (service, address) = podman_service(set, test);
        Self {
            loader: Box::new(Podman(set)),
            options: ["--to", "podman", "--host", &address].map(str::to_owned).into(),
            path: None,
            _service: Some(service),
        }
    }

    fn containerd(set: Set, test: &str, namespace: &str) -> Self {
        let folder = session().work_folder(test);
        ctr_in(&folder, set);
        let socket = socket(set, "containerd");
        let options = ["--to", "containerd", "--address", socket.to_str().unwrap(), "--namespace", namespace];
        Self {
            loader: Box::new(Containerd(set)),
            options: options.map(str::to_owned).into(),
            path: Some(folder),
            _service: None,
        }
    }

    fn load(&self, archive: &Path, options: &[&str]) -> Command {
        let mut command = sealift(&["load"]);
        command.arg(archive).args(&self.options).args(options);
        at_home(&mut command, &session().state);
        if let Some(path) = &self.path {
            command.env("PATH", format!("{}:/usr/bin:/bin", path.display()));
        }
        command
    }

    /// What was done for each name, as programs learn it.
    fn rows(&self, archive: &Path, options: &[&str]) -> Vec<Value> {
        let rows = output_of(&mut self.load(archive, &[&["--json"], options].concat()));
        rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect()
    }
}

/// podman's service, and its address.
pub(crate) fn podman_service(set: Set, test: &str) -> (Daemon, String) {
    let socket = session().run.join(format!("{test}.sock"));
    let address = format!("unix://{}", socket.display());
    let mut service = Podman(set).podman(&["system", "service", "--time=0", &address]);
    let service = Daemon::start(&session().work_folder(test), "podman", &mut service);
    await_that("podman's service listens", || socket.exists());
    (service, address)
}

/// The `ctr` of the set, as a program in the folder.
fn ctr_in(folder: &Path, set: Set) {
    let ctr = set.command("/usr/bin/ctr");
    let words = std::iter::once(ctr.get_program()).chain(ctr.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
    program(folder, "ctr", &format!("exec {} \"$@\"", words.join(" ")));
}

/// Lets a command find the `ctr` of the set, which is put into the folder.
pub(crate) fn ctr_on_path(command: &mut Command, set: Set, folder: &Path) {
    ctr_in(folder, set);
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
}

/// A shell script of this name in the folder.
fn program(folder: &Path, name: &str, script: &str) {
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Loads the image as it is and with plain layers, twice each, and compares what the loader then has with what was
/// pushed.
fn loads(target: &Target, repository: &'static str) {
    let image = push_platforms(repository);
    let name = image.name();
    for how in [Layers::Auto, Layers::Plain] {
        let archive = image.archive_with(how);
        let first = target.rows(archive, &[]);
        assert_eq!((first.len(), &first[0]["name"], &first[0]["done"]), (1, &json!(name), &json!("loaded")));
        assert_eq!(target.loader.config_digest(&name), image.resolved().config_digest(), "{how:?}");
        let id = target.loader.name_digest(&name).unwrap_or_else(|| target.loader.config_digest(&name));
        assert_eq!(first[0]["id"], id);

        let said = said_by(&mut target.load(archive, &["--progress", "json"]));
        assert!(!events(&said).iter().any(|event| event["event"] == "load_started"), "{said}");
        let other = format!("{}:other", name.trim_end_matches(":v1"));
        let again = target.rows(archive, &["--tag", &other]);
        assert_eq!(again[0]["done"], "already_there", "{how:?}");
        assert_eq!(again[1], json!({"name": other, "id": id, "done": "tagged"}));
        for name in [&name, &other] {
            assert_eq!(target.loader.run(name, &[]), image.prints, "{how:?}");
        }
        target.loader.remove(&other);
        target.loader.remove(&name);
    }
}

macro_rules! loads {
    ($($test:ident: $target:expr;)*) => { $(
        #[test]
        fn $test() {
            loads(&$target, concat!("e2e/load/", stringify!($test)));
        }
    )* };
}

loads! {
    into_docker_20: Target::docker(Set::Old);
    into_docker_28_with_containerd_image_store: Target::docker(Set::Modern);
    into_podman_4: Target::podman(Set::Old, "load-podman-4");
    into_podman_5: Target::podman(Set::Modern, "load-podman-5");
    into_containerd_1_6: Target::containerd(Set::Old, "load-containerd-1", &session().control_group);
    into_containerd_2: Target::containerd(Set::Modern, "load-containerd-2", &session().control_group);
}

#[test]
fn kubernetes_has_a_namespace_of_its_own() {
    for set in [Set::Old, Set::Modern] {
        let target = Target::containerd(set, &format!("load-k8s-{}", set.name()), "k8s.io");
        let image = push_platforms("e2e/load/kubernetes");
        let rows = target.rows(image.archive(), &[]);
        assert_eq!(rows[0]["done"], "loaded");
        let content = Content { set, socket: socket(set, "containerd"), namespace: "k8s.io".into() };
        let check = output_of(&mut content.ctr(&["images", "check", &format!("name=={}", image.name())]));
        assert!(check.contains("complete") && check.trim_end().ends_with("true"), "{check}");
        assert_eq!(content.config_digest(rows[0]["id"].as_str().unwrap()), image.resolved().config_digest());
        assert_eq!(target.rows(image.archive(), &[])[0]["done"], "already_there");
    }
}

#[test]
fn an_image_for_another_machine_is_told_and_loaded_all_the_same() {
    let image = push_platforms("e2e/load/arm");
    let archive = session().work_folder("load-arm").join("arm.tar");
    output_of(sealift(&["pull", "-q", "-a", "arm64", &image.name(), "-o"]).arg(&archive));
    let containerd = |set: Set, test| Target::containerd(set, test, &session().control_group);
    for target in [
        Target::docker(Set::Old),
        Target::docker(Set::Modern),
        containerd(Set::Old, "load-arm-1"),
        containerd(Set::Modern, "load-arm-2"),
    ] {
        let said = failure_of(&mut target.load(&archive, &[]), 4);
        assert!(said.contains("runs linux/amd64") && said.contains("is for linux/arm64"), "{said}");
        let rows = target.rows(&archive, &["--any-platform"]);
        assert_eq!(rows[0]["done"], "loaded", "{rows:?}");
        target.loader.remove(&image.name());
    }
}

/// Of one name for several platforms each daemon has its own, but for Docker's graph driver, which takes the first.
#[test]
fn an_archive_for_several_platforms_serves_each() {
    let image = push_platforms("e2e/load/several");
    let archive = session().work_folder("load-several").join("several.tar");
    let platforms = ["--platform", "linux/arm64", "--platform", "linux/amd64"];
    output_of(sealift(&["pull", "-q", &image.name()]).args(platforms).arg("-o").arg(&archive));
    for target in [
        Target::docker(Set::Modern),
        Target::containerd(Set::Old, "load-several-1", &session().control_group),
        Target::containerd(Set::Modern, "load-several-2", &session().control_group),
    ] {
        assert_eq!(target.rows(&archive, &[])[0]["done"], "loaded");
        assert_eq!(target.rows(&archive, &[])[0]["done"], "already_there");
        assert_eq!(target.loader.run(&image.name(), &[]), image.prints);
        target.loader.remove(&image.name());
    }
    let docker = Target::docker(Set::Old);
    let said = failure_of(&mut docker.load(&archive, &[]), 4);
    assert!(said.contains("is for linux/arm64"), "{said}");
    docker.loader.remove(&image.name());
}

/// Docker writes Docker Hub's names short, and podman takes them for its own where there are several.
#[test]
fn what_docker_saves_has_its_names_everywhere() {
    let repository = "e2e/load/saved";
    let docker = Docker(Set::Old);
    let archive = session().work_folder("load-saved").join("saved.tar");
    let names = ["sealift-one:1", "sealift-two:1"];
    for (name, tag) in names.iter().zip(["one", "two"]) {
        push_small(repository, tag);
        let image = format!("{}/{repository}:{tag}", session().registry);
        output_of(&mut docker.docker(&["pull", "--quiet", &image]));
        output_of(&mut docker.docker(&["tag", &image, name]));
        docker.remove(&image);
    }
    output_of(docker.docker(&["save", "--output"]).arg(&archive).args(names));
    for name in names {
        docker.remove(name);
    }
    for (set, test) in [(Set::Old, "load-saved-4"), (Set::Modern, "load-saved-5")] {
        let target = Target::podman(set, test);
        let rows = target.rows(&archive, &[]);
        // In whatever order docker saved them.
        let mut loaded: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
        loaded.sort_unstable();
        assert_eq!(loaded, names.map(|name| format!("docker.io/library/{name}")));
        for (name, tag) in loaded.iter().zip(["one", "two"]) {
            assert_eq!(target.loader.names(name), [*name]);
            assert_eq!(target.loader.run(name, &[]), format!("{repository}:{tag}"));
            target.loader.remove(name);
        }
    }
    for set in [Set::Old, Set::Modern] {
        let target = Target::docker(set);
        let rows = target.rows(&archive, &[]);
        let mut loaded = [&rows[0]["name"], &rows[1]["name"]].map(|name| name.as_str().unwrap());
        loaded.sort_unstable();
        assert_eq!(loaded, names);
        assert!(target.rows(&archive, &[]).iter().all(|row| row["done"] == "already_there"));
        for name in names {
            target.loader.remove(name);
        }
    }
}

/// A dockerd of the test's own.
pub(crate) fn start_docker(set: Set, folder: &Path, data: &Path, options: &[&str]) -> Daemon {
    let mut command = set.command("/usr/sbin/dockerd");
    // Paths of sockets are short.
    let run = session().run.join(folder.file_name().unwrap());
    command.arg("--data-root").arg(data).arg("--exec-root").arg(&run);
    command.arg("--pidfile").arg(folder.join("docker.pid"));
    command.args(["--bridge=none", "--iptables=false", "--ip-forward=false"]).args(options);
    Daemon::start(folder, "dockerd", &mut command)
}

#[test]
fn docker_on_a_port_is_spoken_to_over_tls() {
    let folder = session().work_folder("load-tls");
    let authority = Authority::new(&folder);
    let (server, client) = (authority.issue("server", "IP:127.0.0.1"), authority.issue("cert", "DNS:me"));
    fs::rename(&client.key, folder.join("key.pem")).unwrap();
    let address = free_address();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (ca, certificate, key) =
        (path(authority.certificate()), path(&server.certificate), path(&server.key));
    let _docker = start_docker(
        Set::Old,
        &folder,
        &folder.join("data"),
        &[
            "--host",
            &format!("tcp://{address}"),
            "--tlsverify",
            "--tlscacert",
            &ca,
            "--tlscert",
            &certificate,
            "--tlskey",
            &key,
        ],
    );
    await_port(&address);
    let image = push_platforms("e2e/load/tls");
    let home = session().work_folder("load-tls-home");
    let host = format!("tcp://{address}");
    let load = |variables: &[(&str, &str)], options: &[&str]| {
        let mut command = sealift(&["load"]);
        at_home(command.arg(image.archive()).args(options), &home).envs(variables.iter().copied());
        command
    };
    let verified =
        [("DOCKER_HOST", host.as_str()), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", &path(&folder))];
    assert!(output_of(&mut load(&verified, &[])).ends_with("  loaded\n"));

    let said = failure_of(&mut load(&verified[..1], &[]), 1);
    assert!(said.contains("DOCKER_TLS_VERIFY=1"), "{said}");
    let said = failure_of(&mut load(&verified[..2], &[]), 7);
    assert!(said.contains("certificate was not accepted") && said.contains("ca.pem"), "{said}");
    let strange = session().work_folder("load-tls-strange");
    fs::copy(authority.certificate(), strange.join("ca.pem")).unwrap();
    let nobody = [verified[0], verified[1], ("DOCKER_CERT_PATH", &path(&strange))];
    let said = failure_of(&mut load(&nobody, &[]), 7);
    assert!(said.contains("cert.pem and key.pem"), "{said}");

    // A context, as docker's own client writes it.
    let mut context = Command::new("/usr/bin/docker");
    context.args(["context", "create", "site", "--docker"]).env("DOCKER_CONFIG", home.join(".docker"));
    let files = format!(
        "host={host},ca={ca},cert={},key={}",
        path(&client.certificate),
        path(&folder.join("key.pem"))
    );
    output_of(context.arg(files));
    assert!(output_of(&mut load(&[], &["--context", "site"])).ends_with("  already there\n"));
}

#[test]
fn docker_on_another_machine_is_spoken_to_over_ssh() {
    let folder = session().work_folder("load-ssh");
    let address = free_address();
    let port = address.rsplit_once(':').unwrap().1;
    for key in ["host", "mine"] {
        output_of(
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key)),
        );
    }
    fs::copy(folder.join("mine.pub"), folder.join("authorized")).unwrap();
    // sshd gives up its rights in there.
    fs::create_dir_all("/run/sshd").unwrap();
    let shown = folder.display();
    let settings = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\n\
         StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n"
    );
    fs::write(folder.join("sshd_config"), settings).unwrap();
    let mut sshd = Command::new("/usr/sbin/sshd");
    let _sshd = Daemon::start(&folder, "sshd", sshd.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config")));
    await_port(&address);
    let image = push_platforms("e2e/load/ssh");
    let client = |key: &str| {
        let options = format!(
            "-F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR \
                               -o UserKnownHostsFile={shown}/known -i {shown}/{key}"
        );
        program(&folder, "ssh", &format!("exec /usr/bin/ssh {options} \"$@\""));
    };
    let load = |key: &str| {
        client(key);
        let docker = socket(Set::Old, "docker");
        let host = format!("ssh://root@127.0.0.1:{port}{}", docker.display());
        let mut command = sealift(&["load", "--host", &host]);
        at_home(command.arg(image.archive()), &folder).env("PATH", format!("{shown}:/usr/bin:/bin"));
        command
    };
    assert!(output_of(&mut load("mine")).ends_with("  loaded\n"));
    assert!(output_of(&mut load("mine")).ends_with("  already there\n"));
    let said = failure_of(&mut load("host"), 7);
    assert!(said.contains("ssh said") && said.contains("Permission denied"), "{said}");
    Docker(Set::Old).remove(&image.name());
}

#[test]
fn a_socket_for_others_is_told() {
    let image = push_platforms("e2e/load/denied");
    let denied = |target: &Target| {
        let load = target.load(image.archive(), &[]);
        let mut nobodys = Command::new("/usr/bin/setpriv");
        nobodys.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(load.get_program());
        failure_of(at_home(nobodys.args(load.get_args()), Path::new("/tmp")), 7)
    };
    let said = denied(&Target::docker(Set::Old));
    assert!(said.contains("not for this user") && said.contains("group `docker`"), "{said}");
    let said = denied(&Target::containerd(Set::Old, "load-denied", "k8s.io"));
    assert!(said.contains("cannot reach containerd") && said.contains("root"), "{said}");
}

#[test]
fn a_daemon_with_a_small_disk_is_told_of() {
    let folder = session().work_folder("load-full");
    let disk = Disk::mount(&folder, "60M", "ext4");
    let socket = session().run.join("load-full.sock");
    let host = format!("unix://{}", socket.display());
    let mut docker = start_docker(Set::Old, &folder, disk.path(), &["--host", &host]);
    await_that("dockerd answers", || {
        let ping = Command::new("/usr/bin/docker").args(["--host", &host, "version"]).output().unwrap();
        ping.status.success()
    });
    let load = || {
        let mut command = sealift(&["load", "--host", &host]);
        at_home(command.arg(LARGE.archive()), &folder);
        command
    };
    // The archive fits, the archive and its layers don't.
    let said = failure_of(&mut load(), 7);
    assert!(said.contains("no space left on device") && said.contains("docker system df"), "{said}");
    disk.fill(10 << 20);
    let said = failure_of(&mut load(), 7);
    assert!(said.contains("bytes free") || said.contains(" free\n"), "{said}");
    assert!(!said.contains("all is sent"), "{said}");
    docker.end(Signal::TERM);
}
