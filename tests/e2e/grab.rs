//! `sealift grab` out of every daemon of both sets: the layer is the one that `docker save` has, nothing is left behind, and
//! what was put together of layers loads and runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use flate2::read::GzDecoder;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command::{failure_of, output_of, said_by};
use crate::containerd::Containerd;
use crate::daemon::{Daemon, await_that, free_address, free_site_address};
use crate::docker::Docker;
use crate::images::push_platforms;
use crate::load::{ctr_on_path, podman_service, socket, start_docker};
use crate::loader::{Loader, all_loaders};
use crate::podman::Podman;
use crate::registry::{blob, digest_of};
use crate::running::{Running, events};
use crate::sealift::{at_home, sealift};
use crate::session::{Set, session};

/// Six layers of the classic builder's: files, removals, links, a folder.
const SIX: &str = r#"FROM scratch
COPY busybox /bin/sh
RUN ["/bin/sh", "-c", "dd if=/dev/urandom of=/one bs=1024 count=3000 2>/dev/null; echo 1 > /old"]
COPY words /words
ENV LANG=C
RUN ["/bin/sh", "-c", "rm /old; mkdir /three; echo 3 > /three/file"]
RUN ["/bin/sh", "-c", "ln /words /hard; ln -s words /soft"]
WORKDIR /six
CMD ["/bin/sh", "-c", "read words < /words; echo $words"]
"#;

/// A Docker that is the test's own, so that nobody else changes what it has, or meets names that it gives.
struct Own {
    set: Set,
    folder: PathBuf,
    host: String,
    daemon: Daemon,
}

impl Own {
    fn start(test: &str) -> Self {
        Self::start_with(Set::Old, test, &[])
    }

    fn start_with(set: Set, test: &str, options: &[&str]) -> Self {
        let folder = session().work_folder(test);
        let host = format!("unix://{}/{test}.sock", session().run.display());
        let options = [&["--host", &host], options].concat();
        let daemon = start_docker(set, &folder, &folder.join("data"), &options);
        let own = Self { set, folder, host, daemon };
        await_that("docker answers", || own.docker(&["version"]).output().unwrap().status.success());
        own
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = self.set.command("/usr/bin/docker");
        command.arg(format!("--host={}", self.host)).args(arguments);
        command
    }

    /// Builds what the Dockerfile says; words make it differ from what others build.
    fn build(&self, name: &str, dockerfile: &str, words: &str) {
        let context = self.folder.join("context");
        fs::create_dir_all(&context).unwrap();
        fs::copy("/bin/busybox", context.join("busybox")).unwrap();
        fs::write(context.join("words"), words).unwrap();
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        let build = ["build", "--quiet", "--network=none", "--no-cache", "--tag", name];
        output_of(self.docker(&build).arg(&context));
    }

    fn grab(&self, arguments: &[&str]) -> Command {
        grab(&self.folder, &["--host", &self.host], arguments)
    }

    /// All there is: IDs, names, digests.
    fn list(&self) -> Vec<String> {
        let format = "{{.ID}} {{.Repository}}:{{.Tag}}@{{.Digest}}";
        let list = ["images", "--all", "--no-trunc", "--digests", "--format", format];
        let mut rows: Vec<_> = output_of(&mut self.docker(&list)).lines().map(str::to_owned).collect();
        rows.sort();
        rows
    }

    fn diff_ids(&self, name: &str) -> Vec<String> {
        let format = "{{json .RootFS.Layers}}";
        let text = output_of(&mut self.docker(&["image", "inspect", "--format", format, name]));
        serde_json::from_str(&text).unwrap()
    }

    fn id(&self, name: &str) -> String {
        let format = "{{.Id}}";
        output_of(&mut self.docker(&["image", "inspect", "--format", format, name])).trim().to_owned()
    }
}

/// A Docker with the six layers as `six:1`. Tests that leave it as it was have it one after the other.
fn with_six() -> MutexGuard<'static, Own> {
    static OWN: LazyLock<Mutex<Own>> = LazyLock::new(|| {
        let own = Own::start("grab-six");
        own.build("six:1", SIX, "grab six");
        Mutex::new(own)
    });
    // That one test failed is no reason for others to.
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A grab by somebody whose home the folder is.
fn grab(home: &Path, daemon: &[&str], arguments: &[&str]) -> Command {
    let mut command = sealift(&["grab"]);
    command.args(daemon).args(arguments);
    at_home(&mut command, home);
    command
}

/// What was grabbed, as programs learn it; and how many bytes came in all.
fn grabbed(command: &mut Command) -> (Vec<Value>, u64) {
    let output = command.args(["--json", "--progress", "json"]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let rows = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let came = events(&said).into_iter().filter(|event| event["event"] == "grab_progressed");
    let came = came.map(|event| event["bytes"].as_u64().unwrap()).sum();
    (rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect(), came)
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}

fn read(folder: &Path, diff_id: &str, file: &str) -> Vec<u8> {
    fs::read(folder.join(hex(diff_id)).join(file)).unwrap()
}

fn inflated(blob: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut GzDecoder::new(blob), &mut plain).unwrap();
    plain
}

