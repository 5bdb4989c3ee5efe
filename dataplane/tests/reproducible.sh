#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the sources twice, from and in differently named directories, and compares the executables' bytes.
# usage: reproducible.sh SOURCE-DIR
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # source copy, build directory
	mkdir -p "$(dirname "$1")"
	cp -r "$source" "$1"
	{
		meson setup --buildtype=release -Db_ndebug=true -Dtests=disabled "$2" "$1" && ninja -C "$2" apps/rb-echo apps/rb-spin load/rbload
	} >"$work/log" 2>&1 && return
	cat "$work/log"
	exit 1
}

build "$work/a" "$work/a/build"
build "$work/some/other/place" "$work/somewhere/else/out"
for program in apps/rb-echo apps/rb-spin load/rbload; do
	cmp "$work/a/build/$program" "$work/somewhere/else/out/$program"
	# neither directory has left a trace
	if grep -q -F -e "$work" "$work/a/build/$program"; then
		echo "$program contains the name of its build directory"
		exit 1
	fi
	sha256sum <"$work/a/build/$program"
done
