#!/usr/bin/env bash
# The figures of docs/performance.md: sealift beside curl on the same blobs, side by side, medians of five.
#
#   benches/pull.sh [FOLDER]
#
# Needs docker-registry, curl, python3 and GNU time (Debian packages docker-registry curl python3 time) and a release build.
# FOLDER (default: a new one under /var/tmp) holds registry and outputs, about 4 GiB, on a real disk.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh
sealift=$PWD/target/$(rustc --print host-tuple)/release/sealift
folder=${1:-$(mktemp -d /var/tmp/sealift-bench.XXXXXX)}
runs=5
port=$((20000 + RANDOM % 20000))
mkdir -p "$folder"/{registry,out}

start_registry "$folder" "$port"
trap 'kill "$REGISTRY" 2>/dev/null; [ $# -gt 0 ] || rm -rf "$folder"' EXIT

# Two images of noise, as gzip'd layers are to a transfer: four layers of 250 MB together, one of 2 GiB.
python3 - "$port" <<'PYTHON'
import hashlib, json, os, sys, urllib.request
base = f"http://127.0.0.1:{sys.argv[1]}/v2/bench"

def push(name, sizes):
    def call(method, url, data=None, **headers):
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        return urllib.request.urlopen(request)
    def blob(chunks):
        location = call("POST", f"{base}/{name}/blobs/uploads/").headers["Location"]
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            answer = call("PATCH", location, chunk, **{"Content-Type": "application/octet-stream",
                          "Content-Range": f"{size}-{size + len(chunk) - 1}"})
            location, size = answer.headers["Location"], size + len(chunk)
        digest = "sha256:" + digest.hexdigest()
        call("PUT", location + ("&" if "?" in location else "?") + "digest=" + digest, b"")
        return {"digest": digest, "size": size}
    def noise(size):
        while size > 0:
            part = min(size, 32 << 20)
            yield os.urandom(part)
            size -= part
    layer = "application/vnd.oci.image.layer.v1.tar+gzip"
    layers = [blob(noise(size)) | {"mediaType": layer} for size in sizes]
    config = {"architecture": "amd64", "os": "linux",
              "rootfs": {"type": "layers", "diff_ids": [l["digest"] for l in layers]}}
    config = blob([json.dumps(config).encode()]) | {"mediaType": "application/vnd.oci.image.config.v1+json"}
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}
    call("PUT", f"{base}/{name}/manifests/latest", json.dumps(manifest).encode(), **{"Content-Type": kind})

push("four", [120_000_000, 70_000_000, 40_000_000, 20_000_000])
push("big", [2 << 30])
PYTHON

image=127.0.0.1:$port/bench/four
urls=()
for digest in $("$sealift" pull "$image" --dry-run --json | python3 -c '
import json, sys
for layer in json.load(sys.stdin)["images"][0]["layers"]: print(layer["digest"])'); do
    urls+=("http://127.0.0.1:$port/v2/bench/four/blobs/$digest")
done

with_sealift() { "$sealift" pull "$image" -o "$folder/out/four.tar" -q > /dev/null; }
with_curl() {
    (cd "$folder/out" && curl -sZ --parallel-max 8 --remote-name-all "${urls[@]}" 2> /dev/null && sync -f .)
}

echo "== 4 layers, 250 MB: sealift (verified, fsynced) beside curl -Z --parallel-max 8 (unverified), then sync -f"
: > "$folder/pairs"
for run in $(seq 0 "$runs"); do
    rm -rf "${folder:?}/out/"*; sync -f "$folder"; a=$(seconds with_sealift)
    rm -rf "${folder:?}/out/"*; sync -f "$folder"; b=$(seconds with_curl)
    [ "$run" = 0 ] || echo "$a $b" | awk '{printf "%s %s %.3f\n", $1, $2, $1 / $2}' | tee -a "$folder/pairs"
done
printf 'medians: sealift %s s, curl %s s, ratio %s\n' "$(cut -d' ' -f1 "$folder/pairs" | median)" \
    "$(cut -d' ' -f2 "$folder/pairs" | median)" "$(cut -d' ' -f3 "$folder/pairs" | median)"

echo "== peak memory with a layer of 2 GiB"
for _ in $(seq "$runs"); do
    rm -rf "${folder:?}/out/"*
    /usr/bin/time -f %M -o "$folder/memory" "$sealift" pull "127.0.0.1:$port/bench/big" -o "$folder/out/big.tar" -q > /dev/null
    cat "$folder/memory"
done | median | awk '{printf "median: %.1f MiB\n", $1 / 1024}'

echo "== sealift --version"
for _ in $(seq 20); do seconds "$sealift" --version; done | grep -v sealift | median | awk '{printf "median: %.1f ms\n", $1 * 1000}'
