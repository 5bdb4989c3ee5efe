// SPDX-License-Identifier: Apache-2.0
/*
 * Service times asked of the spin server. For a wanted mean S every distribution has mean exactly S (before rounding
 * to whole nanoseconds):
 *   fixed        S.
 *   exponential  rate 1/S.
 *   bimodal-1    90 % at 0.5 S, 10 % at 5.5 S (ZygOS: Prekas, Kogias, Bugnion, SOSP 2017, section 3).
 *   bimodal-2    99.5 % at S/5.995, 0.5 % at 1000 S/5.995: the 0.5 us / 500 us mix of Shinjuku (Kaffes et al., NSDI
 *                2019), whose own mean of 2.9975 us gives exactly those two times.
 *   bimodal-2z   99.9 % at 0.5 S, 0.1 % at 500.5 S: what ZygOS calls bimodal-2.
 *   lognormal    exp(N(ln S - sigma^2/2, sigma^2)); squared coefficient of variation exp(sigma^2) - 1.
 */
#pragma once

#include "base/random.h"

#include <stdint.h>

enum rb_service_kind {
	RB_SERVICE_FIXED,
	RB_SERVICE_EXPONENTIAL,
	RB_SERVICE_BIMODAL_1,
	RB_SERVICE_BIMODAL_2,
	RB_SERVICE_BIMODAL_2Z,
	RB_SERVICE_LOGNORMAL,
	RB_SERVICE_KINDS
};

struct rb_service_time {
	enum rb_service_kind kind;
	double mean_ns;
	double sigma; /* lognormal only */
};

/* Names in the order of the enumeration, as used on the command line and in results; ends with NULL. */
extern const char *const rb_service_time_names[];

/* Draws a service time in nanoseconds. */
uint64_t rb_service_time_sample(const struct rb_service_time *s, struct rb_random *random);

/* Squared coefficient of variation (variance / mean^2) by theory; what an M/G/n reference line needs. */
double rb_service_time_scv(const struct rb_service_time *s);
