//! The load script of an archive, as a site runs it: under dash and busybox, against each loader of both sets.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tar::{Archive, Builder};

use crate::command::{output_of, said_by};
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::{Image, push_own, push_platforms};
use crate::loader::Loader;
use crate::podman::Podman;
use crate::registry::digest_of;
use crate::sealift::{Layers, sealift};
use crate::session::{Set, session};

/// A machine that has one loader.
struct Site {
    set: Set,
    tool: &'static str,
}

/// The shells that scripts are run by. busybox is static, so it runs in both sets.
static SHELLS: LazyLock<[Vec<PathBuf>; 2]> = LazyLock::new(|| {
    let busybox = session().work_folder("busybox").join("busybox");
    fs::copy("/usr/bin/busybox", &busybox).unwrap();
    [vec!["/bin/dash".into()], vec![busybox, "sh".into()]]
});

/// An archive with what stands beside it.
fn pull(names: &[String], archive: &Path, options: &[&str]) {
    output_of(
        sealift(&["pull", "-q", "--checksum", "--load-script"])
            .args(names)
            .args(options)
            .arg("-o")
            .arg(archive),
    );
}

fn script_of(archive: &Path) -> PathBuf {
    archive.with_extension("tar.load.sh")
}

impl Site {
    fn loader(&self) -> Box<dyn Loader> {
        match self.tool {
            "docker" => Box::new(Docker(self.set)),
            "podman" => Box::new(Podman(self.set)),
            _ => Box::new(Containerd(self.set)),
        }
    }

    /// A command as somebody at the site types it: what tells loaders from those of other tests is in the environment.
    fn command(&self, words: &[PathBuf]) -> Command {
        let docker = format!("DOCKER_HOST={}", Docker(self.set).host());
        let storage = format!("CONTAINERS_STORAGE_CONF={}", Podman(self.set).storage_conf().display());
        let content = Containerd(self.set).content();
        let address = format!("CONTAINERD_ADDRESS={}", content.socket.display());
        let namespace = format!("CONTAINERD_NAMESPACE={}", content.namespace);
        let mut command = self.set.command("/usr/bin/env");
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", &docker, &storage, &address, &namespace]);
        command.args(words);
        command
    }

    /// Runs the archive's script, from another folder.
    fn run(&self, shell: &[PathBuf], archive: &Path) -> Output {
        let mut command = self.command(&[shell, &[script_of(archive), self.tool.into()]].concat());
        command.current_dir("/").stdin(Stdio::null()).output().unwrap()
    }

    /// Runs the script, which has to succeed: the names it prints, and what it says.
    fn load(&self, shell: &[PathBuf], archive: &Path) -> (Vec<String>, String) {
        let output = self.run(shell, archive);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{} {shell:?}: {said}", self.tool);
        assert!(said.ends_with("loaded and verified\n"), "{said}");
        let names = String::from_utf8(output.stdout).unwrap();
        (names.lines().map(str::to_owned).collect(), said)
    }

    fn has(&self, name: &str) -> bool {
        let words: &[&str] = match self.tool {
            "ctr" => &["ctr", "images", "list", "-q"],
            tool => &[tool, "image", "inspect", "--format", name],
        };
        let mut words: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
        words.extend((self.tool != "ctr").then(|| name.into()));
        let output = self.command(&words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().any(|line| line == name)
    }

    /// How the script says what the loader calls this image by.
    fn proof(&self, image: &Image, how: Layers) -> String {
        let resolved = image.resolved();
        let by = |digest: &str, kind: &str| format!("is {digest}, the digest of its {kind}\n");
        match (self.tool, self.set, how) {
            ("podman", _, _) | ("docker", Set::Old, _) => by(resolved.config_digest(), "config"),
            ("docker", _, Layers::Plain) => ", a manifest of docker's own, with the right layers\n".into(),
            (_, _, Layers::Plain) => format!(", with the config {}\n", resolved.config_digest()),
            _ if resolved.index.is_some() => by(resolved.digest(), "index"),
            _ => by(resolved.digest(), "manifest"),
        }
    }
}

/// Fails unless the loader has the image under this name alone, and runs it; it is gone then.
fn is_whole(loader: &dyn Loader, name: &str, image: &Image) {
    assert_eq!(loader.names(name), [name]);
    assert_eq!(loader.config_digest(name), image.resolved().config_digest());
    assert_eq!(loader.run(name, &[]), image.prints);
    loader.remove(name);
}

/// Two images of an archive, one of them from an index, one with a repeated layer; with layers kept and inflated.
fn loads_several(site: &Site, index: &'static str, alone: &'static str) {
    let images = [push_platforms(index), push_own(alone)];
    let names = images.each_ref().map(Image::name);
    for how in [Layers::Auto, Layers::Plain] {
        let folder = session().work_folder(&format!("load-script-{}-{how:?}", index.replace('/', "-")));
        let archive = folder.join("it's all.tar");
        pull(&names, &archive, how.options());
        output_of(Command::new("sha256sum").args(["-c", "it's all.tar.sha256"]).current_dir(&folder));
        for shell in &*SHELLS {
            let (printed, said) = site.load(shell, &archive);
            assert_eq!(printed, names);
            for image in &images {
                let proof = site.proof(image, how);
                assert!(said.contains(&proof), "{proof} is not in: {said}");
                is_whole(&*site.loader(), &image.name(), image);
            }
        }
    }
}

/// Makes another archive of one: `change` is given path and content of each entry, and leaves it out or alters it. The
/// script takes the new one for the right one.
fn rewrite(archive: &Path, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) {
    let mut changed = Builder::new(Vec::new());
    for entry in Archive::new(fs::File::open(archive).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let (mut header, mut content) = (entry.header().clone(), Vec::new());
        entry.read_to_end(&mut content).unwrap();
        if let Some(content) = change(&path, content) {
            header.set_size(content.len() as u64);
            changed.append_data(&mut header, path, &*content).unwrap();
        }
    }
    let changed = changed.into_inner().unwrap();
    let values = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        let (_, hex) = digest.split_once(':').unwrap();
        format!("\nsha256={hex}\nsize_bytes={}\n", bytes.len())
    };
    let script = fs::read_to_string(script_of(archive)).unwrap();
    let before = values(&fs::read(archive).unwrap());
    assert!(script.contains(&before));
    fs::write(script_of(archive), script.replace(&before, &values(&changed))).unwrap();
    fs::write(archive, changed).unwrap();
}

