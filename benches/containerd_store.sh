#!/usr/bin/env bash
# Figures of docs/performance.md on `containerd-store`: side by side, interleaved, medians of five.
#
#   benches/containerd_store.sh [FOLDER]
#
# Needs root, containerd with its ctr, docker-registry, curl and python3 (Debian packages containerd docker-registry curl
# python3) and a release build. FOLDER (default: a new one under /var/tmp) holds containerd's root and outputs, about
# 4 GiB, on a real disk.
# shellcheck disable=SC2317 # functions are called by their names
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh
open_bench "${1:-}"
root=$folder/containerd

cat > "$folder/containerd.toml" <<CONFIG
version = 2
root = "$root"
state = "$folder/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$folder/containerd.sock"
CONFIG
containerd --config "$folder/containerd.toml" > "$folder/containerd.log" 2>&1 &
started+=($!)
ctr() { command ctr --address "$folder/containerd.sock" "$@"; }
for _ in $(seq 100); do ctr version > /dev/null 2>&1 && break; sleep 0.1; done

# An OCI archive of so many images ($1), each of a config and layers of these sizes ($2…) of noise.
oci_archive() {
    python3 - "$@" <<'PYTHON'
import hashlib, io, json, os, sys, tarfile
count, sizes = int(sys.argv[1]), [int(size) for size in sys.argv[2:]]
tar = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.GNU_FORMAT)
def add(name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
def blob(kind, content):
    digest = hashlib.sha256(content).hexdigest()
    add("blobs/sha256/" + digest, content)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(content)}
manifests = []
for number in range(count):
    layers = [blob("layer.v1.tar+gzip", os.urandom(size)) for size in sizes]
    config = blob("config.v1+json", json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"number": str(number)}},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}).encode())
    manifest = blob("manifest.v1+json", json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers}).encode())
    name = f"registry.example/team-{number % 17}/a-name-of-usual-length/app-{number:04}:v1"
    manifests.append({**manifest, "annotations": {"io.containerd.image.name": name}})
add("index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())
add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
tar.close()
PYTHON
}
import_images() {
    oci_archive "${@:2}" > "$folder/import.tar"
    ctr --namespace "$1" images import --no-unpack "$folder/import.tar" > /dev/null
    rm "$folder/import.tar"
}
import_images many 1000 1000 1000 1000
import_images one 1 300000000 220000000 140000000 80000000

name=registry.example/team-0/a-name-of-usual-length/app-0000:v1
sealift() { "$sealift" containerd-store export -q --root "$root" -n one "$name" -o "$out/image.tar" > /dev/null; }
# What is copied is hashed, as people do it by hand; none of it is on the disk until it is synced.
cp_and_sha256sum() {
    local blob
    "$sealift" containerd-store list --root "$root" -n one --json | grep -o '"blobs":.*' | grep -o 'sha256:[0-9a-f]*' |
        sort -u | while read -r blob; do
            cp "$root/io.containerd.content.v1.content/blobs/sha256/${blob#*:}" "$out/"
            sha256sum "$out/${blob#*:}" > /dev/null
        done
    sync -f "$out"
}
ctr_export() {
    ctr --namespace one images export "$out/image.tar" "$name"
    sync -f "$out"
}
cat "$root"/io.containerd.content.v1.content/blobs/sha256/* > /dev/null # from memory, all of them
beside sealift cp_and_sha256sum ctr_export

echo "== list of 1,000 images"
for format in "" --json; do
    # shellcheck disable=SC2086 # an empty word is none
    list() { "$sealift" containerd-store list --root "$root" -n many $format > "$out/list"; }
    for _ in $(seq 20); do seconds list; done | median | awk -v format="$format" '{printf "median %s: %.1f ms\n", format, $1 * 1000}'
    wc -l < "$out/list"
done
/usr/bin/time -f %M -o "$folder/memory" "$sealift" containerd-store list --root "$root" -n many > /dev/null
awk '{printf "peak memory: %.1f MiB\n", $1 / 1024}' "$folder/memory"
ls -l "$root/io.containerd.metadata.v1.bolt/meta.db"
