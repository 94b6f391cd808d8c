# shellcheck shell=bash
# Starts the real daemons of both sets inside the session's namespaces, and waits until each one answers.

RUN=/run/sealift
REGISTRY_PORT=5000
declare -A STARTED # process ids by name

# Runs a command in the background with its output in a log.
start() {
    local name=$1
    shift
    "$@" >"$STATE/logs/$name.log" 2>&1 </dev/null &
    STARTED[$name]=$!
}

# For the end: which of them ended before, and what they said last. Tests that need them failed, and don't say why.
tell_the_dead() {
    local name
    for name in "${!STARTED[@]}"; do
        if kill -0 "${STARTED[$name]}" 2>/dev/null; then continue; fi
        echo "tests/run: $name ended by itself; the end of its log:" >&2
        tail -n 100 "$STATE/logs/$name.log" >&2
    done
}

# Waits until a command succeeds; a daemon that never answers is a failure that shows its log.
await() {
    local name=$1 tries
    shift
    for ((tries = 0; tries < 300; tries++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "tests/run: $name does not answer; the end of its log:" >&2
    tail -n 20 "$STATE/logs/$name.log" >&2
    return 1
}

start_registry() {
    cat >"$STATE/registry.yml" <<CONFIG
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $STATE/registry}, delete: {enabled: true}}
http: {addr: 127.0.0.1:$REGISTRY_PORT}
CONFIG
    start registry docker-registry serve "$STATE/registry.yml"
}

# $1: the set; the rest: how its commands are run.
start_docker() {
    local set=$1
    shift
    local options=(
        --host "unix://$RUN/$set-docker.sock" --pidfile "$RUN/$set-docker.pid"
        --data-root "$STATE/$set-docker" --exec-root "$RUN/$set-docker"
        --bridge=none --iptables=false --ip-forward=false
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$CGROUP"
    )
    [[ $set = old ]] || options+=(--feature containerd-snapshotter=true)
    start "$set-docker" "$@" dockerd "${options[@]}"
}

start_containerd() {
    local set=$1
    shift
    cat >"$STATE/$set-containerd.toml" <<CONFIG
version = 2
root = "$STATE/$set-containerd"
state = "$RUN/$set-containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$RUN/$set-containerd.sock"
CONFIG
    start "$set-containerd" "$@" containerd --config "$STATE/$set-containerd.toml"
}

# Makes the modern set's mount namespace and keeps it open by a sleeping process; MODERN is how to enter it.
# The cached root is the lower layer of an overlay, so that no run changes it.
open_modern_root() {
    local root=$STATE/modern-root
    mkdir -p "$root" "$STATE/modern-changes" "$STATE/modern-overlay-work"
    # shellcheck disable=SC2016 # the inner shell expands these
    start modern-root unshare --mount --propagation private bash -euc '
        root=$1 state=$2 run=$3 ready=$4 lower=$5
        mount -t overlay overlay -o "lowerdir=$lower,upperdir=$state/modern-changes,workdir=$state/modern-overlay-work" "$root"
        mkdir -p "$root$state" "$root/old"
        for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
        mount -t tmpfs tmpfs "$root/run"
        mkdir -p "$root$run"
        mount --bind "$run" "$root$run"
        mount --bind "$state" "$root$state"
        cd "$root"
        pivot_root . old
        umount -l /old
        touch "$ready"
        exec sleep infinity' modern-root "$root" "$STATE" "$RUN" "$RUN/modern-root.ready" "$MODERN_ROOT"
    MODERN_PID=$!
    MODERN=(nsenter --mount="/proc/$MODERN_PID/ns/mnt" --)
    await modern-root test -e "$RUN/modern-root.ready"
}

start_daemons() {
    start_registry
    start_docker old
    start_containerd old
    open_modern_root
    start_docker modern "${MODERN[@]}"
    start_containerd modern "${MODERN[@]}"
    await registry bash -c "exec 3<>/dev/tcp/127.0.0.1/$REGISTRY_PORT"
    await old-docker docker --host "unix://$RUN/old-docker.sock" version
    await old-containerd ctr --address "$RUN/old-containerd.sock" version
    await modern-docker "${MODERN[@]}" docker --host "unix://$RUN/modern-docker.sock" version
    await modern-containerd "${MODERN[@]}" ctr --address "$RUN/modern-containerd.sock" version
}

# What the tests need to know, in the form NAME=value, a line each.
write_parts() {
    cat >"$STATE/parts.env" <<PARTS
STATE=$STATE
RUN=$RUN
REGISTRY=127.0.0.1:$REGISTRY_PORT
SITE=$SITE
MODERN_NAMESPACE=/proc/$MODERN_PID/ns/mnt
CGROUP=$CGROUP
MODERN_ROOT=$MODERN_ROOT
AXE=$AXE
SCHEMATHESIS=$SCHEMATHESIS
SEALIFT=$SEALIFT
PARTS
}
