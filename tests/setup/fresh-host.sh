#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Run ringbed on a host that has nothing but a minimal Debian.
#
#   fresh-host.sh [--suite bookworm|trixie] [--user] [--directory DIR] [--] [COMMAND…]
#
# Makes a minimal Debian (apt and certificates, nothing else), gives it a copy of this checkout and
# this host's apt and pip settings, and runs COMMAND there in the checkout (default: ./ringbed
# doctor) in mount and process namespaces of its own. Needs root; ends with COMMAND's status.
#   --suite      the Debian to make (default trixie)
#   --user       run COMMAND as an ordinary user with sudo instead of as root
#   --directory  make or reuse the host in DIR and keep it (default: a temporary one, removed)
# Environment: RINGBED_ARCHIVE as for ringbed itself.
#
# bookworm gets its apt sources in the one-line format, trixie in deb822: hosts have either.

# shellcheck disable=SC2016  # scripts for other shells are meant literally

set -euo pipefail
export LC_ALL=C

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly project
suite=trixie user='' directory='' archive=${RINGBED_ARCHIVE:-}
say() { printf '%s\n' "fresh-host: $*" >&2; }
warn() { say "warning: $*"; }
die() { say "error: $2${3:+ ($3)}"; exit "$1"; }
# shellcheck source-path=SCRIPTDIR source=../../images/archive.sh
source "$project/images/archive.sh"

while (($#)); do
    case $1 in
    --suite) suite=$2; shift ;;
    --user) user=1 ;;
    --directory) directory=$2; shift ;;
    --) shift; break ;;
    -*) die 2 "unknown option $1" ;;
    *) break ;;
    esac
    shift
done
(($#)) || set -- ./ringbed doctor
((EUID == 0)) || die 2 "making a host needs root"
[[ $suite == bookworm || $suite == trixie ]] || die 2 "no such suite: $suite"

if [[ -z $directory ]]; then
    directory=$(mktemp -d "${TMPDIR:-/var/tmp}/ringbed-fresh.XXXXXX")
    trap 'rm -rf --one-file-system "$directory"' EXIT
fi

main=${archive:-$(host_archives main | head -n 1)}
[[ -n $main ]] || explain_missing_archive
security=$(host_archives security | head -n 1)

# Only the settings that say how to reach archives and indexes; no state of this host.
copy_settings() {
    local root=$1 file
    for file in /etc/apt/apt.conf.d/*proxy* /etc/apt/auth.conf /etc/apt/auth.conf.d/* /etc/pip.conf \
        /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
        [[ ! -f $file ]] || install -D -m 644 "$(readlink -f "$file")" "$root$file"
    done
    rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
    if [[ $suite == bookworm ]]; then
        printf 'deb %s %s main\n' "$main" "$suite" >"$root/etc/apt/sources.list"
        [[ -z $security ]] || printf 'deb %s %s-security main\n' "$security" "$suite" >>"$root/etc/apt/sources.list"
    else
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
            "$main" "$suite" "$debian_keyring" >"$root/etc/apt/sources.list.d/debian.sources"
    fi
}

make_host() {
    local root=$1 extra=apt,ca-certificates
    [[ -z $user ]] || extra+=,sudo
    say "making a minimal Debian $suite in $root"
    mmdebstrap --quiet --variant=minbase --include="$extra" --aptopt='APT::Sandbox::User "root"' \
        "$suite" "$root" "$main" </dev/null
    copy_settings "$root"
    if [[ -n $user ]]; then
        chroot "$root" useradd --create-home --shell /bin/bash visitor
        echo 'visitor ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/visitor"
    fi
}

copy_checkout() {
    local target=$1/srv/ringbed
    mkdir -p "$target"
    (cd "$project" && git ls-files -z --cached --others --exclude-standard |
        xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh |
        tar -c --no-recursion --null --files-from=-) | tar -x --no-same-owner -C "$target"
    [[ -z $user ]] || chown -R 1000:1000 "$target"
}

[[ -e $directory/etc/os-release ]] || make_host "$directory"
copy_checkout "$directory"

# The environment of a log-in, plus this host's settings for pip and certificates.
environment=(HOME=/root USER=root)
run=()
if [[ -n $user ]]; then
    environment=(HOME=/home/visitor USER=visitor)
    run=(setpriv --reuid 1000 --regid 1000 --init-groups)
fi
environment+=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "TERM=${TERM:-dumb}")
while IFS= read -r setting; do
    environment+=("$setting")
done < <(env | grep -E '^(PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|DEFAULT_TIMEOUT)|SSL_CERT_FILE|[a-z]+_proxy|RINGBED_ARCHIVE)=' || true)

say "running: $*"
# pivot_root, not chroot: a process in a chroot may not create user namespaces.
unshare --mount --pid --fork --kill-child --propagation private /bin/bash -euc '
    root=$1; shift
    mount --bind "$root" "$root"
    cd "$root"
    mount --rbind /dev dev
    mount -t proc proc proc
    mount --rbind /sys sys
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    mkdir -p mnt
    pivot_root . mnt
    cd /srv/ringbed
    umount -l /mnt
    exec env -i "$@"' fresh-host "$directory" "${environment[@]}" "${run[@]}" "$@"
