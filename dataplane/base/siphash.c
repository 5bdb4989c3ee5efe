// SPDX-License-Identifier: Apache-2.0
#include "base/siphash.h"

#include <string.h>

/* Names as in the paper, 2.1 to 2.4. */
enum { C_ROUNDS = 2, D_ROUNDS = 4 };

static uint64_t rotate_left(uint64_t x, unsigned k)
{
	return (x << k) | (x >> (64U - k));
}

static uint64_t load_word(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static inline void sip_rounds(uint64_t v[4], unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate_left(v[1], 13) ^ v[0];
		v[3] = rotate_left(v[3], 16) ^ v[2];
		v[0] = rotate_left(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate_left(v[1], 17) ^ v[2];
		v[3] = rotate_left(v[3], 21) ^ v[0];
		v[2] = rotate_left(v[2], 32);
	}
}

static inline void compress(uint64_t v[4], uint64_t m)
{
	v[3] ^= m;
	sip_rounds(v, C_ROUNDS);
	v[0] ^= m;
}

uint64_t rb_siphash(const uint8_t key[16], const void *data, size_t length)
{
	const uint64_t k0 = load_word(key), k1 = load_word(key + 8);
	uint64_t v[4] = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
			 k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
	const uint8_t *bytes = data;
	size_t left = length;

	for (; left >= 8U; left -= 8U, bytes += 8)
		compress(v, load_word(bytes));
	/* The last word: what is left, zeros, and the length modulo 256 in the last byte. */
	uint64_t last = (uint64_t)length << 56;
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)bytes[i] << (8U * i);
	compress(v, last);
	v[2] ^= 0xff;
	sip_rounds(v, D_ROUNDS);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