/// The same archive as those make who know no names: a `manifest.json` without tags, and no OCI part.
fn make_nameless(archive: &Path) {
    rewrite(archive, |path, content| {
        if path == "manifest.json" {
            let mut manifest: Value = serde_json::from_slice(&content).unwrap();
            manifest[0]["RepoTags"].take();
            return Some(serde_json::to_vec(&manifest).unwrap());
        }
        let is_named = ["repositories", "oci-layout", "index.json"].contains(&path);
        (!is_named && !path.starts_with("blobs/")).then_some(content)
    });
}

/// Docker 28 loads an archive that lacks a layer, and ends well.
fn calls_no_broken_image_loaded(site: &Site, repository: &'static str) {
    let image = push_own(repository);
    let archive = session().work_folder(&repository.replace('/', "-")).join("broken.tar");
    pull(&[image.name()], &archive, &[]);
    let layers = image.resolved().manifest.json["layers"].take();
    let (_, hex) = layers[0]["digest"].as_str().unwrap().split_once(':').unwrap();
    rewrite(&archive, |path, content| (!path.contains(hex)).then_some(content));
    for shell in &*SHELLS {
        let output = site.run(shell, &archive);
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    if site.has(&image.name()) {
        site.loader().remove(&image.name());
    }
}

fn names_an_image_that_came_without_a_name(site: &Site, repository: &'static str) {
    let image = push_own(repository);
    let archive = session().work_folder(&repository.replace('/', "-")).join("nameless.tar");
    pull(&[image.name()], &archive, &[]);
    make_nameless(&archive);
    for shell in &*SHELLS {
        let (printed, said) = site.load(shell, &archive);
        assert_eq!(printed, [image.name()]);
        assert!(said.contains(" and was given this name\n"), "{said}");
        is_whole(&*site.loader(), &image.name(), &image);
    }
}

fn names_an_image_that_was_pulled_by_its_digest(site: &Site, repository: &'static str) {
    let image = push_platforms(repository);
    let (name, resolved) = (image.name(), image.resolved());
    let repository = name.strip_suffix(":v1").unwrap();
    let (_, hex) = resolved.digest().split_once(':').unwrap();
    let by_digest = format!("{repository}@{}", resolved.digest());
    let archive = session().work_folder(&image.file_stem()).join("by-digest.tar");
    pull(std::slice::from_ref(&by_digest), &archive, &[]);
    let (name, loader) = (format!("{repository}:{}", &hex[..12]), site.loader());
    for shell in &*SHELLS {
        let (printed, _) = site.load(shell, &archive);
        assert_eq!(printed, std::slice::from_ref(&name));
        assert_eq!(loader.config_digest(&name), resolved.config_digest());
        assert_eq!(loader.run(&name, &[]), image.prints);
        loader.remove(&name);
        if site.has(&by_digest) {
            loader.remove(&by_digest);
        }
    }
}

fn refuses_an_archive_with_another_byte(site: &Site, repository: &'static str) {
    let image = push_own(repository);
    let archive = session().work_folder(&repository.replace('/', "-")).join("flipped.tar");
    pull(&[image.name()], &archive, &[]);
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    for shell in &*SHELLS {
        let output = site.run(shell, &archive);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("is not what sealift wrote: nothing was loaded"), "{said}");
        assert!(output.stdout.is_empty() && !site.has(&image.name()));
    }
}

