#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs clang-tidy over every C file, as many at a time as there are cores, in a configured build directory.
# usage: tidy.sh SOURCE-DIR CONFIG, the second being the .clang-tidy that holds for SOURCE-DIR
# A file that was clean is not looked at again (clean/ has its stamp) until it, any header, how it is compiled or
# CONFIG changes.
set -eu

check() { # file, stamp
	[ ! -e "$2" ] || return 0
	if said=$(clang-tidy -p . --quiet "$1" 2>&1); then
		: >"$2"
	else
		printf '%s\n' "$said" | grep -vE '^[0-9]+ warnings? generated\.$|^Suppressed |^Use -header-filter'
		return 1
	fi
}

source=$1 config=$2
if [ $# = 4 ]; then
	check "$3" "$4"
	exit
fi

mkdir -p clean
find clean -type f -mtime +30 -delete
common=$(find "$source" \( -name '*.h' -o -name .clang-tidy \) -print0 | sort -z |
	xargs -0 sha256sum compile_commands.json "$config" | sha256sum)
find "$source" -name '*.c' | sort | while read -r file; do
	stamp=$(printf '%s\n' "$common" "$file" | cat - "$file" | sha256sum)
	printf '%s clean/%s\n' "$file" "${stamp%% *}"
done | xargs -P "$(nproc)" -L 1 "$0" "$source" "$config"
