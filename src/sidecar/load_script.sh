# What stands above is of this one archive; from here on every load script of sealift is the same. POSIX sh.
# images: a line each, its name, what it is for, and the digests it may be known by.

set -euf

usage() {
    cat <<'END'
usage: sh ARCHIVE.load.sh [--dry-run] [docker|podman|nerdctl|ctr]

Loads the archive beside this script: checks its SHA-256, loads it, names images that came without a name, and
verifies that each name stands for the image it should. Without a loader's name it is the first of the four that
is here and answers. The names go to stdout, all else to stderr.

  --dry-run    check the archive and find the loader, but load nothing
  -h, --help   show this

SEALIFT_LOADER names the loader, too. Loaders read their own variables: DOCKER_HOST, CONTAINER_HOST,
CONTAINERD_ADDRESS, and for nerdctl and ctr CONTAINERD_NAMESPACE (k8s.io is where Kubernetes looks).

exit codes: 0 loaded and verified, 2 usage, 3 the archive or a loaded image is not what it should be,
            7 no loader, or it did not do what it was asked
END
}

say() {
    printf '%s\n' "$*" >&2
}

# An exit code, what is wrong, and lines that tell more.
fail() {
    code=$1
    say "error: $2"
    shift 2
    for line in "$@"; do say "$line"; done
    exit "$code"
}

is_here() {
    command -v "$1" >/dev/null 2>&1
}

# The SHA-256 of stdin, in hex.
sha256() {
    if is_here sha256sum; then
        sum=$(sha256sum) || return 1
        printf '%s\n' "${sum%% *}"
    elif is_here shasum; then
        sum=$(shasum -a 256) || return 1
        printf '%s\n' "${sum%% *}"
    else
        sum=$(openssl dgst -sha256) || return 1
        printf '%s\n' "${sum##* }"
    fi
}

find_archive() {
    [ -f "$file" ] || fail 7 "$archive is not beside this script, in $folder" \
        "hint: the script and the archive belong in one folder, under the names they were given"
    is_here sha256sum || is_here shasum || is_here openssl ||
        fail 7 "the archive cannot be checked: there is no sha256sum, shasum or openssl here" "hint: any of them will do"
}

check_archive() {
    say "checking the SHA-256 of $archive"
    found=$(sha256 <"$file") || fail 7 "$file cannot be read"
    [ "$found" != "$sha256" ] || return 0
    found_bytes=$(($(wc -c <"$file")))
    fail 3 "$archive is not what sealift wrote: nothing was loaded" \
        "  it should be $size_bytes bytes with the SHA-256 $sha256" \
        "  and it is    $found_bytes bytes with the SHA-256 $found" \
        "hint: copy it here again, and check the medium it came on"
}

# What this machine runs, as Go names it.
machine() {
    architecture=$(uname -m)
    case $architecture in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    armv*) architecture=arm ;;
    i?86) architecture=386 ;;
    loongarch64) architecture=loong64 ;;
    esac
    printf 'linux/%s\n' "$architecture"
}

# Prints what the loader runs, and its version; fails if it, or its daemon, does not answer.
ask() {
    case $1 in
    docker) docker version --format '{{.Server.Os}}/{{.Server.Arch}} {{.Server.Version}}' ;;
    podman) podman info --format '{{.Host.OS}}/{{.Host.Arch}} {{.Version.Version}}' ;;
    nerdctl) nerdctl info >/dev/null && machine ;;
    ctr) ctr version >/dev/null && machine ;;
    esac
}

