#!/usr/bin/env bash
# Figures of docs/performance.md: sealift push beside skopeo copy, to one registry, medians of five.
#
#   benches/push.sh [FOLDER]
#
# Needs docker-registry, skopeo, curl, python3 and GNU time (Debian packages docker-registry skopeo curl python3 time) and a
# release build. FOLDER (default: a new one under /var/tmp) holds registry and archives, about 3 GiB, on a real disk.
# shellcheck disable=SC2317 # functions are called by their names
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh
open_bench "${1:-}"
archive=$folder/image.tar

# A repository that nobody pushed to yet: what the registry has in it is not sent.
new() { echo "r${EPOCHREALTIME//[.,]/}"; }
with_sealift() { "$sealift" push "$archive" "127.0.0.1:$to" --prefix "$(new)" -q > /dev/null; }
# skopeo remembers what a registry has in other repositories, and would only mount it: so it begins each time without memory.
forgetful() { unshare --mount sh -c 'mkdir -p /var/lib/containers && mount -t tmpfs none /var/lib/containers && exec "$@"' sh "$@"; }
with_skopeo() { forgetful skopeo copy -q --dest-tls-verify=false "oci-archive:$archive" "docker://127.0.0.1:$to/$(new)/image"; }
# The blobs unpacked beforehand, so that it has nothing to do but to send them.
with_skopeo_from_files() { forgetful skopeo copy -q --dest-tls-verify=false "dir:$folder/files" "docker://127.0.0.1:$to/$(new)/image"; }

beside_all() {
    rm -rf "$folder/files"
    "$sealift" pull -q "127.0.0.1:$port/$1" -o "$archive" > /dev/null
    skopeo copy -q "oci-archive:$archive" "dir:$folder/files"
    beside with_sealift with_skopeo with_skopeo_from_files
}

four() {
    echo "4 layers, 250 MB, loopback"
    push_noise bench/four 120000000 70000000 40000000 20000000
    to=$port
    beside_all bench/four
}

long() {
    # shellcheck disable=SC2046 # numbers
    push_noise bench/many $(for n in $(seq 41); do echo $((20000 + n * 1000)); done)
    echo "41 layers, 1.7 MB, a round trip of 100 ms"
    to=$((port + 1))
    python3 benches/line.py "$to" "$port" 0 0.1 > "$folder/says" &
    started+=($!)
    answers "$to"
    beside_all bench/many
}

memory() {
    push_noise bench/big 1000000000 1000000000
    "$sealift" pull -q "127.0.0.1:$port/bench/big" -o "$archive" > /dev/null
    for _ in $(seq "$runs"); do
        /usr/bin/time -f %M -o "$folder/memory" "$sealift" push -q "$archive" "127.0.0.1:$port/$(new)" > /dev/null
        cat "$folder/memory"
    done | median | awk '{printf "peak memory of two layers of 1 GB: %.1f MiB\n", $1 / 1024}'
}

groups=${GROUPS_OF_FIGURES:-four long memory}
for group in $groups; do
    case $group in
    four | long | memory) "$group" ;;
    *) echo "benches/push.sh: no figures called $group" >&2; exit 2 ;;
    esac
done