fn warns_of_an_image_for_another_platform(site: &Site, repository: &'static str) {
    let image = push_platforms(repository);
    let archive = session().work_folder(&repository.replace('/', "-")).join("arm64.tar");
    pull(&[image.name()], &archive, &["--platform", "linux/arm64"]);
    let (_, said) = site.load(&SHELLS[0], &archive);
    let warning =
        format!("warning: {} is for linux/arm64; here, on linux/amd64, it may not run\n", image.name());
    assert!(said.contains(&warning), "{said}");
    site.loader().remove(&image.name());
}

/// A repository of one test's own: names in a loader are everybody's.
macro_rules! repository {
    ($module:ident, $name:literal) => {
        concat!("e2e/load-script/", stringify!($module), "/", $name)
    };
}

macro_rules! loads {
    ($module:ident, $set:ident, $tool:literal) => {
        mod $module {
            use super::*;

            const SITE: Site = Site { set: Set::$set, tool: $tool };

            #[test]
            fn loads_several_images_and_verifies_each() {
                loads_several(&SITE, repository!($module, "index"), repository!($module, "alone"));
            }

            #[test]
            fn names_an_image_that_came_without_a_name() {
                super::names_an_image_that_came_without_a_name(&SITE, repository!($module, "nameless"));
            }

            #[test]
            fn names_an_image_that_was_pulled_by_its_digest() {
                super::names_an_image_that_was_pulled_by_its_digest(&SITE, repository!($module, "by-digest"));
            }

            #[test]
            fn refuses_an_archive_with_another_byte_before_anything_is_loaded() {
                refuses_an_archive_with_another_byte(&SITE, repository!($module, "flipped"));
            }

            #[test]
            fn calls_no_broken_image_loaded() {
                super::calls_no_broken_image_loaded(&SITE, repository!($module, "broken"));
            }

            #[test]
            fn warns_of_an_image_for_another_platform() {
                super::warns_of_an_image_for_another_platform(&SITE, repository!($module, "platform"));
            }
        }
    };
}

loads!(docker_20, Old, "docker");
loads!(docker_28_with_containerd_image_store, Modern, "docker");
loads!(podman_4, Old, "podman");
loads!(podman_5, Modern, "podman");
loads!(ctr_of_containerd_1_6, Old, "ctr");
loads!(ctr_of_containerd_2, Modern, "ctr");

#[test]
fn a_script_finds_the_first_loader_that_answers() {
    let image = push_platforms("e2e/load-script/finds");
    let archive = session().work_folder("load-script-finds").join("image.tar");
    pull(&[image.name()], &archive, &[]);
    for (variables, into, loader) in [
        (&[][..], "docker 20.10", &Docker(Set::Old) as &dyn Loader),
        (&["DOCKER_HOST=unix:///nobody.sock"], "podman 4.3", &Podman(Set::Old)),
        (&["SEALIFT_LOADER=ctr"], "ctr, namespace ", &Containerd(Set::Old)),
    ] {
        let site = Site { set: Set::Old, tool: "" };
        let mut words: Vec<PathBuf> = variables.iter().map(PathBuf::from).collect();
        words.insert(0, "/usr/bin/env".into());
        words.extend(SHELLS[0].clone());
        words.push(script_of(&archive));
        let said = said_by(&mut site.command(&words));
        assert!(said.contains(&format!("loading it into {into}")), "{said}");
        is_whole(loader, &image.name(), &image);
    }
}

#[test]
fn a_script_hashes_with_what_is_there() {
    let folder = session().work_folder("load-script-hashes");
    let archive = folder.join("image.tar");
    pull(&[push_platforms("e2e/load-script/hashes").name()], &archive, &[]);
    let site = Site { set: Set::Old, tool: "docker" };
    let run = |tool: &str, archive: &Path| {
        let programs = session().work_folder(&format!("load-script-only-{tool}"));
        for program in [tool, "docker", "sed", "head", "tail", "tr", "wc"] {
            symlink(Path::new("/usr/bin").join(program), programs.join(program)).unwrap();
        }
        let path = format!("PATH={}", programs.display());
        let words =
            ["/usr/bin/env".into(), path.into(), "/bin/dash".into(), script_of(archive), "--dry-run".into()];
        site.command(&words).stdin(Stdio::null()).output().unwrap()
    };
    for tool in ["sha256sum", "shasum", "openssl"] {
        let output = run(tool, &archive);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains("would be loaded into docker 20.10"),
            "{tool}: {said}"
        );
    }
    let mut file = fs::File::options().append(true).open(&archive).unwrap();
    file.write_all(b"more").unwrap();
    for tool in ["sha256sum", "shasum", "openssl"] {
        let output = run(tool, &archive);
        assert_eq!(output.status.code(), Some(3), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn shellcheck_finds_nothing_in_a_script() {
    let archive = session().work_folder("load-script-shellcheck").join("it's one.tar");
    pull(&[push_platforms("e2e/load-script/shellcheck").name()], &archive, &[]);
    output_of(Command::new("shellcheck").args(["--norc", "--shell=sh"]).arg(script_of(&archive)));
}
