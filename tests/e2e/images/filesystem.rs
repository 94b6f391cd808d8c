//! An OCI image by buildah with what is hard to keep in a layer: whiteouts, opaque directories, hard links,
//! capabilities, setuid, sparse files, long names.

use std::process::Command;

use super::Image;
use crate::command::output_of;
use crate::session::session;

/// The first layer, made in a mounted root.
const BASE: &str = r"
mkdir -p bin data opaque turns/into-a-file etc tmp
cp /bin/busybox bin/busybox
for applet in sh cat ls stat test grep; do ln -s busybox bin/$applet; done
echo filesystem >etc/image
echo linked >data/one
ln data/one data/two
cp bin/busybox bin/setuid && chmod 4755 bin/setuid
cp bin/busybox bin/busybox-capable && setcap cap_chown+ep bin/busybox-capable
truncate -s 100M data/sparse && printf end >>data/sparse
echo away >data/removed
echo hidden >opaque/old
echo file >turns/into-a-folder
long=$(printf '%0200d' 0)
mkdir -p data/$long/$long && echo deep >data/$long/$long/file
echo name >data/$(printf '%0255d' 1)
cat >bin/check <<'END'
#!/bin/sh
cd /data
stat -c '%h %n' one two
cat two
stat -c '%a' /bin/setuid
/bin/busybox-capable grep CapEff /proc/self/status
stat -c '%s' sparse
test -e removed || echo removed is gone
ls -A /opaque /turns
cat /turns/into-a-file /turns/into-a-folder/file
long=$(printf '%0200d' 0)
cat $long/$long/file $(printf '%0255d' 1)
END
chmod 755 bin/check
";

/// The second layer.
const CHANGES: &str = r"
rm data/removed
rm -r opaque && mkdir opaque && echo fresh >opaque/new
rm -r turns/into-a-file && echo was a folder >turns/into-a-file
rm turns/into-a-folder && mkdir turns/into-a-folder && echo was a file >turns/into-a-folder/file
";

const PRINTS: &str = "2 one
2 two
linked
4755
CapEff:\t0000000000000001
104857603
removed is gone
/opaque:
new

/turns:
into-a-file
into-a-folder
was a folder
was a file
deep
name
";

pub(super) fn push() -> Image {
    let image = Image::new("e2e/filesystem", PRINTS);
    commit("scratch", "base", BASE);
    commit("localhost/base", "changed", CHANGES);
    let target = format!("docker://{}", image.name());
    output_of(&mut buildah(&["push", "--tls-verify=false", "--quiet", "localhost/changed", &target]));
    image
}

pub(crate) fn buildah(arguments: &[&str]) -> Command {
    let session = session();
    let mut command = Command::new("/usr/bin/buildah");
    command.arg("--root").arg(session.state.join("buildah"));
    command.arg("--runroot").arg(session.run.join("buildah"));
    command.arg("--storage-driver=overlay").args(arguments);
    command
}

/// Runs a script in the mounted root of a container of `from`, and commits it as a new layer.
pub(super) fn commit(from: &str, name: &str, script: &str) {
    let container = output_of(&mut buildah(&["from", "--pull-never", from]));
    let container = container.trim();
    let root = output_of(&mut buildah(&["mount", container]));
    let script = format!("set -eu; umask 022; {script}");
    output_of(Command::new("bash").args(["-c", &script]).current_dir(root.trim()));
    output_of(&mut buildah(&[
        "config",
        "--user=1000:1000",
        "--cmd=/bin/check",
        "--env=PATH=/bin",
        container,
    ]));
    output_of(&mut buildah(&["commit", "--format=oci", "--rm", "--quiet", container, name]));
}
