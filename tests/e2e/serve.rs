//! `sealift serve` between real parts: exports from docker-registry that dockerd loads, and nodes that pull from its archives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command::{failure_of, output_of};
use crate::containerd::Containerd;
use crate::daemon::{Daemon, await_port, await_that, free_address};
use crate::docker::Docker;
use crate::front::Front;
use crate::images::{DEBIAN, Image, LARGE, push_own, push_platforms};
use crate::loader::Loader;
use crate::sealift::sealift;
use crate::session::{Set, session};

/// A server over a folder of its own.
struct Server {
    address: String,
    folder: PathBuf,
    daemon: Daemon,
}

impl Server {
    fn start(test: &str, options: &[&str]) -> Self {
        Self::start_in(&session().work_folder(test), options)
    }

    fn start_in(work: &Path, options: &[&str]) -> Self {
        let (folder, address) = (work.join("archives"), free_address());
        let mut serve = sealift(&["serve", "--listen", &address, "--dir"]);
        let daemon = Daemon::start(work, "serve", serve.arg(&folder).args(options));
        await_port(&address);
        Self { address, folder, daemon }
    }

    fn asked(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--request", method]);
        if let Some(body) = body {
            curl.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
        }
        let said = output_of(curl.arg(format!("http://{}{path}", self.address)));
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{method} {path}: {said}"))
    }

    /// Begins an export of these images; its path.
    fn export(&self, images: &[String]) -> String {
        let begun = self.asked("POST", "/api/exports", Some(&json!({ "images": images })));
        format!("/api/exports/{}", begun["id"].as_str().unwrap())
    }

    /// Waits until an export is done; the names of its files.
    fn done(&self, export: &str) -> Vec<String> {
        await_that("the export ends", || {
            let state = self.asked("GET", export, None)["state"].as_str().unwrap().to_owned();
            !["queued", "running"].contains(&state.as_str())
        });
        let export = self.asked("GET", export, None);
        assert_eq!(export["state"], "done", "{export:#}");
        let archives = export["archives"].as_array().unwrap();
        archives.iter().map(|archive| archive["file"].as_str().unwrap().to_owned()).collect()
    }

    /// The folder that tells containerd to ask this server for the images of the session's registry.
    fn as_mirror(&self, folder: &str) -> PathBuf {
        let hosts = session().work_folder(folder);
        let registry = hosts.join(&session().registry);
        fs::create_dir(&registry).unwrap();
        let host = format!("[host.\"http://{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n", self.address);
        fs::write(registry.join("hosts.toml"), format!("server = \"http://127.0.0.1:1\"\n{host}")).unwrap();
        hosts
    }

    /// Downloads a file as a browser would save it.
    fn download(&self, name: &str, to: &Path) -> PathBuf {
        let url = format!("http://{}/downloads/{name}", self.address);
        output_of(Command::new("curl").args(["--silent", "--fail", "-OJ", &url]).current_dir(to));
        to.join(name)
    }

    /// The image's name as nodes call it here.
    fn name(&self, image: &Image) -> String {
        let name = image.name();
        let (_, path) = name.split_once('/').unwrap();
        format!("{}/{path}", self.address)
    }
}

#[test]
fn three_images_are_exported_downloaded_and_load_by_themselves_and_by_their_scripts() {
    let images = [push_own("e2e/serve/one"), push_own("e2e/serve/two"), push_platforms("e2e/serve/index")];
    let server = Server::start("serve-export", &[]);
    let files = server.done(&server.export(&images.each_ref().map(Image::name)));
    assert_eq!(files.len(), 3);
    let far = session().work_folder("serve-far-side");
    let downloaded = files.iter().map(|file| {
        let script = format!("tag_{}.sh", file.strip_suffix(".tar").unwrap());
        [server.download(file, &far), server.download(&script, &far)]
    });
    let downloaded: Vec<_> = downloaded.collect();
    let listed = server.asked("GET", "/api/files", None);
    for file in &files {
        let mut all = listed["files"].as_array().unwrap().iter();
        let one = all.find(|one| one["name"] == **file).unwrap();
        assert_eq!(one["load_command"], format!("docker load < {file}"));
    }
    for set in [Set::Old, Set::Modern] {
        let docker = Docker(set);
        for (image, [archive, script]) in images.iter().zip(&downloaded) {
            let name = image.name();
            output_of(&mut docker.load_file(archive));
            assert_eq!(docker.config_digest(&name), image.resolved().config_digest());
            assert_eq!(docker.run(&name, &[]), image.prints);
            docker.remove(&name);

            let host = format!("DOCKER_HOST={}", docker.host());
            let mut run = set.command("/usr/bin/env");
            run.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", &host, "/bin/sh"]).arg(script).arg("docker");
            assert_eq!(output_of(&mut run).trim_end(), name);
            assert_eq!(docker.config_digest(&name), image.resolved().config_digest());
            docker.remove(&name);
        }
    }
}

