#!/usr/bin/env bash
# Figures of docs/performance.md on `serve`: downloads beside nginx on loopback, the page and a list of 5,000 files, medians of
# five.
#
#   benches/serve.sh [FOLDER]
#
# Needs docker-registry, nginx, curl and python3 (Debian packages docker-registry nginx-light curl python3) and a release build.
# FOLDER (default: a new one under /var/tmp) holds the files, 1 GiB, on a real disk.
# shellcheck disable=SC2317 # functions are called by their names
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh
open_bench "${1:-}"

# Starts a server over a folder: its address is in `$folder/NAME.address`.
serve() {
    "$sealift" serve --listen 127.0.0.1:0 --dir "$folder/$1" > "$folder/$1.address" 2> "$folder/$1.log" &
    started+=($!)
    for _ in $(seq 100); do [ -s "$folder/$1.address" ] && break; sleep 0.1; done
}

get() { curl -sf -o /dev/null "$@"; }
with_sealift() { get "$(cat "$folder/large.address")downloads/image.tar"; }
with_nginx() { get "http://127.0.0.1:$((port + 1))/image.tar"; }
# Eight at a time, as a site's nodes would.
eight() { seq 8 | xargs -P8 -I{} curl -sf -o /dev/null "$1"; }
eight_with_sealift() { eight "$(cat "$folder/large.address")downloads/image.tar"; }
eight_with_nginx() { eight "http://127.0.0.1:$((port + 1))/image.tar"; }

downloads() {
    noise large/image.tar 500000000
    serve large
    cat > "$folder/nginx.conf" <<CONF
daemon off; pid $folder/nginx.pid; error_log $folder/nginx.log;
user root;
events {}
http { access_log off; sendfile on; tcp_nopush on; server { listen 127.0.0.1:$((port + 1)); root $folder/large; } }
CONF
    nginx -p "$folder" -c "$folder/nginx.conf" &
    started+=($!)
    answers $((port + 1))
    beside with_sealift with_nginx
    beside eight_with_sealift eight_with_nginx
}

milliseconds() { curl -sf -o /dev/null -w '%{time_total}\n' "$1" | awk '{printf "%.1f\n", $1 * 1000}'; }
told() { for _ in $(seq "$runs"); do milliseconds "$2"; done | median | awk -v name="$1" '{printf "%s: %s ms\n", name, $1}'; }

lists() {
    mkdir -p "$folder/many"
    push_noise bench/small 1000
    "$sealift" pull -q "127.0.0.1:$port/bench/small" -o "$folder/many/0000.tar" > /dev/null
    for number in $(seq -w 1 4999); do ln "$folder/many/0000.tar" "$folder/many/$number.tar"; done
    serve many
    local address
    address=$(cat "$folder/many.address")
    # All are opened once.
    until curl -sf "${address}api/files" | python3 -c '
import json, sys
sys.exit(any(file["problem"] for file in json.load(sys.stdin)["files"]))'; do sleep 0.2; done
    told "5,000 files listed" "${address}api/files"
    told "the page's document" "$address"
}

groups=${GROUPS_OF_FIGURES:-downloads lists}
for group in $groups; do
    case $group in
    downloads | lists) "$group" ;;
    *) echo "benches/serve.sh: no figures called $group" >&2; exit 2 ;;
    esac
done
