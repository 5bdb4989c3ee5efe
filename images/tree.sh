#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Pinned Debian trees: lock, fetch, build.
#
# images/<name>.toml declares a tree, images/<name>.lock pins every package of it by SHA-256.
# The launcher calls this script before any Python exists; the Python package calls it for every
# other tree. It needs bash, apt, dpkg-deb, mmdebstrap, bubblewrap and coreutils.
#
#   tree.sh [options] lock NAME           resolve NAME.toml against the archive, write NAME.lock
#   tree.sh [options] fetch NAME          bring every locked package into the package cache
#   tree.sh [options] build NAME          build the tree if it does not exist; print its path
#   tree.sh [options] path NAME           print the path `build` would give
#   tree.sh [options] packages NAME       print the lock lines in effect
#   tree.sh [options] tar NAME FILE [HOOK…]
#                                         build into FILE (tar, not cached); each HOOK is a shell
#                                         command for mmdebstrap --customize-hook, run outside the
#                                         tree with the tree's path as $1
# Options:
#   --archive URL   Debian mirror to use instead of the one in the host's apt sources
#   --locked        never resolve afresh: fail when a locked package is not to be had
#   --images DIR    where declarations and lock files are (default: beside this script)
# Environment: RINGBED_CACHE, RINGBED_ARCHIVE, RINGBED_LOCKED=1 (as --locked).
# Results go to standard output, progress and errors to standard error.
# Exit codes: 0 done, 2 wrong usage or declaration, 3 archive, disk or build failed.
#
# A tree is built in a sandbox in which user 0 is the only user and chown() does nothing. So no
# build needs or has root on the host, and the bytes are the same whoever builds: every file in
# every tree belongs to root.

# shellcheck disable=SC2016,SC2094  # awk programs are meant literally; an error message may name the file being read

set -euo pipefail
umask 022
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
images=$here
archive=${RINGBED_ARCHIVE:-}
locked=${RINGBED_LOCKED:-}
if [[ -n ${RINGBED_CACHE:-} ]]; then
    cache=$RINGBED_CACHE