# Sets $loader to the one that was asked for, or the first that answers, and $here to what it runs.
find_loader() {
    silent=no
    for candidate in ${loader:-docker podman nerdctl ctr}; do
        if ! is_here "$candidate"; then
            [ -z "$loader" ] || fail 7 "there is no $candidate here" "hint: the PATH is $PATH"
        elif answer=$(ask "$candidate" 2>/dev/null); then
            loader=$candidate
            here=${answer%% *}
            version=${answer#"$here"}
            return 0
        else
            silent=yes
            say "$candidate is here, but does not answer: $(ask "$candidate" 2>&1 >/dev/null | tail -n 1)"
        fi
    done
    [ "$silent" = yes ] || fail 7 "none of docker, podman, nerdctl and ctr is here" "hint: the PATH is $PATH"
    fail 7 "there is no loader that answers" \
        "hint: is its daemon running, and may this user talk to it? Loaders often want root"
}

# How the loader's store calls images: by the config's digest, or by the manifest's (or the index's) as containerd does.
find_store() {
    case $loader in
    podman) store=config ;;
    docker)
        case $(docker info --format '{{.DriverStatus}}' 2>/dev/null) in
        *io.containerd.snapshotter*) store=manifest ;;
        *) store=config ;;
        esac
        ;;
    *) store=manifest ;;
    esac
}

# The option by which ctr and nerdctl take images of which none is for this machine. Docker and podman want none.
platform_option() {
    first=''
    while read -r _ platforms _ <&3; do
        case ,$platforms, in
        *",$here,"*) return 0 ;;
        esac
        first=${first:-${platforms%%,*}}
    done 3<<END
$images
END
    printf '%s\n' "--platform=$first"
}

# Loads the archive; $loaded is then what the loader says it loaded, names or IDs.
load() {
    loaded=''
    case $loader in
    ctr)
        ctr images import ${platform:+"$platform"} "$file" >&2
        return
        ;;
    nerdctl) output=$(nerdctl load ${platform:+"$platform"} -i "$file") || return 1 ;;
    *) output=$("$loader" load -i "$file") || return 1 ;;
    esac
    printf '%s\n' "$output" >&2
    # Docker says so, and then that all is well.
    case $output in
    *'rror unpacking'*) return 1 ;;
    esac
    loaded=$(printf '%s\n' "$output" | sed -n -e 's/^Loaded image: *//p' -e 's/^Loaded image ID: *//p' \
        -e 's/^Loaded image(s): *//p' | tr ',' '\n')
    # nerdctl finds nothing by a name with a digest, but all by the digest alone.
    [ "$loader" != nerdctl ] || loaded=$(printf '%s\n' "$loaded" | sed 's/^.*@//')
}

# Of images without a name ctr keeps nothing, unless it is to call them by their digests.
load_nameless() {
    [ "$loader:$loaded" = ctr: ] || return 0
    trap forget EXIT
    # Shells that a signal ends do not run that by themselves.
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    ctr images import --digests --base-name "$for_a_while" ${platform:+"$platform"} "$file" >&2 || return 1
    loaded=$(ctr images ls -q | grep "^$for_a_while@")
}

# Takes away the names that only this script needed, however it ends.
forget() {
    for candidate in $(ctr images ls -q | grep "^$for_a_while@"); do
        ctr images rm "$candidate" >/dev/null
    done
}

# The digest the loader has for a name or ID.
identity() {
    case $loader in
    ctr) ctr images ls "name==\"$1\"" | sed -n -e '2s/^[^ ]*  *[^ ]*  *\([^ ]*\).*/\1/p' ;;
    nerdctl) nerdctl image inspect --mode native --format '{{.Image.Target.Digest}}' "$1" 2>/dev/null | head -n 1 ;;
    *)
        id=$("$loader" image inspect --format '{{.Id}}' "$1" 2>/dev/null | head -n 1)
        printf '%s\n' "${id:+sha256:${id#sha256:}}"
        ;;
    esac
}

