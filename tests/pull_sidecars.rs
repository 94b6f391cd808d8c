//! `--checksum` and `--load-script`: what stands beside a file is right, whatever the file is called, and whole or not
//! there. That the script loads what it should, real loaders say: `tests/e2e/load_script.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use sealift::image::Digest;
use serde_json::Value;
use support::image::{TestImage, noise, push};
use support::registry::TestRegistry;
use support::sandbox::Sandbox;

const BOTH: [&str; 2] = ["--checksum", "--load-script"];

struct Case {
    registry: TestRegistry,
    sandbox: Sandbox,
    image: TestImage,
}

impl Case {
    fn new() -> Self {
        let registry = TestRegistry::start();
        let image = push(&registry, "app:1", "linux/amd64", &[&noise(1, 300_000), b"top"]);
        let sandbox = Sandbox::new().redact(registry.address(), "[REGISTRY]");
        Self { registry, sandbox, image }
    }

    fn pull(&self, more: &[&str]) -> Output {
        self.sandbox.output(&[&["pull", &self.image.reference], more].concat())
    }

    /// The same into a file that may have any name.
    fn pull_into(&self, file: &OsStr) {
        let mut command = self.sandbox.command(&["pull", &self.image.reference, "-q", "-o"]);
        succeed(&command.arg(file).args(BOTH).output().unwrap());
    }

    /// What was said, without times.
    fn untimed(&self, output: &Output) -> String {
        let shown = self.sandbox.shown(output);
        let words = shown.split_inclusive([' ', '\n']);
        let is_seconds = |word: &str| word.parse::<f64>().is_ok() && word.contains('.');
        words.map(|word| if is_seconds(word.trim_end()) { "[TIME] " } else { word }).collect()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.sandbox.out().join(name)).unwrap()
    }

    /// A folder of programs that scripts find, and nothing else: `tools` are the system's.
    fn programs(&self, tools: &[&str]) -> std::path::PathBuf {
        let folder = self.sandbox.path().join("programs");
        fs::create_dir_all(&folder).unwrap();
        for tool in tools {
            let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            let found = found.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no {tool} here"));
            symlink(found, folder.join(tool)).unwrap();
        }
        folder
    }

    /// Runs a script from another folder, with these programs alone.
    fn run(&self, script: &OsStr, programs: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("/bin/sh");
        command.arg(Path::new("../out").join(script)).args(arguments).env_clear().env("PATH", programs);
        command.current_dir(self.sandbox.home()).output().unwrap()
    }
}

fn succeed(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Puts a docker into the folder that answers, and leaves a mark where it is asked to load.
fn put_docker(programs: &Path) {
    let docker =
        "#!/bin/sh\ncase $1 in\nversion) echo linux/amd64 1 ;;\nload) echo >loading; exit 1 ;;\nesac\n";
    put_program(programs, "docker", docker);
}

fn put_program(programs: &Path, name: &str, text: &str) {
    fs::write(programs.join(name), text).unwrap();
    fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

const TOOLS: [&str; 8] = ["sha256sum", "wc", "sed", "grep", "head", "tail", "tr", "cat"];

fn names(base: &OsStr) -> [OsString; 2] {
    [".sha256", ".load.sh"].map(|suffix| {
        let mut name = base.to_owned();
        name.push(suffix);
        name
    })
}

#[test]
fn a_file_gets_its_checksum_and_a_script_and_programs_are_told() {
    let case = Case::new();
    let output = case.pull(&["-o", "x.tar", "--json", BOTH[0], BOTH[1]]);
    succeed(&output);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["checksum"], &told["load_script"]), (&"x.tar.sha256".into(), &"x.tar.load.sh".into()));
    let digest = Digest::of(&case.bytes("x.tar"));
    assert_eq!(told["sha256"], digest.hex());
    assert_eq!(case.bytes("x.tar.sha256"), format!("{}  x.tar\n", digest.hex()).into_bytes());
    assert_eq!(case.sandbox.files(), ["x.tar", "x.tar.load.sh", "x.tar.sha256"]);
    let mode = |name: &str| case.sandbox.out().join(name).metadata().unwrap().permissions().mode() & 0o111;
    assert!(mode("x.tar.load.sh") > 0 && mode("x.tar.sha256") == 0);

    let plain = Case::new();
    let told: Value = serde_json::from_slice(&plain.pull(&["-o", "x.tar", "--json"]).stdout).unwrap();
    assert!(["checksum", "load_script", "sha256"].iter().all(|key| told.get(*key).is_none()), "{told}");
    assert_eq!(plain.sandbox.files(), ["x.tar"]);
}

