#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# ringbed of this bundle: its own source, on the bundle's own packages, with all that it makes in
# the folder `reproduced` beside this file.
here=$(dirname "$(readlink -f "$0")")
if [ -d "$here/packages" ]; then
    export RINGBED_OFFLINE="$here"
fi
export RINGBED_CACHE="${RINGBED_CACHE:-$here/reproduced/cache}"
exec "$here/source/ringbed" "$@"
