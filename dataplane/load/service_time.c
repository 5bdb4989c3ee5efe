// SPDX-License-Identifier: Apache-2.0

#include "load/service_time.h"

#include <math.h>
#include <stddef.h>

const char *const rb_service_time_names[] = {"fixed",	   "exponential", "bimodal-1", "bimodal-2",
					     "bimodal-2z", "lognormal",	  NULL};

/* Two service times as multiples of the mean; short_share * short_factor + (1 - short_share) * long_factor == 1. */
struct bimodal {
	double short_share;
	double short_factor;
	double long_factor;
};

static const struct bimodal bimodals[RB_SERVICE_KINDS] = {
	[RB_SERVICE_BIMODAL_1] = {0.9, 0.5, 5.5},
	[RB_SERVICE_BIMODAL_2] = {0.995, 1.0 / 5.995, 1000.0 / 5.995},
	[RB_SERVICE_BIMODAL_2Z] = {0.999, 0.5, 500.5},
};

static double sample_factor(const struct rb_service_time *s, struct rb_random *random)
{
	const struct bimodal *b = &bimodals[s->kind];

	switch (s->kind) {
	case RB_SERVICE_FIXED:
		return 1.0;
	case RB_SERVICE_EXPONENTIAL:
		return rb_random_exponential(random, 1.0);
	case RB_SERVICE_LOGNORMAL:
		return exp(s->sigma * rb_random_normal(random) - s->sigma * s->sigma / 2.0);
	default:
		return rb_random_unit(random) < b->short_share ? b->short_factor : b->long_factor;
	}
}

uint64_t rb_service_time_sample(const struct rb_service_time *s, struct rb_random *random)
{
	/* Far below 2^63 for every allowed mean; the bound keeps the conversion defined for any sigma. */
	return (uint64_t)fmin(nearbyint(s->mean_ns * sample_factor(s, random)), 0x1.0p62);
}

double rb_service_time_scv(const struct rb_service_time *s)
{
	const struct bimodal *b = &bimodals[s->kind];

	switch (s->kind) {
	case RB_SERVICE_FIXED:
		return 0.0;
	case RB_SERVICE_EXPONENTIAL:
		return 1.0;
	case RB_SERVICE_LOGNORMAL:
		return expm1(s->sigma * s->sigma);
	default:
		return b->short_share * b->short_factor * b->short_factor +
		       (1.0 - b->short_share) * b->long_factor * b->long_factor - 1.0;
	}
}
