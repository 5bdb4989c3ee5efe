#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
#   enter-tree.sh TREE COMMAND…
#
# Run COMMAND with the tree's /usr in place of the host's, in a mount namespace of its own. All
# else (files, devices, network, /etc with its certificates and pip or apt settings) is the host's.
# Every step is an exec(): COMMAND has the process id this script was started with.
#
# RINGBED_VENV names a virtual environment whose commands come first in PATH.
# Inside, the host's own /usr is at /usr/lib/host, and kernel modules are the host's.
# An ordinary user does the mounts as user 0 of a user namespace, and then becomes itself again
# in a second one.

set -euo pipefail

if [[ $1 != --mount ]]; then
    if ((EUID == 0)); then
        exec unshare --mount --propagation private /bin/bash "$0" --mount root "$@"
    fi
    exec unshare --user --map-root-user --mount --propagation private \
        /bin/bash "$0" --mount "$(id -u):$(id -g)" "$@"
fi
as=$2 tree=$3
shift 3

# die MESSAGE HINT
die() {
    printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2
    exit 3
}

own='of another user? RINGBED_CACHE=DIR names a cache of your own, where it is built anew'
# attach WORD…: mount, or say what that was for.
attach() { mount "$@" || die "the tools tree $tree cannot be entered: mount $* failed" "$own"; }

[[ -r $tree/usr && -x $tree/usr ]] ||
    die "the tools tree $tree cannot be read by user ${as%:*}" "$own"

# A read-only remount must repeat the flags that are locked in a user namespace.
remount_read_only() {
    local flags
    flags=$(findmnt --noheadings --output VFS-OPTIONS --mountpoint "$1" | tail -n 1 |
        tr ',' '\n' | grep -xE 'nosuid|nodev|noexec|noatime|nodiratime|relatime' | paste -sd,)
    attach -o "remount,bind,ro${flags:+,$flags}" "$1"
}

cover() { [[ ! -e $2 ]] || attach --bind "$1" "$2"; }

cover "$tree/etc/ld.so.cache" /etc/ld.so.cache
cover "$tree/etc/alternatives" /etc/alternatives
# Hosts that still have /bin and /lib as real directories: show the tree's there too.
for directory in bin sbin lib lib64; do
    [[ -L /$directory ]] || cover "$tree/usr/$directory" "/$directory"
done
# libvirt looks up this user and this group whenever it runs as root, and nothing else does: the
# host's lists, with the tree's entry behind them. The files live as long as the mounts.
if [[ $as == root ]]; then
    for list in passwd group; do
        grep -q '^libvirt-qemu:' "/etc/$list" && continue
        merged=$(mktemp)
        { cat "/etc/$list"; grep '^libvirt-qemu:' "$tree/etc/$list"; } >"$merged"
        chmod 644 "$merged"
        attach --bind "$merged" "/etc/$list"
        rm "$merged"
    done
fi
# The host's /usr is mounted into the mounted tree, never below the tree's own path: whoever
# removes the tree from the cache must not find the host in it.
host=$(mktemp -d)
attach --rbind /usr "$host"
attach --bind "$tree/usr" /usr
hash -r
attach --move "$host" /usr/lib/host
rmdir "$host"
[[ ! -d /usr/lib/host/lib/modules ]] || attach --bind /usr/lib/host/lib/modules /usr/lib/modules
[[ ! -d /usr/lib/host/local/share/ca-certificates ]] ||
    attach --bind /usr/lib/host/local/share/ca-certificates /usr/local/share/ca-certificates
for place in /usr /usr/lib/host /usr/lib/modules /usr/local/share/ca-certificates; do
    ! mountpoint --quiet "$place" || remount_read_only "$place"
done
cd "$PWD"

# The virtual environment's own commands first, then the tree's: nothing that the host has in
# other places may win.
PATH=${RINGBED_VENV:+$RINGBED_VENV/bin:}/usr/sbin:/usr/bin:/sbin:/bin
export PATH
[[ $as == root ]] || exec unshare --user --map-user="${as%:*}" --map-group="${as#*:}" "$@"
exec "$@"
