// SPDX-License-Identifier: Apache-2.0

#include "load/arrival.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define NS_PER_SECOND 1e9

static bool trace_is_usable(const struct rb_arrival_config *config)
{
	const struct rb_trace *trace = config->trace;

	if (trace == NULL || trace->length == 0)
		return false;
	return config->trace_period_ns == 0 || config->trace_period_ns > trace->entries[trace->length - 1U].time_ns;
}

int rb_arrival_init(struct rb_arrival *a, const struct rb_arrival_config *config, const struct rb_random *random)
{
	if (config->thread >= config->threads)
		return -EINVAL;
	if (config->kind == RB_ARRIVAL_TRACE ? !trace_is_usable(config)
					     : !(config->rate_rps > 0.0 && isfinite(config->rate_rps)))
		return -EINVAL;
	memset(a, 0, sizeof(*a));
	a->config = *config;
	a->random = *random;
	a->fixed_number = config->thread;
	a->trace_number = config->thread;
	return 0;
}

static uint64_t next_poisson(struct rb_arrival *a)
{
	a->poisson_time_ns +=
		rb_random_exponential(&a->random, NS_PER_SECOND * (double)a->config.threads / a->config.rate_rps);
	return (uint64_t)a->poisson_time_ns;
}

static uint64_t next_fixed(struct rb_arrival *a)
{
	/* Multiplied, not added up: no error accumulates over a long run. */
	const long double offset = (long double)a->fixed_number * 1e9L / (long double)a->config.rate_rps;

	a->fixed_number += a->config.threads;
	return (uint64_t)offset;
}

/* Moves on to the next pass over the trace; false when it is played once only. */
static bool start_pass(struct rb_arrival *a)
{
	if (a->config.trace_period_ns == 0)
		return false;
	a->trace_number -= a->config.trace->total;
	a->trace_first = 0;
	a->trace_entry = 0;
	a->trace_origin_ns += a->config.trace_period_ns;
	return true;
}

static bool next_trace(struct rb_arrival *a, uint64_t *offset_ns)
{
	const struct rb_trace *trace = a->config.trace;

	while (a->trace_number >= trace->total) {
		if (!start_pass(a))
			return false;
	}
	while (a->trace_number >= a->trace_first + trace->entries[a->trace_entry].count) {
		a->trace_first += trace->entries[a->trace_entry].count;
		a->trace_entry++;
	}
	*offset_ns = a->trace_origin_ns + trace->entries[a->trace_entry].time_ns;
	a->trace_number += a->config.threads;
	return true;
}

bool rb_arrival_next(struct rb_arrival *a, uint64_t *offset_ns)
{
	switch (a->config.kind) {
	case RB_ARRIVAL_POISSON:
		*offset_ns = next_poisson(a);
		return true;
	case RB_ARRIVAL_FIXED:
		*offset_ns = next_fixed(a);
		return true;
	case RB_ARRIVAL_TRACE:
		break;
	}
	return next_trace(a, offset_ns);
}