#[test]
fn people_are_told_what_it_is_for_and_what_it_took() {
    let case = Case::new();
    let said = case.untimed(&case.pull(&["-o", "x.tar", BOTH[0], BOTH[1]]));
    let hex = Digest::of(&case.bytes("x.tar")).hex().to_owned();
    assert_snapshot!("both", said.replace(&hex, "[SHA256]").replace(case.image.manifest.hex(), "[MANIFEST]"));
    let events = case.pull(&["-o", "x.tar", "-q", "--checksum"]);
    assert_eq!(String::from_utf8(events.stderr).unwrap(), "", "nothing in quiet");
    let events = case.pull(&["-o", "x.tar", "--progress", "json", "--checksum"]);
    let events = String::from_utf8(events.stderr).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = |name: &str| events.iter().find(|event| event["event"] == name).expect(name);
    let size_bytes = case.bytes("x.tar").len();
    assert_eq!(event("check_started")["size_bytes"], size_bytes);
    assert_eq!(event("check_progressed")["bytes"], size_bytes);
    assert_eq!(event("checksummed")["digest"], format!("sha256:{hex}"));
    assert!(event("checksummed")["seconds"].as_f64().is_some());
}

#[test]
fn a_dry_run_names_them_and_writes_nothing() {
    let case = Case::new();
    let output = case.pull(&["-o", "x.tar", "--dry-run", BOTH[0], BOTH[1]]);
    let table = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.contains("x.tar.")).collect();
    assert_eq!(rows, ["checksum    x.tar.sha256", "load script x.tar.load.sh"]);
    let output = case.pull(&["-o", "x.tar", "--dry-run", "--json", "--checksum"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["checksum"], "x.tar.sha256");
    assert!(told.get("load_script").is_none(), "{told}");
    assert!(case.sandbox.files().is_empty());
}

#[test]
fn nothing_stands_beside_a_pipe() {
    let case = Case::new();
    assert_snapshot!("pipe", case.sandbox.shown(&case.pull(&["-o", "-", "--checksum"])));
    assert_eq!(case.pull(&["-o", "-", "--load-script"]).status.code(), Some(2));
    assert!(case.registry.requests().is_empty());
}

#[test]
fn each_file_of_several_gets_its_own() {
    let case = Case::new();
    let other = push(&case.registry, "other:2", "linux/amd64", &[b"other"]);
    succeed(&case.pull(&[&other.reference, "-q", "-o", "./", BOTH[0], BOTH[1]]));
    let files = case.sandbox.files();
    assert_eq!(files.len(), 6, "{files:?}");
    for sums in files.iter().filter(|name| name.ends_with(".sha256")) {
        succeed(
            &Command::new("sha256sum").args(["-c", sums]).current_dir(case.sandbox.out()).output().unwrap(),
        );
    }
    let script = files.iter().find(|name| name.ends_with("other_2_amd64.tar.load.sh")).unwrap();
    let script = String::from_utf8(case.bytes(script)).unwrap();
    assert!(script.contains(&other.reference) && !script.contains(&case.image.reference));
}

#[test]
fn a_script_names_all_images_of_its_archive() {
    let case = Case::new();
    let (registry, other) =
        (case.registry.address(), push(&case.registry, "other:2", "linux/amd64", &[b"x"]));
    let by_digest = format!("{registry}/other@{}", other.manifest);
    succeed(&case.pull(&[&other.reference, &by_digest, "-o", "x.tar", "--load-script"]));
    let script = String::from_utf8(case.bytes("x.tar.load.sh")).unwrap();
    let (_, images) = script.split_once("images='").unwrap();
    let images: Vec<_> = images.split_once('\'').unwrap().0.lines().collect();
    let line = |name: String, image: &TestImage| {
        let layers: Vec<u8> =
            image.layers.iter().flat_map(|layer| format!("{layer}\n").into_bytes()).collect();
        let layers = Digest::of(&layers);
        let (config, manifest) = (&image.config, &image.manifest);
        format!("{name} linux/amd64 config={config} manifest={manifest} layers={}", layers.hex())
    };
    let tag = format!("{registry}/other:{}", other.manifest.short());
    assert_eq!(
        images,
        [
            line(case.image.reference.clone(), &case.image),
            line(other.reference.clone(), &other),
            line(tag, &other),
        ]
    );
}

