//! Images with one layer that does not compress, made by tools that are fast without an optimised build.

use std::fs;
use std::process::Command;

use serde_json::to_vec;

use super::by_hand::{OCI, config, descriptor, manifest};
use super::{Image, TAG};
use crate::command::output_of;
use crate::layer::{Layer, LayerBuilder, OCI_LAYER, OCI_LAYER_GZIP};
use crate::registry::{OCI_CONFIG, OCI_MANIFEST, push_blob, push_blob_file, push_manifest};
use crate::session::session;

/// A cipher's output over zeros, and zeros, in a tar, which is then stored in some way; the sums of both.
const MAKE: &str = "head -c \"$0\" /dev/zero |
    openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff -iv 00000000000000000000000000000000 >big &&
    truncate --size=\"$1\" big &&
    tar --create --file=layer.tar --mtime=@0 --owner=0 --group=0 big && rm big && sha256sum layer.tar &&
    sh -euc \"$2\" && sha256sum layer.tar*";
const PLAIN: &str = "";
const GZIP: &str = "gzip --fast --no-name layer.tar";
/// The size that stands at the end of a gzip file is that of its last member: here of the blocks that end the tar.
const MEMBERS: &str =
    "{ head --bytes=-1024 layer.tar | gzip --fast; tail --bytes=1024 layer.tar | gzip --fast; } >layer.tar.gz
    rm layer.tar";

/// A little more than 2 GiB, stored plain: sizes beyond 31 bits.
pub(super) fn push_big() -> Image {
    push("e2e/big-layer", 2_200_000_000, 2_200_000_000, OCI_LAYER, PLAIN)
}

/// Large enough for several connections, gzip'd.
pub(super) fn push_large() -> Image {
    push("e2e/large-layer", 24 << 20, 24 << 20, OCI_LAYER_GZIP, GZIP)
}

/// A layer that inflates to ten times as much, and says of itself that it is next to nothing.
pub(super) fn push_understated() -> Image {
    push("e2e/understated-layer", 4 << 20, 40 << 20, OCI_LAYER_GZIP, MEMBERS)
}

/// An image with a file of this size, the first bytes of which are noise.
fn push(
    repository: &'static str,
    noise_bytes: usize,
    size_bytes: usize,
    media_type: &'static str,
    store: &str,
) -> Image {
    let folder = session().work_folder(&repository.replace('/', "-"));
    let mut make = Command::new("sh");
    make.args(["-euc", MAKE, &noise_bytes.to_string(), &size_bytes.to_string(), store]);
    let sums = output_of(make.current_dir(&folder));
    let digests: Vec<String> =
        sums.lines().map(|line| format!("sha256:{}", line.split_whitespace().next().unwrap())).collect();
    let [diff_id, digest] = &digests[..] else { panic!("{sums}") };
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let blob_bytes = usize::try_from(file.metadata().unwrap().len()).unwrap();
    push_blob_file(repository, digest, &file.path());
    fs::remove_dir_all(&folder).unwrap();

    let base = LayerBuilder::busybox(repository).gzip();
    let big = Layer { media_type, blob: Vec::new(), diff_id: diff_id.clone() };
    let layers = [
        descriptor(base.media_type, &push_blob(repository, &base.blob), base.blob.len()),
        descriptor(media_type, digest, blob_bytes),
    ];
    let config =
        to_vec(&config("amd64", &[base, big], &["/bin/busybox", "stat", "-c", "%s", "/big"])).unwrap();
    let config_digest = push_blob(repository, &config);
    let manifest = manifest(&OCI, &descriptor(OCI_CONFIG, &config_digest, config.len()), &layers);
    push_manifest(repository, TAG, OCI_MANIFEST, &manifest);
    Image::new(repository, format!("{size_bytes}\n"))
}
