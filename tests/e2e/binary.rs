//! The release binary: static, stripped, small, and at home where there is nothing, or something else than here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::output_of;
use crate::pull::json_in;
use crate::session::{Set, session};

const MAX_BYTES: u64 = 12_000_000;

/// A folder with the binary in it and nothing else, to be a root.
fn empty_root(name: &str) -> PathBuf {
    let root = session().work_folder(name);
    fs::copy(&session().sealift, root.join("sealift")).unwrap();
    root
}

fn in_root(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/sbin/chroot");
    command.env_clear().arg(root).arg("/sealift").args(arguments);
    command
}

/// What a pull that finds no registry says, and its exit code.
fn pull_in(root: &Path, name: &str) -> (String, Option<i32>) {
    let output = in_root(root, &["pull", name, "-o", "/x.tar"]).output().unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn the_binary_is_static_stripped_and_at_most_12_mb() {
    let binary = &session().sealift;
    assert!(fs::metadata(binary).unwrap().len() <= MAX_BYTES, "{binary:?}");
    let kind = output_of(Command::new("/usr/bin/file").arg(binary));
    assert!(kind.contains("static-pie linked") && kind.contains(", stripped"), "{kind}");
    assert_eq!(output_of(Command::new("/usr/bin/ldd").arg(binary)).trim(), "statically linked");
}

#[test]
fn the_binary_runs_in_an_empty_root() {
    let root = empty_root("empty-root");
    let version = output_of(&mut in_root(&root, &["--version"]));
    assert_eq!(version.trim(), format!("sealift {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(output_of(&mut in_root(&root, &["demo", "-o", "/x.tar"])), "/x.tar\n");
    let manifest = json_in(&root.join("x.tar"), "manifest.json");
    assert_eq!(manifest[0]["Layers"].as_array().unwrap().len(), 2);
    let mut names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["sealift", "x.tar"]);
}

#[test]
fn the_binary_pulls_in_the_modern_set_with_its_glibc() {
    let root = empty_root("modern-glibc");
    let binary = root.join("sealift");
    let archive = root.join("x.tar");
    let (binary, archive) = (binary.to_str().unwrap(), archive.to_str().unwrap());
    let said = output_of(Set::Modern.command(binary).args(["demo", "-o", archive]));
    assert_eq!(said.trim(), archive);
}

#[test]
fn addresses_work_in_an_empty_root_and_names_fail_cleanly() {
    let root = empty_root("no-names");
    // `localhost` is this machine, whoever answers for names.
    for name in ["127.0.0.1:1/a", "[::1]:1/a", "localhost:1/a"] {
        let (said, code) = pull_in(&root, name);
        assert!(code == Some(6) && said.contains("the connection failed"), "{name}: {code:?}: {said}");
    }
    let (said, code) = pull_in(&root, "registry.test:1/a");
    assert!(code == Some(6) && said.contains("the host name was not found"), "{code:?}: {said}");
}

#[test]
fn names_come_from_etc_hosts_whatever_nsswitch_says() {
    let root = empty_root("names");
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost registry.test\n").unwrap();
    // A module that would have to be loaded from the running system: with another glibc than the binary's it aborts.
    fs::write(root.join("etc/nsswitch.conf"), "hosts: mdns4_minimal [!SUCCESS=return]\n").unwrap();
    for name in ["localhost:1/a", "registry.test:1/a"] {
        let (said, code) = pull_in(&root, name);
        assert!(code == Some(6) && said.contains("the connection failed"), "{name}: {code:?}: {said}");
    }
}
