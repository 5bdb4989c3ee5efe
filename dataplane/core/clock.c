// SPDX-License-Identifier: Apache-2.0
#include "core/clock.h"

#include "base/clock.h"

void core_clock_init(struct core_clock *clock, uint64_t hz)
{
	__extension__ typedef unsigned __int128 wide;
	clock->base_ns = rb_clock_now(rb_clock_monotonic());
	clock->base_tsc = core_tsc();
	clock->multiplier = (uint64_t)(((wide)RB_NS_PER_S << 32) / hz);
}
