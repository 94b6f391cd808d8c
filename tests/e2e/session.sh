#!/usr/bin/env bash
# The inside of tests/run: process 1 of a process, mount and network namespace. Starts the daemons, writes down where
# they are, runs the tests. What it leaves running, the kernel ends with it.
set -euo pipefail

# shellcheck source=tests/e2e/daemons.sh
. "$TREE/tests/e2e/daemons.sh"

# Sockets are short paths in a /run that only this session sees; $STATE is on disk, at the same path on both sides.
ip link set lo up
# An address of this machine that nobody takes for loopback: proxies are asked for it, certificates are checked.
SITE=10.20.0.1
ip address add "$SITE/32" dev lo
mount --make-rprivate /
mount -t tmpfs tmpfs /run
# Tests put certificates there, for the old set's Docker and sealift alike.
mkdir -p /etc/docker
mount -t tmpfs tmpfs /etc/docker
mkdir -p "$RUN" "$STATE/work" "$STATE/logs"

# No user's credentials, no proxy: the tests see what they made.
export DOCKER_CONFIG=$STATE/docker-config
mkdir -p "$DOCKER_CONFIG"
echo "{}" >"$DOCKER_CONFIG/config.json"
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY

start=$SECONDS
echo "== daemons"
trap tell_the_dead EXIT
start_daemons
write_parts
echo "== daemons: $((SECONDS - start)) s"

cd "$TREE"
export CARGO_NET_OFFLINE=true SEALIFT_E2E=$STATE/parts.env
# Slow tests are marked as ignored.
[[ -z $LONG ]] || set -- --include-ignored "$@"
if [[ -n ${SESSION_COMMAND:-} ]]; then
    # For looking around by hand: SESSION_COMMAND=bash tests/run
    bash -c "$SESSION_COMMAND"
    exit
fi

# Nothing takes that long, so a test hangs: those before it have told how they went, and it is the last that runs for over 60 s.
LIMIT=${LONG:+5h}
LIMIT=${LIMIT:-60m}
# Each test target closes with a count of its own, and so did the fuzz targets; the last line is their sum.
result=0
timeout --verbose "$LIMIT" cargo test --features e2e --no-fail-fast -- "$@" 2>&1 | tee "$STATE/tests.log" || result=$?
awk '/^test result: / { passed += $4; failed += $6; ignored += $8 }
    END { printf "total: %d passed, %d failed, %d skipped\n", passed, failed, ignored }' \
    "$FUZZ_TARGET/replay.log" "$FUZZ_TARGET/fuzz.log" "$STATE/tests.log"
exit "$result"