/// The layers that `docker save` writes, the lowest first.
fn saved_layers(own: &Own, name: &str) -> Vec<Vec<u8>> {
    let (archive, folder) = (own.folder.join("saved.tar"), own.folder.join("saved"));
    output_of(own.docker(&["save", "--output"]).arg(&archive).arg(name));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    output_of(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&folder));
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap().iter();
    layers.map(|layer| fs::read(folder.join(layer.as_str().unwrap())).unwrap()).collect()
}

#[test]
fn each_of_six_layers_is_the_one_that_docker_saves() {
    let own = with_six();
    let (diff_ids, saved) = (own.diff_ids("six:1"), saved_layers(&own, "six:1"));
    assert_eq!((diff_ids.len(), saved.len()), (6, 6));
    let before = own.list();

    let listed = output_of(&mut own.grab(&["--list", "six:1"]));
    let listed: Vec<_> = listed.lines().collect();
    let made_by = ["COPY", "dd if=", "COPY", "rm /old", "ln /words", "WORKDIR"];
    for (number, (row, diff_id)) in listed.iter().zip(&diff_ids).enumerate() {
        assert!(row.starts_with(&format!("{number}  {diff_id}  ")) && row.contains(made_by[number]), "{row}");
    }
    assert_eq!(listed.len(), 6);

    for (number, (diff_id, saved)) in diff_ids.iter().zip(&saved).enumerate() {
        let out = session().work_folder("grab-six-out");
        let choice = number.to_string();
        let (rows, came) =
            grabbed(&mut own.grab(&["six:1", "--layer", &choice, "--outdir", out.to_str().unwrap()]));
        let row = &rows[0];
        assert_eq!((row["diff_id"].as_str().unwrap(), rows.len()), (diff_id.as_str(), 1));
        assert!(read(&out, diff_id, "layer.tar") == *saved, "layer {number}");
        assert_eq!(digest_of(saved), *diff_id);
        assert_eq!(read(&out, diff_id, "VERSION"), b"1.0");
        let metadata: Value = serde_json::from_slice(&read(&out, diff_id, "json")).unwrap();
        assert_eq!(metadata["id"], hex(diff_id));
        let below = number.checked_sub(1).map_or(Value::Null, |below| json!(hex(&diff_ids[below])));
        assert_eq!(metadata["parent"], below);
        // What came is what was kept, and what was thrown away; an upload that was cut when the layer was whole is neither.
        let told = row["size_bytes"].as_u64().unwrap() + row["thrown_away_bytes"].as_u64().unwrap();
        assert!(came >= told, "{came} {row}");
        assert_eq!(own.list(), before, "layer {number}");
    }
}

#[test]
fn of_what_was_pulled_only_the_wanted_layer_comes() {
    let own = Own::start("grab-pulled");
    let name = format!("{}/e2e/grab/pulled:1", session().registry);
    for command in [&["tag", "six:1", &name][..], &["push", "--quiet", &name], &["image", "rm", &name]] {
        output_of(&mut with_six().docker(command));
    }
    output_of(&mut own.docker(&["pull", "--quiet", &name]));
    let (diff_ids, before) = (own.diff_ids(&name), own.list());
    for (number, diff_id) in diff_ids.iter().enumerate() {
        let out = session().work_folder("grab-pulled-out");
        let choice = (i64::try_from(number).unwrap() - 6).to_string();
        let options = ["--registry-format", "--outdir", out.to_str().unwrap()];
        let (rows, came) = grabbed(own.grab(&[&name, "--layer", &choice]).args(options));
        assert_eq!(rows[0]["thrown_away_bytes"], 0);
        assert_eq!(rows[0]["size_bytes"].as_u64(), Some(came), "not a byte besides");
        let blob = read(&out, diff_id, "blob");
        let descriptor: Value = serde_json::from_slice(&read(&out, diff_id, "descriptor.json")).unwrap();
        let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        assert_eq!(descriptor, json!({"mediaType": gzip, "digest": digest_of(&blob), "size": blob.len()}));
        assert_eq!(digest_of(&inflated(&blob)), *diff_id);
        // By the digest of its blob alone, and by its first digits.
        let by_blob = session().work_folder("grab-pulled-by-blob");
        let digest = descriptor["digest"].as_str().unwrap();
        for text in [digest, &hex(digest)[..20]] {
            output_of(own.grab(&[text, "--outdir"]).arg(&by_blob));
            assert_eq!(digest_of(&read(&by_blob, diff_id, "layer.tar")), *diff_id);
        }
    }
    assert_eq!(own.list(), before);
}

