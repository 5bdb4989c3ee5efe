// SPDX-License-Identifier: Apache-2.0
/*
 * Time is a capability that is passed in, never read from the environment, so that tests run on virtual
 * time. All times are nanoseconds since an arbitrary start, monotonic.
 */
#pragma once

#include <stdint.h>

#define RB_NS_PER_US UINT64_C(1000)
#define RB_NS_PER_MS UINT64_C(1000000)
#define RB_NS_PER_S  UINT64_C(1000000000)

struct rb_clock {
	uint64_t (*now_ns)(const struct rb_clock *clock);
};

static inline uint64_t rb_clock_now(const struct rb_clock *clock)
{
	return clock->now_ns(clock);
}

/* The machine's CLOCK_MONOTONIC. Static storage, usable from any thread. */
const struct rb_clock *rb_clock_monotonic(void);

/* CPU time the calling thread has used, in ns. */
uint64_t rb_clock_thread_cpu_ns(void);

/*
 * A clock that moves only when told to: embed it, init it, advance it. The owner must outlive all users.
 * Not thread-safe.
 */
struct rb_virtual_clock {
	struct rb_clock clock;
	uint64_t ns;
};

void rb_virtual_clock_init(struct rb_virtual_clock *clock, uint64_t start_ns);

/* Moves the clock forward to `ns`; a time in the past leaves it where it is. */
void rb_virtual_clock_advance_to(struct rb_virtual_clock *clock, uint64_t ns);
