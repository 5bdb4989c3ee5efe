// SPDX-License-Identifier: Apache-2.0
/*
 * Hash of keys: 16 bytes at a time are folded by one multiplication to 128 bits, whose halves are added modulo 2. The
 * two secret words keep a peer that does not know the seed from choosing keys that meet in one bucket; it is not a
 * cryptographic promise.
 */
#pragma once

#include "apps/kv/copy.h"

struct kv_hash_secret {
	uint64_t word[2];
};

static inline uint64_t kv_hash_fold(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t kv_hash(const struct kv_hash_secret *secret, const uint8_t *key, size_t length)
{
	uint64_t a = 0, b = 0, hash = secret->word[1] ^ length;

	for (; length > 16; key += 16, length -= 16)
		hash = kv_hash_fold(kv_load64(key) ^ secret->word[0], kv_load64(key + 8) ^ hash);
	if (length >= 8) {
		a = kv_load64(key);
		b = kv_load64(key + length - 8);
	} else if (length >= 4) {
		a = kv_load32(key);
		b = kv_load32(key + length - 4);
	} else if (length > 0) {
		a = (uint64_t)key[0] << 16 | (uint64_t)key[length / 2] << 8 | key[length - 1];
	}
	hash = kv_hash_fold(a ^ secret->word[0], b ^ hash);
	return kv_hash_fold(hash ^ secret->word[1],
			    UINT64_C(0x9e3779b97f4a7c15)); /* 2^64 / golden ratio: odd, well mixed */
}