#[test]
fn a_layer_is_named_in_many_ways() {
    let own = with_six();
    let (diff_ids, id) = (own.diff_ids("six:1"), own.id("six:1"));
    let history = output_of(&mut own.docker(&["history", "--quiet", "--no-trunc", "six:1"]));
    // The newest comes first: of the fourth step the last layer is the fourth, too.
    let steps: Vec<_> = history.lines().rev().collect();
    let between = steps.iter().find(|step| own.diff_ids(step).len() == 3).unwrap();
    let before = own.list();
    let out = session().work_folder("grab-names-out");
    let grab = |arguments: &[&str]| output_of(own.grab(arguments).arg("--outdir").arg(&out));
    let files = |id: &str| {
        let file = |name: &str| format!("{}\n", out.join(hex(id)).join(name).display());
        ["json", "VERSION", "layer.tar"].map(file).concat()
    };
    // By an image's ID the folder has that; what is there already is told again.
    for text in [&id[..], hex(&id), &hex(&id)[..12]] {
        assert_eq!(grab(&[text]), files(&id));
    }
    let metadata: Value = serde_json::from_slice(&read(&out, &id, "json")).unwrap();
    assert_eq!(metadata["config"]["WorkingDir"], "/six");
    assert_eq!(grab(&[between]), files(between));
    assert_eq!(digest_of(&read(&out, between, "layer.tar")), diff_ids[2]);
    // All else is called by the diff ID.
    for text in [&["six:1"][..], &["six:1", "--layer", "5"], &["six:1", "--layer", &diff_ids[5]]] {
        assert_eq!(grab(text), files(&diff_ids[5]));
    }
    assert_eq!(grab(&[&diff_ids[1]]), files(&diff_ids[1]));
    assert_eq!(grab(&[&hex(&diff_ids[1])[..16]]), files(&diff_ids[1]));
    assert_eq!(own.list(), before);

    // Another content under the name is in the way.
    fs::write(out.join(hex(&diff_ids[1])).join("layer.tar"), "another").unwrap();
    let said = failure_of(own.grab(&[&diff_ids[1], "--outdir"]).arg(&out), 7);
    assert!(said.contains("is there already"), "{said}");
    for (arguments, code, words) in [
        (&["nothing:1"][..], 4, "no image and no layer `nothing:1`"),
        (&["0123456789ab"], 4, "no image and no layer"),
        (&["six:1", "--layer", "6"], 4, "six:1 has no layer 6: it has 6"),
        (&["six:1", "--layer", "sha256:00ff"], 4, "has no layer"),
    ] {
        let said = failure_of(&mut own.grab(arguments), code);
        assert!(said.contains(words) && said.contains("hint: "), "{said}");
    }
    assert_eq!(own.list(), before);
}

#[test]
fn digits_of_several_are_told_with_all_of_them() {
    let own = with_six();
    // Of so many digests two begin alike in their first digits.
    own.build("digits:1", &format!("FROM six:1\n{}", "LABEL step=x\n".repeat(9)), "");
    let digests: Vec<String> =
        own.list().iter().map(|row| hex(row.split(' ').next().unwrap()).to_owned()).collect();
    let all: Vec<String> =
        digests.iter().cloned().chain(own.diff_ids("digits:1").iter().map(|id| hex(id).to_owned())).collect();
    let shared = |length: usize| {
        let begins = |one: &str| all.iter().filter(|other| other.starts_with(&one[..length])).count() > 1;
        all.iter().find(|one| begins(one)).map(|one| one[..length].to_owned())
    };
    let Some(digits) = shared(1) else { panic!("of so many digests two begin with the same digit") };
    let said = failure_of(&mut own.grab(&[&format!("sha256:{digits}")]), 2);
    assert!(said.contains("may be any of") && said.contains("hint: give more digits"), "{said}");
    let named = all.iter().filter(|one| one.starts_with(&digits)).filter(|one| said.contains(one.as_str()));
    assert!(named.count() > 1, "{said}");
    output_of(&mut own.docker(&["image", "rm", "digits:1"]));
}

/// A daemon, how to have it pull, and how to grab from it.
struct Source {
    options: Vec<String>,
    set: Option<Set>,
    _service: Option<Daemon>,
}

impl Source {
    fn docker(set: Set, name: &str) -> Self {
        output_of(&mut Docker(set).docker(&["pull", "--quiet", name]));
        Self { options: vec!["--host".into(), Docker(set).host()], set: None, _service: None }
    }

    fn podman(set: Set, name: &str, test: &str) -> Self {
        output_of(&mut Podman(set).podman(&["pull", "--quiet", "--tls-verify=false", name]));
        let (service, address) = podman_service(set, test);
        let options = ["--from", "podman", "--host", &address].map(str::to_owned).into();
        Self { options, set: None, _service: Some(service) }
    }

