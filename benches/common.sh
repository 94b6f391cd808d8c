# shellcheck shell=bash
# What the benches share: a folder and a registry of their own, images, and times side by side, by the median.
# shellcheck disable=SC2034 # who sources it uses them

runs=5

# $1: the folder for registry and outputs, a new one under /var/tmp if empty. Sets folder, out, port (the registry's) and
# sealift; what is started after that goes into `started`, and ends with the script.
open_bench() {
    sealift=${SEALIFT:-$PWD/target/$(rustc --print host-tuple)/release/sealift}
    keeps=$1
    folder=$(realpath "${1:-$(mktemp -d /var/tmp/sealift-bench.XXXXXX)}")
    out=$folder/out
    port=$((20000 + RANDOM % 20000))
    started=()
    mkdir -p "$folder/registry" "$out"
    trap 'kill "${started[@]}" 2>/dev/null; [ -n "$keeps" ] || rm -rf "$folder"' EXIT
    cat > "$folder/registry.yml" <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/registry}}
http: {addr: 127.0.0.1:$port}
YAML
    docker-registry serve "$folder/registry.yml" > "$folder/registry.log" 2>&1 &
    started+=($!)
    answers "$port"
}

# Waits until a registry answers on this port.
answers() { for _ in $(seq 100); do curl -s "http://127.0.0.1:$1/v2/" > /dev/null && break; sleep 0.1; done; }

push() { python3 benches/push.py "127.0.0.1:$port" "$@"; }
# A file of noise, as gzip'd layers are to a transfer: its name in the folder, and how many bytes.
noise() { mkdir -p "$(dirname "$folder/$1")" && head -c "$2" /dev/urandom > "$folder/$1"; }
compress() {
    tar --create --file="$1.tar" --null --files-from="$1.list" --mtime=@0 --owner=0 --group=0 2> /dev/null
    gzip -6 --no-name < "$1.tar" > "$1.tar.gz"
    zstd -3 -q -c "$1.tar" > "$1.tar.zst"
}
# Four layers of real files, 700 MB of them: those of /usr in an order that only their names decide. In the folder as
# layers/1.tar to 4.tar, each with .gz and .zst beside it.
make_layers() {
    mkdir -p "$folder/layers"
    python3 - "$folder/layers" <<'PYTHON'
import hashlib, os, sys
paths = [os.path.join(at, name) for at, _, names in os.walk("/usr") for name in names]
paths = {os.stat(path).st_ino: path for path in paths if os.path.isfile(path) and not os.path.islink(path)}.values()
paths = [path for path in paths if os.path.getsize(path) < 60_000_000]
paths.sort(key=lambda path: hashlib.sha1(os.fsencode(path)).digest())
for number, room in enumerate([336_000_000, 196_000_000, 112_000_000, 56_000_000], 1):
    with open(f"{sys.argv[1]}/{number}.list", "wb") as list:
        while room > 0 and paths:
            path = paths.pop()
            room -= os.path.getsize(path)
            list.write(os.fsencode(path) + b"\0")
PYTHON
    export -f compress
    printf '%s\n' "$folder"/layers/{1,2,3,4} | xargs -P2 -I{} bash -c 'compress {}'
}
# Pushes an image of layers of noise: its repository, and their sizes.
push_noise() {
    local repository=$1 number=0 layers=() size
    shift
    for size in "$@"; do
        noise "noise/$number" "$size"
        layers+=("$folder/noise/$number=$folder/noise/$number")
        number=$((number + 1))
    done
    push "$repository" application/vnd.oci.image.layer.v1.tar+gzip "${layers[@]}"
    rm -r "$folder/noise"
}
# The addresses of an image's layers: HOST:PORT/REPOSITORY.
layer_urls() {
    "$sealift" pull "$1" --dry-run --json | python3 -c '
import json, sys
for layer in json.load(sys.stdin)["images"][0]["layers"]: print(f"http://{sys.argv[1]}/v2/{sys.argv[2]}/blobs/" + layer["digest"])' "${1%%/*}" "${1#*/}"
}

seconds() { local start=$EPOCHREALTIME; "$@"; local end=$EPOCHREALTIME; echo "$end $start" | awk '{printf "%.3f\n", $1 - $2}'; }
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

# Each line is a run of every command, in turn, on an empty folder; the first line warms up and isn't shown. A ratio is
# the first command's time by the other's, the median of the lines' ratios.
beside() {
    local run command times line
    echo "== $*"
    : > "$folder/times"
    for run in $(seq 0 "$runs"); do
        times=()
        for command in "$@"; do
            rm -rf "${out:?}"/*
            sync -f "$folder"
            times+=("$(seconds "$command")")
        done
        line="${times[*]}"
        [ "$run" = 0 ] || echo "$line" | tee -a "$folder/times"
    done
    for run in $(seq $#); do
        printf 'median of %s: %s s' "${!run}" "$(cut -d' ' -f"$run" "$folder/times" | median)"
        [ "$run" = 1 ] && echo || printf ', ratio %s\n' "$(awk -v n="$run" '{printf "%.3f\n", $1 / $n}' "$folder/times" | median)"
    done
}

peak_memory() {
    local name=$1
    shift
    for _ in $(seq "$runs"); do
        rm -rf "${out:?}"/*
        /usr/bin/time -f %M -o "$folder/memory" "$sealift" pull -q "$@" -o "$out/image.tar" > /dev/null
        cat "$folder/memory"
    done | median | awk -v name="$name" '{printf "peak memory of %s: %.1f MiB\n", name, $1 / 1024}'
}
