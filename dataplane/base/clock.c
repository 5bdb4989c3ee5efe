// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

#include "base/assert.h"

static uint64_t read_ns(clockid_t id)
{
	struct timespec now;
	int result = clock_gettime(id, &now);
	RB_ASSERT_EQ(result, 0); /* both clocks exist on every Linux */
	return (uint64_t)now.tv_sec * RB_NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t monotonic_now(const struct rb_clock *clock)
{
	(void)clock;
	return read_ns(CLOCK_MONOTONIC);
}

const struct rb_clock *rb_clock_monotonic(void)
{
	static const struct rb_clock monotonic = {.now_ns = monotonic_now};
	return &monotonic;
}

uint64_t rb_clock_thread_cpu_ns(void)
{
	return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t virtual_now(const struct rb_clock *clock)
{
	/* clock is the first member of struct rb_virtual_clock */
	return ((const struct rb_virtual_clock *)(const void *)clock)->ns;
}

void rb_virtual_clock_init(struct rb_virtual_clock *clock, uint64_t start_ns)
{
	RB_BUILD_ASSERT(offsetof(struct rb_virtual_clock, clock) == 0, "virtual_now casts");
	clock->clock.now_ns = virtual_now;
	clock->ns = start_ns;
}

void rb_virtual_clock_advance_to(struct rb_virtual_clock *clock, uint64_t ns)
{
	if (ns > clock->ns)
		clock->ns = ns;
}
