// SPDX-License-Identifier: Apache-2.0
/* Seeds of the property tests: the same in every run, so that a failure can be repeated; others by NET_SEED=number. */
#pragma once

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The first seed, printed. */
static inline uint64_t seeds_first(const char *test)
{
	const char *given = getenv("NET_SEED");
	const uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 1U;

	printf("%s: seeds from NET_SEED=%" PRIu64 "\n", test, seed);
	return seed;
}
