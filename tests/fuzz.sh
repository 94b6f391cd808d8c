# shellcheck shell=bash
# The fuzz targets: the corpus replayed on stable; where there is a nightly toolchain, new inputs too. Everything that is
# found on the way stays in target/fuzz, never in the tree. Sourced by tests/run, which says where ($TARGET), how much
# ($LONG) and which ($FILTERS).

FUZZ_TARGET=$TARGET/fuzz
# What cargo-fuzz sets, without its address sanitizer: the code is safe Rust, and four times as many inputs are tried.
# Add `-Zsanitizer=address` in FUZZ_FLAGS for what is not.
FUZZ_COVERAGE="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0"

replay_corpus() {
    cargo test --locked --manifest-path fuzz/Cargo.toml --target-dir "$TARGET" -- "${FILTERS[@]}" 2>&1 |
        tee "$FUZZ_TARGET/replay.log"
}

# One target, and a line that counts as one test.
fuzz_target() {
    local name=$1 binary=$2 amount=$3 log=$FUZZ_TARGET/$1.log result=0
    mkdir -p "$FUZZ_TARGET/inputs/$name" "$FUZZ_TARGET/found"
    "$binary" "$amount" -max_len=1024 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$FUZZ_TARGET/found/$name-" "$FUZZ_TARGET/inputs/$name" "fuzz/corpus/$name" \
        >"$log" 2>&1 || result=$?
    if ((result)); then
        grep -A 6 -m 1 'panicked at\|ERROR: libFuzzer' "$log" >&2 || tail -n 20 "$log" >&2
        echo "fuzz $name: failed on $(sed -n 's/.*Test unit written to //p' "$log"); its log is $log" >&2
        echo "test result: FAILED. 0 passed; 1 failed; 0 ignored; fuzz $name"
    else
        echo "fuzz $name: $(sed -n 's/^Done //p' "$log"), $(sed -n 's/.*\(cov: [0-9]*\).*/\1/p' "$log" | tail -n 1)"
        echo "test result: ok. 1 passed; 0 failed; 0 ignored; fuzz $name"
    fi
    return "$result"
}
export -f fuzz_target

# The targets whose names hold one of the filters, or all.
fuzz_targets() {
    local file name filter
    for file in fuzz/fuzz_targets/*.rs; do
        name=$(basename "$file" .rs)
        ((${#FILTERS[@]})) || echo "$name"
        for filter in "${FILTERS[@]}"; do
            [[ "fuzz $name" != *"$filter"* ]] || { echo "$name" && break; }
        done
    done
}

# Each of them for 10 s, or in a long run for ten million inputs; two at a time.
fuzz_with_nightly() {
    local amount=-max_total_time=10 host targets
    targets=$(fuzz_targets)
    [[ -n $targets ]] || return 0
    [[ -z $LONG ]] || amount=-runs=10000000
    host=$(rustc --print host-tuple)
    RUSTFLAGS="$FUZZ_COVERAGE ${FUZZ_FLAGS:-}" cargo +nightly build --locked --release --bins \
        --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$FUZZ_TARGET" || return
    export FUZZ_TARGET
    xargs -P 2 -I TARGET bash -c 'fuzz_target "$@"' fuzz_target TARGET "$FUZZ_TARGET/$host/release/TARGET" "$amount" \
        <<<"$targets" | tee "$FUZZ_TARGET/fuzz.log"
}

# A failure is kept in $FUZZ_RESULT: the other tests are run all the same.
fuzz() {
    local result=0
    mkdir -p "$FUZZ_TARGET"
    : >"$FUZZ_TARGET/fuzz.log"
    replay_corpus || result=$?
    if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
        fuzz_with_nightly || result=$?
    else
        echo "no nightly toolchain: the corpus was replayed, nothing new was tried"
    fi
    # shellcheck disable=SC2034 # tests/run ends with it
    FUZZ_RESULT=$result
}
