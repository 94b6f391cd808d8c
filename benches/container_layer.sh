#!/usr/bin/env bash
# Figures of docs/performance.md on `container-layer`: side by side, interleaved, medians of five.
#
#   benches/container_layer.sh [FOLDER]
#
# Needs root, docker, docker-registry, GNU tar and python3 (Debian packages docker.io docker-registry tar python3) and a
# release build. FOLDER (default: a new one under /var/tmp) holds Docker's data and outputs, about 18 GiB, on a real disk
# with a file system that overlay2 takes. FILES=5000 makes the layer a tenth.
# shellcheck disable=SC2317 # functions are called by their names
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh
open_bench "${1:-}"
files=${FILES:-50000}

socket=$folder/docker.sock
dockerd --host "unix://$socket" --data-root "$folder/docker" --exec-root "$folder/docker-run" --pidfile "$folder/docker.pid" \
    --storage-driver overlay2 --bridge=none --iptables=false --ip-forward=false > "$folder/docker.log" 2>&1 &
started+=($!)
docker() { command docker --host "unix://$socket" "$@"; }
for _ in $(seq 300); do docker version > /dev/null 2>&1 && break; sleep 0.1; done

mkdir "$folder/image"
echo "a file of the image" > "$folder/image/file"
tar --create --directory "$folder/image" . | docker import - bench:v1 > /dev/null
upper_of() { docker inspect --format '{{.GraphDriver.Data.UpperDir}}' "$1"; }
docker create --name source bench:v1 /nothing > /dev/null
upper=$(upper_of source)

# So many files of 1 to 8 KiB and one in a thousand of 16 MiB, in folders of a hundred: 1 GiB of 50,000.
python3 - "$upper" "$files" <<'PYTHON'
import os, random, sys
upper, files = sys.argv[1], int(sys.argv[2])
random.seed(7)
for number in range(files):
    folder = f"{upper}/data/{number // 10000}/{number // 100 % 100}"
    if number % 100 == 0: os.makedirs(folder, exist_ok=True)
    size = 16 << 20 if number % 1000 == 999 else random.randint(1024, 8192)
    path = f"{folder}/a-name-of-usual-length-{number}"
    with open(path, "wb") as file: file.write(random.randbytes(size))
    if number % 50 == 0: os.setxattr(path, "user.word", b"value")
    if number % 70 == 0: os.chown(path, 1234, 5678)
PYTHON
sync -f "$folder"
du -sh --apparent-size "$upper"
find "$upper" | wc -l

export DOCKER_HOST=unix://$socket
sealift() { "$sealift" container-layer export -q source "$out/layer.tar" > /dev/null; }
gnu_tar() {
    tar --create --xattrs --xattrs-include='*' --sparse --format=posix --file "$out/layer.tar" --directory "$upper" .
    sync -f "$out"
}
find "$upper" -type f -exec cat {} + > /dev/null # from memory, all of them
echo "== export"
beside sealift gnu_tar

# Each import goes into a container that was never started, the next one each time.
"$sealift" container-layer export -q source "$folder/layer.tar" > /dev/null
tar --create --xattrs --xattrs-include='*' --sparse --format=posix --file "$folder/gnu.tar" --directory "$upper" .
for number in $(seq 0 "$runs"); do docker create --name "target-$number" bench:v1 /nothing > /dev/null; done
echo 0 > "$folder/next"
sealift() {
    local next
    next=$(cat "$folder/next")
    "$sealift" container-layer import -q "$folder/layer.tar" "target-$next" > /dev/null
    echo $((next + 1)) > "$folder/next"
}
# Nothing is removed between: ext4 is slow to make files where many were just removed.
mkdir "$folder/trees"
gnu_tar() {
    local tree
    tree=$(mktemp -d "$folder/trees/XXXXXX")
    tar --extract --xattrs --xattrs-include='*' --same-owner --same-permissions --file "$folder/gnu.tar" --directory "$tree"
    sync -f "$tree"
}
cat "$folder/layer.tar" "$folder/gnu.tar" > /dev/null
echo "== import"
beside sealift gnu_tar
diff -r "$upper" "$(upper_of target-0)"

for action in "export -q source $out/layer.tar" "import -q --no-backup $folder/layer.tar target-0"; do
    # shellcheck disable=SC2086 # the words of a command
    /usr/bin/time -f %M -o "$folder/memory" "$sealift" container-layer $action > /dev/null
    awk -v action="${action%% *}" '{printf "peak memory of %s: %.1f MiB\n", action, $1 / 1024}' "$folder/memory"
done
