//! Images whose layers podman and buildah compressed with zstd, as those tools push them.

use std::fs;
use std::os::unix::fs::symlink;

use super::Image;
use super::filesystem::{buildah, commit};
use crate::command::output_of;
use crate::podman::Podman;
use crate::session::{Set, session};

const PODMAN: Podman = Podman(Set::Modern);

/// A layer of many frames is larger than one frame's window; this text is longer than zstd's usual block.
const NUMBERS: u32 = 60_000;

const CONTAINERFILE: &str = r#"FROM scratch
COPY bin /bin
COPY image /etc/image
COPY numbers one /
CMD ["/bin/cat", "/etc/image", "/one"]
"#;

const ON_TOP: &str = r#"
COPY two /
CMD ["/bin/cat", "/etc/image", "/one", "/two"]
"#;

/// Builds an image of three layers under a local name.
fn build(repository: &str) -> String {
    let name = format!("localhost/{}", repository.replace('/', "-"));
    let folder = session().work_folder(&repository.replace('/', "-"));
    fs::create_dir(folder.join("bin")).unwrap();
    fs::copy("/bin/busybox", folder.join("bin/busybox")).unwrap();
    for applet in ["cat", "sh"] {
        symlink("busybox", folder.join("bin").join(applet)).unwrap();
    }
    let numbers: Vec<String> = (0..NUMBERS).map(|number| number.to_string()).collect();
    fs::write(folder.join("numbers"), numbers.join("\n")).unwrap();
    fs::write(folder.join("image"), format!("{repository}\n")).unwrap();
    fs::write(folder.join("one"), "one\n").unwrap();
    fs::write(folder.join("two"), "two\n").unwrap();
    fs::write(folder.join("Containerfile"), CONTAINERFILE).unwrap();
    fs::write(folder.join("on-top"), format!("FROM {name}{ON_TOP}")).unwrap();
    output_of(PODMAN.podman(&["build", "--quiet", "--network=none", "--tag", &name]).arg(&folder));
    name
}

fn push(options: &[&str], local: &str, target: &str) {
    let push = ["push", "--quiet", "--tls-verify=false", "--format=oci"];
    output_of(PODMAN.podman(&push).args(options).args([local, &format!("docker://{target}")]));
}

/// What is loaded later must come out of the archive alone.
fn forget(names: &[&str]) {
    output_of(PODMAN.podman(&["image", "rm", "--force"]).args(names));
}

/// Every layer zstd, a frame each.
pub(super) fn push_by_podman() -> Image {
    let image = Image::new("e2e/zstd-podman", "e2e/zstd-podman\none\n");
    let local = build(image.repository);
    push(&["--compression-format=zstd"], &local, &image.name());
    forget(&[&local]);
    image.with_layers(&["zstd", "zstd", "zstd"])
}

/// Many frames a layer, with skippable ones that list the files.
pub(super) fn push_chunked() -> Image {
    let image = Image::new("e2e/zstd-chunked", "e2e/zstd-chunked\none\n");
    let local = build(image.repository);
    push(&["--compression-format=zstd:chunked"], &local, &image.name());
    forget(&[&local]);
    image.with_layers(&["zstd", "zstd", "zstd"])
}

/// A base that was pushed before as gzip, which podman uses again, and a layer of zstd on top.
pub(super) fn push_mixed() -> Image {
    let image = Image::new("e2e/zstd-on-gzip", "e2e/zstd-on-gzip\none\ntwo\n");
    let base = build(image.repository);
    let folder = session().state.join("work/e2e-zstd-on-gzip");
    push(&[], &base, &image.name());
    let local = format!("{base}-top");
    let on_top = format!("--file={}", folder.join("on-top").display());
    let build = ["build", "--quiet", "--network=none", &on_top, "--tag", &local];
    output_of(PODMAN.podman(&build).arg(&folder));
    push(&["--compression-format=zstd", "--force-compression=false"], &local, &image.name());
    forget(&[&local, &base]);
    image.with_layers(&["gzip", "gzip", "gzip", "zstd"])
}

const BASE: &str = r"
mkdir -p bin data opaque etc
cp /bin/busybox bin/busybox
for applet in sh cat ls stat test; do ln -s busybox bin/$applet; done
echo zstd by buildah >etc/image
echo linked >data/one
ln data/one data/two
truncate -s 300K data/sparse
echo away >data/removed
echo hidden >opaque/old
cat >bin/check <<'END'
#!/bin/sh
cd /data
stat -c '%h %s %n' one two sparse
cat two
test -e removed || echo removed is gone
ls -A /opaque
END
chmod 755 bin/check
";

const CHANGES: &str = r"
rm data/removed
rm -r opaque && mkdir opaque && echo fresh >opaque/new
";

const PRINTS: &str = "2 7 one
2 7 two
1 307200 sparse
linked
removed is gone
new
";

pub(super) fn push_by_buildah() -> Image {
    let image = Image::new("e2e/zstd-buildah", PRINTS);
    commit("scratch", "zstd-base", BASE);
    commit("localhost/zstd-base", "zstd-changed", CHANGES);
    let target = format!("docker://{}", image.name());
    let options = ["push", "--tls-verify=false", "--quiet", "--format=oci", "--compression-format=zstd"];
    output_of(buildah(&options).args(["localhost/zstd-changed", &target]));
    image.with_layers(&["zstd", "zstd"])
}