#[test]
fn nodes_pull_from_the_archives_by_the_original_digests() {
    let images = [push_own("e2e/serve/node"), push_platforms("e2e/serve/nodes")];
    let server = Server::start("serve-registry", &["--registry"]);
    server.done(&server.export(&images.each_ref().map(Image::name)));
    for image in &images {
        let (name, digest) = (server.name(image), image.resolved().digest().to_owned());
        for set in [Set::Old, Set::Modern] {
            let docker = Docker(set);
            let said = output_of(&mut docker.docker(&["pull", &name]));
            assert!(said.contains(&format!("Digest: {digest}")), "{said}");
            assert_eq!(docker.config_digest(&name), image.resolved().config_digest());
            assert_eq!(docker.run(&name, &[]), image.prints);
            docker.remove(&name);
            let (repository, _) = name.rsplit_once(':').unwrap();
            output_of(&mut docker.docker(&["pull", &format!("{repository}@{digest}")]));
            output_of(&mut docker.docker(&["image", "rm", "--force", &format!("{repository}@{digest}")]));

            let containerd = Containerd(set);
            let mut pull = vec!["images", "pull"];
            if set == Set::Modern {
                // By itself it fetches the manifests of all platforms, to be able to push them; the archive has those of one.
                if image.resolved().index.is_some() {
                    let said = failure_of(containerd.ctr(&pull).args(["--plain-http", &name]), 1);
                    assert!(said.contains("not found"), "{said}");
                }
                pull.push("--skip-metadata");
                output_of(containerd.ctr(&pull).args(["--local", "--plain-http", &name]));
                containerd.remove(&name);
            }
            output_of(containerd.ctr(&pull).args(["--plain-http", &name]));
            assert_eq!(containerd.name_digest(&name).as_deref(), Some(&*digest));
            assert_eq!(containerd.run(&name, &[]), image.prints);
            containerd.remove(&name);
            // As the mirror of the registry that the images came from, which containerd tells it by `?ns=`.
            let hosts = server.as_mirror(&format!("serve-hosts-{}", set.name()));
            output_of(containerd.ctr(&pull).arg("--hosts-dir").arg(&hosts).arg(image.name()));
            assert_eq!(containerd.name_digest(&image.name()).as_deref(), Some(&*digest));
            containerd.remove(&image.name());
        }
    }
}

