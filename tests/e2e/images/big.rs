//! One layer of a little more than 2 GiB that does not compress, stored plain: sizes beyond 31 bits.

use std::fs;
use std::process::Command;

use serde_json::to_vec;

use super::by_hand::{OCI, config, descriptor, manifest};
use super::{Image, TAG};
use crate::command::output_of;
use crate::layer::{Layer, LayerBuilder, OCI_LAYER};
use crate::registry::{OCI_CONFIG, OCI_MANIFEST, push_blob, push_blob_file, push_manifest};
use crate::session::session;

/// What is written, by tools that are fast without an optimised build: a cipher's output over zeros.
const MAKE: &str = "head -c 2200000000 /dev/zero |
    openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff -iv 00000000000000000000000000000000 >big &&
    tar --create --file=layer.tar --mtime=@0 --owner=0 --group=0 big && rm big && sha256sum layer.tar";

pub(super) fn push() -> Image {
    let repository = "e2e/big-layer";
    let folder = session().work_folder("big-layer");
    let sum = output_of(Command::new("sh").args(["-euc", MAKE]).current_dir(&folder));
    let digest = format!("sha256:{}", sum.split_whitespace().next().unwrap());
    let file = folder.join("layer.tar");
    let size_bytes = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
    push_blob_file(repository, &digest, &file);
    fs::remove_dir_all(&folder).unwrap();

    let base = LayerBuilder::busybox(repository).gzip();
    let big = Layer { media_type: OCI_LAYER, blob: Vec::new(), diff_id: digest.clone() };
    let layers = [
        descriptor(base.media_type, &push_blob(repository, &base.blob), base.blob.len()),
        descriptor(OCI_LAYER, &digest, size_bytes),
    ];
    let config =
        to_vec(&config("amd64", &[base, big], &["/bin/busybox", "stat", "-c", "%s", "/big"])).unwrap();
    let config_digest = push_blob(repository, &config);
    let manifest = manifest(&OCI, &descriptor(OCI_CONFIG, &config_digest, config.len()), &layers);
    push_manifest(repository, TAG, OCI_MANIFEST, &manifest);
    Image::new(repository, "2200000000\n")
}
