#!/usr/bin/env bash
# The figures of docs/performance.md: sealift beside curl on the same blobs, side by side, medians of five.
#
#   benches/pull.sh [FOLDER]
#
# Needs docker-registry, curl, python3 and GNU time (Debian packages docker-registry curl python3 time) and a release build.
# FOLDER (default: a new one under /var/tmp) holds registry and outputs, about 4 GiB, on a real disk.
# shellcheck disable=SC2317 # functions are called by their names
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh
open_bench "${1:-}"

push_noise bench/four 120000000 70000000 40000000 20000000
push_noise bench/big 2147483648
image=127.0.0.1:$port/bench/four
mapfile -t urls < <(layer_urls "$image")

with_sealift() { "$sealift" pull "$image" -o "$out/four.tar" -q > /dev/null; }
with_curl() {
    (cd "$out" && curl -sZ --parallel-max 8 --remote-name-all "${urls[@]}" 2> /dev/null && sync -f .)
}

echo "4 layers, 250 MB: sealift (verified, fsynced) beside curl -Z --parallel-max 8 (unverified), then sync -f"
beside with_sealift with_curl
peak_memory "a layer of 2 GiB" "127.0.0.1:$port/bench/big"

echo "== sealift --version"
for _ in $(seq 20); do seconds "$sealift" --version; done | grep -v sealift | median | awk '{printf "median: %.1f ms\n", $1 * 1000}'
