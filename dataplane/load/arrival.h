// SPDX-License-Identifier: Apache-2.0
/*
 * Open-loop arrival processes: when each request is intended to be sent, whatever the replies do.
 *
 * Every thread has an arrival process of its own; together they make the offered rate:
 *   poisson  exponential gaps of mean threads/rate: the superposition over the threads is Poisson with `rate`.
 *   fixed    request k of thread i is due at floor((k * threads + i) * 10^9 / rate) ns: together exactly one every
 *            1/rate.
 *   trace    thread i takes the requests numbered i, i + threads, i + 2 threads … of the trace, in its order; with a
 *            period p > 0 the trace starts anew at p, 2p, … (p must be later than its last time), else the schedule
 *            ends with it.
 * Times are nanoseconds after the start of the schedule. The functions read no clock.
 */
#pragma once

#include "base/random.h"
#include "load/trace.h"

#include <stdbool.h>
#include <stdint.h>

enum rb_arrival_kind { RB_ARRIVAL_POISSON, RB_ARRIVAL_FIXED, RB_ARRIVAL_TRACE };

struct rb_arrival_config {
	enum rb_arrival_kind kind;
	double rate_rps; /* of all threads together; > 0, not used by a trace */
	unsigned thread; /* this thread, < threads */
	unsigned threads;
	const struct rb_trace *trace; /* borrowed for the life of the process; trace only */
	uint64_t trace_period_ns;     /* 0: play once */
};

struct rb_arrival {
	struct rb_arrival_config config;
	struct rb_random random; /* own stream */
	double poisson_time_ns;
	uint64_t fixed_number; /* of the next request among those of all threads */
	uint64_t trace_number; /* likewise, inside the current pass */
	uint64_t trace_first;  /* number of the first request of the entry at trace_entry */
	size_t trace_entry;
	uint64_t trace_origin_ns; /* start of the current pass */
};

/*
 * Starts the process; `random` is copied. Returns 0, or -EINVAL for a rate that is not positive, a thread out of range,
 * a missing trace, or a period that is not later than the trace's last time.
 */
int rb_arrival_init(struct rb_arrival *a, const struct rb_arrival_config *config, const struct rb_random *random);

/* The next intended time; never decreases. False when the trace has ended (then for good). */
bool rb_arrival_next(struct rb_arrival *a, uint64_t *offset_ns);