#[test]
fn sha256sum_and_the_script_take_files_of_any_name() {
    let case = Case::new();
    let programs = case.programs(&TOOLS);
    put_docker(&programs);
    for name in [
        &b"it's $(touch owned) `touch owned` \"$HOME\".tar"[..],
        b"-rf.tar",
        b"-",
        b"two\nlines\n",
        b"# comment'\ntouch owned #.tar",
        br"back\slash\n.tar",
        b" spaces at both ends ",
        b"latin-\xe9.tar",
        b"*?[a-z]",
    ] {
        let name = OsString::from_vec(name.to_vec());
        let mut path = OsString::from("./");
        path.push(&name);
        case.pull_into(&path);
        let [sums, script] = names(&name);
        for folder in [case.sandbox.out(), case.sandbox.path().join("elsewhere")] {
            if !folder.exists() {
                fs::rename(case.sandbox.out(), &folder).unwrap();
            }
            let mut check = Command::new("sha256sum");
            succeed(&check.arg("-c").arg(Path::new(".").join(&sums)).current_dir(&folder).output().unwrap());
        }
        fs::rename(case.sandbox.path().join("elsewhere"), case.sandbox.out()).unwrap();
        let output = case.run(&script, &programs, &["--dry-run"]);
        succeed(&output);
        let said = output.stderr;
        let shown = name.as_bytes();
        assert!(said.windows(shown.len()).any(|window| window == shown), "{name:?}");
        for file in [&name, &sums, &script] {
            fs::remove_file(case.sandbox.out().join(file)).unwrap();
        }
    }
    assert!(case.sandbox.files().is_empty() && fs::read_dir(case.sandbox.home()).unwrap().count() == 0);
}

#[test]
fn they_are_made_for_a_file_that_is_up_to_date() {
    let case = Case::new();
    succeed(&case.pull(&["-o", "x.tar"]));
    let before = case.registry.sent_bytes("/blobs/");
    fs::write(case.sandbox.out().join("x.tar.sha256"), "old").unwrap();
    let output = case.pull(&["-o", "x.tar", BOTH[0], BOTH[1]]);
    succeed(&output);
    assert!(String::from_utf8(output.stderr).unwrap().contains("up to date, nothing was fetched"));
    let digest = Digest::of(&case.bytes("x.tar"));
    assert_eq!(case.bytes("x.tar.sha256"), format!("{}  x.tar\n", digest.hex()).into_bytes());
    assert_eq!(case.sandbox.files(), ["x.tar", "x.tar.load.sh", "x.tar.sha256"]);
    let config = case.bytes("x.tar").len() as u64;
    assert!(case.registry.sent_bytes("/blobs/") - before < config / 10, "no layer was fetched");
}

#[test]
fn what_is_there_already_is_left_alone_where_that_was_asked_for() {
    let case = Case::new();
    for name in ["x.tar.sha256", "x.tar.load.sh"] {
        fs::write(case.sandbox.out().join(name), "mine").unwrap();
        let output = case.pull(&["-o", "x.tar", "--no-clobber", BOTH[0], BOTH[1]]);
        assert_eq!(output.status.code(), Some(7));
        assert!(String::from_utf8(output.stderr).unwrap().contains(&format!("{name} is there already")));
        assert_eq!(case.sandbox.files(), [name], "told before anything is fetched");
        assert_eq!(case.bytes(name), b"mine");
        fs::remove_file(case.sandbox.out().join(name)).unwrap();
    }
    fs::create_dir(case.sandbox.out().join("x.tar.sha256")).unwrap();
    let output = case.pull(&["-o", "x.tar", "--checksum"]);
    assert_eq!(output.status.code(), Some(7), "a folder is in the way");
    assert_eq!(case.sandbox.files(), ["x.tar.sha256"]);
}

#[test]
fn what_fails_beside_a_file_leaves_the_file_and_the_next_run_makes_it_good() {
    let case = Case::new();
    let planted = case.sandbox.out().join("x.tar.load.sh.partial");
    symlink("/etc/hostname", &planted).unwrap();
    let output = case.pull(&["-o", "x.tar", "--progress", "none", BOTH[0], BOTH[1]]);
    assert_snapshot!("in_the_way", case.untimed(&output).replace(case.image.manifest.hex(), "[MANIFEST]"));
    assert_eq!(case.sandbox.files(), ["x.tar", "x.tar.load.sh.partial", "x.tar.sha256"]);
    fs::remove_file(planted).unwrap();
    succeed(&case.pull(&["-o", "x.tar", BOTH[0], BOTH[1]]));
    assert_eq!(case.sandbox.files(), ["x.tar", "x.tar.load.sh", "x.tar.sha256"]);
}

