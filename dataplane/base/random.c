// SPDX-License-Identifier: Apache-2.0

#include "base/random.h"

#include <math.h>

#define PI 3.14159265358979323846

static uint64_t rotate_left(uint64_t x, unsigned k)
{
	return (x << k) | (x >> (64U - k));
}

uint64_t rb_splitmix64(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t z = *state;

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t rb_random_u64(struct rb_random *r)
{
	uint64_t *s = r->state;
	const uint64_t result = rotate_left(s[1] * 5U, 7) * 9U;
	const uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

/* Advances by 2^128 steps: multiplies the state with the published jump polynomial. */
static void jump(struct rb_random *r)
{
	static const uint64_t polynomial[4] = {UINT64_C(0x180ec6d33cfd0aba), UINT64_C(0xd5a61266f0c9392c),
					       UINT64_C(0xa9582618e03fc9aa), UINT64_C(0x39abdc4529b1661c)};
	uint64_t sum[4] = {0, 0, 0, 0};

	for (unsigned word = 0; word < 4U; word++) {
		for (unsigned bit = 0; bit < 64U; bit++) {
			if ((polynomial[word] >> bit) & 1U) {
				for (unsigned i = 0; i < 4U; i++)
					sum[i] ^= r->state[i];
			}
			(void)rb_random_u64(r);
		}
	}
	for (unsigned i = 0; i < 4U; i++)
		r->state[i] = sum[i];
}

void rb_random_init(struct rb_random *r, uint64_t seed, unsigned stream)
{
	for (unsigned i = 0; i < 4U; i++)
		r->state[i] = rb_splitmix64(&seed);
	for (unsigned i = 0; i < stream; i++)
		jump(r);
}

uint64_t rb_random_below(struct rb_random *r, uint64_t bound)
{
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)rb_random_u64(r) * bound;

	if ((uint64_t)product < bound) {
		const uint64_t threshold = (0U - bound) % bound;

		while ((uint64_t)product < threshold)
			product = (wide)rb_random_u64(r) * bound;
	}
	return (uint64_t)(product >> 64);
}

double rb_random_unit(struct rb_random *r)
{
	return (double)(rb_random_u64(r) >> 11) * 0x1.0p-53;
}

double rb_random_exponential(struct rb_random *r, double mean)
{
	return -mean * log1p(-rb_random_unit(r));
}

double rb_random_normal(struct rb_random *r)
{
	const double radius = sqrt(rb_random_exponential(r, 2.0));

	return radius * cos(2.0 * PI * rb_random_unit(r));
}
