//! A Debian image as dockerd's classic builder makes it: a whole root, then steps that add and remove.

use std::fs;
use std::process::Command;

use super::Image;
use crate::command::output_of;
use crate::docker::Docker;
use crate::session::{Set, session};

const DOCKERFILE: &str = r#"FROM scratch
ADD root.tar /
ENV LANG=C.UTF-8
RUN useradd --create-home --uid 1234 sailor
RUN rm -r /etc/skel /usr/share/common-licenses && mkdir /etc/skel && echo new >/etc/skel/only
WORKDIR /home/sailor
LABEL org.example.step="no layer of its own"
CMD ["/bin/bash", "-c", "id -un 1234; ls -A /etc/skel; ls -d /usr/share/common-licenses 2>/dev/null || echo gone; pwd"]
"#;

/// The daemons and documentation of the modern set's root are left out.
const LEFT_OUT: &[&str] = &[
    "./dev/*",
    "./usr/bin/containerd*",
    "./usr/bin/ctr",
    "./usr/bin/docker*",
    "./usr/bin/podman*",
    "./usr/bin/skopeo",
    "./usr/libexec/docker",
    "./usr/libexec/podman",
    "./usr/sbin/docker*",
    "./usr/sbin/runc",
    "./usr/share/doc",
    "./usr/share/locale",
    "./usr/share/man",
    "./var/cache/*",
    "./var/lib/apt/lists/*",
];

pub(super) fn push() -> Image {
    let image = Image::new("e2e/debian", "sailor\nonly\ngone\n/home/sailor\n");
    push_root("debian", &image, &[], DOCKERFILE);
    image
}

/// Another root for containers to write above, which shares no layer with the one that is loaded everywhere.
pub(crate) fn push_debian() -> Image {
    let image = Image::new("e2e/container-layer/debian", "");
    push_root("container-layer-debian", &image, &["./usr/share/lintian"], "FROM scratch\nADD root.tar /\n");
    image
}

fn push_root(folder: &str, image: &Image, left_out: &[&str], dockerfile: &str) {
    let folder = session().work_folder(folder);
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(folder.join("root.tar"));
    tar.arg("--directory").arg(&session().modern_root);
    tar.args(LEFT_OUT.iter().chain(left_out).map(|path| format!("--exclude={path}")));
    output_of(tar.arg("."));
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();

    let docker = Docker(Set::Old);
    let name = image.name();
    output_of(docker.docker(&["build", "--network=none", "--tag", &name]).arg(&folder));
    output_of(&mut docker.docker(&["push", &name]));
    // What is loaded later must come out of the archive alone.
    output_of(&mut docker.docker(&["image", "rm", &name]));
    fs::remove_dir_all(&folder).unwrap();
}
