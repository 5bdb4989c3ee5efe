#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
#   leave-tree.sh COMMAND…
#
# The way back from enter-tree.sh: run COMMAND, a program of the host such as sbatch, on the host's
# own /usr, in a mount namespace of its own. Outside of a tree, it just runs.
#
# RINGBED_HOST_PATH names directories to look into before the usual ones.
# An ordinary user cannot take away what covers a file of /etc, but only cover it again. The linker
# looks into the usual directories then, and the tree's /etc/alternatives stay.

set -euo pipefail

if [[ $1 != --mount ]]; then
    PATH=${RINGBED_HOST_PATH:+$RINGBED_HOST_PATH:}/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
    export PATH
    [[ -d /usr/lib/host/bin ]] || exec "$@"
    if ((EUID == 0)); then
        exec unshare --mount --propagation private /bin/bash "$0" --mount root "$@"
    fi
    exec unshare --user --map-root-user --mount --propagation private \
        /bin/bash "$0" --mount "$(id -u):$(id -g)" "$@"
fi
as=$2
shift 2
umount /etc/ld.so.cache 2>/dev/null || mount --bind /dev/null /etc/ld.so.cache
umount /etc/alternatives 2>/dev/null || true
mount --rbind /usr/lib/host /usr
hash -r
cd "$PWD"
[[ $as == root ]] || exec unshare --user --map-user="${as%:*}" --map-group="${as#*:}" "$@"
exec "$@"
