# shellcheck shell=bash
# The Debian packages the end-to-end tests run on, installed with no service started: every daemon here is started by
# daemons.sh, on its own sockets and folders.

PACKAGES=(
    docker.io containerd runc podman skopeo buildah docker-registry # the old set
    debootstrap debian-archive-keyring                              # makes the modern set
    nginx-light openssl apache2-utils                               # TLS front, certificates, passwords
    golang-docker-credential-helpers pass gnupg                     # where docker keeps passwords
    squid microsocks                                                # proxies: HTTP, SOCKS5
    openssh-server openssh-client                                   # the way to a daemon on another machine
    busybox-static libcap2-bin                                      # what test images are made of
    zstd                                                            # unpacks what is packed with it
    umoci                                                           # makes OCI layouts of its own
    iproute2 util-linux e2fsprogs ca-certificates
    file                                                            # says what the binary is
    systemd strace                                                  # reads the unit of `serve`; what a server asks the kernel
    dash perl shellcheck                                            # run load scripts, hash (shasum), read them
    chromium chromium-driver fonts-dejavu-core fonts-droid-fallback # the browser of the page, with letters for both languages
)
command -v npm >/dev/null || PACKAGES+=(npm)
python3 -c 'import ensurepip, venv' 2>/dev/null || PACKAGES+=(python3-venv)

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done
}

install_packages() {
    local missing policy=/usr/sbin/policy-rc.d made=no result=0
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    echo "installing ${missing[*]}"
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\n# No service is started while packages are being installed.\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=yes
    fi
    # An old list names packages that the mirror no longer has, so it is always brought up to date first.
    { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
        </dev/null >"$STATE/apt.log" 2>&1 || result=$?
    [[ $made = no ]] || rm -f "$policy"
    if ((result)); then
        tail -n 30 "$STATE/apt.log" >&2
        echo "tests/run: the packages could not be installed" >&2
    fi
    return "$result"
}

# axe-core finds what keeps people with a screen reader or a keyboard alone out of a page. npm's registry has it.
AXE_VERSION=4.14.1

axe_file() {
    echo "$CACHE/axe-core-$AXE_VERSION.js"
}

get_axe() {
    local file
    file=$(axe_file)
    [[ ! -e $file ]] || return 0
    npm pack --silent --pack-destination "$STATE" "axe-core@$AXE_VERSION" >/dev/null
    tar --extract --gzip --file "$STATE/axe-core-$AXE_VERSION.tgz" --to-stdout package/axe.min.js >"$file.new"
    mv "$file.new" "$file"
}

# schemathesis calls an API in all ways that its document tells of, and in some that it doesn't. PyPI has it.
SCHEMATHESIS_VERSION=4.32.5

schemathesis_file() {
    echo "$CACHE/schemathesis-$SCHEMATHESIS_VERSION/bin/schemathesis"
}

get_schemathesis() {
    local folder=$CACHE/schemathesis-$SCHEMATHESIS_VERSION
    [[ ! -e $folder/whole ]] || return 0
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet "schemathesis==$SCHEMATHESIS_VERSION"
    touch "$folder/whole"
}