    fn containerd(set: Set, name: &str) -> Self {
        output_of(&mut Containerd(set).ctr(&["images", "pull", "--plain-http", name]));
        let socket = socket(set, "containerd");
        let namespace = &session().control_group;
        let options =
            ["--from", "containerd", "--address", socket.to_str().unwrap(), "--namespace", namespace];
        Self { options: options.map(str::to_owned).into(), set: Some(set), _service: None }
    }

    fn grab(&self, folder: &Path, arguments: &[&str]) -> Command {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let mut command = grab(folder, &options, arguments);
        if let Some(set) = self.set {
            ctr_on_path(&mut command, set, folder);
        }
        command
    }
}

/// Grabs each layer of an image for several platforms; where the daemon keeps blobs as they are, it is the registry's.
fn grabs(source: &Source, repository: &str, loader: &dyn Loader, keeps_blobs: bool) {
    let folder = session().work_folder(&format!("grab-{}", repository.replace('/', "-")));
    let name = format!("{}/{repository}:v1", session().registry);
    let manifest = crate::registry::resolve(repository, "v1").manifest;
    let layers = manifest.json["layers"].as_array().unwrap();
    let (id, names) = (loader.config_digest(&name), loader.names(&name));
    let listed = output_of(&mut source.grab(&folder, &["--list", &name, "--json"]));
    let listed: Vec<Value> = listed.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(listed.len(), layers.len());
    for (number, layer) in layers.iter().enumerate() {
        let digest = layer["digest"].as_str().unwrap();
        let pushed = blob(repository, digest);
        let plain = inflated(&pushed);
        let diff_id = digest_of(&plain);
        assert_eq!(
            (&listed[number]["number"], &listed[number]["diff_id"]),
            (&json!(number), &json!(diff_id))
        );
        let choice = number.to_string();
        let mut command = source.grab(&folder, &[&name, "--layer", &choice]);
        let (rows, came) = grabbed(&mut command);
        assert_eq!(
            (rows[0]["done"].as_str(), rows[0]["thrown_away_bytes"].as_u64()),
            (Some("grabbed"), Some(0))
        );
        assert_eq!(rows[0]["size_bytes"].as_u64(), Some(came));
        assert!(read(&folder, &diff_id, "layer.tar") == plain, "layer {number}");
        fs::remove_dir_all(folder.join(hex(&diff_id))).unwrap();
        output_of(&mut source.grab(&folder, &[&name, "--layer", &diff_id, "--registry-format"]));
        let got = read(&folder, &diff_id, "blob");
        assert!(digest_of(&inflated(&got)) == diff_id && (!keeps_blobs || got == pushed), "layer {number}");
        if keeps_blobs {
            let descriptor: Value =
                serde_json::from_slice(&read(&folder, &diff_id, "descriptor.json")).unwrap();
            assert_eq!(descriptor, *layer, "as the manifest has it");
        }
        if source.set.is_some() {
            // Found by its blob, it is the same. Docker would give names to others' images for that.
            output_of(&mut source.grab(&folder, &[digest, "--registry-format"]));
        }
    }
    // Interrupted, if it has not ended by then.
    let out = session().work_folder(&format!("grab-{}-ended", repository.replace('/', "-")));
    let mut command = source.grab(&folder, &[&name, "--layer", "0", "--outdir"]);
    let mut running = Running::start(&out, command.arg(&out));
    running.await_event("grab_started");
    running.signal(Signal::INT);
    let ended = running.end();
    assert!(matches!(ended.code, Some(130 | 0)), "{}", ended.said);
    assert_eq!((loader.config_digest(&name), loader.names(&name)), (id, names), "the image is as it was");
    loader.remove(&name);
}

macro_rules! grabs {
    ($($test:ident: $source:expr, $loader:expr, $keeps_blobs:expr;)*) => { $(
        #[test]
        fn $test() {
            let repository = concat!("e2e/grab/", stringify!($test));
            let image = push_platforms(repository);
            let source: fn(&str) -> Source = $source;
            grabs(&source(&image.name()), repository, &$loader, $keeps_blobs);
        }
    )* };
}

grabs! {
    out_of_docker_20: |name| Source::docker(Set::Old, name), Docker(Set::Old), false;
    out_of_docker_28_with_containerd_image_store: |name| Source::docker(Set::Modern, name), Docker(Set::Modern), true;
    out_of_podman_4: |name| Source::podman(Set::Old, name, "grab-podman-4"), Podman(Set::Old), false;
    out_of_podman_5: |name| Source::podman(Set::Modern, name, "grab-podman-5"), Podman(Set::Modern), false;
    out_of_containerd_1_6: |name| Source::containerd(Set::Old, name), Containerd(Set::Old), true;
    out_of_containerd_2: |name| Source::containerd(Set::Modern, name), Containerd(Set::Modern), true;
}

