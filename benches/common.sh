# shellcheck shell=bash
# What the benches share: a registry of their own, and times by the median.

# $1: the folder for its storage and log, $2: the port. Its process id is in REGISTRY.
start_registry() {
    cat > "$1/registry.yml" <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $1/registry}}
http: {addr: 127.0.0.1:$2}
YAML
    docker-registry serve "$1/registry.yml" > "$1/registry.log" 2>&1 &
    # shellcheck disable=SC2034 # whoever starts it ends it
    REGISTRY=$!
    for _ in $(seq 100); do curl -s "http://127.0.0.1:$2/v2/" > /dev/null && break; sleep 0.1; done
}

seconds() { local start=$EPOCHREALTIME; "$@"; local end=$EPOCHREALTIME; echo "$end $start" | awk '{printf "%.3f\n", $1 - $2}'; }
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
