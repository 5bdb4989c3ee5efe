#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The upstream source of a Debian package, for headers that Debian packages nowhere.
#
#   source.sh [--archive URL] SUITE PACKAGE VERSION
#                              print the path of the tar, fetched first when the cache has none
#
# apt checks it against the archive's signed index. Environment: RINGBED_CACHE, RINGBED_ARCHIVE.
# Exit codes: 0 done, 2 wrong usage, 3 archive.

set -euo pipefail
umask 022
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
archive=${RINGBED_ARCHIVE:-}
cache=${RINGBED_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/ringbed}

say() { printf '%s\n' "$*" >&2; }
warn() { say "warning: $*"; }
die() {
    say "error: $2"
    [[ -z ${3:-} ]] || say "  hint: $3"
    exit "$1"
}

# shellcheck source-path=SCRIPTDIR source=archive.sh
source "$here/archive.sh"

if [[ ${1:-} == --archive ]]; then
    archive=$2
    shift 2
fi
(($# == 3)) || die 2 "usage: source.sh [--archive URL] SUITE PACKAGE VERSION"
suite=$1 package=$2 version=$3
directory=$cache/sources/${package}_${version#*:}

# fetch_source: the upstream tar of the package, and nothing else of it, into $scratch.
fetch_source() {
    local root=$cache/apt/$suite-source
    mkdir -p "$root"
    exec 8>"$root/lock"
    flock 8
    update_apt_root "$root" "$suite"
    # The index of sources is three times as large as that of packages: fetched for this alone.
    sed -E 's/^deb \[[^ ]* /deb-src [/' "$root/etc/sources.list" >"$root/etc/source.list"
    apt_in "$root" apt-get -q -o Dir::Etc::SourceList="$root/etc/source.list" update \
        >"$root/update.log" 2>&1 || {
        grep '^[EW]:' "$root/update.log" >&2 || true
        die 3 "the Debian archive gave no index of sources" "try again, or name another mirror with --archive URL or RINGBED_ARCHIVE"
    }
    (cd "$scratch" && apt_in "$root" apt-get -q -o Dir::Etc::SourceList="$root/etc/source.list" \
        source --download-only --only-source --tar-only "$package=$version" >"$root/source.log" 2>&1) || {
        grep '^[EW]:' "$root/source.log" >&2 || true
        die 3 "the Debian archive has no source of $package $version" \
            "it may have moved on: renew the lock with ./ringbed image lock tools"
    }
}

tars=("$directory"/*.orig.tar.*)
if [[ ! -e ${tars[0]} ]]; then
    say "fetching the source of $package $version"
    mkdir -p "$cache/sources"
    scratch=$(mktemp -d "$cache/sources/.fetch.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    fetch_source
    mkdir -p "$directory"
    mv "$scratch"/*.orig.tar.* "$directory/"
    tars=("$directory"/*.orig.tar.*)
fi
printf '%s\n' "${tars[0]}"
