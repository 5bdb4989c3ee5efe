#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Lets a libFuzzer target make a fixed number of runs from its seeds: about a second, always the same inputs.
# usage: smoke.sh TARGET SEED-DIR
# What it finds interesting on the way goes to a directory that is thrown away; an input that breaks a promise is kept
# as crash-… in the working directory.
set -eu
corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
# libFuzzer's own statuses are 70 to 77, and meson takes 77 for a skipped test.
"$1" -seed=1 -runs=20000 -verbosity=0 "$corpus" "$2" || exit 1
