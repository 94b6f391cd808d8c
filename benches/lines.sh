#!/usr/bin/env bash
# Figures of docs/performance.md on lines as they are: slow, long, cut. Side by side, interleaved, medians of five.
#
#   benches/lines.sh [FOLDER]
#
# Needs docker-registry, skopeo, curl, python3 and GNU time (Debian packages docker-registry skopeo curl python3 time) and a
# release build. FOLDER (default: a new one under /var/tmp) holds registry and outputs, about 3 GiB, on a real disk. The
# lines are benches/line.py.
# shellcheck disable=SC2317 # functions are called by their names
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh
open_bench "${1:-}"

# $1: bytes a second for each connection, $2: round trip in seconds. Sets line (its port); `through` tells its bytes.
start_line() {
    line=$((port + 1 + ${#started[@]}))
    python3 benches/line.py "$line" "$port" "$@" > "$folder/says" &
    started+=($!)
    answers "$line"
}
# How many bytes of answers came through the line that was started last.
through() {
    local said
    said=$(wc -l < "$folder/says")
    kill -USR1 "${started[-1]}"
    while [ "$(wc -l < "$folder/says")" = "$said" ]; do sleep 0.02; done
    tail -n 1 "$folder/says"
}

with_sealift() { "$sealift" pull "$image" -o "$out/image.tar" -q > /dev/null; }
with_skopeo() {
    skopeo copy -q --src-tls-verify=false "docker://$image" "docker-archive:$out/image.tar:bench/image:latest"
    sync -f "$out"
}
with_curl() {
    (cd "$out" && curl -sZ --parallel-max 8 --remote-name-all "${urls[@]}" 2> /dev/null && sync -f .)
}
beside_all() {
    mapfile -t urls < <(layer_urls "$image")
    beside with_sealift with_skopeo with_curl
}

rate() {
    echo "4 layers, 250 MB, 20 MB/s for each connection"
    push_noise bench/four 120000000 70000000 40000000 20000000
    start_line 20000000
    image=127.0.0.1:$line/bench/four
    beside_all
}

long() {
    # shellcheck disable=SC2046 # numbers
    push_noise bench/many $(for n in $(seq 41); do echo $((20000 + n * 1000)); done)
    echo "41 layers, 1.7 MB, a round trip of 100 ms"
    start_line 0 0.1
    image=127.0.0.1:$line/bench/many
    beside_all
}

# Killed when 90 % of the bytes have come, and run again.
killed() {
    local before now run total=250000000
    push_noise bench/four 120000000 70000000 40000000 20000000
    start_line 20000000
    image=127.0.0.1:$line/bench/four
    echo "== killed at 90 % of $total bytes: what came in the second run"
    for run in $(seq "$runs"); do
        rm -rf "${out:?}"/*
        before=$(through)
        with_sealift &
        run=$!
        while now=$(through) && [ $((now - before)) -lt $((total * 9 / 10)) ]; do sleep 0.01; done
        pkill -KILL -P "$run" || true
        wait "$run" || true
        [ ! -e "$out/image.tar" ] || { echo "it was done before it could be killed"; exit 1; }
        before=$now
        with_sealift
        echo $(($(through) - now)) "after $before"
    done
}

# Ten images on one base of 100 MB, each with a layer of 5 MB of its own; the first is there.
reuse() {
    local before n
    noise base 100000000
    for n in $(seq 10); do
        noise own 5000000
        push "bench/on-base-$n" application/vnd.oci.image.layer.v1.tar+gzip "$folder/base=$folder/base" "$folder/own=$folder/own"
    done
    start_line
    mkdir -p "$out/have"
    "$sealift" pull -q "127.0.0.1:$line/bench/on-base-1" -o "$out/have/first.tar" > /dev/null
    before=$(through)
    for n in $(seq 2 10); do
        "$sealift" pull -q --reuse "$out/have" "127.0.0.1:$line/bench/on-base-$n" -o "$out/on-base-$n.tar" > /dev/null
    done
    echo "== nine more images on a base of 100 MB, each with 5 MB of its own: $(($(through) - before)) bytes"
}

memory() {
    push_noise bench/big 1000000000 1000000000
    peak_memory "16 connections" "127.0.0.1:$port/bench/big" --connections 16
}

groups=${GROUPS_OF_FIGURES:-rate long killed reuse memory}
for group in $groups; do
    case $group in
    rate | long | killed | reuse | memory) "$group" ;;
    *) echo "benches/lines.sh: no figures called $group" >&2; exit 2 ;;
    esac
done
