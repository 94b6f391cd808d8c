//! Archives from pipes and in folders: what is told of them is what is told of a file.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::fixture::Told;
use crate::pieces::{docker_save, gzip, oci, sealift, xz};
use crate::support::forged::Forged;
use crate::support::sandbox::Sandbox;

/// What is told of an archive from stdin.
fn piped(sandbox: &Sandbox, file: &str, arguments: &[&str]) -> Output {
    let mut command = sandbox.command(arguments);
    command.stdin(File::open(sandbox.out().join(file)).unwrap());
    command.output().unwrap()
}

fn without_path(told: Told) -> Value {
    let Told(mut told) = told;
    told["path"].take();
    told["is_exact"].take(); // what went by is not compared byte for byte
    told
}

/// Makes the folder that a tar would be unpacked to.
fn unpack(archive: &Forged, folder: &Path) {
    tar::Archive::new(&archive.bytes()[..]).unpack(folder).unwrap();
}

#[test]
fn a_pipe_is_told_of_as_a_file() {
    let broken = docker_save().edited(&crate::pieces::layer_path(1), |bytes| bytes[700] ^= 1);
    for archive in [sealift(), docker_save(), oci(), broken] {
        let bytes = archive.bytes();
        let zstd = zstd::encode_all(&bytes[..], 3).unwrap();
        for packed in [bytes.clone(), gzip(&bytes), zstd, xz(&bytes), bytes[..bytes.len() - 3000].to_vec()] {
            let sandbox = Sandbox::new();
            fs::write(sandbox.out().join("x.tar"), packed).unwrap();
            let file = sandbox.output(&["verify", "x.tar", "--json"]);
            let pipe = piped(&sandbox, "x.tar", &["verify", "-", "--json"]);
            assert_eq!(without_path(Told::of(&pipe)), without_path(Told::of(&file)));
            assert_eq!(pipe.status, file.status);
            let file = sandbox.output(&["inspect", "x.tar"]);
            let pipe = piped(&sandbox, "x.tar", &["inspect", "-"]);
            let lines = |output: &Output| {
                let text = String::from_utf8(output.stdout.clone()).unwrap();
                text.lines().skip(1).map(ToOwned::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(lines(&pipe), lines(&file));
        }
    }
}

#[test]
fn what_came_through_a_pipe_is_not_mended() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.out().join("x.tar"), sealift().bytes()).unwrap();
    let output = piped(&sandbox, "x.tar", &["verify", "-", "--fix", "-o", "y.tar"]);
    insta::assert_snapshot!(sandbox.shown(&output));
    assert_eq!(sandbox.files(), ["x.tar"]);
}

#[test]
fn an_oci_layout_in_a_folder_is_told_of() {
    let sandbox = Sandbox::new();
    unpack(&oci(), &sandbox.out().join("layout"));
    insta::assert_snapshot!(sandbox.run(&["verify", "layout", "--progress", "none"]));
    let mended = sandbox.output(&["verify", "layout", "--fix", "-o", "y.tar"]);
    assert!(mended.status.success());
    assert!(fs::read(sandbox.out().join("y.tar")).unwrap() == sealift().bytes());
}

#[test]
fn a_folder_of_lone_layers_is_mended() {
    let sandbox = Sandbox::new();
    unpack(&crate::pieces::layers_alone(), &sandbox.out().join("app"));
    let mended = sandbox.output(&["verify", "app", "--fix", "-o", "y.tar"]);
    assert!(mended.status.success(), "{}", String::from_utf8_lossy(&mended.stderr));
    let told = Told::of(&sandbox.output(&["verify", "y.tar", "--json"]));
    assert_eq!(told.0["is_exact"], true);
}

#[test]
fn links_pipes_and_devices_in_a_folder_are_neither_followed_nor_waited_for() {
    let sandbox = Sandbox::new();
    let folder = sandbox.out().join("layout");
    unpack(&oci(), &folder);
    let secret = sandbox.path().join("secret.json");
    fs::rename(folder.join("index.json"), &secret).unwrap();
    symlink(&secret, folder.join("index.json")).unwrap();
    symlink("/", folder.join("root")).unwrap();
    symlink("..", folder.join("blobs/up")).unwrap();
    symlink("/dev/zero", folder.join("zero")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap();
    assert!(made.success());
    insta::assert_snapshot!(sandbox.run(&["verify", "layout", "--progress", "none"]));
}

/// What is not unpacked is told, before a daemon or a registry is looked for.
#[test]
fn a_pipe_packed_with_bzip2_is_told_of() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.out().join("x.tar"), "BZh91AY&SY").unwrap();
    for arguments in
        [&["verify", "-"][..], &["load", "-"], &["push", "-", "127.0.0.1:1/x", "--retry-times", "0"]]
    {
        let output = piped(&sandbox, "x.tar", arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.contains("is packed with bzip2"), "{arguments:?}: {said}");
    }
}