#[test]
fn kubelets_pull_from_the_archives_through_containerd() {
    let images = [push_own("e2e/serve/pod"), push_platforms("e2e/serve/pods")];
    let server = Server::start("serve-cri", &["--registry"]);
    server.done(&server.export(&images.each_ref().map(Image::name)));
    for set in [Set::Old, Set::Modern] {
        let name = set.name();
        let hosts = server.as_mirror(&format!("serve-cri-hosts-{name}"));
        let folder = session().work_folder(&format!("serve-cri-{name}"));
        // Sockets have short paths.
        let run = session().run.join(format!("cri-{name}"));
        let socket = run.with_extension("sock");
        let (version, plugin) = match set {
            Set::Old => (2, "io.containerd.grpc.v1.cri"),
            Set::Modern => (3, "io.containerd.cri.v1.images"),
        };
        let (root, state, address) = (folder.join("root"), run.display(), socket.display());
        let config = format!(
            "version = {version}\nroot = {root:?}\nstate = \"{state}\"\n[grpc]\naddress = \"{address}\"\n\
             [plugins.\"{plugin}\".registry]\nconfig_path = {hosts:?}\n"
        );
        fs::write(folder.join("config.toml"), config).unwrap();
        let mut containerd = set.command("/usr/bin/containerd");
        let _containerd =
            Daemon::start(&folder, "containerd", containerd.arg("--config").arg(folder.join("config.toml")));
        await_that("containerd's CRI answers", || cri(&socket, "RuntimeService/Version", &[]).is_some());
        for image in &images {
            // PullImageRequest: an ImageSpec, whose first field is the name.
            let name = field(&field(image.name().as_bytes()));
            let pulled = cri(&socket, "ImageService/PullImage", &name).expect("it is pulled");
            let pulled = String::from_utf8_lossy(&pulled).into_owned();
            assert!(pulled.contains(image.resolved().config_digest()), "{pulled}");
            let told = cri(&socket, "ImageService/ImageStatus", &name).unwrap();
            let told = String::from_utf8_lossy(&told).into_owned();
            assert!(told.contains(image.resolved().digest()), "its digest at the registry: {told}");
        }
    }
}

/// A message of one field, the first, of bytes: protocol buffers, as short as they are here.
fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).ok().filter(|length| *length < 128).unwrap();
    [&[0x0a, length], bytes].concat()
}

/// What a kubelet asks containerd, and what it is answered; none if that is an error.
fn cri(socket: &Path, method: &str, message: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let request = session().work_folder("cri").join("request");
    fs::write(&request, [&[0], &length[..], message].concat()).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--http2-prior-knowledge", "--max-time", "60", "--unix-socket"]).arg(socket);
    curl.args(["--header", "Content-Type: application/grpc", "--header", "TE: trailers", "--data-binary"]);
    curl.arg(format!("@{}", request.display())).arg(format!("http://localhost/runtime.v1.{method}"));
    // A frame's head, and the message; an error is told in the trailers, and has none.
    let answer = curl.output().unwrap().stdout;
    (answer.len() >= 5).then(|| answer[5..].to_vec())
}

#[test]
fn a_server_that_is_killed_in_the_middle_carries_on_and_leaves_nothing_half() {
    let mut front = Front::start("serve-killed");
    front.set("", "limit_rate 256k;");
    let (large, small) = (front.name(&LARGE), DEBIAN.name());
    let work = session().work_folder("serve-killed-server");
    let mut server = Server::start_in(&work, &["--max-jobs", "2"]);
    let exports = [server.export(&[large]), server.export(&[small])];
    server.done(&exports[1]);
    await_that("some of it came", || {
        server.asked("GET", &exports[0], None)["done_bytes"].as_u64() >= Some(12 << 20)
    });
    server.daemon.end(Signal::KILL);
    let whole = |folder: &Path| {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let archives: Vec<_> =
            names.filter(|path| path.extension().is_some_and(|end| end == "tar")).collect();
        for archive in &archives {
            output_of(sealift(&["verify", "--quiet"]).arg(archive));
        }
        archives.len()
    };
    assert_eq!(whole(&server.folder), 1, "the one that was done");
    front.set("", "");
    front.nginx.requests();
    let server = Server::start_in(&work, &[]);
    assert_eq!(server.asked("GET", &exports[0], None)["state"], "interrupted");
    server.asked("POST", &format!("{}/retry", exports[0]), None);
    server.done(&exports[0]);
    assert_eq!(whole(&server.folder), 2);
    let size = fs::metadata(server.folder.join(&server.done(&exports[0])[0])).unwrap().len();
    let sent = front.layer_bytes(&LARGE);
    assert!(sent + (2 << 20) < size, "{sent} bytes of {size} were sent: it began anew");
}

