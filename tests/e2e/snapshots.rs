//! Upper directories of containerd's own snapshots as layers: held against those its differ makes of them, and against
//! those they were unpacked from.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use sealift::containerd_store::{Root, Snapshots};
use sealift::image::{Digest, ImageConfig};
use sealift::overlay::{Form, write_layer};
use tar::Archive;

use crate::command::output_of;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::{DEBIAN, FILESYSTEM, Image, push_on, push_small};
use crate::layer::{Layer, OCI_LAYER};
use crate::registry::{blob, digest_of};
use crate::session::{Set, session};

/// What a container does to its image's files.
const CHANGES: &str = r"
set -eu
umask 022
b=/bin/busybox
$b mkdir -p /new/deep /new/empty
echo content >/new/deep/file
$b ln /new/deep/file /new/another-name
$b ln -s ../nowhere /new/deep/symlink
$b mknod /new/pipe p
$b mknod /new/null c 1 3
$b cp $b /new/setuid && $b chmod 6755 /new/setuid
$b mkdir -m 1777 /new/sticky
$b chown 3000000:2000000 /new/empty
long=$($b printf '%0120d' 0)
$b mkdir /new/$long && echo split >/new/$long/$($b printf '%090d' 1)
echo name >/new/$($b printf '%0200d' 2)
echo letters >/new/grüße
$b ln -s /$long/$long /new/far
$b rm /one
echo more >>/says
$b truncate -s 3M /new/sparse
";

/// What containerd's differ makes of what a container wrote, and where that is.
struct Written {
    by_containerd: Vec<u8>,
    upper: PathBuf,
}

fn written_in_a_container(set: Set, name: &str) -> Written {
    let containerd = Containerd(set);
    let key = name.rsplit('/').next().unwrap().replace(':', "-");
    let ctr = |arguments: &[&str]| output_of(&mut containerd.ctr(arguments));
    ctr(&["images", "pull", "--plain-http", name]);
    ctr(&["run", "--allow-new-privs", name, &key, "/bin/sh", "-c", CHANGES]);
    let mounts = ctr(&["snapshots", "mounts", "/nowhere", &key]);
    let upper = mounts.split(',').find_map(|option| option.strip_prefix("upperdir=")).expect(&mounts);
    let mut diff = containerd.ctr(&["snapshots", "diff", "--media-type", OCI_LAYER, &key]);
    let diff = diff.stdin(Stdio::null()).output().unwrap();
    assert!(diff.status.success(), "{diff:?}");
    Written { by_containerd: diff.stdout, upper: upper.into() }
}

/// Header blocks and contents, without the times of whiteouts: those of containerd 1.6 are the differ's own.
fn entries(tar: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut archive = Archive::new(tar);
    let entries = archive.entries().unwrap().raw(true).map(|entry| {
        let mut entry = entry.unwrap();
        let mut header = entry.header().clone();
        if String::from_utf8_lossy(&entry.path_bytes()).contains(".wh.") {
            header.set_mtime(0);
            header.set_cksum();
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (header.as_bytes().to_vec(), content)
    });
    entries.collect()
}

/// The layer of an upper directory, as the form has it.
fn layer_of(upper: &std::path::Path, form: Form) -> Vec<u8> {
    let mut tar = Vec::new();
    write_layer(upper, form, &mut tar, &mut |left_out| panic!("{left_out:?}")).unwrap();
    tar
}

/// Which of the image's layers come out of a containerd's snapshots as they went in, in one form or the other.
fn rebuilt(set: Set, image: &Image) -> Vec<bool> {
    let containerd = Containerd(set);
    output_of(&mut containerd.ctr(&["images", "pull", "--plain-http", &image.name()]));
    let root = Root::open(&session().state.join(format!("{}-containerd", set.name()))).unwrap();
    let snapshots = Snapshots::open(&root).unwrap().unwrap();
    let config = blob(image.repository, image.resolved().config_digest());
    let config = ImageConfig::parse(config.into()).unwrap();
    let layers = config.chain_ids().into_iter().zip(config.diff_ids()).map(|(chain_id, diff_id)| {
        let upper = snapshots.layer(&root, &session().control_group, &chain_id).unwrap();
        let upper = upper.unwrap_or_else(|| panic!("no snapshot {chain_id}"));
        let is_it = |form| Digest::of(&layer_of(&upper, form)) == *diff_id.digest();
        [Form::Containerd, Form::Docker, Form::Full].into_iter().any(is_it)
    });
    layers.collect()
}

#[test]
fn a_containers_upper_directory_is_the_layer_that_containerd_makes_of_it() {
    for set in [Set::Old, Set::Modern] {
        let repository = format!("e2e/snapshots/container-{}", set.name());
        push_small(&repository, "v1");
        let name = format!("{}/{repository}:v1", session().registry);
        let Written { by_containerd, upper } = written_in_a_container(set, &name);
        let ours = layer_of(&upper, Form::Containerd);
        let (expected, found) = (entries(&by_containerd), entries(&ours));
        for (expected, found) in expected.iter().zip(&found) {
            let shown = |entry: &(Vec<u8>, Vec<u8>)| String::from_utf8_lossy(&entry.0).replace('\0', " ");
            assert!(expected == found, "{}:\n{}\n{}", set.name(), shown(expected), shown(found));
        }
        assert_eq!(expected.len(), found.len());
        assert_eq!(ours.len(), by_containerd.len());
        if set == Set::Modern {
            assert!(ours == by_containerd, "the same to the byte");
        }
    }
}

/// What the classic builder of Docker 28 makes with the containerd image store.
fn push_built_by_docker() -> Image {
    push_small("e2e/snapshots/built-base", "v1");
    let image = Image::new("e2e/snapshots/built", "");
    let folder = session().work_folder("snapshots-built");
    let steps = r#"RUN ["/bin/sh", "-c", "echo built >/built; /bin/busybox mkdir -m 1777 /sticky"]"#;
    let from = format!("{}/e2e/snapshots/built-base:v1", session().registry);
    fs::write(folder.join("Dockerfile"), format!("FROM {from}\n{steps}\n")).unwrap();
    let docker = Docker(Set::Modern);
    output_of(docker.docker(&["build", "--network=none", "--tag", &image.name()]).arg(&folder));
    output_of(&mut docker.docker(&["push", &image.name()]));
    output_of(&mut docker.docker(&["image", "rm", &image.name()]));
    image
}

/// How often a layer comes out to the byte. What hinders: owners' names (Docker 20.10 writes those of its host), the time
/// at which something was removed, and tars of no differ's making.
#[test]
fn layers_come_out_of_snapshots_as_they_went_in_where_differs_made_them() {
    let repository = "e2e/snapshots/committed-base";
    push_small(repository, "v1");
    let name = format!("{}/{repository}:v1", session().registry);
    let Written { by_containerd, .. } = written_in_a_container(Set::Modern, &name);
    let layer = Layer { media_type: OCI_LAYER, diff_id: digest_of(&by_containerd), blob: by_containerd };
    let committed = push_on("e2e/snapshots/committed", layer);
    let built = push_built_by_docker();
    for set in [Set::Old, Set::Modern] {
        let come_out = |image: &Image| rebuilt(set, image);
        assert_eq!(come_out(&committed), [false, true], "a tar by hand, containerd's differ with whiteouts");
        assert_eq!(come_out(&FILESYSTEM), [true, false], "buildah, without and with whiteouts");
        assert_eq!(come_out(&built).last(), Some(&true), "Docker 28");
        assert_eq!(come_out(&DEBIAN), [false; 3], "Docker 20.10");
    }
}
