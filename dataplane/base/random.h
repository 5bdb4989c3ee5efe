// SPDX-License-Identifier: Apache-2.0
/*
 * Random numbers with streams that repeat exactly for a seed.
 *
 * Generator: xoshiro256** 1.0 (D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS
 * 47(4), 2021). Its 256-bit state is filled from a 64-bit seed with SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast
 * splittable pseudorandom number generators", OOPSLA 2014), as its authors advise. Stream k is the state after k
 * jumps of 2^128 steps: streams of one seed cannot overlap. Every thread of the load generator, and each purpose
 * inside it, has its own stream.
 *
 * The functions below have one user per state and no locks. Not for cryptography.
 */
#pragma once

#include <stdint.h>

struct rb_random {
	uint64_t state[4];
};

/* Starts stream number `stream` (0, 1, …) of `seed`; costs 256 steps per stream number. */
void rb_random_init(struct rb_random *r, uint64_t seed, unsigned stream);

/* One step of SplitMix64; also used as a stateless mixer of identifiers (start value = identifier). */
uint64_t rb_splitmix64(uint64_t *state);

/* Uniform over all 64-bit values. */
uint64_t rb_random_u64(struct rb_random *r);

/*
 * Uniform over 0 … bound-1 without bias; bound >= 1 (D. Lemire, "Fast random integer generation in an interval", 2019).
 */
uint64_t rb_random_below(struct rb_random *r, uint64_t bound);

/* Uniform over [0, 1), 53 bits. */
double rb_random_unit(struct rb_random *r);

/* Exponential with the given mean (> 0), same unit as the mean. */
double rb_random_exponential(struct rb_random *r, double mean);

/* Standard normal (Box and Muller 1958; one of the pair is dropped so that the state stays four words). */
double rb_random_normal(struct rb_random *r);
