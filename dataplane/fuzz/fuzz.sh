#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs one libFuzzer target on its seeds. An input that breaks a promise is kept as crash-… in the working directory.
# usage: fuzz.sh TARGET SEED-DIR            $FUZZ_RUNS runs, or 20000, some seconds; what it learns is thrown away
#        fuzz.sh TARGET SEED-DIR SECONDS    as long as that; what it learns is kept in corpus/ and used again
set -eu
target=$1 seeds=$2 seconds=${3-}
if [ -n "$seconds" ]; then
	corpus=corpus/$(basename "$seeds")
	mkdir -p "$corpus"
	set -- -max_total_time="$seconds" -print_final_stats=1
else
	corpus=$(mktemp -d)
	trap 'rm -rf "$corpus"' EXIT
	set -- -seed=1 -runs="${FUZZ_RUNS-20000}"
fi
# libFuzzer's own statuses are 70 to 77, and meson takes 77 for a skipped test.
"$target" -verbosity=0 "$@" "$corpus" "$seeds" || exit 1