# Is this name or ID, in the loader, the image of these digests? $proof then says how that is known.
is_image() {
    reference=$1
    shift
    id=$(identity "$reference") && [ -n "$id" ] || return 1
    for digest in "$@"; do
        if [ "${digest#*=}" = "$id" ]; then
            proof="$id, the digest of its ${digest%%=*}"
            return 0
        fi
    done
    [ "$store" = manifest ] || return 1
    # An archive with inflated layers has no manifest, so the loader made one of its own. Docker tells of its layers only.
    case $loader in
    ctr) inside=$(ctr content get "$id") ;;
    nerdctl) inside=$(nerdctl image inspect --mode native --format '{{.ImageConfigDesc.Digest}}' "$reference") ;;
    *)
        inside=$("$loader" image inspect --format '{{range .RootFS.Layers}}{{println .}}{{end}}' "$reference" |
            sed '/^$/d' | sha256)
        ;;
    esac || return 1
    for digest in "$@"; do
        value=${digest#*=}
        case $loader:$digest in
        docker:layers=*)
            [ "$value" = "$inside" ] || continue
            proof="$id, a manifest of docker's own, with the right layers"
            return 0
            ;;
        ctr:config=* | nerdctl:config=*)
            case $inside in
            *"$value"*) ;;
            *) continue ;;
            esac
            proof="$id, with the config $value"
            return 0
            ;;
        esac
    done
    return 1
}

tag() {
    case $loader in
    ctr) ctr images tag --force "$1" "$2" >/dev/null ;;
    *) "$loader" tag "$1" "$2" ;;
    esac
}

# Finds the image of these digests among those that were loaded, and gives it the name.
name_it() {
    wanted=$1
    shift
    load_nameless || fail 7 "$loader could not load $archive a second time, for images without a name"
    source='' source_id=''
    for candidate in $loaded; do
        is_image "$candidate" "$@" || continue
        [ -z "$source" ] || [ "$id" = "$source_id" ] ||
            fail 3 "$wanted may be $source or $candidate: the layers are the same, and the names missing"
        source=${source:-$candidate} source_id=$id
    done
    [ -n "$source" ] || fail 3 "$loader loaded the archive, but has no image that is $wanted" \
        "hint: see what $loader lists under that name; nothing was taken away"
    tag "$source" "$wanted" || fail 7 "$loader cannot name $source $wanted"
    is_image "$wanted" "$@" || fail 3 "$wanted is not the image that was loaded"
    proof="$proof; it came as $source and was given this name"
}

# Names and verifies every image.
settle() {
    while read -r name platforms digests <&3; do
        # shellcheck disable=SC2086 # digests are words
        is_image "$name" $digests || name_it "$name" $digests
        printf '%s\n' "$name"
        say "  is $proof"
        case ,$platforms, in
        *",$here,"*) ;;
        *) say "warning: $name is for $platforms; here, on $here, it may not run" ;;
        esac
    done 3<<END
$images
END
}

loader=${SEALIFT_LOADER:-}
is_dry_run=no
for argument in "$@"; do
    case $argument in
    -h | --help)
        usage
        exit 0
        ;;
    --dry-run) is_dry_run=yes ;;
    -*) fail 2 "unknown option $argument" "hint: --help shows those there are" ;;
    *) loader=$argument ;;
    esac
done
case $loader in
'' | docker | podman | nerdctl | ctr) ;;
*) fail 2 "'$loader' is no loader" "hint: docker, podman, nerdctl and ctr are" ;;
esac

# Never an option, whatever the folder is called.
case $0 in
/*) folder=${0%/*} ;;
*/*) folder=./${0%/*} ;;
*) folder=. ;;
esac
file=$folder/$archive
for_a_while=sealift-load-$$

find_archive
find_loader
find_store
check_archive
case $loader in
nerdctl | ctr) into="$loader, namespace ${CONTAINERD_NAMESPACE:-default}" ;;
*) into=$loader$version ;;
esac
if [ "$is_dry_run" = yes ]; then
    say "it is what it should be, and would be loaded into $into"
    exit 0
fi
say "loading it into $into"
platform=$(platform_option)
load || fail 7 "$loader could not load $archive" "hint: what it said stands above; a full disk is the usual reason"
settle
say "loaded and verified"
