// SPDX-License-Identifier: Apache-2.0
/*
 * When the next request of a thread is due.
 *
 *   open loop    by an arrival process, whatever the replies do (load/arrival.h)
 *   closed loop  `tokens` users each have one request outstanding; the next one of a user is due one think time
 *                after its reply. Tokens are not tied to a connection.
 *
 * All times are absolute nanoseconds on the context's clock. The schedule has an end: nothing is due at or after it.
 * One owner, no clock.
 */
#pragma once

#include "base/random.h"
#include "load/arrival.h"

#include <stdbool.h>
#include <stdint.h>

enum rb_think_kind { RB_THINK_FIXED, RB_THINK_EXPONENTIAL };

extern const char *const rb_think_names[]; /* ends with NULL */

struct rb_schedule_config {
	bool closed;
	struct rb_arrival_config arrival; /* open loop */
	uint32_t tokens;		  /* closed loop, >= 1 */
	enum rb_think_kind think;
	uint64_t think_ns; /* mean; 0: none */
};

struct rb_schedule {
	struct rb_schedule_config config;
	struct rb_arrival arrival;
	struct rb_random random; /* think times */
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t next_ns; /* RB_DEADLINE_NONE: nothing before the end, or all tokens out */
	bool exhausted;	  /* the trace has ended before the end */
	/*
	 * Closed loop: due times of the tokens at rest. Where all think equally long they come in the order in which
	 * they are due, and are a ring; else a heap, smallest first.
	 */
	uint64_t *due; /* owned */
	uint32_t due_first, due_count;
	bool in_order;
};

/* `random` is copied. Returns 0, -EINVAL (see rb_arrival_init; no tokens) or -ENOMEM. */
int rb_schedule_init(struct rb_schedule *s, const struct rb_schedule_config *config, const struct rb_random *random);
void rb_schedule_free(struct rb_schedule *s);

/* Sets the origin and the end; call once before the functions below. */
void rb_schedule_start(struct rb_schedule *s, uint64_t start_ns, uint64_t end_ns);

/* When the next request is due; RB_DEADLINE_NONE when none is (yet). */
static inline uint64_t rb_schedule_next(const struct rb_schedule *s)
{
	return s->next_ns;
}

/* Takes the next request: returns its intended time. Only while rb_schedule_next() is not RB_DEADLINE_NONE. */
uint64_t rb_schedule_take(struct rb_schedule *s);

/* Closed loop: a request that was taken has ended, well or not, not before those until now. Open loop: no effect. */
void rb_schedule_release(struct rb_schedule *s, uint64_t now_ns);
