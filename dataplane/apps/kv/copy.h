// SPDX-License-Identifier: Apache-2.0
/*
 * memcpy() and memcmp() of some hundred bytes at most: where the compiler knows such a bound it makes a string
 * instruction of memcpy(), which takes long to begin, and of memcmp() a call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { KV_COPY_MAX = 512 }; /* bytes; longer ones are better memcpy()'s */

static inline uint64_t kv_load64(const uint8_t *from)
{
	uint64_t value;
	memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint32_t kv_load32(const uint8_t *from)
{
	uint32_t value;
	memcpy(&value, from, sizeof(value));
	return value;
}

enum { KV_COPY_BLOCK = 32 };

/* Less than a block. */
static inline void kv_copy_short(uint8_t *to, const uint8_t *from, size_t length)
{
	if (length >= 16) { /* two that overlap */
		memcpy(to, from, 16);
		memcpy(to + length - 16, from + length - 16, 16);
	} else if (length >= 8) {
		memcpy(to, from, 8);
		memcpy(to + length - 8, from + length - 8, 8);
	} else if (length >= 4) {
		memcpy(to, from, 4);
		memcpy(to + length - 4, from + length - 4, 4);
	} else {
		for (size_t at = 0; at < length; at++)
			to[at] = from[at];
	}
}

static inline void kv_copy(uint8_t *to, const uint8_t *from, size_t length)
{
	if (length < KV_COPY_BLOCK) {
		kv_copy_short(to, from, length);
		return;
	}
	for (size_t at = 0; at < length - KV_COPY_BLOCK; at += KV_COPY_BLOCK)
		memcpy(to + at, from + at, KV_COPY_BLOCK);
	memcpy(to + length - KV_COPY_BLOCK, from + length - KV_COPY_BLOCK, KV_COPY_BLOCK);
}

static inline bool kv_same(const uint8_t *a, const uint8_t *b, size_t length)
{
	if (length >= 8) {
		for (size_t at = 0; at < length - 8; at += 8) {
			if (kv_load64(a + at) != kv_load64(b + at))
				return false;
		}
		return kv_load64(a + length - 8) == kv_load64(b + length - 8);
	}
	if (length >= 4)
		return kv_load32(a) == kv_load32(b) && kv_load32(a + length - 4) == kv_load32(b + length - 4);
	for (size_t at = 0; at < length; at++) {
		if (a[at] != b[at])
			return false;
	}
	return true;
}
