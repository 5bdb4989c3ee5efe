// SPDX-License-Identifier: Apache-2.0
/*
 * A queue of timers ordered by deadline (pairing heap). Timers are the caller's memory; arming never
 * fails and never allocates. Timers with the same deadline fire in the order they were armed. Arm is
 * O(1), cancel and expiry are O(log n) amortised. Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rb_timer {
	/* now_ns is the time the loop read before firing; now_ns - timer->deadline_ns is the lateness. */
	void (*fire)(struct rb_timer *timer, uint64_t now_ns);
	uint64_t deadline_ns;
	/* private */
	uint64_t sequence;
	struct rb_timer *child, *sibling, *previous;
	bool armed;
};

struct rb_timers {
	struct rb_timer *root;
	uint64_t sequence;
};

void rb_timers_init(struct rb_timers *timers);

/* Prepares a timer (not armed). */
void rb_timer_init(struct rb_timer *timer, void (*fire)(struct rb_timer *timer, uint64_t now_ns));

/* Sets the deadline; an armed timer is moved. */
void rb_timers_arm(struct rb_timers *timers, struct rb_timer *timer, uint64_t deadline_ns);

/* No effect on a timer that is not armed. */
void rb_timers_cancel(struct rb_timers *timers, struct rb_timer *timer);

/* The earliest deadline, or RB_DEADLINE_NONE. */
uint64_t rb_timers_next(const struct rb_timers *timers);

/*
 * Takes out the earliest timer if its deadline is not after now_ns; the caller fires it. NULL if there is
 * none. A timer may re-arm itself or others, and may be freed, while it fires.
 */
struct rb_timer *rb_timers_pop(struct rb_timers *timers, uint64_t now_ns);
