# shellcheck shell=bash
# The modern set: a Debian forky root with Docker 28, containerd 2 and podman 5, kept between runs.

MODERN_PACKAGES=docker.io,docker-cli,containerd,runc,podman,skopeo,ca-certificates,iproute2

# The folder's name follows what is in it, so a changed list makes a new root.
modern_root_folder() {
    echo "$CACHE/forky-$(echo "$MODERN_PACKAGES" | sha256sum | cut -c1-12)"
}

make_modern_root() {
    local root site building
    root=$(modern_root_folder)
    [[ ! -d $root ]] || return 0
    # The mirror is the one this machine's own apt uses.
    # shellcheck disable=SC2016 # apt expands this
    site=$(apt-get indextargets --format '$(SITE)' 'Origin: Debian' 'Codename: bookworm' 'Created-By: Packages' | head -n 1)
    building=$root.building
    # A root that was being built when a run ended is not believed.
    rm -rf --one-file-system "$building"
    mkdir -p "$building"
    echo "making the modern set's root"
    # bookworm's debootstrap has no script named forky; sid's is the same.
    if ! debootstrap --variant=minbase --include="$MODERN_PACKAGES" forky "$building" "$site" sid \
        </dev/null >"$STATE/debootstrap.log" 2>&1; then
        tail -n 30 "$STATE/debootstrap.log" >&2
        echo "tests/run: the modern set's root could not be made" >&2
        return 1
    fi
    rm -rf "$building"/var/cache/apt/archives/*.deb
    mv "$building" "$root"
}
