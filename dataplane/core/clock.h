// SPDX-License-Identifier: Apache-2.0
/*
 * The dataplane's clock: the time stamp counter, scaled. Begins at CLOCK_MONOTONIC's time and costs a dozen
 * instructions to read. Applications read the same one (abi/page.h). /
 */
#pragma once

#include <stdint.h>

struct core_clock {
	uint64_t base_ns, base_tsc;
	uint64_t multiplier; /* ns per tick, times 2^32 */
};

static inline uint64_t core_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

static inline uint64_t core_clock_ns(const struct core_clock *clock, uint64_t tsc)
{
	__extension__ typedef unsigned __int128 wide;
	return clock->base_ns + (uint64_t)((wide)(tsc - clock->base_tsc) * clock->multiplier >> 32);
}

/* `hz`: ticks per second of the counter. */
void core_clock_init(struct core_clock *clock, uint64_t hz);