#[test]
fn the_api_is_as_its_document_says_whatever_it_is_asked() {
    let work = session().work_folder("serve-api");
    let token = "0123456789abcdef0123456789abcdef";
    fs::write(work.join("token"), token).unwrap();
    let server = Server::start_in(&work, &["--token", "token", "--retry-times", "0"]);
    fs::copy(DEBIAN.archive(), server.folder.join("a.tar")).unwrap();
    let tests = Path::new("tests/e2e").canonicalize().unwrap();
    let mut schemathesis = Command::new(&session().schemathesis);
    schemathesis.arg("--config-file").arg(tests.join("schemathesis.toml")).arg("run");
    schemathesis.arg(Path::new("docs/openapi.json").canonicalize().unwrap());
    schemathesis.args(["--url", &format!("http://{}", server.address)]);
    schemathesis.args(["--header", &format!("Authorization: Bearer {token}")]);
    // Each run is the same.
    schemathesis.args(["--max-examples", "40", "--seed", "1", "--generation-database", "none", "--no-color"]);
    let said = output_of(schemathesis.current_dir(&work));
    let document: Value = serde_json::from_slice(&fs::read("docs/openapi.json").unwrap()).unwrap();
    let methods = |path: &Value| path.as_object().unwrap().keys().filter(|key| *key != "parameters").count();
    let calls: usize = document["paths"].as_object().unwrap().values().map(methods).sum();
    assert!(said.contains(&format!("Tested: {calls}")), "{said}");
}

#[test]
fn the_unit_for_systemd_is_sound_and_forbids_nothing_that_a_server_does() {
    let work = session().work_folder("serve-unit");
    let program = sealift(&[]).get_program().to_str().unwrap().to_owned();
    let unit = fs::read_to_string("docs/serve/sealift.service").unwrap();
    fs::write(work.join("sealift.service"), unit.replace("/usr/local/bin/sealift", &program)).unwrap();
    let mut verify = Command::new("systemd-analyze");
    let said = verify.arg("verify").arg(work.join("sealift.service")).output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");

    let (folder, address, trace) = (work.join("archives"), free_address(), work.join("trace"));
    let mut traced = Command::new("strace");
    traced.args(["--daemonize", "--follow-forks", "--quiet=all", "--signal=none", "--output"]).arg(&trace);
    traced.args([&*program, "serve", "--registry", "--listen", &address, "--dir"]).arg(&folder);
    let daemon = Daemon::start(&work, "serve", &mut traced);
    await_port(&address);
    let server = Server { address, folder, daemon };
    let file = server.done(&server.export(&[push_own("e2e/serve/unit").name()])).remove(0);
    server.download(&file, &work);
    let trace = fs::read_to_string(&trace).unwrap();
    let calls = trace.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
    let calls: Vec<_> = calls.filter(|(name, _)| !name.contains(['<', ' '])).collect();
    assert!(calls.iter().any(|(name, _)| *name == "accept4"), "{} calls", calls.len());
    assert!(unit.contains("\nSystemCallFilter=@system-service\n"));
    let allowed = output_of(Command::new("systemd-analyze").arg("syscall-filter"));
    let allowed = calls_of(&allowed, "@system-service");
    let families = unit.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies=")).unwrap();
    let families: Vec<_> = families.split(' ').collect();
    for (name, arguments) in calls {
        assert!(allowed.contains(&name), "{name}({arguments}");
        let family = arguments.split(',').next().unwrap();
        assert!(!name.starts_with("socket") || families.contains(&family), "{name}({arguments}");
        let is_code = arguments.contains("PROT_EXEC");
        assert!(!is_code || !arguments.contains("PROT_WRITE"), "MemoryDenyWriteExecute: {name}({arguments}");
    }
}

/// The calls of a set, by what systemd-analyze says of all sets.
fn calls_of<'a>(said: &'a str, set: &str) -> Vec<&'a str> {
    let listed = said.lines().skip_while(|line| *line != set).skip(1);
    let listed = listed.take_while(|line| line.starts_with(' ')).map(str::trim);
    let listed = listed.filter(|line| !line.starts_with('#'));
    listed.flat_map(|name| if name.starts_with('@') { calls_of(said, name) } else { vec![name] }).collect()
}
