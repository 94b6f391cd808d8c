#!/usr/bin/env bash
# Figures of docs/performance.md on plain layers, pipes and shared layers: side by side, interleaved, medians of five.
#
#   benches/layers.sh [FOLDER]
#
# Needs docker-registry, skopeo, igzip, zstd, curl, python3 and GNU time (Debian packages docker-registry skopeo isal zstd
# curl python3 time) and a release build. FOLDER (default: a new one under /var/tmp) holds registry and outputs, about 5 GiB,
# on a real disk. The layers are files of this machine's /usr, as `gzip -6` and `zstd -3` compress them.
# shellcheck disable=SC2317 # functions are called by their names
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh
open_bench "${1:-}"
mkdir -p "$folder"/{fleet,spool}
export TMPDIR=$folder/spool # where `-o -` keeps blobs until their inflated size is known: the same disk

# Made once: a FOLDER that was used before is used again.
make_images() {
    local layer layers n gzips=() zstds=() unique=()
    make_layers
    for layer in "$folder"/layers/?.tar; do gzips+=("$layer.gz=$layer") zstds+=("$layer.zst=$layer"); done
    push bench/gzip application/vnd.oci.image.layer.v1.tar+gzip "${gzips[@]}"
    push bench/zstd application/vnd.oci.image.layer.v1.tar+zstd "${zstds[@]}"
    # Twenty images of noise that share three bases and four layers: 250 MB of unique blobs, which are one image, too.
    for n in 1 2 3; do noise "fleet/base-$n" 60000000; done
    for n in 1 2 3 4; do noise "fleet/team-$n" 10000000; done
    for n in $(seq 20); do
        noise "fleet/own-$n" 1500000
        layers=()
        for layer in "base-$((n % 3 + 1))" "team-$((n % 4 + 1))" "own-$n"; do layers+=("$folder/fleet/$layer=$folder/fleet/$layer"); done
        push "bench/ship-$n" application/vnd.oci.image.layer.v1.tar "${layers[@]}"
    done
    for layer in "$folder"/fleet/*; do unique+=("$layer=$layer"); done
    push bench/unique application/vnd.oci.image.layer.v1.tar "${unique[@]}"
    rm -r "$folder/fleet"
    touch "$folder/made"
}
[ -e "$folder/made" ] || make_images
du -cb "$folder"/layers/*.tar.gz | tail -n 1 | awk '{printf "4 layers, %.0f MB gzip", $1 / 1e6}'
du -cb "$folder"/layers/*.tar.zst | tail -n 1 | awk '{printf ", %.0f MB zstd", $1 / 1e6}'
du -cb "$folder"/layers/*.tar | tail -n 1 | awk '{printf ", %.0f MB plain\n", $1 / 1e6}'

ships=()
for n in $(seq 20); do ships+=("127.0.0.1:$port/bench/ship-$n"); done

pull() { "$sealift" pull -q "$@" > /dev/null; }
plain() { pull "127.0.0.1:$port/bench/gzip" --layers plain -o "$out/image.tar"; }
zstd_inflated() { pull "127.0.0.1:$port/bench/zstd" -o "$out/image.tar"; }
with_skopeo() {
    skopeo copy -q --src-tls-verify=false "docker://127.0.0.1:$port/bench/gzip" "docker-archive:$out/image.tar:bench/gzip:latest"
    sync -f "$out"
}
with_igzip() {
    # shellcheck disable=SC2016 # the inner shell expands these
    printf '%s\n' 1 2 3 4 | xargs -P2 -I{} sh -c 'igzip -d -c "$1/layers/{}.tar.gz" > "$1/out/{}.tar"' sh "$folder"
    sync -f "$out"
}
file() { pull "127.0.0.1:$port/bench/gzip" -o "$out/image.tar"; }
pipe() { "$sealift" pull -q "127.0.0.1:$port/bench/gzip" -o - | cat > "$out/image.tar"; sync -f "$out"; }
pipe_to_null() { "$sealift" pull -q "127.0.0.1:$port/bench/gzip" -o - | cat > /dev/null; }
plain_pipe_to_null() { "$sealift" pull -q "127.0.0.1:$port/bench/gzip" --layers plain -o - | cat > /dev/null; }
plain_pipe() { "$sealift" pull -q "127.0.0.1:$port/bench/gzip" --layers plain -o - | cat > "$out/image.tar"; sync -f "$out"; }
twenty() { pull "${ships[@]}" -o "$out/all.tar"; }
one() { pull "127.0.0.1:$port/bench/unique" -o "$out/image.tar"; }

groups=${GROUPS_OF_FIGURES:-plain pipe plain_pipe twenty memory}
for group in $groups; do
    case $group in
    plain) beside plain with_skopeo with_igzip zstd_inflated ;;
    pipe) beside pipe file && beside pipe_to_null file ;;
    plain_pipe) beside plain_pipe plain && beside plain_pipe_to_null plain ;;
    twenty) beside twenty one ;;
    memory)
        peak_memory "plain layers" "127.0.0.1:$port/bench/gzip" --layers plain
        peak_memory "inflated zstd layers" "127.0.0.1:$port/bench/zstd"
        ;;
    *) echo "benches/layers.sh: no figures called $group" >&2; exit 2 ;;
    esac
done
