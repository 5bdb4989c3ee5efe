// SPDX-License-Identifier: Apache-2.0
/*
 * SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012): a keyed
 * pseudo-random function with a 64-bit result. Who does not know the key can neither foretell a result nor learn
 * anything from others: for numbers that an attacker must not guess, such as initial sequence numbers and SYN cookies.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `data`: any length and alignment. The paper's integers are little-endian, as this machine's. */
uint64_t rb_siphash(const uint8_t key[16], const void *data, size_t length);

/*
 * The steps of it, names as in the paper, 2.1 to 2.4. They are here for rb_siphash_12().
 */

struct rb_siphash {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rb_siphash_rotate(uint64_t x, unsigned k)
{
	return (x << k) | (x >> (64U - k));
}

static inline void rb_siphash_round(struct rb_siphash *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rb_siphash_rotate(s->v1, 13) ^ s->v0;
	s->v3 = rb_siphash_rotate(s->v3, 16) ^ s->v2;
	s->v0 = rb_siphash_rotate(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rb_siphash_rotate(s->v1, 17) ^ s->v2;
	s->v3 = rb_siphash_rotate(s->v3, 21) ^ s->v0;
	s->v2 = rb_siphash_rotate(s->v2, 32);
}

static inline struct rb_siphash rb_siphash_begin(const uint8_t key[16])
{
	uint64_t k[2];
	memcpy(k, key, sizeof(k));
	return (struct rb_siphash){
		.v0 = k[0] ^ UINT64_C(0x736f6d6570736575),
		.v1 = k[1] ^ UINT64_C(0x646f72616e646f6d),
		.v2 = k[0] ^ UINT64_C(0x6c7967656e657261),
		.v3 = k[1] ^ UINT64_C(0x7465646279746573),
	};
}

/* c = 2 rounds for each word of the input. */
static inline void rb_siphash_compress(struct rb_siphash *s, uint64_t m)
{
	s->v3 ^= m;
	rb_siphash_round(s);
	rb_siphash_round(s);
	s->v0 ^= m;
}

/* The last word, with the length modulo 256 in its last byte; then d = 4 rounds. */
static inline uint64_t rb_siphash_end(struct rb_siphash *s, uint64_t last)
{
	rb_siphash_compress(s, last);
	s->v2 ^= 0xff;
	rb_siphash_round(s);
	rb_siphash_round(s);
	rb_siphash_round(s);
	rb_siphash_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* rb_siphash() of these twelve bytes, as they lie in memory; `begun`: rb_siphash_begin() of the key. */
static inline uint64_t rb_siphash_12(const struct rb_siphash *begun, uint64_t first, uint32_t second)
{
	struct rb_siphash s = {.v0 = begun->v0, .v1 = begun->v1, .v2 = begun->v2, .v3 = begun->v3};
	rb_siphash_compress(&s, first);
	return rb_siphash_end(&s, UINT64_C(12) << 56 | second);
}
