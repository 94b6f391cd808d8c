#!/usr/bin/env bash
# Figures of docs/performance.md on `inspect` and `verify`: side by side, interleaved, medians of five.
#
#   benches/verify.sh [FOLDER]
#
# Needs docker-registry, igzip, openssl, zstd, curl, python3 and GNU time (Debian packages docker-registry isal openssl zstd
# curl python3 time) and a release build. FOLDER (default: a new one under /var/tmp) holds registry and outputs, about 3 GiB,
# on a real disk. The layers are those of benches/layers.sh.
# shellcheck disable=SC2317 # functions are called by their names
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh
open_bench "${1:-}"

make_images() {
    local layer gzips=()
    [ -e "$folder/layers/4.tar.gz" ] || make_layers # those of benches/layers.sh do
    for layer in "$folder"/layers/?.tar; do gzips+=("$layer.gz=$layer"); done
    push bench/gzip application/vnd.oci.image.layer.v1.tar+gzip "${gzips[@]}"
    "$sealift" pull -q "127.0.0.1:$port/bench/gzip" -o "$folder/image.tar" > /dev/null
    # What `docker save` makes of seven layers, 20 GB of them: sparse, with manifest.json last.
    python3 - "$folder/sparse.tar" <<'PYTHON'
import hashlib, io, json, sys, tarfile
layers, size = 7, 20_000_000_000 // 7
names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(layers)]
config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers",
    "diff_ids": ["sha256:" + name for name in names]}}).encode()
config_name = hashlib.sha256(config).hexdigest() + ".json"
with open(sys.argv[1], "wb") as file:
    def header(name, size):
        info = tarfile.TarInfo(name)
        info.size = size
        file.write(info.tobuf(tarfile.GNU_FORMAT))
    for name in names:
        header(name + "/layer.tar", size)
        file.seek(-(-size // 512) * 512, io.SEEK_CUR)
    manifest = json.dumps([{"Config": config_name, "RepoTags": ["bench/sparse:1"],
        "Layers": [name + "/layer.tar" for name in names]}]).encode()
    for name, content in (config_name, config), ("manifest.json", manifest):
        header(name, len(content))
        file.write(content + bytes(-len(content) % 512))
    file.write(bytes(1024))
PYTHON
    touch "$folder/verify-made"
}
[ -e "$folder/verify-made" ] || make_images

verify() { "$sealift" verify -q "$folder/image.tar"; }
# Both layers at a time, each with an inflater and a hasher: the fastest there are in Debian.
with_igzip() {
    # shellcheck disable=SC2016 # the inner shell expands these
    printf '%s\n' 1 2 3 4 | xargs -P2 -I{} sh -c 'igzip -d -c "$1/layers/{}.tar.gz" | openssl dgst -sha256' sh "$folder" > /dev/null
}
with_gzip() {
    # shellcheck disable=SC2016 # the inner shell expands these
    printf '%s\n' 1 2 3 4 | xargs -P2 -I{} sh -c 'gzip -d -c "$1/layers/{}.tar.gz" | sha256sum' sh "$folder" > /dev/null
}

cat "$folder/image.tar" "$folder"/layers/*.tar.gz > /dev/null # from memory, all of them
beside verify with_igzip with_gzip
/usr/bin/time -f %M -o "$folder/memory" "$sealift" verify -q "$folder/image.tar"
awk '{printf "peak memory of verify: %.1f MiB\n", $1 / 1024}' "$folder/memory"

echo "== inspect of an archive of 20 GB"
for _ in $(seq 20); do seconds "$sealift" inspect "$folder/sparse.tar"; done | grep -E '^[0-9.]+$' | median | awk '{printf "median: %.1f ms\n", $1 * 1000}'
/usr/bin/time -f %M -o "$folder/memory" "$sealift" inspect "$folder/sparse.tar" > /dev/null
awk '{printf "peak memory: %.1f MiB\n", $1 / 1024}' "$folder/memory"
