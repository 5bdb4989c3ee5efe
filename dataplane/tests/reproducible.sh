#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds a program from two places: the bytes must be the same, and name neither.
# usage: reproducible.sh SOURCE-DIR
set -eu
source=$1
program=apps/rb-spin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # source copy, build directory
	mkdir -p "$(dirname "$1")"
	cp -r "$source" "$1"
	if ! {
		meson setup -Dbuildtype=release -Db_ndebug=true -Dtests=disabled "$2" "$1" &&
			ninja -C "$2" "$program"
	} >"$work/log" 2>&1; then
		cat "$work/log"
		exit 1
	fi
	if grep -q -F -e "$work" "$2/$program"; then
		echo "$program has the name of its directory in it"
		exit 1
	fi
}

build "$work/a" "$work/a/build"
build "$work/some/other/place" "$work/somewhere/else/out"
cmp "$work/a/build/$program" "$work/somewhere/else/out/$program"
sha256sum <"$work/a/build/$program"