#[test]
fn a_layer_of_containerds_image_store_is_found_by_its_blob() {
    let own = Own::start_with(Set::Modern, "grab-blob", &["--feature", "containerd-snapshotter=true"]);
    let images = [push_platforms("e2e/grab/blob"), push_platforms("e2e/grab/blob-other")];
    for image in &images {
        output_of(&mut own.docker(&["pull", "--quiet", &image.name()]));
    }
    let before = own.list();
    for image in &images {
        let manifest = image.resolved().manifest;
        let digest = manifest.json["layers"][1]["digest"].as_str().unwrap();
        for text in [digest, &hex(digest)[..16]] {
            let out = session().work_folder("grab-blob-out");
            let (rows, _) = grabbed(own.grab(&[text, "--registry-format", "--outdir"]).arg(&out));
            let diff_id = rows[0]["diff_id"].as_str().unwrap();
            assert!(read(&out, diff_id, "blob") == blob(image.repository, digest));
        }
    }
    assert_eq!(own.list(), before);
}

/// An image without a name goes with the last name it gets, unless that is given to another.
#[test]
fn an_image_without_a_name_stays_unless_it_is_to_go() {
    let own = Own::start("grab-nameless");
    own.build("nameless:1", SIX, "grab nameless");
    let id = own.id("nameless:1");
    own.build("nameless:1", SIX, "grab nameless, another");
    let before = own.list();
    let out = session().work_folder("grab-nameless-out");
    let said = said_by(own.grab(&[&id, "--outdir"]).arg(&out));
    assert!(
        said.contains("warning: nothing else refers to the image") && said.contains("docker image prune"),
        "{said}"
    );
    assert_eq!(own.list(), before);
    let said = said_by(own.grab(&["nameless:1", "--clean", "--outdir"]).arg(&out));
    assert!(!said.contains("warning"), "{said}");
    assert_eq!(own.list(), before, "what has a name stays");
    let said = said_by(
        own.grab(&[&id, "--clean", "--registry-format", "--outdir"])
            .arg(session().work_folder("grab-nameless-gone")),
    );
    assert!(said.contains("`--clean` takes it away"), "{said}");
    let gone = own.list();
    assert!(!gone.iter().any(|row| row.starts_with(&id)) && before.len() > gone.len());
    assert!(gone.iter().all(|row| before.contains(row)), "nothing else is there");
}

#[test]
fn the_same_on_containerds_image_store() {
    let docker = Docker(Set::Modern);
    let folder = session().work_folder("grab-nameless-modern");
    let archive = folder.join("image.tar");
    let image = push_platforms("e2e/grab/nameless");
    crate::sealift::pull(&image.name(), &archive);
    docker.load(&archive);
    let inspect = |format: &str, name: &str| {
        let inspect = ["image", "inspect", "--format", format, name];
        output_of(&mut docker.docker(&inspect)).trim().to_owned()
    };
    let id = inspect("{{.Id}}", &image.name());
    // Another takes its name.
    let other = push_platforms("e2e/grab/nameless-other");
    output_of(&mut docker.docker(&["pull", "--quiet", &other.name()]));
    output_of(&mut docker.docker(&["tag", &other.name(), &image.name()]));
    assert_eq!(inspect("{{.RepoTags}}", &id), "[]");
    output_of(grab(&folder, &["--host", &docker.host()], &[&id]).arg("--outdir").arg(&folder));
    let is_as_it_was = || assert_eq!(inspect("{{.RepoTags}} {{.Id}}", &id), format!("[] {id}"));
    is_as_it_was();
    for how in [Signal::INT, Signal::HUP, Signal::KILL] {
        let out = session().work_folder("grab-nameless-ended");
        let command = || {
            let mut command = grab(&folder, &["--host", &docker.host()], &[&id]);
            command.arg("--outdir").arg(&out);
            command
        };
        let mut running = Running::start(&folder, &mut command());
        running.await_event("grab_started");
        running.signal(how);
        running.end();
        if how == Signal::KILL {
            // The next one takes the name away.
            let _ = fs::remove_dir_all(&out);
            fs::create_dir(&out).unwrap();
            output_of(&mut command());
        }
        is_as_it_was();
    }
    // What takes the names over for a moment goes with them; others may grab here meanwhile.
    let nothing = format!("[{}]", digest_of(&[0; 1024]));
    await_that("no image of nothing is left", || {
        let ids =
            output_of(&mut docker.docker(&["images", "--quiet", "--no-trunc", "--filter", "dangling=true"]));
        !ids.lines().any(|id| {
            let format = ["image", "inspect", "--format", "{{.RootFS.Layers}}", id];
            let told = docker.docker(&format).output().unwrap();
            String::from_utf8_lossy(&told.stdout).trim() == nothing
        })
    });
    for name in [&id, &image.name(), &other.name()] {
        docker.remove(name);
    }
}