else
    cache=${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/ringbed
fi

say() { printf '%s\n' "$*" >&2; }
warn() { say "warning: $*"; }

# die CODE MESSAGE [HINT]
die() {
    say "error: $2"
    [[ -z ${3:-} ]] || say "  hint: $3"
    exit "$1"
}

# await COMMAND…: run in the background and wait, so that a signal is acted on at once.
await() {
    "$@" &
    wait $!
}

# await_logged LOG AWK COMMAND…: the output goes to LOG, and what AWK prints of it is shown.
await_logged() {
    local log=$1 filter=$2 viewer status=0
    shift 2
    exec 5> >(tee "$log" | awk -v name="$name" "$filter" >&2)
    viewer=$!
    await "$@" >&5 2>&1 5>&- || status=$?
    exec 5>&-
    wait "$viewer" || true
    return "$status"
}

# End what await started before anything else: it works in the scratch directory.
stop() {
    local job
    for job in $(jobs -p); do kill "$job" 2>/dev/null || true; done
    exec 5>&-
    wait
    exit 130
}
trap stop INT TERM HUP
trap 'rm -rf "${scratch:-}" "${download:-}"' EXIT

# shellcheck source-path=SCRIPTDIR source=archive.sh
source "$here/archive.sh"

# --- declarations -----------------------------------------------------------------------------

suite='' variant=''
packages=() exclude=() keep=()

declaration_error() {
    die 2 "$1:$2: not understood: $3" \
        "known are: suite, variant and purpose (strings without escapes); packages, exclude and keep (lists of such strings); comments; and tables named [image…], which are left to the image builder"
}

# Take the quoted strings of one line of a list into the list `$key`; set `open` to 0 at its end.
read_list_line() {
    local line=$1
    local -n list=$key
    while :; do
        if [[ $line =~ ^[[:space:]]*(#.*)?$ ]]; then
            return 0
        elif [[ $line =~ ^[[:space:]]*\"([^\"\\]*)\"[[:space:]]*(,(.*)|(\].*)|(#.*)?)$ ]]; then
            list+=("${BASH_REMATCH[1]}")
            line=${BASH_REMATCH[3]}${BASH_REMATCH[4]}
        elif [[ $line =~ ^[[:space:]]*\][[:space:]]*(#.*)?$ ]]; then
            open=0
            return 0
        else
            return 1
        fi
    done
}

# read_declaration FILE: the strict subset of TOML that declarations are written in.
read_declaration() {
    local file=$1 line key='' open=0 number=0 seen=' '
    [[ -r $file ]] || die 2 "no such declaration: $file" "trees are declared in images/<name>.toml"
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        if ((open)); then
            read_list_line "$line" || declaration_error "$file" "$number" "$line"
        elif [[ $line =~ ^[[:space:]]*(#.*)?$ ]]; then
            continue
        elif [[ $line =~ ^\[image(\.[a-z_.]+)?\][[:space:]]*(#.*)?$ ]]; then
            break
        elif [[ $line =~ ^([a-z]+)[[:space:]]*=[[:space:]]*(.*)$ ]]; then
            key=${BASH_REMATCH[1]} line=${BASH_REMATCH[2]}
            [[ $seen != *" $key "* ]] || declaration_error "$file" "$number" "$key is given twice"
            seen+="$key "
            case $key in
            suite | variant | purpose)
                [[ $line =~ ^\"([^\"\\]*)\"[[:space:]]*(#.*)?$ ]] ||
                    declaration_error "$file" "$number" "$line"
                printf -v "$key" '%s' "${BASH_REMATCH[1]}"
                ;;
            packages | exclude | keep)
                [[ $line == '['* ]] || declaration_error "$file" "$number" "$line"
                open=1
                read_list_line "${line#\[}" || declaration_error "$file" "$number" "$line"
                ;;
            *) declaration_error "$file" "$number" "$key" ;;
            esac
        else
            declaration_error "$file" "$number" "$line"
        fi
    done <"$file"
    ((!open)) || declaration_error "$file" "$number" "the list $key has no end"
    check_declaration "$file"
}

check_declaration() {
    local file=$1 word
    [[ $suite =~ ^[a-z]+$ ]] || die 2 "$file: suite must be a Debian code name, not '$suite'"
    case $variant in
    apt | essential) ;;
    *) die 2 "$file: variant must be \"apt\" or \"essential\", not '$variant'" ;;
    esac
    ((${#packages[@]})) || die 2 "$file: packages is missing or empty"
    for word in "${packages[@]}"; do
        [[ $word =~ ^[a-z0-9][a-z0-9.+-]+$ ]] || die 2 "$file: '$word' is not a package name"
    done
    for word in "${exclude[@]}" "${keep[@]}"; do
        [[ $word =~ ^/[^[:space:]]+$ ]] || die 2 "$file: '$word' is not an absolute path pattern"
    done
}

# --- lock files -------------------------------------------------------------------------------

declared_lock() { printf '%s\n' "$images/$name.lock"; }

tree_hash() {
    local file
    for file in "$images/$name.toml" "$1" "$here/tree.sh"; do
        sha256sum <"$file"
    done | sha256sum | cut -c 1-16
}

# The lock resolved on this host because packages of the declared one are gone. It belongs to
# exactly one state of the declaration and its lock.
drift_lock() { printf '%s\n' "$cache/drift/$name-$(tree_hash "$(declared_lock)").lock"; }

# The lock in effect: the declared one unless this host had to resolve afresh.
effective_lock() {
    local declared drifted
    declared=$(declared_lock)
    [[ -r $declared ]] ||
        die 3 "$declared does not exist" "write it with: ./ringbed image lock $name"
    drifted=$(drift_lock)
    if [[ -z $locked && -r $drifted ]]; then
        printf '%s\n' "$drifted"
    else
        printf '%s\n' "$declared"
    fi
}

lock_lines() { grep -v '^#' "$1"; }
lock_field() { sed -n "s/^# $2: //p" "$1"; }

# resolve OUTPUT: write the lock for the declaration that was read.
resolve() {
    local output=$1 root=$cache/apt/$suite essential uris temporary
    mkdir -p "$root"
    exec 8>"$root/lock"
    flock 8
    say "$name: resolving ${#packages[@]} packages in Debian $suite"
    update_apt_root "$root" "$suite"
    mapfile -t essential < <(find "$root/lists" -name '*_Packages' -print0 |
        xargs -0 awk '/^Package: /{ p = $2 } /^Essential: yes/{ print p }' | sort -u)
    [[ $variant != apt ]] || essential+=(apt)
    uris=$(apt_in "$root" apt-get -qq --print-uris install "${essential[@]}" "${packages[@]}") ||
        die 3 "apt cannot resolve the packages of $images/$name.toml" \
            "the lines above name the package; does Debian $suite have it?"
    temporary=$(mktemp "$output.XXXXXX")
    {
        echo "# Every package of $name.toml. Renew with: ./ringbed image lock $name"
        echo "# suites: $(awk '{ printf "%s%s", sep, $5; sep = " " }' "$root/etc/sources.list")"
        echo "# epoch: $(offered_epoch "$root")"
        sed -E "s/^'[^']*' ([^ ]+) [0-9]+ SHA256:([0-9a-f]{64})\$/\2  \1/" <<<"$uris" |
            awk 'length($1) != 64 { exit 1 } { print $1 }' >"$root/wanted" ||
            die 3 "apt gave no SHA-256 for some package"
        find "$root/lists" -name '*_Packages' -print0 | xargs -0 awk '
            FNR == NR { wanted[$1]; next }
            /^Size: / { size = $2 } /^Installed-Size: / { installed = $2 } /^SHA256: / { sha = $2 }
            /^$/ { if (sha in wanted) { bytes += size; kib += installed; delete wanted[sha] } }
            END { printf "# download-bytes: %d\n# installed-kib: %d\n", bytes, kib }' "$root/wanted"
        sed -E "s/^'[^']*' ([^ ]+) [0-9]+ SHA256:([0-9a-f]{64})\$/\2  \1/" <<<"$uris" | sort -k 2
    } >"$temporary"
    chmod 644 "$temporary"
    mv "$temporary" "$output"
    exec 8>&-
    say "$name: locked $(lock_lines "$output" | wc -l) packages"
}

# --- package cache ----------------------------------------------------------------------------

# Print the lock lines whose package is not in the cache. A damaged package is removed and counts
# as missing.
missing_packages() {
    local lock=$1 sha file
    mkdir -p "$cache/packages"
    lock_lines "$lock" | awk -v d="$cache/packages" '{ print $1 "  " d "/" $1 ".deb" }' |
        { sha256sum --check --quiet --ignore-missing --strict 2>/dev/null || true; } |
        sed -n 's/: FAILED.*$//p' | while IFS= read -r file; do
        warn "removing a damaged package from the cache: $file"
        rm -f -- "$file"
    done
    lock_lines "$lock" | while read -r sha file; do
        [[ -e $cache/packages/$sha.deb ]] || printf '%s  %s\n' "$sha" "$file"
    done
}

# need_disk KIB PURPOSE: stop before starting what the disk cannot hold.
need_disk() {
    local need=$1 free
    mkdir -p "$cache"
    free=$(df -Pk "$cache" | awk 'NR == 2 { print $4 }')
    ((free >= need)) ||
        die 3 "$2 needs $((need / 1024 + 1)) MiB, but $cache has only $((free / 1024)) MiB free" \
            "free some space (./ringbed clean), or set RINGBED_CACHE to a directory on a larger disk"
}

# refresh_apt_root ROOT: update unless that was done within the hour from the same place.
refresh_apt_root() {
    local root=$1 stamp=0
    [[ -r $root/updated ]] && read -r stamp <"$root/updated"
    if (($(date +%s) - stamp < 3600)) && [[ $(cat "$root/archive" 2>/dev/null) == "$archive" ]]; then
        return 1
    fi
    update_apt_root "$root" "$suite"
    printf '%s\n' "$archive" >"$root/archive"
}

# split_offered ROOT MISSING: write MISSING.offered ("<package>=<version>") and MISSING.gone.
split_offered() {
    offered_packages "$1" | awk -v out="$2" '
        FNR == NR { spec[$1] = $2 "=" $3; next }
        ($1 in spec) { print spec[$1] > (out ".offered"); next }
        { print > (out ".gone") }' - "$2"
}

apt_download() {
    cd "$2/debs"
    exec xargs -a "$2/missing.offered" bash -c 'exec apt-get -c "$0" -q download "$@"' "$1/apt.conf"
}

download() {
    local root=$1 temporary=$2 file sha count
    count=$(wc -l <"$temporary/missing")
    say "$name: fetching $count packages"
    mkdir "$temporary/debs"
    await_logged "$temporary/download.log" \
        '/^Get:/ && ++i % 50 == 0 { print name ": fetched " i }' apt_download "$root" "$temporary" || {
        grep '^[EW]:' "$temporary/download.log" >&2 || tail -n 5 "$temporary/download.log" >&2
        die 3 "packages could not be fetched from the Debian archive" \
            "the lines above are apt's; run the command again to go on from here"
    }
    while read -r sha file; do
        [[ -f $temporary/debs/$file ]] || die 3 "apt did not deliver $file"
        echo "$sha  $temporary/debs/$file" | sha256sum --check --status ||
            die 3 "$file from the archive does not have the locked SHA-256" "./ringbed image lock $name"
        mv -- "$temporary/debs/$file" "$cache/packages/$sha.deb"
    done <"$temporary/missing"
}

# Resolve again because the archive no longer has what the lock names, and say what changed.
resolve_drift() {
    local gone=$1 drifted
    drifted=$(drift_lock)
    warn "the archive no longer offers $(wc -l <"$gone") packages that $name.lock names:"
    sed 's/^[0-9a-f]*  /  /' "$gone" >&2
    warn "resolving $name afresh; results are not comparable bit for bit with those of the lock file (--locked forbids this)"
    mkdir -p "$cache/drift"
    resolve "$drifted"
}

# fetch: afterwards every package of the effective lock is in the cache.
fetch() {
    local lock root=$cache/apt/$suite fresh=
    lock=$(effective_lock)
    [[ -n $(missing_packages "$lock") ]] || return 0
    need_disk $(($(lock_field "$lock" download-bytes) / 1024)) "fetching the packages of $name"
    mkdir -p "$root"
    exec 8>"$root/lock"
    flock 8
    rm -rf "$cache"/packages/.fetch-"$name".*
    download=$(mktemp -d "$cache/packages/.fetch-$name.XXXXXX")
    missing_packages "$lock" >"$download/missing"
    if [[ -s $download/missing ]]; then
        refresh_apt_root "$root" && fresh=1
        split_offered "$root" "$download/missing"
        if [[ -s $download/missing.gone && -z $fresh ]]; then
            rm -f "$download"/missing.* "$root/updated"
            refresh_apt_root "$root"
            split_offered "$root" "$download/missing"
        fi
        if [[ -s $download/missing.gone ]]; then
            fetch_drifted "$download/missing.gone"
            rm -rf "$download"
            return 0
        fi
        download "$root" "$download"
    fi
    rm -rf "$download"
    exec 8>&-
}

fetch_drifted() {
    local gone=$1
    if [[ -n $locked ]]; then
        sed 's/^[0-9a-f]*  /  /' "$gone" >&2
        die 3 "neither the archive nor the package cache has the packages above, which $name.lock names" \
            "renew the lock with: ./ringbed image lock $name"
    fi
    [[ $(effective_lock) == "$(declared_lock)" ]] || rm -f "$(drift_lock)"
    exec 8>&-
    resolve_drift "$gone"
    fetch
}

# --- building ---------------------------------------------------------------------------------

# One instruction of a seccomp program: code, jump if true, jump if false, operand.
instruction() {
    local byte bytes=''
    for byte in $(($1 & 255)) $(($1 >> 8)) "$2" "$3" \
        $(($4 & 255)) $(($4 >> 8 & 255)) $(($4 >> 16 & 255)) $(($4 >> 24 & 255)); do
        printf -v byte '\\x%02x' "$byte"
        bytes+=$byte
    done
    printf '%b' "$bytes"
}

# A seccomp program for x86-64 in which these calls succeed and do nothing: changes of owner (there
# is one user), and waiting for the disk (a build that did not end is thrown away, and dpkg waits
# for every file).
pretend_filter() {
    local call left load=0x20 equal=0x15 result=0x06
    local calls=(
        92 93 94 260       # chown fchown lchown fchownat
        74 75 162 277 306  # fsync fdatasync sync sync_file_range syncfs
    )
    left=${#calls[@]}
    instruction $load 0 0 4                               # the architecture …
    instruction $equal 0 $((left + 1)) $((0xc000003e))    # … is x86-64, or allow
    instruction $load 0 0 0                               # the number of the call
    for call in "${calls[@]}"; do
        instruction $equal "$left" 0 "$call"
        left=$((left - 1))
    done
    instruction $result 0 0 $((0x7fff0000))               # allow
    instruction $result 0 0 $((0x00050000))               # return 0
}

# in_sandbox COMMAND…: become COMMAND as the only user of a user namespace of its own. All its
# processes are killed when this script dies.
in_sandbox() {
    exec bwrap --dev-bind / / --unshare-user --uid 0 --gid 0 --cap-add ALL --unshare-pid --unshare-ipc \
        --dev /dev --proc /proc --die-with-parent --seccomp 9 --clearenv \
        --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin --setenv LC_ALL C.UTF-8 --setenv TZ UTC \
        --setenv HOME /root --setenv TMPDIR "$scratch" --setenv SOURCE_DATE_EPOCH "$epoch" \
        -- "$@" 9< <(pretend_filter)
}

# make_repository LOCK DIR: a flat apt repository of exactly the locked packages.
make_repository() {
    local lock=$1 directory=$2 sha file
    mkdir -p "$directory"
    while read -r sha file; do
        ln -s "$cache/packages/$sha.deb" "$directory/$sha.deb"
        dpkg-deb -f "$cache/packages/$sha.deb"
        printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$sha" \
            "$(stat -c %s "$cache/packages/$sha.deb")" "$sha"
    done < <(lock_lines "$lock") >"$directory/Packages"
}

# mmdebstrap would mount a devpts with a group that the sandbox does not have, so the sandbox's own
# minimal /dev and /proc are shown in the tree while package scripts run.
readonly show_kernel='mkdir -p "$1/dev" "$1/proc" && mount --rbind /dev "$1/dev" && mount --rbind /proc "$1/proc"'
readonly hide_kernel='umount --recursive "$1/dev" && umount --recursive "$1/proc"'

# What mmdebstrap copies from the host or writes about this build must not stay in the tree.
readonly forget_host='cd "$1" && rm -rf etc/resolv.conf etc/hostname etc/apt/sources.list \
    etc/apt/sources.list.d/* etc/apt/apt.conf.d/99mmdebstrap var/lib/apt/lists var/cache/apt \
    var/cache/ldconfig/aux-cache var/cache/debconf/*-old var/lib/dpkg/*-old var/log/* etc/*- \
    var/cache/debconf/tmp.ci etc/ssh/ssh_host_*_key* &&
    mkdir -p var/lib/apt/lists/partial var/cache/apt/archives/partial'

# bootstrap LOCK FORMAT TARGET [HOOK…]
# The suite is left empty: the repository holds one version of each package and nothing else, and
# a flat repository has no suite that mmdebstrap could select by.
bootstrap() {
    local lock=$1 format=$2 target=$3 hook pattern options=("--extract-hook=$show_kernel")
    shift 3
    say "$name: building from $(lock_lines "$lock" | wc -l) packages"
    make_repository "$lock" "$scratch/repository"
    for pattern in "${exclude[@]}"; do options+=("--dpkgopt=path-exclude=$pattern"); done
    for pattern in "${keep[@]}"; do options+=("--dpkgopt=path-include=$pattern"); done
    for hook in "$@"; do options+=("--customize-hook=$hook"); done
    options+=("--customize-hook=$hide_kernel" "--customize-hook=$forget_host")
    lock_lines "$lock" | sed -E 's/^[0-9a-f]+  ([^_]+)_.*/\1/' | paste -sd, >"$scratch/include"
    await_logged "$scratch/log" '/^I: (installing|extracting|creating)/ { sub(/^I/, name); print }' \
        in_sandbox mmdebstrap --mode=root --format="$format" --variant="$variant" \
        --architectures=amd64 --skip=check/empty,chroot/mount,cleanup/apt,output/dev,output/mknod \
        --aptopt='APT::Sandbox::User "root"' --include="$(<"$scratch/include")" "${options[@]}" \
        "" "$target" "deb [trusted=yes] copy:$scratch/repository ./" \
        </dev/null || {
        cp "$scratch/log" "$cache/$name-build.log"
        grep -v '^I: ' "$scratch/log" | tail -n 15 >&2
        die 3 "mmdebstrap failed for $name" "the whole log: $cache/$name-build.log"
    }
}

# Take the lock of this name and a clean scratch directory. What an earlier, killed build left
# is removed: whoever holds the lock is the only builder of this name.
enter_build() {
    mkdir -p "$cache/trees"
    exec 7>"$cache/trees/.$name.lock"
    flock -n 7 || {
        say "$name: another ringbed is building it; waiting"
        flock 7
    }
    rm -rf "$cache"/trees/.build-"$name".*
    scratch=$(mktemp -d "$cache/trees/.build-$name.XXXXXX")
    chmod 755 "$scratch"
}

prepare() {
    local lock
    fetch
    lock=$(effective_lock)
    epoch=$(lock_field "$lock" epoch)
    [[ $epoch =~ ^[0-9]+$ ]] || die 2 "$lock has no epoch line" "./ringbed image lock $name"
    need_disk $(($(lock_field "$lock" installed-kib) * 5 / 4 + 65536)) "building the tree $name"
}

tree_path() { printf '%s\n' "$cache/trees/$name-$(tree_hash "$(effective_lock)")"; }

# record LOCK DIR: keep beside the files what they were made from.
record() {
    local lock=$1 directory=$2
    mkdir "$directory/.ringbed"
    cp "$images/$name.toml" "$directory/.ringbed/declaration.toml"
    cp "$lock" "$directory/.ringbed/packages.lock"
    if [[ $lock != "$(declared_lock)" ]]; then
        diff <(lock_lines "$(declared_lock)") <(lock_lines "$lock") >"$directory/.ringbed/drift" || true
    fi
}

build() {
    local final lock tree
    final=$(tree_path)
    if [[ ! -d $final ]]; then
        enter_build
        prepare
        lock=$(effective_lock)
        final=$(tree_path)
        if [[ ! -d $final ]]; then
            tree=$scratch/tree
            bootstrap "$lock" directory "$tree"
            # Mount points for what the launcher shows of the host inside the tree.
            mkdir -p "$tree/usr/lib/modules" "$tree/usr/lib/host" "$tree/usr/local/share/ca-certificates"
            record "$lock" "$tree"
            find "$tree" -newermt "@$epoch" -exec touch --no-dereference --date="@$epoch" {} +
            mv -T "$tree" "$final"
        fi
    fi
    printf '%s\n' "$final"
}

build_tar() {
    local output=$1 lock
    shift
    enter_build
    prepare
    lock=$(effective_lock)
    bootstrap "$lock" tar "$scratch/tree.tar" "$@"
    mv "$scratch/tree.tar" "$output"
}

# --- command line -----------------------------------------------------------------------------

usage() { sed -n '/^#   tree.sh/,/^# Environment/p' "$here/tree.sh" | sed 's/^# \{0,1\}//' >&2; exit 2; }

while [[ ${1:-} == --* ]]; do
    case $1 in
    --archive) archive=${2:?--archive needs a URL}; shift ;;
    --images) images=$(cd "${2:?--images needs a directory}" && pwd); shift ;;
    --locked) locked=1 ;;
    *) usage ;;
    esac
    shift
done
(($# >= 2)) || usage
command=$1 name=$2
shift 2
[[ $name =~ ^[a-z][a-z0-9-]*$ ]] || die 2 "'$name' is not the name of a tree"
archive=${archive%/}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

case $command in
path) tree_path ;;
packages) lock_lines "$(effective_lock)" ;;
lock | fetch | build | tar)
    read_declaration "$images/$name.toml"
    case $command in
    lock) resolve "$(declared_lock)" ;;
    fetch) fetch ;;
    build) build ;;
    tar) build_tar "${1:?an output file is needed}" "${@:2}" ;;
    esac
    ;;
*) usage ;;
esac