#[test]
fn a_script_refuses_an_archive_that_is_not_what_was_written() {
    let case = Case::new();
    case.pull_into(OsStr::new("x.tar"));
    let programs = case.programs(&TOOLS);
    put_docker(&programs);
    let whole = case.bytes("x.tar");
    let digest = Digest::of(&whole);
    let run = || {
        let output = case.run(OsStr::new("x.tar.load.sh"), &programs, &[]);
        let found = Digest::of(&fs::read(case.sandbox.out().join("x.tar")).unwrap_or_default());
        case.sandbox.shown(&output).replace(digest.hex(), "[SHA256]").replace(found.hex(), "[ANOTHER]")
    };
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(case.sandbox.out().join("x.tar"), flipped).unwrap();
    assert_snapshot!("flipped", run());
    fs::write(case.sandbox.out().join("x.tar"), &whole[..1000]).unwrap();
    assert_snapshot!("short", run());
    fs::remove_file(case.sandbox.out().join("x.tar")).unwrap();
    assert_snapshot!("missing", run());
    assert!(!case.sandbox.home().join("loading").exists(), "docker was asked to load");
    fs::write(case.sandbox.out().join("x.tar"), whole).unwrap();
    assert_snapshot!("not_loaded", run());
    assert!(case.sandbox.home().join("loading").exists());
}

/// A nerdctl by the source of 2.x: an image without a name is called `import@…`, by which nothing is found, and is
/// found by its digest alone; a manifest is one that containerd made.
const NERDCTL: &str = r#"#!/bin/sh
case "$1 $2" in
"info "*) ;;
"load --platform=linux/s390x") printf 'import@%s\tsaved\t\nLoaded image: import@%s\n' "$MANIFEST" "$MANIFEST" ;;
"image inspect")
    case $7 in
    "$MANIFEST") ;;
    *) [ "$7" = "$(cat tagged 2>/dev/null)" ] || exit 0 ;;
    esac
    case $6 in
    '{{.Image.Target.Digest}}') echo "$MANIFEST" ;;
    '{{.ImageConfigDesc.Digest}}') echo "$CONFIG" ;;
    esac
    ;;
"tag $MANIFEST") echo "$3" >tagged ;;
*) echo "nerdctl $*: what is that?" >&2; exit 1 ;;
esac
"#;

#[test]
fn a_script_speaks_with_nerdctl_as_its_source_wants() {
    let case = Case::new();
    let image = push(&case.registry, "mainframe:1", "linux/s390x", &[b"layer"]);
    let mut pull = case.sandbox.command(&["pull", &image.reference, "--arch", "s390x", "-o", "x.tar"]);
    succeed(&pull.arg("--load-script").output().unwrap());
    let programs = case.programs(&TOOLS);
    put_program(&programs, "uname", "#!/bin/sh\necho x86_64\n");
    put_program(&programs, "nerdctl", NERDCTL);
    let run = |config: &Digest| {
        let mut command = Command::new("/bin/sh");
        command.arg(case.sandbox.out().join("x.tar.load.sh")).current_dir(case.sandbox.home());
        command.env_clear().env("PATH", &programs).env("CONFIG", config.to_string());
        command.env("MANIFEST", Digest::of(b"of containerd's own").to_string());
        case.sandbox.shown(&command.output().unwrap()).replace(config.hex(), "[CONFIG]")
    };
    assert_snapshot!("another_config_in_nerdctl", run(&image.manifest));
    assert_snapshot!("nerdctl", run(&image.config));
}

#[test]
fn a_script_says_what_it_lacks() {
    let case = Case::new();
    case.pull_into(OsStr::new("x.tar"));
    let programs = case.programs(&TOOLS);
    let run = |arguments: &[&str]| {
        let output = case.run(OsStr::new("x.tar.load.sh"), &programs, arguments);
        case.sandbox.shown(&output)
    };
    assert_snapshot!("help", run(&["--help"]));
    assert_snapshot!("no_loader", run(&[]));
    assert_snapshot!("no_such_loader", run(&["podman"]));
    assert_snapshot!("unknown_loader", run(&["rkt"]));
    assert_snapshot!("unknown_option", run(&["--force"]));
    let dead = "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n";
    put_program(&programs, "docker", dead);
    assert_snapshot!("dead_loader", run(&[]));
    fs::remove_file(programs.join("sha256sum")).unwrap();
    assert_snapshot!("no_sha256", run(&[]));
}