/// Two layers that are large enough to be met on their way.
const TWO_LARGE: &str = r#"FROM scratch
COPY busybox /bin/sh
RUN ["/bin/sh", "-c", "dd if=/dev/urandom of=/one bs=1048576 count=64 2>/dev/null"]
RUN ["/bin/sh", "-c", "dd if=/dev/urandom of=/two bs=1048576 count=64 2>/dev/null"]
"#;

/// Bytes that the files in a folder take, those of folders in it too.
fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: std::io::Result<fs::DirEntry>| {
        let Ok(path) = entry.map(|entry| entry.path()) else { return 0 };
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => disk_bytes(&path),
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        }
    };
    entries.map(size).sum()
}

#[test]
fn whatever_ends_a_grab_nothing_is_left() {
    let mut own = Own::start("grab-ends");
    own.build("large:1", TWO_LARGE, "grab ends");
    own.build("small:1", SIX, "grab ends");
    let before = own.list();
    let out = session().work_folder("grab-ends-out");
    let begun = |name: &str| {
        let mut grab = own.grab(&["large:1", "--layer", "1", "--outdir"]);
        let mut running = Running::start(&session().work_folder(name), grab.arg(&out));
        running.await_event("grab_progressed");
        running
    };
    let has_name = || own.list().iter().any(|row| row.contains("/sealift-grab-"));
    let files = || fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    for (how, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let running = begun("grab-ends-interrupted");
        assert!(has_name());
        running.signal(how);
        let ended = running.end();
        assert_eq!(ended.code, Some(code), "{}", ended.said);
        assert_eq!((own.list(), files().len()), (before.clone(), 0));
    }

    // One that is killed leaves the name and what it wrote; the next one takes the name away, and carries on alone.
    let running = begun("grab-ends-killed");
    running.signal(Signal::KILL);
    running.end();
    assert!(has_name() && files().len() == 1);
    output_of(own.grab(&["small:1", "--outdir"]).arg(session().work_folder("grab-ends-small")));
    assert_eq!(own.list(), before);

    // While one is under way its name is left alone; the same layer is not written by two.
    let running = begun("grab-ends-beside");
    output_of(
        own.grab(&["small:1", "--layer", "1", "--outdir"]).arg(session().work_folder("grab-ends-small")),
    );
    assert!(has_name());
    let said = failure_of(own.grab(&["large:1", "--layer", "1", "--outdir"]).arg(&out), 7);
    assert!(said.contains("another sealift is writing"), "{said}");
    running.end().well();
    assert_eq!((own.list(), files().len()), (before.clone(), 1));
    fs::remove_dir_all(&out).unwrap();
    fs::create_dir(&out).unwrap();

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = failure_of(own.grab(&["small:1", "--port", &port, "--outdir"]).arg(&out), 7);
    assert!(
        said.contains(&format!("cannot listen on 127.0.0.1:{port}")) && said.contains("hint: "),
        "{said}"
    );
    let free = free_address();
    let (_, port) = free.rsplit_once(':').unwrap();
    let said = said_by(own.grab(&["small:1", "--port", port, "--debug", "--outdir"]).arg(&out));
    assert!(said.contains("debug: PUT /v2/sealift-grab-"), "{said}");
    assert_eq!((own.list(), files().len()), (before, 1));

    let running = begun("grab-ends-daemon");
    own.daemon.end(Signal::KILL);
    let ended = running.end();
    assert_eq!(ended.code, Some(7), "{}", ended.said);
    assert!(ended.said.contains("Docker stopped answering"), "{}", ended.said);
    assert_eq!(files().len(), 1);
}

/// A disk that gets full while the layer comes.
#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let own = Own::start("grab-full");
    own.build("large:1", TWO_LARGE, "grab full");
    // Docker knows what it built step by step; loaded, it is one image, which is pushed as a whole.
    let archive = own.folder.join("large.tar");
    output_of(own.docker(&["save", "--output"]).arg(&archive).arg("large:1"));
    output_of(&mut own.docker(&["image", "rm", "large:1"]));
    output_of(own.docker(&["load", "--input"]).arg(&archive));
    let before = own.list();
    let disk = crate::disk_full::Disk::mount(&session().work_folder("grab-full-disk"), "40M", "ext4");
    let said = failure_of(own.grab(&["large:1", "--outdir"]).arg(disk.path()), 7);
    assert!(said.contains("No space left") && said.contains("layer.tar"), "{said}");
    assert_eq!(own.list(), before);
    let left: Vec<_> = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lost+found"]);
    // What would not fit and nobody wants is no hindrance.
    output_of(own.grab(&["large:1", "--layer", "0", "--outdir"]).arg(disk.path()));
    let diff_id = &own.diff_ids("large:1")[0];
    assert_eq!(digest_of(&read(disk.path(), diff_id, "layer.tar")), *diff_id);
    assert_eq!(own.list(), before);
}

/// Several grabs at once, of one image and of two, and the disk holds no more than each one's layer.
#[test]
fn many_grabs_at_once_don_t_meet() {
    let own = Own::start("grab-many");
    own.build("large:1", TWO_LARGE, "grab many");
    own.build("six:1", SIX, "grab many, without a name");
    let nameless = own.id("six:1");
    own.build("six:1", SIX, "grab many");
    let before = own.list();
    // Of the one without a name each grab's name is the only one, or another grab's is there.
    let wanted: Vec<(&str, String)> = ["large:1", "six:1", &nameless]
        .iter()
        .flat_map(|name| own.diff_ids(name).into_iter().map(move |diff_id| (*name, diff_id)))
        .collect();
    let out = session().work_folder("grab-many-out");
    thread::scope(|scope| {
        for (name, diff_id) in &wanted {
            scope.spawn(|| output_of(own.grab(&[name, "--layer", diff_id, "--outdir"]).arg(&out)));
        }
    });
    for (_, diff_id) in &wanted {
        assert_eq!(digest_of(&read(&out, diff_id, "layer.tar")), *diff_id);
    }
    assert_eq!(own.list(), before);
}

/// A layer in the middle of an image: of what the daemon insists on sending besides the disk holds no more than one.
fn takes_little(test: &str, mebibytes: u64) {
    let own = Own::start(test);
    let dockerfile = TWO_LARGE.replace("count=64", &format!("count={mebibytes}"));
    own.build("large:1", &dockerfile, test);
    let diff_id = &own.diff_ids("large:1")[1];
    let out = session().work_folder(&format!("{test}-out"));
    let usage = out.join("memory");
    let mut timed = Command::new("/usr/bin/env");
    // `wait` tells nothing of memory, the kernel does while the process lives.
    let script = "\"$@\" & child=$!; while kill -0 $child 2>/dev/null; do \
                  grep VmHWM /proc/$child/status >>\"$USAGE\" 2>/dev/null; sleep 0.02; done; wait $child";
    let grab = own.grab(&["large:1", "--layer", "1", "--outdir"]);
    timed.arg("bash").args(["-c", script, "bash"]).arg(grab.get_program()).args(grab.get_args()).arg(&out);
    at_home(&mut timed, &own.folder).env("USAGE", &usage);
    let mut running = timed.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    while running.try_wait().unwrap().is_none() {
        peak = peak.max(disk_bytes(&out));
        thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(running.wait().unwrap().success());
    assert_eq!(digest_of_file(&out.join(hex(diff_id)).join("layer.tar")), *diff_id);
    assert!(peak <= (mebibytes + 1) << 20, "{peak} bytes were on the disk");
    let memory = fs::read_to_string(usage).unwrap();
    let kibibytes = |line: &str| line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    let memory = memory.lines().filter_map(kibibytes).max().unwrap();
    assert!(memory <= 40 << 10, "{memory} KiB of memory");
}

fn digest_of_file(file: &Path) -> String {
    let sum = output_of(Command::new("sha256sum").arg(file));
    format!("sha256:{}", sum.split(' ').next().unwrap())
}

#[test]
fn a_grab_takes_little_memory_and_the_disk_of_one_layer() {
    takes_little("grab-little", 128);
}

#[test]
#[ignore = "slow: tests/run --long"]
fn so_does_that_of_a_layer_of_a_gibibyte() {
    takes_little("grab-gibibyte", 1024);
}

#[test]
fn layers_in_an_archive_load_and_run_everywhere() {
    let own = with_six();
    let archive = session().work_folder("grab-tar-out").join("layers.tar");
    let name = "docker.io/library/sealift-grabbed:1";
    let layers = ["six:1", "--layer", "0", "--layer", "2", "--name", name];
    let printed = output_of(own.grab(&layers).arg("--tar").arg(&archive));
    assert_eq!(printed, format!("{}\n", archive.display()));
    // As it stands: a file is not replaced.
    let said = failure_of(own.grab(&layers).arg("--tar").arg(&archive), 7);
    assert!(said.contains("is there already"), "{said}");
    drop(own);
    assert_eq!(crate::sealift::verified(&archive, &[]).report["is_whole"], true);
    for loader in all_loaders() {
        loader.load(&archive);
        assert_eq!(loader.run(name, &[]), "grab six\n");
        let listed = loader.run(name, &["/bin/sh", "-c", "echo /words /one /three"]);
        assert_eq!(listed, "/words /one /three\n");
        let gone = loader.run(name, &["/bin/sh", "-c", "[ -e /one ] || [ -e /three ] || echo only these"]);
        assert_eq!(gone, "only these\n");
        loader.remove(name);
    }
}

/// Said of an archive with a manifest that was made up.
const FOR_GRAPH_DRIVERS: &str = "loads only into a Docker with a graph driver that has the layers below";

/// The patch alone, on a base that is there: from a graph driver to another, from containerd's store to all loaders.
#[test]
fn the_last_layers_load_on_a_base_that_is_there() {
    let own = Own::start("grab-base");
    let (base, app) = ["base", "app"].map(|name| format!("{}/e2e/grab/{name}:1", session().registry)).into();
    let dockerfile = "FROM scratch\nCOPY busybox /bin/sh\nCOPY words /words\n";
    own.build(&base, dockerfile, "grab base");
    let patch = format!(
        "FROM {base}\nRUN [\"/bin/sh\", \"-c\", \"echo patched > /patch\"]\nENV A=b\n\
                         CMD [\"/bin/sh\", \"-c\", \"read p < /patch; read w < /words; echo $p $w\"]\n"
    );
    own.build(&app, &patch, "");
    for name in [&base, &app] {
        output_of(&mut own.docker(&["push", "--quiet", name]));
    }
    let (id, before) = (own.id(&app), own.list());
    let folder = session().work_folder("grab-base-out");
    let of_driver = folder.join("driver.tar");
    let said = said_by(own.grab(&[&app, "--layer", "-1", "--on-base", "--tar"]).arg(&of_driver));
    assert!(said.contains(FOR_GRAPH_DRIVERS), "{said}");
    assert_eq!(own.list(), before);
    assert!(of_driver.metadata().unwrap().len() < 20 << 10, "the base is not in it");
    output_of(&mut own.docker(&["image", "rm", &app]));
    output_of(own.docker(&["load", "--input"]).arg(&of_driver));
    assert_eq!(own.id(&app), id);
    let run = ["run", "--rm", "--network=none", &app];
    assert_eq!(output_of(&mut own.docker(&run)), "patched grab base\n");

    let modern = Source::docker(Set::Modern, &app);
    let of_store = folder.join("store.tar");
    let last = &[&app, "--layer", "-1", "--on-base", "--tar"];
    let said = said_by(modern.grab(&folder, last).arg(&of_store));
    assert!(!said.contains(FOR_GRAPH_DRIVERS), "it has containerd's manifest: {said}");
    let said =
        failure_of(&mut modern.grab(&folder, &[&app, "--layer", "0", "--on-base", "--tar", "x.tar"]), 2);
    assert!(said.contains("the last layers of one image"), "{said}");
    Docker(Set::Modern).remove(&app);
    let _sources = [
        Source::docker(Set::Old, &base),
        Source::docker(Set::Modern, &base),
        Source::containerd(Set::Old, &base),
        Source::containerd(Set::Modern, &base),
    ];
    for set in [Set::Old, Set::Modern] {
        output_of(&mut Podman(set).podman(&["pull", "--quiet", "--tls-verify=false", &base]));
    }
    for loader in all_loaders() {
        loader.load(&of_store);
        assert_eq!(loader.run(&app, &[]), "patched grab base\n");
        assert_eq!(loader.config_digest(&app), id);
        loader.remove(&app);
        loader.remove(&base);
    }
}

/// A daemon on another machine: it can't reach our loopback, and logs in where it can reach us.
#[test]
fn a_daemon_elsewhere_pushes_to_an_address_it_reaches() {
    let (api, shim) = (free_site_address(), free_site_address());
    let tcp = format!("tcp://{api}");
    let own = Own::start_with(Set::Old, "grab-far", &["--host", &tcp, "--insecure-registry", &shim]);
    own.build("far:1", SIX, "grab far");
    let before = own.list();
    let out = session().work_folder("grab-far-out");
    let far = |arguments: &[&str]| {
        let mut command = grab(&own.folder, &["--host", &tcp], arguments);
        command.arg("--outdir").arg(&out);
        command
    };
    let said = failure_of(&mut far(&["far:1"]), 2);
    assert!(said.contains("can't push to this one's 127.0.0.1") && said.contains("--listen"), "{said}");
    let (site, port) = shim.rsplit_once(':').unwrap();
    let said = said_by(&mut far(&["far:1", "--listen", site, "--port", port, "--debug"]));
    assert!(said.contains("debug: GET /v2/: 401") && said.contains("/blobs/uploads/: 202"), "{said}");
    let diff_ids = own.diff_ids("far:1");
    assert_eq!(digest_of(&read(&out, &diff_ids[5], "layer.tar")), diff_ids[5]);
    // Where the daemon takes it for one with TLS, it is told what to set.
    let other = free_site_address();
    let (_, port) = other.rsplit_once(':').unwrap();
    let said = failure_of(&mut far(&["far:1", "--layer", "0", "--listen", site, "--port", port]), 1);
    assert!(said.contains("HTTP response to HTTPS client") && said.contains("insecure-registries"), "{said}");
    assert_eq!(own.list(), before);
}
